"""Simulate: make a study with known truth and write it as a BIDS data set."""

import sys
from dataclasses import dataclass

from neurodecode.core.build import build, locate
from neurodecode.core.stage import stage


@dataclass(frozen=True)
class SimulateConfig:
    """Which study to simulate."""

    study: dict | None = None
    """A `_target_` node called with `folder`; it returns a summary, as
    `neurodecode.world.study.simulate_study` does, whose `about` are lines for the log."""


def expected_size(config):
    """How large the study will be, from ``study_size`` in the module of its target; or ``{}``."""
    dials = {k: v for k, v in config.study.items() if k != "_target_"}
    module = sys.modules[locate(config.study["_target_"], "simulate.study").__module__]
    tell = getattr(module, "study_size", None)
    return tell(**dials) if tell else {}


@stage(
    "simulate",
    config=SimulateConfig,
    applies=lambda config: config.study is not None,
    expects=expected_size,
)
def run(config, inputs, out):
    """Make a study with known truth and write it as BIDS."""
    summary = build(config.study, folder=out.path("bids"))
    out.save_json("summary.json", summary)
    for line in summary["about"]:
        out.log(line)
