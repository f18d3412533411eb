"""Examine trees that tests write, as the command line would, but composing each command once."""

import copy
import re
import shlex
from functools import cache

from neurodecode.cli import composed
from neurodecode.stages.doctor import examine
from neurodecode.stages.doctor.words import as_overrides
from tests.data.small_study import write_json, write_tsv


@cache
def _composed(overrides):
    return composed(list(overrides))


def compose(words):
    """Compose, remembering what does not depend on where the study lies."""
    free = {k: v for k, v in words.items() if k != "recipe.root"}
    config = copy.deepcopy(_composed(tuple(as_overrides(free))))
    config["recipe"]["root"] = words["recipe.root"]
    return config


def examined(path, **more):
    """Examine a path."""
    return examine(path, compose, **more)


def findings(examination, level=None):
    """List findings as lines: ``level code where what do``."""
    return [
        " ".join(filter(None, (f.level, f.code, f.where, f.what, f.do)))
        for f in examination.findings
        if level in (None, f.level)
    ]


def recipe_of(command):
    """Compose a printed command, and return its recipe."""
    words = shlex.split(re.sub(r"\\\n\s*", "", command))
    assert words[:2] == ["neurodecode", "run"]
    return composed(words[2:])["recipe"]


def write_meeg(root, kind="eeg", subjects=("sub-01", "sub-02"), n_runs=3, channels=("Fz", "Cz")):
    """Write a study of four categories in BIDS whose signal files are empty: facts in sidecars."""
    suffix = {"eeg": ".edf", "ieeg": ".edf", "meg": ".fif"}[kind]
    write_json(root / "dataset_description.json", {"Name": "small", "BIDSVersion": "1.10.0"})
    sidecar = {"TaskName": "look", "SamplingFrequency": 250, "RecordingDuration": 60.0}
    write_json(root / f"task-look_{kind}.json", sidecar)
    for subject in subjects:
        place = root / subject / kind
        for run in range(1, n_runs + 1):
            stem = f"{subject}_task-look_run-{run}"
            names = {"name": channels, "type": "EEG", "units": "uV"}
            write_tsv(place / f"{stem}_channels.tsv", names)
            (place / f"{stem}_{kind}{suffix}").touch()
            onsets = [2.0 + 3 * i for i in range(12)]
            labels = ["face", "house", "tree", "dog"] * 3
            columns = {"onset": onsets, "duration": 0.5, "trial_type": labels, "value": "7"}
            write_tsv(place / f"{stem}_events.tsv", columns)
