"""A folder of mne.Epochs files beside their pictures: ``sub-01/ses-01_run-01-epo.fif``."""

import re
from pathlib import Path

from neurodecode.data.layouts.base import Run
from neurodecode.data.readers import epochs as reader
from neurodecode.data.trials import FIRST

ENTITY = re.compile(r"(?:^|[/_])(sub|ses|task|run|split)-([a-zA-Z0-9]+)")
EPOCHS = re.compile(r"[-_]epo\.fif(\.gz)?$")
CONTINUED = re.compile(r"[-_]epo-\d+\.fif(\.gz)?$")


class EpochsFiles:
    """Files of epochs, whose names or folders say the subject (``sub-``), session and run.

    Metadata columns ``session`` and ``run``, where there are any, go before the file's name.
    """

    def runs(self, recipe, root):
        """Find all files.

        Raises
        ------
        FileNotFoundError
            If there is none, or one of recipe.subjects is missing.
        ValueError
            If a name tells no subject, or two files are of the same run.
        """
        root = Path(root)
        paths = sorted(p for p in root.rglob("*.fif*") if EPOCHS.search(p.name))
        found = [(p, _entities(p, root)) for p in paths]
        found = [(p, e) for p, e in found if recipe.task in ("", e.get("task"))]
        heads = [(p, e) for p, e in found if int(e.get("split", "1")) == 1]
        if not heads:
            of_task = f" of task-{recipe.task}" if recipe.task else ""
            raise FileNotFoundError(
                f"{root} holds no …-epo.fif{of_task}: give recipe.root a folder of "
                " files that epochs.save wrote"
            )
        runs = [_run(path, entities, found) for path, entities in heads]
        _check_runs(runs, recipe.subjects)
        return [r for r in runs if recipe.subjects is None or r.subject in recipe.subjects]

    def facts(self, run):
        """Read rate and sizes; see `neurodecode.data.readers.epochs.facts`."""
        return reader.facts(run.signal)

    def events(self, run, recipe, facts):
        """Return what each epoch shows; ``epochs_of`` and ``epoch`` say where it lies.

        Raises
        ------
        ValueError
            If no epoch is a trial, or metadata do not say what was shown.
        """
        column = recipe.label_column or recipe.stim_column
        table = reader.about_epochs(run.signal, column)
        table = table[~table["shown"].isin(["", "nan", "None", *recipe.ignore])]
        if table.empty:
            raise ValueError(
                f"{run.signal} has no trial: every {column!r} is empty or one of recipe.ignore "
                f"({', '.join(recipe.ignore)})"
            )
        own = {*FIRST, "onset", "duration", "epochs_of"} - {"session", "run", "onset_s"}
        own |= set() if recipe.label_column else {recipe.stim_column}
        made = table.drop(columns=[c for c in own if c in table]).reset_index(drop=True)
        made["duration_s"] = _seconds(table["duration"]) if "duration" in table else 0.0
        return _named_runs(made.assign(epochs_of=run.run), run)


def _seconds(column):
    """Durations of the metadata in s; 0 where they are no number."""
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").fillna(0.0).to_numpy()


def _entities(path, root):
    """Entities of a file, of its name or of the folders it lies in; the nearest counts."""
    return dict(ENTITY.findall(path.relative_to(root).as_posix()))


def _run(path, entities, found):
    if "sub" not in entities:
        raise ValueError(
            f"{path} does not tell its subject: name it sub-01…-epo.fif, or put it in a folder "
            "sub-01"
        )
    session = f"ses-{entities['ses']}" if "ses" in entities else ""
    run = f"run-{entities['run']}" if "run" in entities else ""
    same = lambda e: {**e, "split": ""} == {**entities, "split": ""}
    parts = [p for p, e in found if p != path and "split" in e and same(e)]
    stem = EPOCHS.sub("", path.name)
    beside = path.parent.glob(f"{stem}*.fif*")
    parts += [p for p in beside if CONTINUED.search(p.name) and CONTINUED.sub("", p.name) == stem]
    return Run(
        subject=f"sub-{entities['sub']}",
        session=session,
        run="_".join(filter(None, [session, run])) or "run-1",
        signals={"": path},
        events=path,
        others={f"part/{number}": part for number, part in enumerate(sorted(parts), 1)},
    )


def _check_runs(runs, wanted):
    first = {}
    for run in runs:
        other = first.setdefault((run.subject, run.run), run)
        if other is not run:
            raise ValueError(
                f"{other.signal} and {run.signal} are both {run.run} of {run.subject}: tell them "
                "apart by ses- and run- in their names"
            )
    there = {r.subject for r in runs}
    missing = sorted(set(wanted or []) - there)
    if missing:
        raise FileNotFoundError(
            f"recipe.subjects names {', '.join(missing)}; there are {', '.join(sorted(there))}"
        )


def _named_runs(table, run):
    """Name session and run by the metadata, where they have such columns."""
    session = run.session
    if "session" in table:
        table["session"] = [_label("ses", v) for v in table["session"]]
        session = table["session"]
    if "run" in table:
        own = [_label("run", v) for v in table["run"]]
        before = session if not isinstance(session, str) else [session] * len(table)
        table["run"] = ["_".join(filter(None, pair)) for pair in zip(before, own, strict=True)]
    elif "session" in table:
        table["run"] = [f"{s}_{run.run.removeprefix(run.session).lstrip('_')}" for s in session]
    return table


def _label(entity, value):
    text = str(value).removesuffix(".0")
    return text if text.startswith(f"{entity}-") else f"{entity}-{text}"
