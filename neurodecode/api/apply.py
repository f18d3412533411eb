"""Apply a trained model to new recordings: what was seen, by whom, and how sure that is.

The truth is not needed and never looked at. Embeddings and pictures come about as they do in the
stages `predict` and `reconstruct`: the noise of a row's samples follows from the row's id alone.
"""

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurodecode import __version__
from neurodecode.api.model import calibrated, candidates_of, load_model
from neurodecode.api.recordings import new_recipe, read_recordings
from neurodecode.core.checks import dataclass_from
from neurodecode.core.errors import DamagedArtifact, UserError
from neurodecode.core.finished import open_run, whole_or_absent
from neurodecode.core.progress import log, progress
from neurodecode.core.trust import foreign
from neurodecode.stages.predict import averaged

PAGE_ROWS = 200  # of the page; the table has them all


@dataclass(frozen=True)
class ApplyConfig:
    """Which recordings, which trials of them, and among which pictures is sought."""

    data: str
    """Folder of the new recordings, laid out as the run's own study."""
    derivatives: str | None = None
    """Folder of confounds and preprocessed signals; None: as in the run."""
    task: str | None = None
    """The task- entity; None: as in the run."""
    subjects: list[str] | None = None
    """Such as ["sub-01"]; None: all there are."""
    runs: list[str] | None = None
    """Such as ["run-09"]; None: all there are."""
    average: str = "none"
    """Column of the events: trials with one value in it are averaged; none: each by itself."""
    candidates: str = "all"
    """Stimuli of the run's study (all, test, train), or a folder of pictures."""
    top: int = 5
    """Candidates named for each row."""
    samples: int | None = None
    """Pictures painted for each row, of which one is chosen; None: as many as in the run."""
    study: str = ""
    """Where the pictures of the run's study lie, for the page; "": where they lay."""
    device: str = "cpu"
    n_jobs: int = 1
    """Runs read at once."""
    trust: list[str] = field(default_factory=list)
    """Packages whose code the run may name, such as ["mylab"]; the package's own always."""

    def __post_init__(self):
        for name in ("top", "samples", "n_jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give 1 or more")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device is {self.device!r}; choose cpu or cuda")


def apply(run, out=None, store=None, **options):
    """Decode new recordings by the model of a run, and write what was found to a folder.

    Parameters
    ----------
    run : path
        Folder of a run that reached `train`.
    out : path, optional
        Folder to write, not there yet or empty; None: a new ``applied-1``, ``applied-2`` … in the
        run's folder.
    store : path, optional
        Where the run's store lies now, if it was moved.
    **options
        Of `ApplyConfig`; ``data`` must be given.

    Returns
    -------
    folder : Path
        decoded.tsv (one line a row), embeddings.npy (n_rows, dim), pictures/, calibration.json,
        applied.json and decoded.html.

    Raises
    ------
    UserError, ValueError, OSError
        Before anything is written to `out`.
    """
    if "data" not in options:
        raise UserError("say which recordings are to be decoded: data=FOLDER")
    config = dataclass_from(options, ApplyConfig, "apply")
    finished = open_run(run, "train", store)
    folder = Path(out).expanduser() if out else _next_folder(finished.folder)
    recipe = finished.config.get("recipe") or {}
    if config.derivatives is None:
        config = dataclasses.replace(config, derivatives=derivatives_like(recipe))
    if not config.study:
        config = dataclasses.replace(config, study=recipe.get("root") or "")
    try:
        with foreign(config.trust), whole_or_absent(folder) as written:
            _apply(config, finished, written)
    except DamagedArtifact as damage:
        raise UserError(f"{damage}: run the experiment again, which computes it anew") from damage
    return folder


def derivatives_like(recipe):
    """Where derivatives lie in new recordings laid out as the run's: relative to their folder.

    Raises
    ------
    UserError
        If those of the run lay elsewhere: they would be taken for those of the new recordings.
    """
    folder, root = (Path(recipe.get(k) or "").expanduser() for k in ("derivatives", "root"))
    if not folder.is_absolute():
        return "" if folder == Path() else str(folder)
    if not folder.is_relative_to(root.absolute()):
        raise UserError(
            f"the run read its derivatives from {folder}: say where those of the new recordings "
            "lie, derivatives=DIR"
        )
    return str(folder.relative_to(root.absolute()))


