"""Simulate: make a study with known truth and write it as a BIDS data set."""

import importlib
from dataclasses import dataclass

from neurodecode.core.build import build
from neurodecode.core.stage import stage


@dataclass(frozen=True)
class SimulateConfig:
    """Which study to simulate."""

    study: dict | None = None
    """A `_target_` node called with `folder`; it returns a summary, as
    `neurodecode.world.study.simulate_study` does."""


def expected_size(config):
    """How large the study will be, from ``study_size`` in the module of its target; or ``{}``."""
    dials = {k: v for k, v in config.study.items() if k != "_target_"}
    module = importlib.import_module(config.study["_target_"].rpartition(".")[0])
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
    for line in describe(summary):
        out.log(line)


def describe(summary: dict) -> list[str]:
    """Say in one line a subject what was simulated."""
    return [
        f"{s['subject']}: {s['n_voxels']} voxels, {s['n_runs']} runs, {s['n_trials']} trials, "
        f"signal={summary['signal']}, snr={summary['snr']:g}: {_reliability(s)}"
        for s in summary["subjects"]
    ]


def _reliability(subject: dict) -> str:
    r = subject["repeat_correlation"]
    if r is None:
        return "single-trial reliability not measured (fewer than three training pictures repeat)"
    return f"mean single-trial repeat correlation {r:.3f}"
