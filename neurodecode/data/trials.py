"""From events.tsv to the trial table: what was shown, to whom, when, for the how-manieth time."""

import numpy as np

from neurodecode.core.documents import read_text_table
from neurodecode.data.recipe import Recipe

FIRST = (
    "trial_id",
    "subject",
    "session",
    "run",
    "onset_s",
    "duration_s",
    "stimulus_id",
    "repeat",
)


def read_events(path, recipe: Recipe, run_s=None):
    """Read the events of one run.

    Parameters
    ----------
    path : path
        An events.tsv.
    recipe : Recipe
        Which column names what was shown, what is not a trial, and how blocks are merged.
    run_s : float, optional
        Length of the run in seconds; onsets beyond it are an error.

    Returns
    -------
    events : DataFrame
        ``onset_s``, ``duration_s``, ``shown`` (text of the stimulus or label column; "" where the
        recipe names neither: every event is a trial) and the table's free columns, by onset.

    Raises
    ------
    ValueError
        For an empty table, a missing column, an onset that is no number, negative or beyond the
        run, or the same trial twice.
    """
    table = _read_text(path)
    column = recipe.label_column or recipe.stim_column
    if not column:
        return _read_onsets(path, table, run_s)
    _check_columns(path, table, column)
    shown = table[column]
    table = table[~shown.isin(["", *recipe.ignore])].reset_index(drop=True)
    if table.empty:
        raise ValueError(
            f"{path} has no trial: every {column!r} is empty or one of recipe.ignore "
            f"({', '.join(recipe.ignore)})"
        )
    free = table.drop(columns=["onset", "duration", column])
    events = free.assign(
        onset_s=seconds(path, table, "onset"),
        duration_s=np.nan_to_num(seconds(path, table, "duration")),
        shown=table[column],
        **({column: table[column]} if recipe.label_column else {}),
    )
    events = _by_onset(path, events, run_s)
    return _merge_blocks(events, recipe.merge_gap_s) if recipe.merge_gap_s > 0 else events


def trial_table(events_of_runs):
    """Stack the events of one subject's runs to a trial table.

    Parameters
    ----------
    events_of_runs : list of (Run, DataFrame)
        In the order of recording; the events have a column ``stimulus_id``, and ``session`` and
        ``run`` where one file holds several.

    Returns
    -------
    trials : DataFrame
        ``trial_id subject session run onset_s duration_s stimulus_id repeat`` and free columns;
        ``repeat`` counts a subject's presentations of a stimulus from 1.
    """
    import pandas as pd

    parts = []
    for run, events in events_of_runs:
        part = events.assign(subject=run.subject)
        for column in ("session", "run"):
            part[column] = events.get(column, getattr(run, column))
        number = part.groupby("run", sort=False).cumcount() + 1
        names = zip(part["run"], number, strict=True)
        parts.append(part.assign(trial_id=[f"{run.subject}_{r}_{i:04d}" for r, i in names]))
    trials = pd.concat(parts, ignore_index=True)
    trials["repeat"] = trials.groupby("stimulus_id").cumcount() + 1
    free = [c for c in trials.columns if c not in (*FIRST, "shown")]
    return trials[[*FIRST, *free]]


def _read_text(path):
    what = "onset, duration and what was shown"
    table = read_text_table(path, what, dtype=str, keep_default_na=False)
    table.columns = [c.strip() for c in table.columns]
    if table.empty:
        raise ValueError(f"{path} has a header but no events")
    return table


def _read_onsets(path, table, run_s):
    """Take every event for a trial: nobody says what was shown."""
    _check_columns(path, table)
    times = {f"{part}_s": seconds(path, table, part) for part in ("onset", "duration")}
    events = table.drop(columns=["onset", "duration"]).assign(**times, shown="")
    return _by_onset(path, events.fillna({"duration_s": 0.0}), run_s)


def _by_onset(path, events, run_s):
    _check_times(path, events, run_s)
    return events.sort_values("onset_s", kind="stable").reset_index(drop=True)


def _check_columns(path, table, *columns):
    missing = [c for c in ("onset", "duration", *columns) if c not in table.columns]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(map(repr, missing))}, "
            f"only {', '.join(table.columns)}: "
            "recipe.stim_column names a picture's column, recipe.label_column a category's"
        )


def seconds(path, table, column):
    """Read a column of text as seconds: NaN where it is n/a or empty; ValueError for words."""
    text = table[column].str.strip().replace({"n/a": "nan", "": "nan"})
    try:
        return text.astype(float)
    except ValueError as error:
        raise ValueError(f"{path}: the column {column} must be seconds or n/a ({error})") from None


def _check_times(path, events, run_s):
    onsets = events["onset_s"]
    _refuse(path, events, ~np.isfinite(onsets), "an onset that is missing or not finite")
    _refuse(path, events, onsets < 0, "an onset before the first volume")
    durations = events["duration_s"]
    _refuse(
        path, events, ~((durations >= 0) & np.isfinite(durations)), "a duration below 0 or infinite"
    )
    if run_s:
        _refuse(path, events, onsets >= run_s, f"an onset beyond the end of the run ({run_s:g} s)")
    twice = events.duplicated(["onset_s", "shown"], keep=False)
    _refuse(path, events, twice, "the same onset and stimulus as another")


def _refuse(path, events, bad, what):
    rows = np.flatnonzero(bad)
    if len(rows):
        row = events.iloc[rows[0]]
        raise ValueError(
            f"{path}: {len(rows)} of {len(events)} trials have {what}; the first is trial "
            f"{rows[0] + 1}, {row['shown']!r} at onset {row['onset_s']:g} s: correct the table"
        )


def _merge_blocks(events, gap_s):
    """Join consecutive events of one label, from the first onset to the last end."""
    ends = events["onset_s"] + events["duration_s"]
    same = events["shown"].eq(events["shown"].shift())
    near = events["onset_s"] - ends.shift() <= gap_s + 1e-6
    block = (~(same & near)).cumsum()
    merged = events.groupby(block).first().reset_index(drop=True)
    merged["duration_s"] = ends.groupby(block).max().to_numpy() - merged["onset_s"]
    return merged
