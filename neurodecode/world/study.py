"""A complete study with known truth, written as a BIDS data set that is read like anybody's.

Beside the raw data lie two derivatives: `simulated` (brain and region masks, confounds), which the
pipeline reads, and `truth` (receptive fields, hemodynamics, noise-free responses), which it never
does.
"""

import inspect
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from neurodecode.core.seeds import child_rng
from neurodecode.signal import glm, hrf, reliability
from neurodecode.world import brain, dataset, design, files, gabor, scanner, scenes

SHOWN = 0.75  # share of a trial in which the picture is on

_RANGES = {  # dial -> least and greatest value that make sense
    "n_subjects": (1, 99),
    "n_train": (4, 9000),
    "n_test": (2, 900),
    "test_repeats": (1, 20),
    "n_repeated_train": (0, 9000),
    "snr": (0.0, 100.0),
    "n_voxels": (60, 20000),
    "tr_s": (0.3, 5.0),
    "trial_s": (2.0, 30.0),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True)
class Dials:
    """What can be turned, as in `simulate_study`; checked when made."""

    n_subjects: int
    n_train: int
    n_test: int
    test_repeats: int
    n_repeated_train: int
    snr: float
    signal: str
    n_voxels: int
    tr_s: float
    trial_s: float
    seed: int

    def __post_init__(self):
        check_dials(self, _RANGES)


def check_dials(dials, ranges: dict[str, tuple[float, float]]) -> None:
    """Raise ValueError where a dial lies outside its range or contradicts another."""
    for name, (low, high) in ranges.items():
        value = getattr(dials, name)
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}: expected {low} to {high}")
    if dials.signal not in brain.SIGNALS:
        raise ValueError(f"signal is {dials.signal!r}: expected one of {list(brain.SIGNALS)}")
    if dials.n_repeated_train > dials.n_train:
        raise ValueError(
            f"n_repeated_train is {dials.n_repeated_train} but there are only {dials.n_train} "
            "training pictures: lower it or raise n_train"
        )


def simulate_study(
    folder: str | Path,
    *,
    n_subjects: int = 3,
    n_train: int = 1200,
    n_test: int = 100,
    test_repeats: int = 3,
    n_repeated_train: int = 100,
    snr: float = 1.35,
    signal: Literal["full", "category_only", "low_level_only", "none"] = "full",
    n_voxels: int = 850,
    tr_s: float = 2.0,
    trial_s: float = 4.0,
    seed: int = 0,
) -> dict:
    """Simulate subjects watching pictures and write the study into `folder`.

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
        Training pictures shown three times, for reliability; the others are shown once.
    snr : float
        Standard deviation over pictures of the height of a voxel's response, over that of its
        noise from volume to volume (0.7 % of the signal on average).
    signal : str
        What the brain carries: ``full``; ``category_only`` (the shape, in the high-level sheet);
        ``low_level_only`` (the early sheet); ``none`` (every picture evokes the same).
    n_voxels : int
        Of the brain, on average over subjects.
    tr_s, trial_s : float
        Seconds from volume to volume, and from picture to picture; a picture is on for three
        quarters of a trial.
    seed : int

    Returns
    -------
    summary : dict
        ``about`` (a line a subject for the log), ``snr``, ``signal``, and for each of ``subjects``
        the counts of voxels, runs and trials and ``repeat_correlation``: Pearson's r between
        single-trial betas of two presentations of a repeated training picture, averaged over
        voxels; None with fewer than three of these.

    Raises
    ------
    ValueError
        When a dial is out of its range.
    """
    dials = Dials(
        n_subjects, n_train, n_test, test_repeats, n_repeated_train, snr, signal, n_voxels, tr_s,
        trial_s, seed,
    )  # fmt: skip
    folder = Path(folder)
    names = [f"sub-{number:02d}" for number in range(1, n_subjects + 1)]
    table = make_stimuli(n_train, n_test, child_rng(seed, "scenes"))
    pictures = scenes.render(table)
    maps = gabor.feature_maps(pictures)
    dataset.write_root(folder, asdict(dials), names)
    dataset.write_stimuli(folder, table, pictures)
    train, test = (stimulus_ids(table, partition) for partition in ("train", "test"))
    blocks = design.make_blocks(
        train, test, n_repeated_train, test_repeats, child_rng(seed, "blocks")
    )
    subjects = [_simulate_subject(folder, name, dials, table, maps, blocks) for name in names]
    summary = {"snr": snr, "signal": signal, "subjects": subjects}
    files.write_json(folder / "derivatives/truth/study.json", {"dials": asdict(dials), **summary})
    return summary | {"about": describe(summary, "n_voxels")}


def study_size(**dials) -> dict:
    """Tell how large the study of these dials (as of `simulate_study`) will be, before it is made.

    Returns
    -------
    size : dict
        ``subjects`` (their number), ``trials`` and ``channels`` (voxels) of one subject.
    """
    known = {k: p.default for k, p in inspect.signature(simulate_study).parameters.items()} | dials
    shown = known["n_train"] + 2 * known["n_repeated_train"]
    trials = shown + known["n_test"] * known["test_repeats"]
    return {"subjects": known["n_subjects"], "trials": trials, "channels": known["n_voxels"]}


