"""Preprocess: from one subject's recordings to one response per trial.

How is said by `preprocess.method`: a linear model of BOLD runs, filtered epochs of M/EEG, or
responses that are there already. It sees when something was shown and never what. Only the quality
figures look across trials, by default at training rows.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.ranges import Count
from neurodecode.core.stage import stage
from neurodecode.signal.quality import repeat_quality

# Of a simulated study only this subject's files count, and index's files.tsv holds their digests.
SIMULATED = "?simulate:bids/dataset_description.json"


@dataclass(frozen=True)
class PreprocessConfig:
    """How single-trial responses are made; conf/stage/preprocess.yaml explains each key."""

    method: dict
    fit_rows: Literal["train", "all"] = "train"
    root: str = field(default="", metadata={"keyed": False})
    derivatives: str = field(default="", metadata={"keyed": False})
    n_jobs: Count = field(default=1, metadata={"keyed": False})


@stage(
    "preprocess",
    config=PreprocessConfig,
    inputs=("index:{each}/*", "split:split.tsv", SIMULATED),
    each="subject",
    sealed=("responses.npy",),
)
def run(config, inputs, out):
    """Turn one subject's recordings into responses, (n_trials, n_channels[, n_times])."""
    subject = inputs.each
    trials = inputs.table("index", f"{subject}/trials.tsv")
    files = inputs.table("index", f"{subject}/files.tsv")
    files["file"] = [locate(config, inputs, f.folder, f.path) for f in files.itertuples()]
    recording = build(config.method, files=files)
    responses = out.open_array("responses.npy", (len(trials), *recording.shape), np.float32)
    runs = read_runs(recording, trials, subject, responses, config.n_jobs)
    done = list(out.progress(runs, trials["run"].nunique(), f"{subject} runs"))
    responses.flush()

    nuisance = _stack(table for table, _ in done)
    out.save_table("trials.tsv", trials)
    out.save_table("nuisance.tsv", nuisance)
    for name, described in recording.space().items():
        _save(out, f"space/{name}", described)
    quality = _quality(config, inputs, responses, trials, nuisance)
    quality |= {"channels": recording.channels} | recording.quality([q for _, q in done])
    out.save_json("qc.json", quality)
    out.log(_summary(subject, quality))


def read_runs(recording, trials, subject, responses, n_jobs=1):
    """Fill in the responses of all runs of a subject.

    Parameters
    ----------
    recording : neurodecode.preprocess.base.Recording
    trials : DataFrame
    subject : str
        For messages.
    responses : ndarray, shape (n_trials, n_channels[, n_times])
        Written to, in the order of `trials`.
    n_jobs : int
        Runs read at once.

    Yields
    ------
    nuisance : DataFrame
        Of one run after the other: what else could tell its trials apart.
    quality : dict
    """

    def one_run(name):
        rows = np.flatnonzero(trials["run"] == name)
        try:
            made = recording.run(name, trials.iloc[rows].reset_index(drop=True))
        except ValueError as error:
            raise ValueError(f"{subject} {name}: {error}") from error
        responses[rows] = made.responses
        return _about(trials.iloc[rows], made.nuisance), made.quality

    with ThreadPoolExecutor(max(n_jobs, 1)) as pool:
        yield from pool.map(one_run, dict.fromkeys(trials["run"]))


def locate(config, inputs, folder, path):
    """Return where a file of files.tsv lies on this machine."""
    inside = Path(config.derivatives if folder == "derivatives" else "").expanduser() / path
    if not config.root:
        return inputs.path("simulate", f"bids/{inside.as_posix()}")
    return Path(config.root).expanduser() / inside


def _about(trials, nuisance):
    """Tabulate what else could tell the trials of a run apart."""
    order = (np.arange(len(trials)) + 0.5) / len(trials)
    return trials[["trial_id", "run", "onset_s"]].assign(order=order, **nuisance)


def _save(out, name, described):
    """Write one description of the channels, by what it is."""
    if hasattr(described, "to_filename"):
        described.to_filename(out.path(name))
    elif name.endswith(".npy"):
        out.save_array(name, described)
    elif name.endswith(".json"):
        out.save_json(name, described)
    else:
        out.save_table(name, described)


def _quality(config, inputs, responses, trials, nuisance):
    split = inputs.table("split", "split.tsv").set_index("trial_id")["split"]
    mine = trials["trial_id"].map(split)
    rows = np.flatnonzero(mine.eq("train") if config.fit_rows == "train" else mine.notna())
    moved_mm = nuisance.get("framewise_displacement")
    flat = responses.reshape(len(responses), -1)
    varies = np.ptp(flat, axis=0).reshape(responses.shape[1], -1).max(axis=1) > 0
    return {
        "n_channels": responses.shape[1],
        "n_constant_channels": int((~varies).sum()),
        "n_trials": len(trials),
        "n_runs": trials["run"].nunique(),
        "fit_rows": config.fit_rows,
        **repeat_quality(flat, rows, trials["stimulus_id"]),
        "moved_mm": None if moved_mm is None else float(moved_mm.mean()),
    }


def _summary(subject, quality):
    r, moved_mm = quality["repeat_correlation"], quality["moved_mm"]
    repeats = (
        f"single trials of the {quality['n_repeated']} stimuli repeated in {quality['fit_rows']} "
        f"rows correlate {r:.3f}"
        if r is not None
        else f"nothing repeats in {quality['fit_rows']} rows"
    )
    tsnr = f"; tSNR {quality['tsnr']:.0f}" if "tsnr" in quality else ""
    moved = "" if moved_mm is None else f", moved {moved_mm:.2f} mm a volume"
    size = f"{quality['n_trials']} trials × {quality['n_channels']} {quality['channels']}"
    return f"{subject}: {size}; {repeats}{tsnr}{moved}"


def _stack(tables):
    import pandas as pd

    return pd.concat(list(tables), ignore_index=True)
