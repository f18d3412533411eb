"""A complete EEG study with known truth: the pictures and brains of `study`, seen by electrodes.

The same seed and sizes give the same pictures and the same brains as the fMRI study has; sources
answer with what is specific to each picture there. What differs is how it is recorded (`head`,
`eeg`).
"""

import inspect
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from neurodecode.core.seeds import child_rng
from neurodecode.world import brain, dataset, design, eeg, eeg_dataset, files, gabor, head, scenes
from neurodecode.world.study import (
    check_dials,
    describe,
    make_stimuli,
    mean_repeat_correlation,
    stimulus_ids,
)

SHOWN = 0.5  # share of a trial in which the picture is on
TRAIN_REPEATS = 2  # presentations of a repeated training picture
TRIALS_PER_RUN = 100  # at most
LEAD_S = 4.0  # recorded before the first and after the last picture of a run
JITTER = 0.1  # of a trial: how late a picture may come, so that hum and alpha are not locked to it

_RANGES = {  # dial -> least and greatest value that make sense
    "n_subjects": (1, 99),
    "n_train": (4, 9000),
    "n_test": (2, 900),
    "test_repeats": (1, 40),
    "n_repeated_train": (0, 9000),
    "snr": (0.0, 100.0),
    "n_voxels": (60, 5000),
    "sfreq_hz": (120.0, 2000.0),
    "trial_s": (0.8, 30.0),
    "latency_s": (0.14, 0.4),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True)
class EEGDials:
    """What can be turned, as in `simulate_eeg_study`; checked when made."""

    n_subjects: int
    n_train: int
    n_test: int
    test_repeats: int
    n_repeated_train: int
    snr: float
    signal: str
    n_voxels: int
    n_channels: int
    sfreq_hz: float
    trial_s: float
    latency_s: float
    seed: int

    def __post_init__(self):
        check_dials(self, _RANGES)
        head.montage(self.n_channels)


def simulate_eeg_study(
    folder: str | Path,
    *,
    n_subjects: int = 3,
    n_train: int = 1200,
    n_test: int = 100,
    test_repeats: int = 8,
    n_repeated_train: int = 600,
    snr: float = 0.5,
    signal: Literal["full", "category_only", "low_level_only", "none"] = "full",
    n_voxels: int = 850,
    n_channels: int = 64,
    sfreq_hz: float = 250.0,
    trial_s: float = 1.0,
    latency_s: float = 0.17,
    seed: int = 0,
) -> dict:
    """Simulate subjects watching pictures under EEG and write the study into `folder`.

    Parameters
    ----------
    folder : path
        Becomes the root of the BIDS data set.
    n_subjects : int
    n_train, n_test : int
        Pictures, the same for all subjects; no test picture shares its attributes or its caption
        with another picture.
    test_repeats : int
        Presentations of each test picture.
    n_repeated_train : int
        Training pictures shown twice, for reliability; the others are shown once.
    snr : float
        Root mean square over channels and pictures of the picture-specific potential at its peak,
        over that of the ongoing activity (10 µV; hum, drifts and blinks not counted).
    signal : str
        What the brain carries: ``full``; ``category_only`` (the shape, in the high-level sheet);
        ``low_level_only`` (the early sheet); ``none`` (every picture evokes the same).
    n_voxels : int
        Sources, on average over subjects.
    n_channels : int
        Electrodes of the cap: 16, 32, 64, 128, 160 or 256, placed as BioSemi's.
    sfreq_hz : float
        Samples a second.
    trial_s : float
        Seconds from picture to picture; a picture is on for half a trial.
    latency_s : float
        Seconds after onset at which potentials tell most about the picture.
    seed : int

    Returns
    -------
    summary : dict
        ``about`` (a line a subject for the log), ``snr``, ``signal``, and for each of ``subjects``
        the counts of channels, sources, runs and trials, the bad channel, and
        ``repeat_correlation``: Pearson's r between the potentials that two presentations of a
        training picture evoke around the latency, averaged over good channels; None with fewer
        than three pictures that repeat.

    Raises
    ------
    ValueError
        When a dial is out of its range.
    """
    dials = EEGDials(
        n_subjects, n_train, n_test, test_repeats, n_repeated_train, snr, signal, n_voxels,
        n_channels, sfreq_hz, trial_s, latency_s, seed,
    )  # fmt: skip
    folder = Path(folder)
    names = [f"sub-{number:02d}" for number in range(1, n_subjects + 1)]
    table = make_stimuli(n_train, n_test, child_rng(seed, "scenes"))
    pictures = scenes.render(table)
    maps = gabor.feature_maps(pictures)
    dataset.write_stimuli(folder, table, pictures)
    blocks = _blocks(table, dials)
    subjects = [_simulate_subject(folder, name, dials, table, maps, blocks) for name in names]
    eeg_dataset.write_root(folder, asdict(dials), names)
    summary = {"snr": snr, "signal": signal, "subjects": subjects}
    files.write_json(folder / "derivatives/truth/study.json", {"dials": asdict(dials), **summary})
    return summary | {"about": describe(summary, "n_channels")}


