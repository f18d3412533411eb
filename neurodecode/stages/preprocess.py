"""Preprocess: from one subject's BOLD runs to one response per trial and voxel.

Each run stands for itself: masked, expressed in percent of its mean, and given to a linear model
with one response per trial beside drifts, confounds and intercept. It sees when something was shown
and never what. Only the quality figures look across trials, by default at training rows.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.stage import stage
from neurodecode.core.views import read_table
from neurodecode.data.readers import bold as reader
from neurodecode.signal.confounds import MOTION, choose_confounds, framewise_displacement
from neurodecode.signal.glm import nuisance_matrix, percent_change, zscore
from neurodecode.signal.hrf import trial_regressors
from neurodecode.signal.quality import average_over_trials, repeat_quality, tsnr

STANDARDISE = {"percent": percent_change, "zscore": zscore, "none": lambda bold: bold}
RESPONSE_S = 8.0  # a trial's nuisance is averaged from its onset to this long after its end

# Of a simulated study only this subject's files count, and index's files.tsv holds their digests.
SIMULATED = "?simulate:bids/dataset_description.json"


@dataclass(frozen=True)
class PreprocessConfig:
    """How single-trial responses are estimated."""

    estimator: dict = field(default_factory=lambda: {"_target_": "neurodecode.signal.glm.lsa"})
    hrf: Literal["glover", "spm"] = "glover"
    high_pass_hz: float = 0.0078
    confounds: list[str] = field(default_factory=lambda: ["motion6"])
    standardise: Literal["percent", "zscore", "none"] = "percent"
    smoothing_fwhm_mm: float | None = None
    fit_rows: Literal["train", "all"] = "train"
    root: str = field(default="", metadata={"keyed": False})
    derivatives: str = field(default="", metadata={"keyed": False})
    n_jobs: int = field(default=1, metadata={"keyed": False})


@stage(
    "preprocess",
    config=PreprocessConfig,
    inputs=("index:{each}/*", "split", SIMULATED),
    each="subject",
    sealed=("responses.npy",),
)
def run(config, inputs, out):
    """Turn the runs of one subject into responses, (n_trials, n_channels)."""
    subject = inputs.each
    trials = inputs.table("index", f"{subject}/trials.tsv")
    files = inputs.table("index", f"{subject}/files.tsv")
    files["file"] = [_locate(config, inputs, f.folder, f.path) for f in files.itertuples()]
    mask = _mask(files)
    positions_mm = reader.positions_mm(mask)
    responses = out.open_array("responses.npy", (len(trials), len(positions_mm)), np.float32)

    def one_run(name):
        rows = np.flatnonzero(trials["run"] == name)
        bold, confounds, times_s = _read_run(config, files[files["run"] == name], mask)
        responses[rows] = _betas(config, bold, confounds, times_s, trials.iloc[rows])
        return tsnr(bold), _nuisance(trials.iloc[rows], bold, confounds, times_s)

    names = list(dict.fromkeys(trials["run"]))
    with ThreadPoolExecutor(max(config.n_jobs, 1)) as pool:
        done = list(out.progress(pool.map(one_run, names), len(names), f"{subject} runs"))
    responses.flush()
    nuisance = _stack(table for _, table in done)

    out.save_table("trials.tsv", trials)
    out.save_table("nuisance.tsv", nuisance)
    out.save_array("space/positions_mm.npy", positions_mm)
    mask.to_filename(out.path("space/mask.nii.gz"))
    if (files["kind"] == "roi").any():
        out.save_table("space/rois.tsv", _regions(files, mask))
    quality = _quality(config, inputs, responses, trials, nuisance, [t for t, _ in done])
    out.save_json("qc.json", quality)
    out.log(_summary(subject, quality))


def _locate(config, inputs, folder, path):
    """Return where a file of files.tsv lies on this machine."""
    inside = Path(config.derivatives if folder == "derivatives" else "").expanduser() / path
    if not config.root:
        return inputs.path("simulate", f"bids/{inside.as_posix()}")
    return Path(config.root).expanduser() / inside


def _mask(files):
    """Read the mask all runs share; make one from the first run where the study has none."""
    paths = list(dict.fromkeys(files.loc[files["kind"] == "mask", "file"]))
    if paths:
        return reader.read_mask(paths)
    return reader.guess_mask(files.loc[files["kind"] == "bold", "file"].iloc[0])


def _read_run(config, files, mask):
    """Return the signal of one run, its confounds table (or None) and the times of its volumes."""
    by_kind = files.set_index("kind")
    about = by_kind.loc["bold"]
    bold = reader.read_run(about["file"], mask, config.smoothing_fwhm_mm)
    times_s = about["start_s"] + about["tr_s"] * np.arange(len(bold))
    if "confounds" not in by_kind.index:
        return bold, None, times_s
    path = by_kind.loc["confounds", "file"]
    confounds = read_table(path)
    if len(confounds) != len(bold):
        raise ValueError(
            f"{path} has {len(confounds)} rows, the run {len(bold)} volumes: they are of different "
            "versions of the run"
        )
    return bold, confounds, times_s


def _betas(config, bold, confounds, times_s, trials):
    """Estimate the responses of one run's trials, shape (n_trials, n_voxels)."""
    try:
        return build(
            config.estimator,
            bold=STANDARDISE[config.standardise](bold),
            regressors=trial_regressors(
                trials["onset_s"], trials["duration_s"], times_s, config.hrf
            ),
            nuisance=nuisance_matrix(
                len(bold),
                times_s[1] - times_s[0],
                config.high_pass_hz,
                _chosen(config, confounds),
            ),
        )
    except ValueError as error:
        first = trials.iloc[0]
        raise ValueError(f"{first['subject']} {first['run']}: {error}") from error


