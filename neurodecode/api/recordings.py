"""New recordings of subjects that a run knows: read and preprocessed just as the run did.

Nothing is fitted to them and nobody needs to know what was shown: where the events do not tell,
each of them is a trial.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.checks import dataclass_from
from neurodecode.core.errors import UserError
from neurodecode.data.recipe import Recipe
from neurodecode.data.trials import trial_table
from neurodecode.stages.index import file_table
from neurodecode.stages.preprocess import PreprocessConfig, locate, read_runs

MASK = "space/mask.nii.gz"
MOVED_MM = 1e-2  # of a channel; affines are stored in single precision


@dataclass(frozen=True)
class Recorded:
    """One subject's new trials."""

    responses: np.ndarray
    """(n_trials, n_channels[, n_times])"""
    trials: object
    """DataFrame: trial_id subject session run onset_s … and the events' free columns."""


def new_recipe(model, data, derivatives, task=None, subjects=None):
    """Return the recipe of the run, turned to another data set.

    The model's own mask is used, so that its channels are found again; regions are not needed.
    """
    node = model.inputs.manifest("index")["config"]["recipe"]
    recipe = dataclass_from(node, Recipe, "recipe")
    masked = any(MASK in model.inputs.files("preprocess", s) for s in model.subjects)
    return replace(
        recipe,
        root=str(data),
        derivatives=derivatives,
        task=recipe.task if task is None else task,
        subjects=subjects,
        mask={} if masked else recipe.mask,
        rois={},
    )


def read_recordings(model, recipe, wanted_runs=None, n_jobs=1, progress=iter):
    """Read and preprocess new recordings, subject by subject.

    Parameters
    ----------
    model : TrainedModel
    recipe : Recipe
        Of `new_recipe`.
    wanted_runs : list of str, optional
        Runs to read, such as ``run-09``; None: all.
    n_jobs : int
        Runs read at once.
    progress : callable
        Wraps the iterable of a subject's runs.

    Yields
    ------
    subject : str
    recorded : Recorded

    Raises
    ------
    UserError
        For a subject that the model does not know, a run that is not there, or channels other than
        those the model reads.
    """
    root = Path(recipe.root).expanduser()
    if not root.is_dir():
        raise UserError(f"data={recipe.root} is not a folder: give that of the new recordings")
    layout = build(recipe.layout)
    runs = layout.runs(recipe, root)
    for subject in dict.fromkeys(r.subject for r in runs):
        model.check_subject(subject, "name those to decode, subjects=[…]")
    recipe = without_missing_column(recipe, runs)
    facts = [layout.facts(r) for r in runs]
    events = [(r, named(layout.events(r, recipe, f))) for r, f in zip(runs, facts, strict=True)]
    subjects = list(dict.fromkeys(r.subject for r in runs))
    tables = {s: trial_table([e for e in events if e[0].subject == s]) for s in subjects}
    for subject, trials in chosen_runs(tables, wanted_runs).items():
        files = file_table(subject, runs, facts, recipe, root, lambda path: "")
        recording = opened(model, recipe, subject, files)
        check_channels(model, subject, recording)
        responses = np.empty((len(trials), *recording.shape), np.float32)
        for _ in progress(read_runs(recording, trials, subject, responses, n_jobs)):
            pass
        yield subject, Recorded(responses, trials)


def without_missing_column(recipe, runs):
    """Do without the column of what was shown, if no events table has it."""
    tables = [r.events for r in runs if r.events is not None]
    column = recipe.label_column or recipe.stim_column
    if not tables or any(column in _columns(path) for path in tables):
        return recipe
    return replace(recipe, stim_column="", label_column="")


def named(events):
    """Name the stimulus of each event by what its table says; "" where it does not."""
    if events["shown"].ne("").any() or "stimulus_id" not in events:
        return events.assign(stimulus_id=events["shown"])
    return events


def chosen_runs(tables, wanted):
    """Keep the trials of some runs: tables by subject, without those that have none."""
    if wanted is None:
        return tables
    known = list(dict.fromkeys(run for trials in tables.values() for run in trials["run"]))
    if missing := [run for run in wanted if run not in known]:
        raise UserError(f"runs: {', '.join(missing)} not recorded; there are {', '.join(known)}")
    kept = {s: t[t["run"].isin(wanted)].reset_index(drop=True) for s, t in tables.items()}
    return {subject: trials for subject, trials in kept.items() if len(trials)}


def opened(model, recipe, subject, files):
    """Open one subject's recordings by the run's method, within the model's own mask."""
    import pandas as pd

    inputs = model.inputs
    method = inputs.manifest("preprocess", subject)["config"]["method"]
    place = PreprocessConfig(method, root=recipe.root, derivatives=recipe.derivatives)
    files["file"] = [locate(place, inputs, f.folder, f.path) for f in files.itertuples()]
    if MASK in inputs.files("preprocess", subject):
        mask = inputs.path("preprocess", MASK, subject)
        about = {"kind": "mask", "name": "", "file": mask}
        masks = [{"run": run, **about} for run in files["run"].unique()]
        files = pd.concat([files[files["kind"] != "mask"], pd.DataFrame(masks)], ignore_index=True)
    return build(method, files=files)


def check_channels(model, subject, recording):
    """Refuse recordings whose channels, or times, are not those that the model reads."""
    expected = tuple(model.fitted.channels[f"{subject}/shape"])
    word = lambda shape: " × ".join(map(str, shape))
    advice = "use the same mask, sensors and times as the run did"
    if tuple(recording.shape) != expected:
        raise UserError(
            f"{subject}: the new recordings have {word(recording.shape)} {recording.channels}, the "
            f"model reads {word(expected)}: {advice}"
        )
    for name, described in recording.space().items():
        if f"space/{name}" in model.inputs.files("preprocess", subject):
            known = model.inputs.path("preprocess", f"space/{name}", subject)
            if (other := difference(name, known, described)) is not None:
                raise UserError(f"{subject}: {other} than in the run ({known}): {advice}")


def difference(name, known, described):
    """Say how channels differ from those of a file of the run; None: they do not."""
    if name == "times_s.npy" and not np.allclose(np.load(known), described, atol=1e-6):
        return f"trials are sampled from {described[0]:g} to {described[-1]:g} s, other times"
    if name == "positions_mm.npy" and not (known.parent / "sensors.tsv").exists():
        moved_mm = np.abs(np.load(known) - described).max()
        return f"channels lie up to {moved_mm:.3g} mm elsewhere" if moved_mm > MOVED_MM else None
    if name == "sensors.tsv":
        from neurodecode.core.views import read_table

        column = described.columns[0]
        pairs = zip(read_table(known)[column].astype(str), described[column], strict=True)
        other = [f"{new} for {old}" for old, new in pairs if str(old) != str(new)]
        return f"{len(other)} sensors are others ({', '.join(other[:3])})" if other else None
    return None


def _columns(path):
    with open(path, encoding="utf-8-sig") as file:
        return [name.strip() for name in file.readline().split("\t")]