def study_size(**dials) -> dict:
    """Tell how large the study of these dials (as of `simulate_eeg_study`) will be.

    Returns
    -------
    size : dict
        ``subjects`` (their number) and ``trials`` of one subject; how many numbers a trial has is
        up to preprocess.
    """
    defaults = inspect.signature(simulate_eeg_study).parameters.items()
    known = {name: p.default for name, p in defaults} | dials
    shown = known["n_train"] + (TRAIN_REPEATS - 1) * known["n_repeated_train"]
    trials = shown + known["n_test"] * known["test_repeats"]
    return {"subjects": known["n_subjects"], "trials": trials}


def _blocks(table: pd.DataFrame, dials: EEGDials) -> list[design.Block]:
    train, test = (stimulus_ids(table, partition) for partition in ("train", "test"))
    return design.make_blocks(
        train,
        test,
        dials.n_repeated_train,
        dials.test_repeats,
        child_rng(dials.seed, "blocks"),
        trials_per_run=TRIALS_PER_RUN,
        train_repeats=TRAIN_REPEATS,
    )


def _simulate_subject(folder, name, dials, table, maps, blocks) -> dict:
    """Grow a brain, put a cap on it, show it the pictures, write everything; say what was made."""
    subject = brain.grow_subject(name, dials.n_voxels, dials.seed)
    everything = brain.stimulus_responses(subject, maps, table)
    cap = eeg.Cap(
        subject,
        everything,
        snr=dials.snr,
        latency_s=dials.latency_s,
        n_channels=dials.n_channels,
        sfreq_hz=dials.sfreq_hz,
        rng=child_rng(dials.seed, "cap", name),
    )
    responses = cap.responses(brain.stimulus_responses(subject, maps, table, dials.signal))
    trials = _schedule(blocks, dials, child_rng(dials.seed, "design", name))
    evoked = _record(folder, cap, dials, trials, responses, table["stimulus_id"])
    eeg_dataset.write_truth(folder, cap, responses)
    train = np.isin(trials["stimulus_id"], stimulus_ids(table, "train"))
    return {
        "subject": name,
        "n_channels": dials.n_channels,
        "bad_channel": cap.montage.ch_names[cap.background.bad],
        "n_sources": subject.n_voxels,
        "n_runs": int(trials["run"].max()),
        "n_trials": len(trials),
        "repeat_correlation": mean_repeat_correlation(evoked[train], trials["stimulus_id"][train]),
    }


def _schedule(blocks, dials: EEGDials, rng: np.random.Generator) -> pd.DataFrame:
    """Draw a session; pictures appear at samples, not quite as regularly as the trials."""
    trials = design.schedule(blocks, SHOWN * dials.trial_s, dials.trial_s, rng, LEAD_S)
    late_s = rng.uniform(0, JITTER * dials.trial_s, len(trials))
    trials["sample"] = np.rint((trials["onset_s"] + late_s) * dials.sfreq_hz).astype(int)
    trials["onset_s"] = trials["sample"] / dials.sfreq_hz
    return trials


def _record(folder, cap, dials, trials, responses_nam, stimulus_ids) -> np.ndarray:
    """Record and write all runs; return the potentials around the latency, (n_trials, n_good)."""
    name = cap.subject.name
    row_of = pd.Series(np.arange(len(stimulus_ids)), index=stimulus_ids)
    evoked = []
    for run, shown in trials.groupby("run"):
        rng = child_rng(dials.seed, "noise", name, run)
        rows = row_of[shown["stimulus_id"]].to_numpy()
        moments = brain.single_trials(responses_nam, 0.0, rows, rng)
        onsets = shown["sample"].to_numpy()
        n_samples = onsets.max() + round((dials.trial_s + LEAD_S) * dials.sfreq_hz)
        potentials = cap.run(onsets, moments, n_samples, rng)
        eeg_dataset.write_run(folder, name, run, shown, potentials, cap)
        good = np.delete(potentials, cap.background.bad, axis=0)
        evoked.append(_around(good, onsets, dials))
    return np.concatenate(evoked)


def _around(potentials, onsets, dials: EEGDials) -> np.ndarray:
    """Mean potential within 20 ms of the latency over a baseline of 0.1 s, (n_trials, n_channels).

    Both last a whole number of periods of the mains, whose hum drops out.
    """
    potentials = eeg.average_reference(potentials)
    first, last, before = (
        round(seconds * dials.sfreq_hz)
        for seconds in (dials.latency_s - 0.02, dials.latency_s + 0.02, 0.1)
    )
    during = potentials[:, np.add.outer(onsets, np.arange(first, last))].mean(axis=-1)
    baseline = potentials[:, np.add.outer(onsets, np.arange(-before, 0))].mean(axis=-1)
    return (during - baseline).T
