"""The simulate stage: a whole study in one artifact, told in one line a subject."""

import logging

import pandas as pd

from neurodecode.core.runner import run_stage
from neurodecode.stages.simulate import describe
from neurodecode.stages.simulate import run as simulate

STUDY = {
    "_target_": "neurodecode.world.study.simulate_study",
    "n_subjects": 1,
    "n_train": 24,
    "n_test": 4,
    "n_repeated_train": 6,
    "n_voxels": 80,
}


def test_a_study_is_made_once_and_found_again(store, caplog):
    with caplog.at_level(logging.INFO, "neurodecode"):
        made = run_stage(simulate, {"study": STUDY}, {}, store)
    stimuli = pd.read_csv(made.path("bids/stimuli/stimuli.tsv"), sep="\t")
    assert len(stimuli) == 28
    assert "mean single-trial repeat correlation" in caplog.text
    again = run_stage(simulate, {"study": STUDY}, {}, store)
    assert again.path("summary.json") == made.path("summary.json")


def test_a_dial_makes_another_study(store):
    first = run_stage(simulate, {"study": STUDY}, {}, store)
    other = run_stage(simulate, {"study": STUDY | {"signal": "none"}}, {}, store)
    assert first.manifest["key"] != other.manifest["key"]


def test_a_recorded_study_leaves_it_out():
    assert simulate.applies(simulate.config(study=STUDY))
    assert not simulate.applies(simulate.config(study=None))


def test_the_line_says_when_reliability_could_not_be_measured():
    subject = {"subject": "sub-01", "n_voxels": 5, "n_runs": 2, "n_trials": 9}
    lines = describe(
        {"snr": 1.35, "signal": "full", "subjects": [subject | {"repeat_correlation": None}]}
    )
    assert len(lines) == 1 and "not measured" in lines[0]
