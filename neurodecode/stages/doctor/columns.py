"""Guess from the values of events.tsv which column names the picture, and which the category."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from neurodecode.data.recipe import Recipe
from neurodecode.data.stimuli import PICTURES

NO_TRIAL = ("", *Recipe().ignore)
NEVER = ("onset", "duration", "sample", "onset_sample", "response_time", "trial", "run")
USUAL = ("trial_type", "stim_type", "category", "condition", "class", "value", "trigger")
LEAST_CLASS, MOST_CLASSES = 4, 60


@dataclass(frozen=True)
class Columns:
    """What the events tables of a recording hold."""

    n_rows: int
    values: dict[str, Counter]
    """Column -> how often it has each value, over all tables."""
    rows: tuple[dict, ...]
    """Every row, of all tables."""

    def examples(self, column, n=4):
        """Return the most frequent values of a column."""
        return [value for value, _ in self.values[column].most_common(n)]

    def shown(self, column):
        """Return the values of a column that may be trials, with their counts."""
        return Counter({v: n for v, n in self.values[column].items() if v not in NO_TRIAL})


def read_columns(paths):
    """Read the events tables of a recording, leaving out what cannot be read."""
    return columns_of([row for path in paths for row in _rows(path)])


def columns_of(rows):
    """Count the values of each column of a table that is given row by row, as dicts of text."""
    values = {}
    for row in rows:
        for column, value in row.items():
            values.setdefault(column, Counter())[value] += 1
    return Columns(len(rows), values, tuple(rows))


def pictures_below(root):
    """List the files of stimuli/, relative to it."""
    folder = Path(root) / "stimuli"
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def picture_columns(columns, pictures, known=()):
    """List the columns whose values are pictures, the likeliest first.

    Parameters
    ----------
    columns : Columns
    pictures : set of str
        Files below stimuli/.
    known : iterable of str
        Names that the data set's table of pictures knows: a stim_file or a stimulus_id.
    """
    there = pictures | set(known)
    share = {c: _share_of_pictures(columns.shown(c), there) for c in columns.values}
    found = [c for c in columns.values if share[c] >= 0.5 and c not in NEVER]
    return sorted(found, key=lambda c: (c != "stim_file", -share[c]))


def column_rows(read, pictures, labels):
    """Tabulate columns of events: name, what they may be, number of values, examples."""
    role = lambda c: "picture?" if c in pictures else "category?" if c in labels else ""
    examples = lambda c: ", ".join(v or "(empty)" for v in read.examples(c))
    return [(c, role(c), len(values), examples(c)) for c, values in read.values.items()]


def ends_as_picture(value):
    """Say whether a value ends as the name of a picture does."""
    return value.lower().endswith(PICTURES)


def label_columns(columns, pictures=()):
    """List the columns whose values look like categories, the likeliest first."""
    found = [c for c in columns.values if c not in (*NEVER, *pictures) and _is_label(columns, c)]
    rank = lambda c: (
        USUAL.index(c) if c in USUAL else len(USUAL),
        all(_number(v) is not None for v in columns.shown(c)),
        len(columns.shown(c)),
    )
    return sorted(found, key=rank)


def never_labelled(columns, picture_column, label_column):
    """List pictures whose category is n/a in all of their events: fixation crosses, circles."""
    labels = {}
    for row in columns.rows:
        labels.setdefault(row.get(picture_column, ""), set()).add(row.get(label_column, ""))
    return sorted(v for v, seen in labels.items() if v not in NO_TRIAL and seen <= set(NO_TRIAL))


def block_gap_s(tables, column):
    """Return how far apart (s) the events of one block are, or 0 where events do not form blocks.

    A block is at least five events of one label in a row, closely spaced.
    """
    lengths, gaps = [], []
    for path in tables:
        rows = _timed(path, column)
        near = []
        for before, after in zip(rows, rows[1:], strict=False):
            gap_s = after[0] - before[0] - before[1]
            near.append(after[2] == before[2] and gap_s <= max(2 * before[1], 4.0))
            if near[-1]:
                gaps.append(gap_s)
        lengths += _lengths(near)
    if not gaps or sorted(lengths)[len(lengths) // 2] < 5:
        return 0.0
    return max(round(sorted(gaps)[int(0.98 * (len(gaps) - 1))] + 0.05, 1), 0.1)


def _lengths(near):
    """Lengths of the groups of events of which each is near to the one before."""
    lengths = [1]
    for joined in near:
        lengths = [*lengths[:-1], lengths[-1] + 1] if joined else [*lengths, 1]
    return lengths


def _timed(path, column):
    rows = [
        (_number(r.get("onset")), _number(r.get("duration")) or 0.0, r.get(column))
        for r in _rows(path)
    ]
    return sorted(r for r in rows if r[0] is not None and r[2] not in (None, *NO_TRIAL))


def _rows(path):
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return []
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return [
        {k.strip(): (v or "").strip() for k, v in r.items() if isinstance(k, str)} for r in rows
    ]


def _share_of_pictures(shown, there):
    if not shown:
        return 0.0
    fits = [v.removeprefix("stimuli/") in there or ends_as_picture(v) for v in shown]
    return sum(fits) / len(fits)


def _is_label(columns, column):
    shown = columns.shown(column)
    common = [v for v, n in shown.items() if n >= LEAST_CLASS]
    return 2 <= len(common) and len(shown) <= MOST_CLASSES and len(common) * 2 >= len(shown)


def _number(text):
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if abs(value) < float("inf") else None
