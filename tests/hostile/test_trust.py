"""Whose code may run: found out before anything is imported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neurodecode.cli.given import check_given_files, given_folders
from neurodecode.core.build import build, locate
from neurodecode.core.errors import ConfigError
from neurodecode.core.fingerprint import fingerprint
from neurodecode.core.finished import open_run
from neurodecode.core.stage import load_stage
from neurodecode.core.trust import FUNCTIONS, foreign, trust

ROOT = Path(__file__).parents[2]
DANGEROUS = [
    "os.system",
    "posix.system",
    "subprocess.run",
    "builtins.eval",
    "shutil.rmtree",
    "numpy.load",
    "torch.load",
    "joblib.load",
    "pandas.read_pickle",
    "neurodecode.core.store.write_json",
    "neurodecode.core.store.shutil.rmtree",
    "neurodecode.core.trust.trust",
    "neurodecode.cli.main",
    "neurodecode.data.haxby.import_openfmri",
    "neurodecode.diffusion.latent_prior.save",
    "neurodecode.models.ridge.np.load",
    "neurodecode.models.base.dataclass",
    "neurodecode.align._hidden.X",
    "neurodecode.metrics.pixel.ThreadPoolExecutor",
    "tests.hostile.test_trust.subprocess.run",
    "tests.hostile.test_trust.build",
    "system",
    "..os.system",
    "os.system\n",
]


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module that says when it is imported, found by a search path of nobody's."""
    (tmp_path / "away").mkdir()
    code = f"open({str(tmp_path / 'imported')!r}, 'w').close()\nclass Model:\n    pass\n"
    (tmp_path / "away" / "trapped.py").write_text(code)
    (tmp_path / "away" / "trapped_package").mkdir()
    (tmp_path / "away" / "trapped_package" / "__init__.py").write_text(code)
    (tmp_path / "away" / "trapped_package" / "inner.py").write_text("class Model:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "away"))
    yield tmp_path
    for name in [m for m in sys.modules if m.startswith("trapped")]:
        del sys.modules[name]


class Own:
    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha


@pytest.mark.parametrize("path", DANGEROUS)
def test_what_is_no_choice_is_not_called(path):
    with pytest.raises(ConfigError):
        build({"_target_": path})


def test_an_untrusted_module_is_not_even_imported(trap):
    for path in ("trapped.Model", "trapped_package.inner.Model"):
        with pytest.raises(ConfigError, match=r"was not imported.*trust=\[trapped"):
            locate(path)
        assert not fingerprint("neurodecode.core.seeds", [path]).keys() & {path.rpartition(".")[0]}
    with pytest.raises(ConfigError, match="stages: trapped_package.inner is not trusted"):
        load_stage("trapped_package.inner")
    assert not (trap / "imported").exists()


def test_a_package_that_the_user_names_is_trusted(trap):
    trust(["trapped"])
    assert locate("trapped.Model").__name__ == "Model"
    assert (trap / "imported").exists()
    with pytest.raises(ConfigError, match="trust: expected names of packages"):
        trust(["mylab.inner"])
    with pytest.raises(ConfigError, match="trust: expected names of packages"):
        trust("mylab")


def test_trust_may_stand_in_the_environment(trap, monkeypatch):
    monkeypatch.setenv("NEURODECODE_TRUST", "other, trapped")
    assert locate("trapped.Model")


def test_modules_where_the_command_runs_are_ones_own_but_not_in_what_others_ran(trap, monkeypatch):
    monkeypatch.chdir(trap / "away")
    assert locate("trapped.Model") and locate(f"{__name__}.Own")
    with foreign():
        with pytest.raises(ConfigError, match="what others ran may name only what the package has"):
            locate("trapped.Model")
        assert locate("neurodecode.align.identity.Identity")
        with pytest.raises(ConfigError):  # it writes where it is told
            locate("neurodecode.world.study.simulate_study")
    with foreign(["trapped"]):
        assert locate("trapped.Model")


def test_installed_packages_are_not_ones_own_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir("/")
    with pytest.raises(ConfigError):
        locate("numpy.load")
    inside = tmp_path / ".venv" / "lib" / "site-packages"
    inside.mkdir(parents=True)
    (inside / "installed_here.py").write_text("class A: pass\n")
    monkeypatch.syspath_prepend(str(inside))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="not trusted"):
        locate("installed_here.A")


