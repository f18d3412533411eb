"""Tables of scores and of differences, ready for the page: labels, numbers and small plots."""

from itertools import groupby

from neurodecode.report.artifacts import ALL
from neurodecode.report.intervals import (
    axis_for,
    axis_ticks,
    interval_plot,
    marker_icon,
    symmetric_axis,
)
from neurodecode.report.words import (
    FAMILIES,
    condition_label,
    family_place,
    interval,
    metric_label,
    metric_words,
    number,
    p_value,
    signed,
)

KINDS = {  # of conditions, in the order of columns
    "model": "decoder",
    "baseline": "baselines",
    "control": "controls",
    "reference": "references",
    "ceiling": "ceiling",
}
CORRECTED = {"p_max": "p, max-T", "q": "q, FDR"}  # columns of corrected p-values, and their heads


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
        conditions as of :func:`legend`, those of a kind together; spans [(kind, how many)];
        groups [{title, ticks, rows}], each row with label, plot, chance, ceiling, n and one cell
        {value, interval, p} per condition.
    """
    mine = metrics[metrics["subject"] == subject]
    kinds = dict(zip(mine["condition"], mine["kind"], strict=True))
    names = sorted(kinds, key=lambda name: _kind_place(kinds[name]))
    groups = []
    for family, rows in families(mine):
        axis = axis_for(rows[["value", "lo", "hi", "chance"]].to_numpy().ravel())
        lines = [
            _score_line(line, names, colours, axis)
            for _, same in rows.groupby("metric", sort=False)
            for _, line in same.groupby(-same["set_size"].fillna(-1))
        ]
        groups.append({"title": family, "ticks": axis_ticks(axis), "rows": lines})
    spans = [(KINDS.get(k, k), sum(1 for _ in same)) for k, same in groupby(names, kinds.get)]
    return {"conditions": _heads(names, colours), "groups": groups, "spans": spans}


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
    for family, rows in families(mine):
        axis = symmetric_axis(rows[["lo", "hi", "difference"]].to_numpy().ravel())
        lines = [
            _comparison_line(metric, line, names, colours, axis, sizes.get(metric))
            for metric, line in rows.groupby("metric", sort=False)
        ]
        groups.append({"title": family, "ticks": axis_ticks(axis), "rows": lines})
    return {"conditions": _heads(names, colours, "minus "), "groups": groups}


def families(rows):
    """Rows of a table of metrics by family, in the order of all tables: (family, rows) each."""
    places = rows["metric"].map(family_place)
    return [(FAMILIES[place], same) for place, same in rows.groupby(places)]


def every_number(metrics):
    """Every row of metrics.tsv in print: the table behind the tables.

    Returns
    -------
    heads, rows : list of str, list of list of str
    """
    heads = ["subject", "condition", "kind", "metric", "value", "interval", "n", "chance"]
    heads += ["ceiling", "p"]
    corrected = [column for column in CORRECTED if column in metrics]
    levels = ceilings(metrics)
    rows = [
        [
            r.subject,
            condition_label(r.condition),
            r.kind,
            metric_label(r.metric, r.set_size),
            number(r.value, 3),
            interval(r.lo, r.hi, 3),
            number(r.n),
            number(r.chance, 3),
            number(levels.get(_which(r), r.ceiling), 3),
            p_value(r.p),
            *(p_value(getattr(r, column)) for column in corrected),
        ]
        for r in metrics.itertuples()
    ]
    return heads + [CORRECTED[column] for column in corrected], rows


def ceilings(metrics):
    """The score of the condition that is a ceiling, by (subject, metric, set size)."""
    rows = metrics[metrics["kind"] == "ceiling"]
    return {_which(r): float(r.value) for r in rows.itertuples()}


def as_csv(table):
    """A table as the text of a CSV file: full precision, missing values empty."""
    return table.to_csv(index=False, lineterminator="\n")


def _which(row):
    size = row.set_size
    return row.subject, row.metric, -1 if size is None or not size == size else size


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


def _kind_place(kind):
    return list(KINDS).index(kind) if kind in KINDS else len(KINDS)


def legend(colours, word=""):
    """Conditions as the heads of columns and the keys of figures show them.

    Parameters
    ----------
    colours : dict
        Condition -> colour.
    word : str
        Before each label.

    Returns
    -------
    legend : list of dict
        name, label, colour, and icon, an inline SVG.
    """
    return [
        {"name": n, "label": word + condition_label(n), "colour": c, "icon": marker_icon(n, c)}
        for n, c in colours.items()
    ]


def _heads(names, colours, word=""):
    return legend({name: colours[name] for name in names}, word)


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
        "ceiling": number(_ceiling(rows), 2),
        "n": number(rows["n"].max()),
        "cells": cells,
    }


def _ceiling(rows):
    """What could be reached: the score of the condition that is a ceiling, else the column's."""
    found = rows.loc[rows["kind"] == "ceiling", "value"]
    return float(found.iloc[0]) if len(found) else rows["ceiling"].max()


def _score_cell(row):
    if row is None:
        return {"value": "–", "interval": "", "p": ""}
    p = _p_words(row)
    return {"value": number(row.value, 2), "interval": interval(row.lo, row.hi), "p": p}


def _p_words(row):
    """The p-value corrected over the subject's family where there is one, else the single one."""
    corrected = getattr(row, "p_max", float("nan"))
    if corrected == corrected:
        return f"{p_value(corrected)} max"
    return "" if row.p != row.p else p_value(row.p)


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
