"""Tables of scores and of differences, ready for the page: labels, numbers and small plots."""

from neurodecode.report.artifacts import ALL
from neurodecode.report.intervals import axis_for, axis_ticks, interval_plot, symmetric_axis
from neurodecode.report.words import (
    condition_label,
    interval,
    metric_label,
    metric_words,
    number,
    p_value,
    signed,
)


def score_table(metrics, subject, colours):
    """One subject's scores: a line per metric and set size, a column per condition.

    Parameters
    ----------
    metrics : DataFrame
        metrics.tsv.
    subject : str
        Or "all" for the pooled rows.
    colours : dict
        Condition -> colour.

    Returns
    -------
    table : dict
        conditions [{name, label, colour}]; groups [{title, ticks, rows}], each row with label,
        plot, chance, n and one cell {value, interval, p} per condition.
    """
    mine = metrics[metrics["subject"] == subject]
    names = list(mine["condition"].unique())
    groups = []
    for family, rows in mine.groupby(mine["metric"].map(lambda m: metric_words(m)[1]), sort=False):
        axis = axis_for(rows[["value", "lo", "hi", "chance"]].to_numpy().ravel())
        lines = [
            _score_line(line, names, colours, axis)
            for _, same in rows.groupby("metric", sort=False)
            for _, line in same.groupby(-same["set_size"].fillna(-1))
        ]
        groups.append({"title": family, "ticks": axis_ticks(axis), "rows": lines})
    return {"conditions": _heads(names, colours), "groups": groups}


def comparison_table(compared, metrics, subject, colours):
    """One subject's paired differences: a line per metric, a column per opponent.

    Parameters
    ----------
    compared : DataFrame
        comparisons.tsv with a column `winner` (:func:`neurodecode.report.headline.with_wins`).
    metrics : DataFrame
        metrics.tsv, for set sizes.
    subject, colours
        As of :func:`score_table`.

    Returns
    -------
    table : dict
        As of :func:`score_table`, with cells {value, interval, p, winner}.
    """
    mine = compared[compared["subject"] == subject]
    names = list(mine["b"].unique())
    sizes = metrics.groupby("metric")["set_size"].max()
    groups = []
    for family, rows in mine.groupby(mine["metric"].map(lambda m: metric_words(m)[1]), sort=False):
        axis = symmetric_axis(rows[["lo", "hi", "difference"]].to_numpy().ravel())
        lines = [
            _comparison_line(metric, line, names, colours, axis, sizes.get(metric))
            for metric, line in rows.groupby("metric", sort=False)
        ]
        groups.append({"title": family, "ticks": axis_ticks(axis), "rows": lines})
    return {"conditions": _heads(names, colours, "minus "), "groups": groups}


def every_number(metrics):
    """Every row of metrics.tsv in print: the table behind the tables.

    Returns
    -------
    heads, rows : list of str, list of list of str
    """
    heads = ["subject", "condition", "metric", "value", "interval", "n", "chance", "p", "ceiling"]
    rows = [
        [
            r.subject,
            condition_label(r.condition),
            metric_label(r.metric, r.set_size),
            number(r.value, 3),
            interval(r.lo, r.hi, 3),
            number(r.n),
            number(r.chance, 3),
            p_value(r.p),
            number(r.ceiling, 3),
        ]
        for r in metrics.itertuples()
    ]
    return heads, rows


def plain_table(table, names=None):
    """Any table in print: column heads and formatted cells.

    Parameters
    ----------
    table : DataFrame
    names : dict, optional
        Column -> head, in the order to show; all columns by default.
    """
    names = names or {c: str(c).replace("_", " ") for c in table.columns}
    columns = [c for c in names if c in table.columns]
    rows = [[number(v) for v in row] for row in table[columns].itertuples(index=False)]
    return [names[c] for c in columns], rows


def panes(metrics):
    """The subjects of a table of scores, the pooled rows first if they pool more than one."""
    single = [s for s in metrics["subject"].unique() if s != ALL]
    pooled = [ALL] if ALL in set(metrics["subject"]) and len(single) != 1 else []
    return pooled + single


def _heads(names, colours, word=""):
    return [{"name": n, "label": word + condition_label(n), "colour": colours[n]} for n in names]


def _score_line(rows, names, colours, axis):
    first = rows.iloc[0]
    by_name = {r.condition: r for r in rows.itertuples()}
    label = metric_label(first["metric"], first["set_size"])
    present = [by_name[n] for n in names if n in by_name]
    marks = [(r.condition, r.value, r.lo, r.hi, colours[r.condition]) for r in present]
    cells = [_score_cell(by_name.get(name)) for name in names]
    return {
        "label": label,
        "meaning": metric_words(first["metric"])[2],
        "lower": first["better"] == "lower",
        "plot": interval_plot(marks, axis, chance=first["chance"], what=label),
        "chance": number(first["chance"], 3 if 0 < first["chance"] < 0.1 else 2),
        "n": number(rows["n"].max()),
        "cells": cells,
    }


def _score_cell(row):
    if row is None:
        return {"value": "–", "interval": "", "p": ""}
    p = "" if row.p != row.p else p_value(row.p)
    return {"value": number(row.value, 2), "interval": interval(row.lo, row.hi), "p": p}


def _comparison_line(metric, rows, names, colours, axis, set_size):
    by_name = {r.b: r for r in rows.itertuples()}
    label = metric_label(metric, set_size)
    marks = [(r.b, r.difference, r.lo, r.hi, colours[r.b]) for r in rows.itertuples()]
    return {
        "label": label,
        "meaning": metric_words(metric)[2],
        "lower": False,
        "plot": interval_plot(marks, axis, zero=True, what=f"{label}, decoder minus"),
        "n": number(rows["n"].max()),
        "cells": [_difference_cell(by_name.get(name)) for name in names],
    }


def _difference_cell(row):
    if row is None:
        return {"value": "–", "interval": "", "p": "", "winner": ""}
    return {
        "value": signed(row.difference),
        "interval": interval(row.lo, row.hi),
        "p": p_value(row.p) if row.p == row.p else "",
        "winner": row.winner,
    }
