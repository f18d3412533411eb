"""The simulate stage: a whole study in one artifact, told in one line a subject."""

import logging

import pandas as pd

from neurodecode.core.runner import run_stage
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


def test_every_kind_of_study_says_its_own_lines(store, caplog):
    eeg = {
        "_target_": "neurodecode.world.eeg_study.simulate_eeg_study",
        "n_subjects": 1,
        "n_train": 4,
        "n_test": 2,
        "test_repeats": 1,
        "n_repeated_train": 0,
        "n_voxels": 60,
        "n_channels": 16,
        "sfreq_hz": 125.0,
    }
    with caplog.at_level(logging.INFO, "neurodecode"):
        made = run_stage(simulate, {"study": eeg}, {}, store)
    assert made.path("bids/stimuli/stimuli.tsv").is_file()
    assert "sub-01: 16 channels, 5 runs" in caplog.text and "not measured" in caplog.text