def _chosen(config, confounds):
    if config.confounds and confounds is None:
        raise ValueError(
            "there is no confounds table: set preprocess.confounds=[], or name the tables in "
            "recipe.confounds"
        )
    return choose_confounds(confounds, config.confounds) if config.confounds else None


def _nuisance(trials, bold, confounds, times_s):
    """Tabulate what else could tell trials apart: a decoder must beat it."""
    volumes = bold.mean(axis=1, dtype=float)
    series = {"global_signal": volumes}
    if confounds is not None:
        series["framewise_displacement"] = framewise_displacement(confounds)
        series |= {m: confounds[m].to_numpy(float) for m in MOTION if m in confounds}
    ends_s = trials["onset_s"] + trials["duration_s"] + RESPONSE_S
    means = average_over_trials(
        np.column_stack(list(series.values())), times_s, trials["onset_s"], ends_s
    )
    order = (np.arange(len(trials)) + 0.5) / len(trials)
    about = trials[["trial_id", "run", "onset_s"]].assign(order=order)
    return about.assign(**dict(zip(series, means.T, strict=True)))


def _regions(files, mask):
    """List the channels of each region, from its mask in the first run that has one."""
    import pandas as pd

    regions = files[files["kind"] == "roi"].drop_duplicates("name")
    parts = []
    for region in regions.itertuples():
        channels = reader.region_channels(region.file, mask)
        parts.append(pd.DataFrame({"channel": channels, "roi": region.name}))
    return _stack(parts)


def _quality(config, inputs, responses, trials, nuisance, tsnrs):
    split = inputs.table("split", "split.tsv").set_index("trial_id")["split"]
    mine = trials["trial_id"].map(split)
    rows = np.flatnonzero(mine.eq("train") if config.fit_rows == "train" else mine.notna())
    moved_mm = nuisance.get("framewise_displacement")
    return {
        "n_channels": responses.shape[1],
        "n_constant_channels": int((np.ptp(responses, axis=0) == 0).sum()),
        "n_trials": len(trials),
        "n_runs": len(tsnrs),
        "fit_rows": config.fit_rows,
        **repeat_quality(responses, rows, trials["stimulus_id"]),
        "tsnr": float(np.median(np.mean(tsnrs, axis=0))),
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
    moved = "" if moved_mm is None else f", moved {moved_mm:.2f} mm a volume"
    return (
        f"{subject}: {quality['n_trials']} trials × {quality['n_channels']} voxels; {repeats}; "
        f"tSNR {quality['tsnr']:.0f}{moved}"
    )


def _stack(tables):
    import pandas as pd

    return pd.concat(list(tables), ignore_index=True)