def test_every_function_that_may_be_chosen_is_there():
    assert all(callable(locate(path)) for path in FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("recipe/a.yaml", "# @package _global_\ntrust: [evil]\n", "sets trust"),
        (
            "recipe/a.yaml",
            "# @package _global_\nhydra: {launcher: {_target_: os.x}}\n",
            "sets hydra",
        ),
        ("model/a.yaml", "# @package hydra.callbacks.x\n_target_: os.system\n", "sets hydra"),
        ("recipe/a.yaml", "# @package recipe\ndefaults: [/hydra/launcher: x]\n", "sets /hydra"),
        ("recipe/a.yaml", "# @package recipe\nname: ${oc.env:SECRET}\n", "reads the environment"),
        ("recipe/a.yaml", "a: !!python/object/apply:os.system [x]\n", "cannot be read as YAML"),
    ],
)
def test_a_recipe_of_others_is_data(tmp_path, name, content, message):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message) as error:
        check_given_files([tmp_path])
    assert "a.yaml" in str(error.value)


def test_experiments_and_the_folders_of_a_recipe_may_say_more(tmp_path):
    for group in ("recipe", "experiment"):
        (tmp_path / group).mkdir()
    own = "# @package _global_\ntrust: [mylab]\nname: ${oc.env:USER}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(own)
    (tmp_path / "recipe" / "lab.yaml").write_text("# @package recipe\nroot: ${oc.env:DATA}/nsd\n")
    assert check_given_files([tmp_path]) is None
    words = ["run", f"--config-dir={tmp_path}", "-cd", "b", "--config-dir", "c", "seed=1"]
    assert given_folders(words) == [tmp_path, Path("b"), Path("c")]


@pytest.mark.slow
def test_the_command_trusts_what_it_is_told_to(tmp_path):
    (tmp_path / "lib" / "outside").mkdir(parents=True)
    (tmp_path / "lib" / "outside" / "__init__.py").write_text("")
    code = "class Mine:\n    def __init__(self, n: int = 1):\n        pass\n"
    (tmp_path / "lib" / "outside" / "model.py").write_text(code)
    (tmp_path / "here").mkdir()
    words = ["run", "--dry", "experiment=demo", "train.model={_target_: outside.model.Mine}"]
    line = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path / 'lib')!r}]; "
    line += "from neurodecode.cli import main; sys.exit(main(sys.argv[1:]))"

    def run(*more):
        command = [sys.executable, "-c", line, *words, *more]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "here")

    refused, allowed = run(), run("trust=[outside]")
    assert refused.returncode == 2 and "outside.model is not trusted" in refused.stderr
    assert "is not trusted" not in allowed.stderr


def test_a_run_of_others_names_no_stage_by_module(tmp_path, trap):
    done = [{"stage": "trapped.run", "each": None, "folder": str(tmp_path)}]
    (tmp_path / "run.json").write_text(json.dumps({"status": "done", "done": done}))
    with pytest.raises(Exception, match="damaged .done holds"):
        open_run(tmp_path, "train")
    assert not (trap / "imported").exists()


def test_a_generator_takes_no_part_from_another_library(tmp_path):
    from neurodecode.diffusion.generator import TokenGenerator
    from neurodecode.weights import shipped

    folder = shutil.copytree(shipped("generator"), tmp_path / "generator")
    index = json.loads((folder / "model_index.json").read_text())
    index["transformer"] = ["trapped", "Model"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="only parts of diffusers"):
        TokenGenerator(str(folder))


def test_a_pickle_is_no_file_of_weights(tmp_path):
    import torch

    from neurodecode.metrics.trunks import _state

    torch.save({"state_dict": Own()}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="pickles may run code, and are not opened"):
        _state(tmp_path / "a.pth")


@pytest.mark.parametrize("entry", ["/experiment/evil", "experiment/evil", "../experiment/evil"])
def test_a_recipe_leads_to_no_experiment(tmp_path, entry):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "r.yaml").write_text(f"defaults: [world, '{entry}']\n")
    with pytest.raises(ConfigError, match="decides what code runs"):
        check_given_files([tmp_path])


def test_linked_groups_are_looked_at_and_short_options_are_not_taken(tmp_path, monkeypatch):
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "r.yaml").write_text("# @package _global_\ntrust: [x]\n")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "recipe").symlink_to(tmp_path / "away")
    with pytest.raises(ConfigError, match="sets trust"):
        check_given_files([tmp_path / "conf"])
    with pytest.raises(ConfigError, match="write it out"):
        given_folders([f"--config-di={tmp_path}"])
    monkeypatch.setenv("NEURODECODE_CONFIG_DIRS", "/a:/b")
    assert given_folders(["submitted"]) == [Path("/a"), Path("/b")]
