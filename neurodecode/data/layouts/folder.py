"""A plain folder: responses that are there already, such as published betas, and their trials.

    sub-01/responses.npy      (n_trials, n_channels[, n_times])
    sub-01/trials.tsv         row i says what was shown in trial i of responses.npy
    sub-01/mask.nii.gz, positions_mm.npy, times_s.npy, sensors.tsv       where there are any
    stimuli/                  the pictures, and stimuli.tsv, if there is one

A single subject's files may lie directly in the folder; a column ``subject`` of trials.tsv then
says whose rows are whose, where they are of several.
"""

from pathlib import Path

import numpy as np

from neurodecode.core.documents import read_text_table
from neurodecode.data.layouts.base import Run
from neurodecode.data.readers import responses as reader
from neurodecode.data.trials import seconds

RESPONSES, TRIALS = "responses.npy", "trials.tsv"
DESCRIBED = {
    "mask": "mask.nii.gz",
    "positions": "positions_mm.npy",
    "times": "times_s.npy",
    "sensors": "sensors.tsv",
}
WHOLE = "all"  # in files.tsv, the run of a file that holds several
ROW = "responses_row"  # of the trial table: which row of responses.npy a trial is, from 0
TIMES = ("onset_s", "onset", "duration_s", "duration")
PLACES = ("subject", "session", "run")


class Folder:
    """Read a plain folder; `recipe.stim_column` or `recipe.label_column` says what was shown.

    Columns of trials.tsv beside that one may be ``subject``, ``session``, ``run``, ``onset_s`` and
    ``duration_s`` (or ``onset`` and ``duration``, as in BIDS); the others are kept. Without onsets
    a trial's place in its run, from 0, stands for its onset. Without ``run`` a session is one run.

    Parameters
    ----------
    n_blocks : int or None
        Where trials.tsv names neither run nor session: so many blocks of consecutive trials stand
        for runs. None: refuse, since penalties are chosen on runs that are left out.
    """

    def __init__(self, n_blocks: int | None = None):
        if n_blocks is not None and n_blocks < 1:
            raise ValueError(f"recipe.layout.n_blocks is {n_blocks}: give 2 or more, or null")
        self.n_blocks = n_blocks

    def runs(self, recipe, root):
        """Find each subject's file of responses: one `Run`, whose events name the runs within it.

        Raises
        ------
        FileNotFoundError
            If there is no such folder, no responses.npy, no trials.tsv, or not the subject asked.
        ValueError
            If responses lie both in the folder and in folders of subjects.
        """
        root = Path(root)
        found = _subjects(root)
        missing = sorted(set(recipe.subjects or []) - set(found))
        if missing:
            raise FileNotFoundError(
                f"recipe.subjects names {', '.join(missing)}; {root} holds {', '.join(found)}"
            )
        wanted = recipe.subjects or found
        return [_run(subject, folder) for subject, folder in found.items() if subject in wanted]

    def facts(self, run):
        """Read the shape of the responses from their header."""
        return reader.facts(run.signal)

    def events(self, run, recipe, facts):
        """Tabulate a subject's trials, by run, then onset.

        Returns
        -------
        events : DataFrame
            ``onset_s duration_s shown session run``, `ROW`, and the table's free columns.

        Raises
        ------
        ValueError
            If the table and the responses differ in length, the column of pictures or of labels is
            missing, nothing says which trials belong to a run, a time is no number of seconds, or
            a trial is there twice.
        """
        path = run.events
        table = _read(path)
        column = recipe.label_column or recipe.stim_column
        _check(path, table, column, facts["n_trials"], run.signal)
        table[ROW] = np.arange(len(table))
        table = table[_own(path, table, run.subject) & ~table[column].isin(["", *recipe.ignore])]
        if table.empty:
            raise ValueError(
                f"{path} has no trial of {run.subject}: every {column!r} is empty or one of "
                f"recipe.ignore ({', '.join(recipe.ignore)})"
            )
        events = table.drop(columns=[c for c in (*TIMES, *PLACES, column) if c in table])
        events = events.assign(
            **self._places(path, table),
            shown=table[column],
            **({column: table[column]} if recipe.label_column else {}),
        ).reset_index(drop=True)
        return _in_order(path, events, table.reset_index(drop=True))

    def _places(self, path, table):
        """The session and the run of each trial; a run's name is unique within the subject."""
        session = _labels(path, table, "session", "ses") if "session" in table else None
        if "run" in table:
            run = _labels(path, table, "run", "run")
        elif session is not None and session.nunique() > 1:
            return {"session": session, "run": session}
        elif self.n_blocks is not None:
            block = np.arange(len(table)) * self.n_blocks // len(table) + 1
            run = [f"run-{number:02d}" for number in block]
        else:
            raise ValueError(
                f"{path} has no column 'run': penalties are chosen on runs that are left out. Add "
                "the column, from which recording a trial comes; or let so many blocks of "
                "consecutive trials stand for runs, recipe.layout.n_blocks=8 (neighbouring blocks "
                "then share slow noise)"
            )
        if session is None:
            return {"session": "", "run": run}
        return {"session": session, "run": ["_".join(n) for n in zip(session, run, strict=True)]}