def _apply(config, run, out):
    model = load_model(run, config.device)
    candidates = candidates_of(model, config.candidates)
    recipe = new_recipe(model, config.data, config.derivatives, config.task, config.subjects)
    told = lambda runs: progress(runs, label="runs read")
    parts, calibration = [], {}
    for subject, recorded in read_recordings(model, recipe, config.runs, config.n_jobs, told):
        average = config.average != "none"
        calibration[subject] = calibrated(model, subject, candidates, average)
        parts.append(_decoded(config, model, subject, recorded, candidates, calibration[subject]))
        log.info("%s: %s", subject, _told(len(parts[-1].rows), calibration[subject]))
    _save(config, run, out, parts, candidates, calibration, study_folder(config, model.inputs))


@dataclass(frozen=True)
class Part:
    """What was decoded of one subject."""

    rows: object
    """DataFrame, as in decoded.tsv."""
    pooled: np.ndarray
    nearest: np.ndarray
    """(n_rows, top): numbers of candidates."""
    pictures: np.ndarray | None
    """(n_samples, h, w, 3)"""
    samples: object
    """DataFrame: row_id sample evidence chosen."""


def _decoded(config, model, subject, recorded, candidates, calibration):
    aligned = model.align(recorded.responses, subject)
    trials, column = grouped(recorded.trials, config.average)
    responses, rows = averaged(aligned, trials, column)
    said = model.decode(responses, subject)
    order, similarity = candidates.nearest(said["pooled"], config.top)

    table = rows.rename(columns={"n_repeats": "n_trials"}).assign(subject=subject)
    table = table.assign(**_where(trials, column, rows))
    for k in range(order.shape[1]):
        table[f"top_{k + 1}"] = candidates.ids[order[:, k]]
        table[f"similarity_{k + 1}"] = similarity[:, k]
    table["confidence"] = confidence(said["pooled"], candidates, calibration)
    pictures, samples = None, None
    if model.paints:
        n_samples = config.samples or model.predict_config.n_samples
        pictures, samples = model.paint(model.imagine(said, rows, subject, n_samples))
        table["agreement"] = agreement(model.target, pictures, samples)
    return Part(table, said["pooled"], order, pictures, samples)


def grouped(trials, average):
    """Say by which column of the trials they are averaged, and refuse one that is not there."""
    if average == "none":
        return trials, "trial_id"
    known = [c for c in trials.columns if c not in ("trial_id", "repeat")]
    shown = trials["stimulus_id"].ne("").any()
    if average not in known or (average == "stimulus_id" and not shown):
        free = [c for c in known if c != "stimulus_id" or shown]
        raise UserError(
            f"average={average}: the events have no such column; choose one of "
            f"{', '.join(free)}, or none"
        )
    empty = trials[average].astype(str).isin(["", "n/a", "nan"])
    if empty.any():
        raise UserError(
            f"average={average}: {int(empty.sum())} of {len(trials)} trials have no value in that "
            f"column, the first is {trials.loc[empty, 'trial_id'].iloc[0]}"
        )
    return trials, average


def _where(trials, column, rows):
    """When a row's trials were: their runs, and the onset of the first."""
    by = trials.assign(row=trials[column].astype(str)).groupby("row", sort=False)
    runs = by["run"].agg(lambda r: ",".join(dict.fromkeys(r)))
    return {
        "run": rows["row_id"].map(runs).to_numpy(),
        "onset_s": rows["row_id"].map(by["onset_s"].first()).to_numpy(),
    }


def confidence(pooled, candidates, calibration):
    """The probability of each row's nearest candidate; NaN where nothing calibrates it."""
    if calibration is None:
        return np.full(len(pooled), np.nan)
    from neurodecode.metrics.confidence import probabilities

    similarity = pooled @ candidates.pooled.T
    return probabilities(similarity, calibration["temperature"]).max(axis=1)


def agreement(target, pictures, samples):
    """Mean cosine of the embeddings of a row's pictures among themselves; NaN for a single one."""
    embedded = target.pictures(pictures)[0].astype(np.float64)
    row = samples.groupby("row_id", sort=False).ngroup().to_numpy()
    n = np.bincount(row)
    sums = np.zeros((len(n), embedded.shape[1]))
    np.add.at(sums, row, embedded)
    pairs = (np.einsum("rd,rd->r", sums, sums) - n) / 2  # unit rows: of the square, n are selves
    return np.where(n > 1, pairs / np.maximum(n * (n - 1) / 2, 1), np.nan)


