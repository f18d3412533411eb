"""The tables of several runs: mean, spread between runs, and intervals over subjects."""

from neurodecode.report.intervals import axis_for, axis_ticks, interval_plot, symmetric_axis
from neurodecode.report.tables import families, legend
from neurodecode.report.words import (
    condition_label,
    interval,
    metric_label,
    metric_words,
    number,
    signed,
)


def score_table(group, palette):
    """The whole-set scores of a group: a line per metric, a column per condition.

    Parameters
    ----------
    group : neurodecode.report.group.Group
    palette : dict
        Condition -> colour.

    Returns
    -------
    table : dict
        As of :func:`neurodecode.report.tables.score_table`; bars are the range over runs.
    """
    names, groups = list(group.kinds), []
    scores = group.scores[_largest(group.scores)]
    for family, rows in families(scores):
        axis = axis_for(rows[["mean", "least", "most", "lo", "hi", "chance"]].to_numpy().ravel())
        lines = [
            _score_line(line, names, palette, axis)
            for _, line in rows.groupby(["metric", "space"], sort=False)
        ]
        groups.append({"title": family, "ticks": axis_ticks(axis), "rows": lines})
    return {"conditions": _heads(names, palette), "groups": groups}


def _largest(scores):
    size = scores["set_size"].fillna(-1)
    return size == size.groupby(scores["metric"]).transform("max")


def _heads(names, palette, word=""):
    return legend({name: palette[name] for name in names}, word)


def _score_line(rows, names, palette, axis):
    first = rows.iloc[0]
    by_name = {r.condition: r for r in rows.itertuples()}
    label = metric_label(first["metric"], first["set_size"])
    marks = [(n, by_name[n].mean, *_ends(by_name[n]), palette[n]) for n in names if n in by_name]
    levels = [rows["chance_least"].min(), rows["chance_most"].max()]
    digits = 3 if 0 < first["chance"] < 0.1 else 2
    shown = [number(level, digits) for level in levels]
    return {
        "label": label,
        "meaning": metric_words(first["metric"])[2],
        "lower": first["better"] == "lower",
        "plot": interval_plot(marks, axis, chance=first["chance"], what=f"{label}, over runs"),
        "chance": shown[0] if shown[0] == shown[1] else " to ".join(shown),
        "n": number(rows["n"].min()),
        "cells": [_score_cell(by_name.get(name)) for name in names],
    }


def _ends(row):
    """What a bar spans: the range over runs, or the interval of a single one."""
    return (row.least, row.most) if row.n_runs > 1 else (row.lo, row.hi)


def _score_cell(row):
    if row is None:
        return {"value": "–", "interval": "", "p": ""}
    spread = f"SD {number(row.sd, 2)} {interval(row.least, row.most)}"
    lines = [spread if row.n_runs > 1 else interval(row.lo, row.hi)]
    lines += _over_subjects(row, number)
    return {"value": number(row.mean, 2), "interval": "\n".join(lines), "p": ""}


def _over_subjects(row, show):
    """The interval over subjects, with their mean where runs of unequal size make it another."""
    if row.subjects_lo != row.subjects_lo:
        return []
    own, all_runs = show(row.subjects_mean, 2), show(row.mean, 2)
    mean = "" if own == all_runs else f"{own} "
    return [f"{row.n_subjects} subj. {mean}{interval(row.subjects_lo, row.subjects_hi)}"]


def every_score(group):
    """Every pooled score with each run's own value and interval: heads, rows."""
    own, key = group.metrics[group.metrics["own"]], _score_key
    cells = {
        (*key(r), r.run): _unbroken(f"{number(r.value, 3)} {interval(r.lo, r.hi)}")
        for r in own.itertuples()
    }
    heads = ["metric", "condition", *group.runs, "mean", "SD", "range", "over subjects"]
    heads += ["subjects", "chance"]
    rows = []
    for r in group.scores.itertuples():
        chance = [number(c, 3) for c in (r.chance_least, r.chance_most)]
        rows.append(
            [metric_label(r.metric, r.set_size), condition_label(r.condition)]
            + [cells.get((*key(r), run), "–") for run in group.runs]
            + [number(r.mean, 3), number(r.sd, 3), _unbroken(interval(r.least, r.most, 3))]
            + [_over(r), number(r.n_subjects)]
            + [chance[0] if chance[0] == chance[1] else " to ".join(chance)]
        )
    return heads, rows


