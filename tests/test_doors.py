"""Every door for one's own data, by the command that the doctor prints, to a report.

The recordings are written as others write them: nibabel and pandas by BIDS, mne-bids, fMRIPrep's
names, mne.Epochs, plain arrays.
"""

import json
import shlex
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from neurodecode.cli import main
from tests.data import door_studies as studies
from tests.data.fmriprep_study import write_fmriprep

pytestmark = pytest.mark.slow
QUICK = [
    "threads=1",
    "device=cpu",
    "train.decoder_training.n_epochs=10",
    "evaluate.n_bootstrap=200",
    "evaluate.n_permutations=50",
    "timecourse.n_bootstrap=50",
    "timecourse.n_permutations=100",
    "crossvalidate.n_bootstrap=200",
    "crossvalidate.n_permutations=50",
    "crossvalidate.n_refits=0",
    "crossvalidate.scalings=[zscored]",
    "crossvalidate.n_channels=[250]",
]


def fmriprep(space):
    def write(root):
        studies.write_bold(root, masked=True, subjects=("sub-01",), shape=(6, 7, 5))
        write_fmriprep(root, source="source", spaces=(space,))
        shutil.rmtree(root / "derivatives" / "source")

    return write


def meeg(format, **more):
    return lambda root: studies.write_meeg(root, format, **more)


def epochs(root):
    return studies.write_epochs(root, subjects=("sub-01",))


PICTURE_DOORS = {
    "fMRI in BIDS": (studies.write_bold, "retrieval"),
    "fMRIPrep's volumes": (fmriprep("volume"), "retrieval"),
    "fMRIPrep's surfaces": (fmriprep("surface"), "retrieval"),
    "EEG in BIDS as EDF": (meeg("EDF"), "retrieval_meeg"),
    "MEG in BIDS as FIF": (meeg("FIF", subjects=("sub-01",)), "retrieval_meeg"),
    "mne.Epochs": (epochs, "retrieval_meeg"),
    "a plain folder": (studies.write_folder, "folder"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store: the pictures are the same at most doors, and are embedded once."""
    return tmp_path_factory.mktemp("store")


def prescribed(path, capsys):
    """The first command that the doctor prints, as words, quotes undone by a shell's rules."""
    code = main(["doctor", str(path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0 and told["commands"][0]["ready"], told["findings"]
    words = shlex.split(told["commands"][0]["command"])
    assert words[:2] == ["neurodecode", "run"]
    return words[2:]


def run(folder, store, *overrides):
    own = [f"store={store}", f"hydra.run.dir={folder / 'run'}"]
    command = [sys.executable, "-m", "neurodecode.cli", "run", *overrides, *own]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def scores(folder):
    """Scores of all subjects together, by condition and metric."""
    table = pd.read_csv(folder / "run" / "metrics.tsv", sep="\t")
    names = table["subject"].unique()
    pooled = table[table["subject"] == ("all" if "all" in names else names[0])]
    return {(m.condition, m.metric): m for m in pooled.itertuples()}


@pytest.mark.parametrize("door", PICTURE_DOORS)
def test_the_doctors_command_goes_from_somebodys_files_to_a_report(tmp_path, capsys, store, door):
    write, experiment = PICTURE_DOORS[door]
    write(tmp_path / "study")
    words = prescribed(tmp_path / "study", capsys)
    assert f"experiment={experiment}" in words
    run(tmp_path, store, *words, "embed=shipped_clip", *QUICK)
    found = scores(tmp_path)
    model, shuffled, nothing = (
        found[condition, "two_way_embedding"] for condition in ("model", "shuffled", "prior_only")
    )
    assert model.lo > model.chance == 0.5 and model.value > shuffled.value
    assert nothing.value < model.value and ("ridge", "two_way_embedding") in found
    page = (tmp_path / "run" / "report.html").read_text()
    assert ("When the brain tells" in page) == (experiment == "retrieval_meeg")
    on_cortex = ("fMRIPrep's surfaces", "fMRIPrep's volumes")  # these are in MNI space
    assert ("inflated cortex" in page) == (door in on_cortex)


def test_categories_of_an_eeg_go_to_a_report(tmp_path, capsys, store):
    studies.write_meeg(tmp_path / "study", "BrainVision", ("trial_type",), ("sub-01",))
    words = prescribed(tmp_path / "study", capsys)
    assert {"experiment=categories", "recipe=bids_eeg", "preprocess=epochs"} <= set(words)
    run(tmp_path, store, *words, *QUICK)
    found = scores(tmp_path)
    model = found["model", "accuracy"]
    assert model.lo > model.chance == 0.25 and ("nuisance", "accuracy") in found
    assert (tmp_path / "run" / "report.html").is_file()


def test_an_eeg_in_eeglabs_format_gets_as_far_as_align(tmp_path, capsys, store):
    studies.write_meeg(tmp_path / "study", "EEGLAB", subjects=("sub-01",))
    words = prescribed(tmp_path / "study", capsys)
    said = run(tmp_path, store, *words, "stages=[index,split,preprocess,align]", *QUICK[:2])
    assert "160 trials × 14 sensors" in said and "align  computed" in said
