"""The doctor at the other doors: EEG, MEG, plain folders, epochs, other people's trees, no path."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurodecode.cli import main
from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.stages import index
from neurodecode.stages.doctor import installation
from neurodecode.stages.doctor.text import as_text
from neurodecode.stages.doctor.words import as_command
from tests.data.meeg_study import write_study as write_recordings
from tests.data.small_study import PICTURES, write_study, write_tsv
from tests.stages.doctor_study import examined, findings, recipe_of, write_meeg

LAYOUTS = os.environ.get("NEURODECODE_BIDS_LAYOUTS")


@pytest.mark.parametrize("kind", ["eeg", "ieeg", "meg"])
def test_recordings_without_signals_are_read_by_their_sidecars(tmp_path, store, kind):
    write_meeg(tmp_path, kind)
    found = examined(tmp_path)
    about = dict(found.sections[1].rows)
    assert about["sampling rate"] == "250 Hz" and about["trials"] == "72, 36 a subject"
    errors = findings(found, "error")
    assert errors and all(" is empty" in e for e in errors) and found.code == 2
    command = next(c for c in found.commands if "stages" not in c.words)
    assert command.words["recipe"] == f"bids_{kind}" and command.words["preprocess"] == "epochs"
    made = run_stage(index.run, {"recipe": recipe_of(as_command(command.words))}, {}, store)
    assert len(read_table(made.path("trials.tsv"))) == 72


def test_channels_that_differ_between_runs_are_named(tmp_path):
    write_meeg(tmp_path)
    path = tmp_path / "sub-02/eeg/sub-02_task-look_run-2_channels.tsv"
    write_tsv(path, {"name": ["Fz", "Pz"], "type": "EEG", "units": "uV"})
    told = f"error channels {path.relative_to(tmp_path)} lacks Cz and has Pz, unlike sub-02 run-1"
    assert any(f.startswith(told) for f in findings(examined(tmp_path)))


def test_missing_electrodes_are_named_unless_a_standard_knows_them(tmp_path):
    write_meeg(tmp_path / "known")
    assert any(
        "10-05 system knows all 2" in f for f in findings(examined(tmp_path / "known"), "note")
    )
    write_meeg(tmp_path / "unknown", channels=("E1", "E2"))
    told = findings(examined(tmp_path / "unknown"), "warning")
    assert any("positions sub-01/eeg" in f and "no electrodes.tsv" in f for f in told)


def test_epochs_longer_than_the_gap_are_allowed_to_overlap_in_the_command(tmp_path):
    write_meeg(tmp_path)
    for path in tmp_path.rglob("*_events.tsv"):
        table = pd.read_csv(path, sep="\t")
        write_tsv(path, table.assign(onset=1 + 0.4 * np.arange(len(table))))
    found = examined(tmp_path)
    assert any("longer than the gap between trials, 0.4 s" in f for f in findings(found))
    assert found.commands[0].words["preprocess.method.overlap"] is True
    for path in tmp_path.rglob("sub-02/*/*run-2_events.tsv"):
        write_tsv(path, table.assign(onset=59.9 - 0.4 * np.arange(len(table))))
    assert any("reach outside sub-02 run-2" in f for f in findings(examined(tmp_path), "error"))


STEM = "sub-01/eeg/sub-01_task-scenes_run-01"


def table(suffix, change, sep="\t"):
    """Change a table of the first run."""

    def plant(root):
        path = root / f"{STEM}_{suffix}.tsv"
        write_tsv(path, change(pd.read_csv(path, sep=sep)))

    return plant


def sidecar(**fields):
    def plant(root):
        path = root / f"{STEM}_eeg.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return plant


def cut(name, n_bytes=-1001):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:n_bytes])


def drop(pattern):
    def plant(root):
        for path in sorted(root.rglob(pattern)):
            path.unlink()

    return plant


EEG_FAULTS = {  # of a study that mne-bids wrote
    "samples that end too early": (cut(f"{STEM}_eeg.eeg"), "error header .*_eeg.vhdr is truncated"),
    "no samples beside the header": (
        drop("sub-01*run-01_eeg.eeg"),
        "error header .*_eeg.vhdr is not a",
    ),
    "samples without a byte": (cut(f"{STEM}_eeg.eeg", 0), "error signal .*_eeg.vhdr is empty"),
    "a header cut short": (
        cut(f"{STEM}_eeg.vhdr", 90),
        "error header .*_eeg.vhdr is not a readable",
    ),
    "another rate in the sidecar": (
        sidecar(SamplingFrequency=500),
        "error header .*_eeg.vhdr says 200 Hz in its header, its JSON sidecar 500 Hz",
    ),
    "another length in the sidecar": (
        sidecar(RecordingDuration=90.0),
        "error header .*_eeg.vhdr lasts 40 s, by its JSON sidecar 90 s",
    ),
    "other channels in one run": (
        table("channels", lambda t: t.assign(type=["MISC", *t["type"][1:]])),
        "error preprocess .*run-02_eeg.vhdr has other channels than .*; with Fp1 besides",
    ),
    "a table of channels from elsewhere": (
        table("channels", lambda t: t.assign(name="E" + t["name"])),
        "error preprocess .*run-01_channels.tsv names 14 channels that .*_eeg.vhdr has not",
    ),
    "no positions": (drop("*_electrodes.tsv"), "note positions .*10-05 system knows all 14 names"),
    "onset beyond the recording": (
        table("events", lambda t: t.assign(onset=t["onset"] + 21)),
        r"error events .*onset beyond the end of the run \(40 s\)",
    ),
    "an epoch that begins before the recording": (
        table("events", lambda t: t.assign(onset=t["onset"] - 2.9)),
        "error epochs .*reach outside sub-01 run-01",
    ),
    "trials that follow each other too fast": (
        table("events", lambda t: t.assign(onset=t["onset"] / 2)),
        "warning epochs .*longer than the gap between trials",
    ),
    "no events of a run": (drop("sub-01*run-01_events.tsv"), "error run .*run-01_.* has no events"),
    "a picture that is not there": (
        drop("p03.png"),
        "error picture missing stimuli/p03.png is not",
    ),
}


@pytest.fixture(scope="module")
def sound_eeg(tmp_path_factory):
    root = write_recordings(tmp_path_factory.mktemp("eeg") / "study", run_s=40.0)
    assert not findings(examined(root), "error")
    return root


@pytest.mark.parametrize("name", EEG_FAULTS)
def test_a_fault_planted_in_an_eeg_is_named(sound_eeg, tmp_path, name):
    assert_named(sound_eeg, tmp_path, *EEG_FAULTS[name])


def assert_named(sound, root, plant, told):
    shutil.copytree(sound, root, dirs_exist_ok=True)
    plant(root)
    found = examined(root)
    assert any(re.search(told, line) for line in findings(found)), findings(found)
    assert (found.code == 2) == told.startswith("error")


def test_an_empty_room_and_a_task_without_events_are_left_out(tmp_path):
    write_meeg(tmp_path, "meg")
    for name in ("sub-emptyroom/meg/sub-emptyroom_task-noise", "sub-01/meg/sub-01_task-rest"):
        path = tmp_path / f"{name}_meg.fif"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    found = examined(tmp_path)
    assert "emptyroom" not in as_text(found)
    told = findings(found, "note")
    assert any("2 tasks, none chosen: look, rest; nothing can be asked of rest" in f for f in told)
    assert all(c.words["recipe.task"] == "look" for c in found.commands)


def write_folder(root, n_runs=3):
    rng = np.random.default_rng(0)
    write_study(root, subjects=(), n_runs=1)
    for subject in ("sub-01", "sub-02"):
        place = root / subject
        place.mkdir()
        np.save(place / "times_s.npy", 0.1 * np.arange(4))
        shown = [p for _ in range(n_runs) for p in PICTURES]
        np.save(place / "responses.npy", rng.standard_normal((len(shown), 5, 4)).astype(np.float32))
        columns = {"run": np.repeat(range(1, n_runs + 1), len(PICTURES)), "stim_file": shown}
        pd.DataFrame(columns).to_csv(place / "trials.tsv", sep="\t", index=False)
    return root


def test_a_plain_folder_gets_its_command(tmp_path, store):
    found = examined(write_folder(tmp_path))
    assert (found.kind, found.code) == ("folder", 0), findings(found)
    assert dict(found.sections[0].rows)["sub-01"] == "24 × 5 × 4 float32, 24 trials"
    made = run_stage(
        index.run, {"recipe": recipe_of(as_command(found.commands[0].words))}, {}, store
    )
    assert len(read_table(made.path("trials.tsv"))) == 48


def responses(values):
    return lambda root: np.save(root / "sub-02" / "responses.npy", values, allow_pickle=True)


def trials(change):
    def plant(root):
        path = root / "sub-02" / "trials.tsv"
        write_tsv(path, change(pd.read_csv(path, sep="\t")))

    return plant


FOLDER_FAULTS = {
    "fewer responses than trials": (
        responses(np.zeros((20, 5), np.float32)),
        "error responses sub-02/responses.npy has 20 trials, trials.tsv 24 rows",
    ),
    "responses that are no array": (
        lambda r: (r / "sub-02/responses.npy").write_bytes(b"no array"),
        "error responses sub-02/responses.npy cannot be read",
    ),
    "responses cut short": (cut("sub-02/responses.npy"), "error responses .*cannot be read"),
    "responses of Python objects": (
        responses(np.array([{}] * 24)),
        "error responses sub-02/responses.npy cannot be read",
    ),
    "responses of one channel without an axis": (
        responses(np.zeros(24)),
        r"error responses .*has shape \(24\) of float64",
    ),
    "no table of trials": (
        drop("sub-02/trials.tsv"),
        "error trials sub-02/trials.tsv is not there",
    ),
    "no runs": (
        trials(lambda t: t.drop(columns="run")),
        "error events sub-02/trials.tsv has no column .run.",
    ),
    "no pictures named": (
        trials(lambda t: t.rename(columns={"stim_file": "what"})),
        "error .*trials.tsv.*stim_file",
    ),
    "a picture that is not there": (drop("p03.png"), "error .*stimuli/p03.png"),
    "an unknown picture": (
        trials(lambda t: t.assign(stim_file=["q.png", *t["stim_file"][1:]])),
        "error stimuli .*'q.png', unknown to",
    ),
    "times of another length": (
        lambda r: np.save(r / "sub-02/times_s.npy", np.arange(3)),
        "error preprocess .*times_s.npy has shape .3,. it must hold 4",
    ),
}


@pytest.fixture(scope="module")
def sound_folder(tmp_path_factory):
    root = write_folder(tmp_path_factory.mktemp("folder") / "study")
    assert not findings(examined(root), "error")
    return root


@pytest.mark.parametrize("name", FOLDER_FAULTS)
def test_a_fault_planted_in_a_plain_folder_is_named(sound_folder, tmp_path, name):
    assert_named(sound_folder, tmp_path, *FOLDER_FAULTS[name])


def write_epochs(root, metadata=True):
    mne = pytest.importorskip("mne")
    rng = np.random.default_rng(0)
    write_study(root, subjects=(), n_runs=1)
    info = mne.create_info(["Fz", "Cz"], 100.0, "eeg")
    for subject in ("sub-01", "sub-02"):
        for run in (1, 2, 3):
            events = np.c_[100 * np.arange(16), np.zeros(16, int), np.arange(16) % 4 + 1]
            about = pd.DataFrame({"stim_file": PICTURES * 2}) if metadata else None
            epochs = mne.EpochsArray(
                1e-6 * rng.standard_normal((16, 2, 60)),
                info,
                events,
                tmin=-0.1,
                event_id={"face": 1, "house": 2, "tree": 3, "dog": 4},
                metadata=about,
                verbose="error",
            )
            (root / subject).mkdir(exist_ok=True)
            epochs.save(root / subject / f"run-{run}-epo.fif", verbose="error")
    return root


@pytest.mark.parametrize("metadata", [True, False])
def test_epochs_of_mne_get_their_command(tmp_path, store, metadata):
    found = examined(write_epochs(tmp_path, metadata))
    assert (found.kind, found.code) == ("epochs", 0), findings(found)
    assert "16 epochs, 2 channels, -0.1 to 0.49 s at 100 Hz" in as_text(found)
    assert any("has no metadata" in f for f in findings(found)) != metadata
    made = run_stage(
        index.run, {"recipe": recipe_of(as_command(found.commands[0].words))}, {}, store
    )
    assert len(read_table(made.path("trials.tsv"))) == 96


def test_a_broken_file_of_epochs_is_named(tmp_path):
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01" / "a-epo.fif").write_bytes(b"no fif")
    found = examined(tmp_path)
    assert (found.kind, found.code) == ("epochs", 2)
    assert "error epochs sub-01/a-epo.fif cannot be read" in findings(found, "error")[0]


def test_the_installation_is_described(tmp_path):
    found = installation.examine_installation(tmp_path / "store")
    rows = dict(found.sections[0].rows)
    assert (
        rows["weights"] == "clip, generator, generator_128, prior, reader"
        and "GB free" in rows["store"]
    )
    assert dict(found.sections[1].rows)["numpy"] == np.__version__
    assert found.code == 0 and "neurodecode run experiment=demo" in as_text(found)


def test_what_an_installation_lacks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(installation.os, "access", lambda path, mode: False)
    monkeypatch.setattr(installation, "LEAST_BYTES", 1e30)
    monkeypatch.setattr(installation.shutil, "which", lambda name: None)
    monkeypatch.setattr(installation.metadata, "version", lambda name: "0.0.1")
    found = installation.examine_installation(tmp_path / "store")
    told = "\n".join(findings(found))
    assert found.code == 2 and "cannot be written" in told and "are free at store" in told
    assert "numpy is 0.0.1" in told and "no Chromium" in told


def test_the_command_line_prints_and_ends_with_the_code(tmp_path, capsys):
    assert main(["doctor", str(tmp_path)]) == 2
    assert "the folder is empty" in capsys.readouterr().out
    assert main(["doctor", str(tmp_path), "--json"]) == 2
    assert '"kind": "empty"' in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not LAYOUTS, reason="NEURODECODE_BIDS_LAYOUTS names no folder")
@pytest.mark.parametrize(
    "name, n_trials",
    [
        ("ds105", [568]),
        ("ds000117", [13464, 14140]),
        ("eeg_matchingpennies", [2100]),
        ("ieeg_motorMiller2007", [960]),
        ("ds000246", []),
        ("ds000001-fmriprep", []),
    ],
)
def test_trees_made_by_others_are_read_by_doctor_and_index_alike(name, n_trials, store):
    found = examined(Path(LAYOUTS) / name)
    assert found.code == 2 and findings(found, "error")  # their signals are empty, at the least
    able = [c.words for c in found.commands if c.words["recipe.root"] != "RAW"]
    whole = [words for words in able if "stages" not in words]
    seen = []
    for words in whole or able:
        made = run_stage(index.run, {"recipe": recipe_of(as_command(words))}, {}, store)
        seen.append(len(read_table(made.path("trials.tsv"))))
    assert seen == n_trials