def _over(row, show=number):
    bounds = interval(row.subjects_lo, row.subjects_hi, 3)
    return _unbroken(f"{show(row.subjects_mean, 3)} {bounds}") if bounds else "–"


def _unbroken(text):
    """Keep a value and its interval on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _score_key(row):
    size = int(row.set_size) if row.set_size == row.set_size else -1
    return row.metric, row.space, size, row.condition


def difference_table(group, palette):
    """The paired differences of a group: a line per metric, a column per opponent; see above."""
    names, groups = list(group.differences["b"].unique()), []
    for family, rows in families(group.differences):
        axis = symmetric_axis(rows[["mean", "least", "most", "lo", "hi"]].to_numpy().ravel())
        lines = [
            _difference_line(group, line, names, palette, axis)
            for _, line in rows.groupby(["metric", "space"], sort=False)
        ]
        groups.append({"title": family, "ticks": axis_ticks(axis), "rows": lines})
    return {"conditions": _heads(names, palette, "minus "), "groups": groups}


def _difference_line(group, rows, names, palette, axis):
    first, by_name = rows.iloc[0], {r.b: r for r in rows.itertuples()}
    scores = group.scores[group.scores["metric"] == first["metric"]]
    label = metric_label(first["metric"], scores["set_size"].max())
    marks = [(r.b, r.mean, *_ends(r), palette[r.b]) for r in rows.itertuples()]
    return {
        "label": label,
        "meaning": metric_words(first["metric"])[2],
        "lower": False,
        "plot": interval_plot(marks, axis, zero=True, what=f"{label}, decoder minus"),
        "n": number(scores["n"].min()),
        "cells": [_difference_cell(by_name.get(name)) for name in names],
    }


def _difference_cell(row):
    if row is None:
        return {"value": "–", "interval": "", "p": "", "winner": ""}
    winner = "a" if row.runs_a == row.n_runs else "b" if row.runs_b == row.n_runs else ""
    behind = f" (behind in {row.runs_b})" if row.runs_b else ""
    lines = [f"{row.runs_a} of {row.n_runs} runs{behind}"]
    if row.n_subjects:
        lines[0] += f", {row.subjects_a} of {row.n_subjects} subjects"
    lines += _over_subjects(row, signed)
    return {"value": signed(row.mean), "interval": "\n".join(lines), "p": "", "winner": winner}


def every_difference(group):
    """Every pooled difference with each run's own one and its interval: heads, rows."""
    own = group.compared[group.compared["own"]]
    cell = lambda r: _unbroken(f"{signed(r.difference, 3)} {interval(r.lo, r.hi)}")
    cells = {(r.metric, r.space, r.a, r.b, r.run): cell(r) for r in own.itertuples()}
    heads = ["metric", "minus", *group.runs, "mean", "SD", "range", "over subjects"]
    heads += ["decoder ahead", "other ahead", "subjects ahead"]
    rows = []
    for r in group.differences.itertuples():
        key = (r.metric, r.space, r.a, r.b)
        rows.append(
            [metric_label(r.metric), condition_label(r.b)]
            + [cells.get((*key, run), "–") for run in group.runs]
            + [signed(r.mean, 3), number(r.sd, 3)]
            + [_unbroken(interval(r.least, r.most, 3)), _over(r, signed)]
            + [f"{r.runs_a} of {r.n_runs}", f"{r.runs_b} of {r.n_runs}"]
            + [f"{r.subjects_a} of {r.n_subjects}"]
        )
    return heads, rows
