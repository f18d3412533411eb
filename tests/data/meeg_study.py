"""A tiny EEG study on disk, with planted responses, for the tests of reading and preprocessing."""

from pathlib import Path

import mne
import numpy as np
from PIL import Image

from tests.data.small_study import write_tsv

SFREQ_HZ = 200.0
N_TRIALS = 12
ONSETS_S = 3.0 + 1.5 * np.arange(N_TRIALS) + 0.005 * np.arange(N_TRIALS)  # on samples, unevenly
RUN_S = 25.0
NAMES = ["Fp1", "Fp2", "F3", "F4", "Fz", "C3", "C4", "Cz", "P3", "P4", "Pz", "O1", "O2", "Oz"]
PICTURES = [f"p{i:02d}.png" for i in range(6)]
PEAK_S = 0.15
ERP_UV = 8.0
GAIN = np.linspace(0.5, 1.5, len(PICTURES))  # of each picture's response
SHAPE = np.linspace(-1, 1, len(NAMES))


def erp(times_s):
    """The planted response: a bump of 40 ms around 150 ms, peak 1."""
    return np.exp(-0.5 * ((np.asarray(times_s) - PEAK_S) / 0.04) ** 2)


def raw_of(seed=0, noise_uv=4.0, kind="eeg", names=NAMES, onsets_s=ONSETS_S, run_s=RUN_S):
    """A recording with planted responses at every onset: `ERP_UV` (or fT) times `SHAPE`, `GAIN`."""
    rng = np.random.default_rng(seed)
    n_samples = int(run_s * SFREQ_HZ)
    times_s = np.arange(n_samples) / SFREQ_HZ
    noise = rng.standard_normal((len(names), n_samples)).cumsum(axis=1)
    noise -= np.linspace(0, 1, n_samples) * noise[:, -1:]
    signal = noise_uv * noise / noise.std() + noise_uv * rng.standard_normal(noise.shape) / 4
    weights = np.resize(SHAPE, len(names))
    for onset_s, gain in zip(onsets_s, np.resize(GAIN, len(onsets_s)), strict=True):
        signal += ERP_UV * gain * weights[:, None] * erp(times_s - onset_s)
    unit = {"eeg": 1e-6, "ecog": 1e-6, "mag": 1e-15}[kind]
    info = mne.create_info(list(names), SFREQ_HZ, kind)
    info["line_freq"] = 50.0
    raw = mne.io.RawArray(unit * signal, info, verbose="ERROR")
    if kind == "eeg":
        raw.set_montage("colin27_1005", on_missing="ignore")
    return raw


def write_study(root, kind="eeg", subjects=("01", "02"), n_runs=2, format="BrainVision", **planted):
    """Write a BIDS study by mne-bids; pictures are shown in turn, two times a run."""
    import mne_bids

    root = Path(root)
    write_pictures(root)
    datatype = {"mag": "meg", "ecog": "ieeg"}.get(kind, kind)
    for s, subject in enumerate(subjects):
        for run in range(1, n_runs + 1):
            raw = raw_of(seed=10 * s + run, kind=kind, **planted)
            path = mne_bids.BIDSPath(
                subject=subject, task="scenes", run=f"{run:02d}", datatype=datatype, root=root
            )
            mne_bids.write_raw_bids(
                raw, path, format=format, allow_preload=True, overwrite=True, verbose="ERROR"
            )
            stem = f"sub-{subject}_task-scenes_run-{run:02d}"
            write_events(root / f"sub-{subject}" / datatype / f"{stem}_events.tsv")
    return root


def write_pictures(root):
    """Write the pictures that are shown."""
    (root / "stimuli").mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(PICTURES):
        Image.new("RGB", (8, 8), (40 * i, 0, 90)).save(root / "stimuli" / name)


def write_events(path, onsets_s=ONSETS_S):
    """Write the events of one run."""
    shown = np.resize(PICTURES, len(onsets_s))
    columns = {"onset": onsets_s, "duration": 0.5, "trial_type": "picture", "stim_file": shown}
    write_tsv(path, columns)
