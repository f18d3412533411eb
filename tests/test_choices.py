"""Every YAML choice of a brain network, loss or aligner lists all options, at their defaults."""

import inspect
from pathlib import Path

import pytest
import yaml

from neurodecode.core.build import build, check_targets, locate

CONF = Path(__file__).parents[1] / "conf"
GROUPS = ("model", "loss", "aligner")
FILES = sorted(path for group in GROUPS for path in (CONF / group).glob("*.yaml"))
TARGETS = [yaml.safe_load(path.read_text())["_target_"] for path in FILES]


def at_published_size(node):
    """The last of the values that `${size:…}` gives, the published one."""
    said = lambda v: isinstance(v, str) and v.startswith("${size:")
    last = lambda v: yaml.safe_load(v.removeprefix("${size:").removesuffix("}").split(",")[-1])
    return {key: last(value) if said(value) else value for key, value in node.items()}


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_choice_lists_every_option_at_its_default(path):
    node = at_published_size(yaml.safe_load(path.read_text()))
    check_targets(node, path.stem)
    target = node.pop("_target_")
    parameters = inspect.signature(locate(target)).parameters.values()
    own = [p for p in parameters if p.name != "sizes"]
    assert set(node) == {p.name for p in own}, "an option is missing, or is none"
    if TARGETS.count(target) == 1:  # of several choices of a class most differ from its defaults
        defaults = {p.name: p.default for p in own if p.default is not p.empty}
        listed = {k: tuple(v) if isinstance(v, list) else v for k, v in node.items()}
        assert {name: listed[name] for name in defaults} == defaults


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_line_of_a_choice_is_explained(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# @package ") and lines[1].startswith("# ")
    assert all("#" in line for line in lines[2:] if not line.startswith("_target_"))


def test_the_generator_lies_on_the_device_asked_for():
    node = yaml.safe_load((CONF / "generator" / "shipped.yaml").read_text())
    generator = build(node | {"device": "meta"})  # torch's device without memory
    assert {p.device.type for p in generator._pipeline.transformer.parameters()} == {"meta"}
