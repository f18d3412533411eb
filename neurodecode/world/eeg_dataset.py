"""Where each part of a simulated EEG study lies in its BIDS folder, written through mne-bids."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from neurodecode.world import dataset, eeg, files
from neurodecode.world.dataset import TASK

RESOLUTION_UV = 0.1  # of the stored integers
TRIGGER = 1  # marks every picture; which one it was, the events say

_README = """\
A simulated EEG study with known truth
======================================

{n_subjects} simulated subjects look at {n_train} training and {n_test} test pictures of small
scenes, rendered for this study. No person was recorded. The brains carry: {signal}.

Training pictures are shown once, {n_repeated_train} of them twice; test pictures {test_repeats}
times, in runs of their own. `stimuli/stimuli.tsv` names every picture's attributes.

`derivatives/truth` holds what a decoder must not see: the sources, their lead field, their
noise-free response to every picture, and when the brain tells pictures apart.

Potentials are recorded against the left mastoid. One channel of each subject has a bad contact and
is marked so in channels.tsv; blinks, mains hum and drifts are in the data.
"""

_EVENTS = dataset.EVENTS | {
    "value": {"Description": "Trigger: the same for every picture"},
    "sample": {"Description": "Sample at which the picture appears; the first sample is 0"},
}

_SOURCE_COLUMNS = ("x_m", "y_m", "z_m", "normal_x", "normal_y", "normal_z")


def write_root(root: Path, dials: dict, subjects: list[str]) -> None:
    """Write what describes the data set, its participants and the truth.

    Comes after the runs: mne-bids has written a description of its own, and a table of participants
    with columns that are all empty.
    """
    made_by = "neurodecode.world.eeg_study.simulate_eeg_study"
    title = "Scenes in simulated brains, seen by EEG"
    dataset.describe(root, title, made_by, {"truth": "what was planted"})
    (root / "README").write_text(_README.format(**dials), encoding="utf-8")
    files.write_table(root / "participants.tsv", pd.DataFrame({"participant_id": subjects}))
    (root / "participants.json").unlink()
    files.write_json(root / f"task-{TASK}_events.json", _EVENTS)


def write_run(
    root: Path, subject: str, run: int, shown: pd.DataFrame, potentials: np.ndarray, cap: eeg.Cap
) -> None:
    """Write one run as 16-bit BrainVision with its sidecars, and our own table of events.

    Parameters
    ----------
    root : path
    subject : str
        Such as ``sub-01``.
    run : int
    shown : DataFrame
        `sample`, `onset_s`, `duration_s`, `stimulus_id`, in the order shown.
    potentials : ndarray, shape (n_channels, n_samples)
        µV.
    cap : neurodecode.world.eeg.Cap
    """
    import mne_bids

    path = mne_bids.BIDSPath(
        subject=subject.removeprefix("sub-"), task=TASK, run=f"{run:02d}", datatype="eeg", root=root
    )
    with TemporaryDirectory() as folder:
        raw = _record(Path(folder), shown, potentials, cap)
        mne_bids.write_raw_bids(raw, path, readme=False, overwrite=True, verbose="ERROR")
    stem = root / subject / "eeg" / f"{subject}_task-{TASK}_run-{run:02d}"
    files.write_table(Path(f"{stem}_events.tsv"), _events(shown))
    Path(f"{stem}_events.json").unlink()  # one at the root speaks for all
    sidecar = files.read_json(Path(f"{stem}_eeg.json"))
    sidecar |= {"EEGReference": "left mastoid", "Manufacturer": "none: simulated"}
    sidecar |= {"TaskDescription": "Look at pictures; there is nothing to do."}
    files.write_json(Path(f"{stem}_eeg.json"), sidecar)


def write_truth(root: Path, cap: eeg.Cap, responses_nam: np.ndarray) -> None:
    """Write the sources, what they answer to each picture, when, and how it looks outside.

    `responses.npy` (n_pictures, n_voxels), nAm, has rows as in `stimuli.tsv`; `lead_field.npy` is
    (n_channels, n_voxels), µV per nAm against the reference electrode.
    """
    arrays = {"responses": responses_nam.astype(np.float32), "lead_field": cap.field}
    tables = {"sources": _sources(cap), "time_course": cap.course_table()}
    dataset.write_truth(root, cap.subject, tables, arrays)


def _record(folder: Path, shown: pd.DataFrame, potentials: np.ndarray, cap: eeg.Cap):
    """Let an amplifier write BrainVision into `folder`; return it as mne reads it."""
    import mne
    import pybv

    names = cap.montage.ch_names
    events = np.column_stack([shown["sample"], np.full(len(shown), TRIGGER)])
    pybv.write_brainvision(
        data=1e-6 * potentials.astype(float),
        sfreq=cap.sfreq_hz,
        ch_names=names,
        fname_base="run",
        folder_out=folder,
        events=events,
        fmt="binary_int16",
        resolution=RESOLUTION_UV,
        unit="µV",
    )
    raw = mne.io.read_raw_brainvision(folder / "run.vhdr", verbose="ERROR")
    raw.set_montage(cap.montage, verbose="ERROR")
    raw.info["line_freq"] = eeg.LINE_HZ
    raw.info["bads"] = [names[cap.background.bad]]
    return raw


def _events(shown: pd.DataFrame) -> pd.DataFrame:
    return dataset.event_table(shown).assign(value=TRIGGER, sample=shown["sample"].to_numpy())


def _sources(cap: eeg.Cap) -> pd.DataFrame:
    """One row per dipole, in the order of the arrays."""
    table = dataset.tuning_table(cap.subject)
    table[list(_SOURCE_COLUMNS)] = np.hstack([cap.positions_m, cap.normals])
    table["peak_s"] = cap.peaks_s
    table["evoked_nam"] = cap.evoked_nam
    table["gain"] = cap.subject.gain
    return table