def make_stimuli(n_train: int, n_test: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the pictures: a test picture shares attributes and caption with no other picture.

    Returns
    -------
    table : DataFrame, n_train + n_test rows
        `stim_file`, `stimulus_id`, `caption`, `partition` ("train" or "test"), then the scene.
    """
    pool = scenes.sample_scenes(2 * (n_train + n_test) + 100, rng)
    pool["caption"] = scenes.captions(pool)  # names every attribute: one caption, one tuple
    test = pool.drop_duplicates("caption").head(n_test)
    train = pool[~pool["caption"].isin(test["caption"])].head(n_train)
    if (len(train), len(test)) != (n_train, n_test):
        raise ValueError(
            f"only {len(train)} of {n_train} training and {len(test)} of {n_test} test pictures "
            "could be drawn apart: ask for fewer test pictures"
        )
    table = pd.concat([train.assign(partition="train"), test.assign(partition="test")])
    table = table.reset_index(drop=True)
    table["stimulus_id"] = [f"scene-{i:04d}" for i in rng.permutation(len(table)) + 1]
    table["stim_file"] = table["stimulus_id"] + ".png"
    table = table.sort_values("stimulus_id", ignore_index=True)
    return table[
        ["stim_file", "stimulus_id", "caption", "partition", *scenes.ATTRIBUTES, *scenes.JITTER]
    ]


def stimulus_ids(table: pd.DataFrame, partition: str) -> np.ndarray:
    """Return the ids of the pictures of one partition."""
    return table.loc[table["partition"] == partition, "stimulus_id"].to_numpy(str)


def describe(summary: dict, channels: str) -> list[str]:
    """Say in one line a subject what was simulated; `channels` is the key that counts them."""
    noun = channels.removeprefix("n_")
    return [
        f"{s['subject']}: {s[channels]} {noun}, {s['n_runs']} runs, {s['n_trials']} trials, "
        f"signal={summary['signal']}, snr={summary['snr']:g}: {_reliability(s)}"
        for s in summary["subjects"]
    ]


def _reliability(subject: dict) -> str:
    r = subject["repeat_correlation"]
    if r is None:
        return "single-trial reliability not measured (fewer than three training pictures repeat)"
    return f"mean single-trial repeat correlation {r:.3f}"


def _simulate_subject(folder, name, dials, table, maps, blocks) -> dict:
    """Grow a brain, show it the pictures, record it, write everything; say what was made."""
    subject = brain.grow_subject(name, dials.n_voxels, dials.seed)
    specific = brain.stimulus_responses(subject, maps, table, dials.signal)
    heights = subject.evoked_percent + dials.snr * subject.gain * subject.noise_percent * specific
    trials = design.schedule(
        blocks, SHOWN * dials.trial_s, dials.trial_s, child_rng(dials.seed, "design", name)
    )
    betas = _record(folder, subject, dials, trials, heights, table["stimulus_id"])
    dataset.write_masks(folder, subject)
    dataset.write_truth(
        folder,
        subject,
        {"voxels": dataset.voxel_table(subject)},
        {"responses": heights.astype(np.float32)},  # %, without noise; rows as in stimuli.tsv
    )
    train = np.isin(trials["stimulus_id"], stimulus_ids(table, "train"))
    return {
        "subject": name,
        "n_voxels": subject.n_voxels,
        "n_runs": int(trials["run"].max()),
        "n_trials": len(trials),
        "repeat_correlation": mean_repeat_correlation(betas[train], trials["stimulus_id"][train]),
    }


def _record(folder, subject, dials, trials, heights, stimulus_ids) -> np.ndarray:
    """Scan and write all runs; return single-trial betas, (n_trials, n_voxels)."""
    seed, name = dials.seed, subject.name
    machine = scanner.Scanner(
        subject, SHOWN * dials.trial_s, dials.tr_s, child_rng(seed, "scanner", name)
    )
    row_of = pd.Series(np.arange(len(stimulus_ids)), index=stimulus_ids)
    betas = []
    for run, shown in trials.groupby("run"):
        onsets = shown["onset_s"].to_numpy()
        n_volumes = design.n_volumes(onsets, dials.trial_s, dials.tr_s)
        rng = child_rng(seed, "noise", name, run)
        rows = row_of[shown["stimulus_id"]].to_numpy()
        single = brain.single_trials(heights, subject.evoked_percent, rows, rng)
        signal, motion = machine.run(onsets, single, n_volumes, rng)
        dataset.write_run(folder, subject, run, shown, signal, motion, dials.tr_s)
        betas.append(_single_trials(signal, motion, shown, dials.tr_s))
    return np.concatenate(betas)


def _single_trials(signal, motion, shown, tr_s) -> np.ndarray:
    """Betas as any analysis gets them: canonical response, drifts and motion regressed out."""
    frames = np.arange(len(signal)) * tr_s
    regressors = hrf.trial_regressors(shown["onset_s"], shown["duration_s"], frames)
    nuisance = glm.nuisance_matrix(len(signal), tr_s, confounds=motion)
    return glm.lsa(glm.percent_change(signal), regressors, nuisance)


def mean_repeat_correlation(responses: np.ndarray, shown) -> float | None:
    """Mean over columns of the correlation of repeats; None where too few pictures repeat."""
    mean = reliability.repeat_correlation(responses, shown).mean()
    return None if np.isnan(mean) else float(mean)