def study_folder(config, inputs):
    """Where the pictures of the run's study lie; None where nobody knows."""
    from neurodecode.data.stimuli import data_set_root

    if config.study or inputs.has("simulate"):
        return data_set_root(config.study, inputs)
    return None


def _save(config, run, out, parts, candidates, calibration, study):
    import pandas as pd

    from neurodecode.report.applied import applied_page

    paths = [_picture_files(p, first) for p, first in zip(parts, _firsts(parts), strict=True)]
    for part, files in zip(parts, paths, strict=True):
        if part.pictures is not None:
            part.rows["picture"] = files
            for name, picture in zip(files, part.pictures[part.samples["chosen"]], strict=True):
                _save_picture(out.path(name), picture)
    table = pd.concat([p.rows for p in parts], ignore_index=True)
    first = ["row_id", "subject", "run", "onset_s", "n_trials", "trial_ids"]
    table = table[first + [c for c in table.columns if c not in first]]
    out.save_table("decoded.tsv", table)
    out.save_array("embeddings.npy", np.concatenate([p.pooled for p in parts]).astype(np.float32))
    out.save_json("calibration.json", calibration)
    about = {
        "run": str(run.folder.absolute()),
        "options": dataclasses.asdict(config),
        "candidates": len(candidates.ids),
        "train": run.artifacts["train"].manifest["key"],
        "version": __version__,
    }
    out.save_json("applied.json", about)
    shown = [row for part in parts for row in _shown(part, candidates, study)][:PAGE_ROWS]
    html = applied_page(about, shown, len(table), calibration)
    out.path("decoded.html").write_text(html, encoding="utf-8")


def _shown(part, candidates, study):
    """Rows of the page, one after the other."""
    from neurodecode.report.applied import Decoded

    number = lambda value: None if np.isnan(value) else float(value)
    painted = _painted(part)
    for i, row in enumerate(part.rows.to_dict("records")):
        nearest = enumerate(part.nearest[i], 1)
        yield Decoded(
            row["row_id"],
            f"{row['subject']} {row['run']}, {row['onset_s']:g} s",
            number(row["confidence"]),
            number(row.get("agreement", np.nan)),
            painted.get(row["row_id"], []),
            [
                (row[f"top_{k}"], row[f"similarity_{k}"], _candidate_picture(candidates, c, study))
                for k, c in nearest
            ],
        )


def _painted(part):
    """The pictures of each row, the chosen one first."""
    if part.pictures is None:
        return {}
    order = part.samples.sort_values("chosen", ascending=False, kind="stable")
    return {row: list(part.pictures[rows.index]) for row, rows in order.groupby("row_id")}


def _candidate_picture(candidates, number, study):
    """The picture of a candidate; None where it is not to be had."""
    from neurodecode.report.pictures import read_picture

    path = candidates.paths[number]
    path = path if study is None else study / path  # that of a folder's picture is absolute
    return read_picture(path) if Path(path).is_absolute() and Path(path).is_file() else None


def _firsts(parts):
    return np.cumsum([0, *(len(p.rows) for p in parts)])[:-1]


def _picture_files(part, first):
    """Name the pictures of a subject's rows: numbers keep them apart and in order."""
    pairs = zip(part.rows["subject"], part.rows["row_id"], strict=True)
    names = [re.sub(r"[^\w.-]+", "-", f"{subject}_{row}") for subject, row in pairs]
    return [f"pictures/{first + i:04d}_{name}.png" for i, name in enumerate(names)]


def _save_picture(path, picture):
    from PIL import Image

    Image.fromarray(picture).save(path)


def _next_folder(run_folder):
    """The first of applied-1, applied-2 … that is not there yet."""
    n = 1
    while (run_folder / f"applied-{n}").exists():
        n += 1
    return run_folder / f"applied-{n}"


def _told(n_rows, calibration):
    if calibration is None:
        return f"{n_rows} rows decoded; not calibrated: the run has no validation rows"
    return (
        f"{n_rows} rows decoded; confidence calibrated on {calibration['n']} validation rows, of "
        f"which {calibration['accuracy']:.0%} found their picture"
    )
