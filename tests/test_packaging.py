"""One list of versions: pyproject.toml; environment.yml and the licence files follow it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"mne-base": "mne", "matplotlib-base": "matplotlib"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(lines):
    parsed = [Requirement(line) for line in lines]
    name = lambda r: CONDA_NAMES.get(r.name, r.name).lower().replace("_", "-")
    return {name(r): r.specifier for r in parsed}


def environment():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    plain, pip = [x for x in listed if isinstance(x, str)], listed[-1]["pip"]
    assert pip[-1] == "-e ."
    return requirements(plain) | requirements(pip[:-1])


def test_environment_and_pyproject_ask_for_the_same_versions():
    conda = environment()
    assert conda.pop("python") == Requirement(f"x{PROJECT['requires-python']}").specifier
    conda.pop("pip")
    assert conda == requirements(PROJECT["dependencies"])


def test_torch_family_is_capped_together():
    ours = requirements(PROJECT["dependencies"])
    for name in ("torch", "torchvision", "diffusers", "open-clip-torch", "transformers"):
        assert any(s.operator == "<" for s in ours[name]), f"{name} has no upper bound"


def test_the_distribution_does_not_take_the_name_of_another_project():
    assert PROJECT["name"] != "neurodecode"
    assert PROJECT["scripts"] == {"neurodecode": "neurodecode.cli:main"}


def test_versions_agree():
    import neurodecode

    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cff["version"] == neurodecode.__version__
    assert f"## {neurodecode.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert cff["license"] == PROJECT["license"]


@pytest.mark.slow
def test_a_wheel_carries_configurations_recipes_and_weights(tmp_path):
    pytest.importorskip("hatchling")
    build = "from hatchling.build import build_wheel; print(build_wheel(__import__('sys').argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    import zipfile

    names = zipfile.ZipFile(tmp_path / done.stdout.split()[-1]).namelist()
    for wanted in (
        "neurodecode/conf/config.yaml",
        "neurodecode/data_recipes/world.yaml",
        "neurodecode/weights/clip/README.md",
        "neurodecode/report/__init__.py",
    ):
        assert wanted in names
