"""Every YAML choice of a brain network, loss or aligner lists all options, at their defaults."""

import inspect
from pathlib import Path

import pytest
import yaml

from neurodecode.core.build import build, check_targets, locate

CONF = Path(__file__).parents[1] / "conf"
GROUPS = ("model", "loss", "aligner")
FILES = sorted(path for group in GROUPS for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_choice_lists_every_option_at_its_default(path):
    node = yaml.safe_load(path.read_text())
    check_targets(node, path.stem)
    parameters = inspect.signature(locate(node.pop("_target_"))).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    listed = {k: tuple(v) if isinstance(v, list) else v for k, v in node.items()}
    assert listed == defaults


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_line_of_a_choice_is_explained(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# @package ") and lines[1].startswith("# ")
    assert all("#" in line for line in lines[2:] if not line.startswith("_target_"))


def test_the_generator_lies_on_the_device_asked_for():
    node = yaml.safe_load((CONF / "generator" / "shipped.yaml").read_text())
    generator = build(node | {"device": "meta"})  # torch's device without memory
    assert {p.device.type for p in generator._pipeline.transformer.parameters()} == {"meta"}