def _subjects(root):
    """Each subject's folder; one folder for all, where the responses lie in it directly."""
    if not root.is_dir():
        raise FileNotFoundError(f"recipe.root={root} is not a folder: give that of your study")
    folders = {p.name: p for p in sorted(root.glob("sub-*")) if p.is_dir()}
    if not (root / RESPONSES).is_file():
        if not folders:
            raise FileNotFoundError(
                f"{root} holds neither {RESPONSES} nor folders sub-01, sub-02 … that do; it holds "
                f"{', '.join(sorted(p.name for p in root.iterdir())[:8]) or 'nothing'}"
            )
        return folders
    if folders:
        raise ValueError(
            f"{root} holds {RESPONSES} and {', '.join(folders)}: put all subjects in folders of "
            "their own, or all in the one file, with a column 'subject' in trials.tsv"
        )
    table = _read(_there(root, TRIALS))
    if "subject" not in table:
        return {"sub-01": root}
    return {subject: root for subject in _labels(root / TRIALS, table, "subject", "sub").unique()}


def _run(subject, folder):
    others = {kind: folder / name for kind, name in DESCRIBED.items()}
    return Run(
        subject=subject,
        session="",
        run=WHOLE,
        signals={"": _there(folder, RESPONSES)},
        events=_there(folder, TRIALS),
        others={kind: path for kind, path in others.items() if path.is_file()},
    )


def _there(folder, name):
    if not (folder / name).is_file():
        raise FileNotFoundError(
            f"{folder / name} is not there: every subject needs {RESPONSES} and {TRIALS}, row by "
            "row of the same trials"
        )
    return folder / name


def _read(path):
    what = "a header, and a line for each trial"
    table = read_text_table(path, what, dtype=str, keep_default_na=False)
    return table.rename(columns=str.strip)


def _check(path, table, column, n_trials, signal):
    if column not in table:
        raise ValueError(
            f"{path} has no column {column!r}, only {', '.join(table.columns)}: it names the "
            "picture of each trial; say recipe.stim_column=…, or recipe.label_column=… for "
            "categories"
        )
    if len(table) != n_trials:
        raise ValueError(
            f"{path} has {len(table)} trials, {signal} {n_trials} rows: line i must say what was "
            "shown in row i"
        )


def _own(path, table, subject):
    """Which rows are the subject's."""
    if "subject" not in table:
        return np.ones(len(table), bool)
    own = _labels(path, table, "subject", "sub") == subject
    if not own.all() and path.parent.name == subject:
        raise ValueError(
            f"{path} has trials of {', '.join(sorted(set(table['subject'][~own])))}: a subject's "
            "folder holds that subject's trials alone"
        )
    return own


def _labels(path, table, column, prefix):
    """Names such as run-03, from 3, 03 or run-03."""
    text = table[column].str.strip()
    if text.isin(["", "n/a"]).any():
        row = int(np.flatnonzero(text.isin(["", "n/a"]))[0])
        raise ValueError(f"{path}: the {column} of trial {row + 1} is empty: name one for each")
    bare = text.str.removeprefix(f"{prefix}-")
    return prefix + "-" + bare.where(~bare.str.isdigit(), bare.str.zfill(2))


def _in_order(path, events, table):
    """Put in onsets and durations, refuse what cannot be, and sort by run, then onset."""
    place = events.groupby("run", sort=False).cumcount().astype(float)
    onsets = _seconds(path, table, "onset")
    events.insert(0, "onset_s", place if onsets is None else onsets)
    durations = _seconds(path, table, "duration")
    events.insert(1, "duration_s", 0.0 if durations is None else durations.fillna(0.0))
    bad = ~(np.isfinite(events["onset_s"]) & np.isfinite(events["duration_s"]))
    _refuse(path, events, bad, "an onset that is missing, or a time that is not finite")
    _refuse(path, events, events["duration_s"] < 0, "a duration below 0")
    twice = events.duplicated(["run", "onset_s", "shown"], keep=False)
    _refuse(path, events, twice, "the same run, onset and stimulus as another")
    run = events["run"].factorize()[0]
    return events.iloc[np.lexsort((events["onset_s"], run))].reset_index(drop=True)


def _seconds(path, table, what):
    """The column of times, as numbers, or None."""
    column = next((c for c in (f"{what}_s", what) if c in table), None)
    return None if column is None else seconds(path, table, column)


def _refuse(path, events, bad, what):
    rows = np.flatnonzero(bad)
    if len(rows):
        row = events.iloc[rows[0]]
        raise ValueError(
            f"{path}: {len(rows)} of {len(events)} trials have {what}; the first is line "
            f"{row[ROW] + 2}, {row['shown']!r}: correct the table, and {RESPONSES} with it"
        )
