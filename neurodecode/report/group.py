"""The page of several runs: configurations side by side, seeds and subjects told apart."""

from dataclasses import dataclass, field

from neurodecode.report.artifacts import ALL
from neurodecode.report.figures import as_svg, group_scores
from neurodecode.report.intervals import axis_for, axis_ticks, interval_plot, symmetric_axis
from neurodecode.report.page import TEMPLATES, Section, render
from neurodecode.report.pictures import svg_uri
from neurodecode.report.words import (
    WITHOUT,
    condition_colours,
    condition_label,
    interval,
    metric_label,
    metric_words,
    number,
    signed,
)

GLANCE = 4  # metrics drawn
REPLICATION = {  # what several runs of one configuration are evidence of
    "one": "One run: there is no spread to show.",
    "same": (
        "All runs read the same recordings and differ by their seed. They tell how much chance in "
        "training and drawing matters; they are not independent evidence, and no interval is "
        "narrowed by their number."
    ),
    "disjoint": (
        "No two runs share a subject's recordings: the spread between runs is also one between "
        "subjects, or between simulated studies."
    ),
    "mixed": (
        "Some runs share recordings, others do not: a subject met in several runs is averaged over "
        "them before subjects are pooled."
    ),
}


@dataclass(frozen=True)
class Group:
    """The runs of one configuration.

    Parameters
    ----------
    label : str
        "" where all runs have the same configuration.
    runs : list of str
        Their labels, in order.
    replication : {"one", "same", "disjoint", "mixed"}
    n_subjects : int
        Distinct ones.
    n_splits : int
        Different test sets among the runs.
    metrics, compared : DataFrame
        Lines of all runs with columns run, label (of the subject), who, winner (of `compared`).
    scores, differences : DataFrame
        Pooled lines.
    kinds : dict
        Condition -> model, baseline, control or ceiling.
    """

    label: str
    runs: list
    replication: str
    n_subjects: int
    n_splits: int
    metrics: object
    compared: object
    scores: object
    differences: object
    kinds: dict


@dataclass(frozen=True)
class GroupStudy:
    """What the page is drawn from.

    Parameters
    ----------
    title : str
    members : list of dict
        Every run: its cells of the table of runs, head -> text.
    problems : list of str
        What is missing, a sentence each; empty: the report is complete.
    notes : list of str
        What a reader must know of the runs together.
    varying : list of dict
        Keys of the configuration in which runs differ, with each run's value.
    groups : list of Group
    unit : (str, str)
        What intervals draw again, and what n counts.
    level : float
        Coverage of the intervals over subjects.
    """

    title: str
    members: list
    problems: list
    notes: list
    varying: list
    groups: list
    unit: tuple = ("test stimuli", "test stimuli")
    level: float = 0.95
    metric: str = field(default="")


def group_page(study):
    """Render the page.

    Parameters
    ----------
    study : GroupStudy

    Returns
    -------
    html : str
        Self-contained: no request leaves it.
    """
    sections = [
        Section("Runs", "The runs", _runs),
        Section("Glance", "Scores at a glance, subject by subject", _glance),
        Section("Scores", "Scores over runs", _scores),
        Section("Comparisons", "Paired comparisons over runs", _comparisons),
    ]
    drawn = [(section, section.draw(study)) for section in sections]
    return render(
        "page.html.j2",
        kicker="neurodecode group report",
        title=study.title,
        notices=study.problems,
        headline=verdict(study),
        unit=study.unit,
        sections=[(section, html) for section, html in drawn if html],
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        n_panes=1,
    )


def verdict(study):
    """Say in plain words what the runs show together.

    Returns
    -------
    verdict : dict
        lead, rivals (further sentences), metric (what it is judged by), elsewhere (""), sentence.
    """
    told = [_verdict_of(group) for group in study.groups]
    if len(told) == 1:
        lead, *rivals = told[0]
    else:
        lead = f"{len(told)} configurations side by side, none pooled with another."
        rivals = [
            f"{group.label}: {' '.join(sentences)}"
            for group, sentences in zip(study.groups, told, strict=True)
        ]
    metric, size = _headline_metric(study.groups[0])
    return {
        "lead": lead,
        "rivals": rivals,
        "sentence": " ".join([lead, *rivals]),
        "metric": metric_label(metric, size),
        "elsewhere": "",
    }


def _verdict_of(group):
    metric, size = _headline_metric(group)
    lines = [_against_controls(group, metric), _score_sentence(group, metric, size)]
    for name in _named(group, "baseline"):
        rows = group.differences
        rows = rows[(rows["metric"] == metric) & (rows["b"] == name)] if len(rows) else rows
        lines += [_against_baseline(row, name) for row in rows.itertuples()]
    return [line for line in lines if line]


def _headline_metric(group):
    rows = group.differences if len(group.differences) else group.scores
    metric = rows["metric"].iloc[0]
    sizes = group.scores.loc[group.scores["metric"] == metric, "set_size"]
    return metric, sizes.max()


def _named(group, kind):
    return [name for name, k in group.kinds.items() if k == kind]


def _against_controls(group, metric):
    compared = group.compared
    if len(compared):
        compared = compared[(compared["metric"] == metric) & (compared["a"] == "model")]
    names = [b for b in _named(group, "control") if len(compared) and b in set(compared["b"])]
    if not names:
        return "No control was compared: these numbers do not show that the brain was read."
    compared = compared[compared["b"].isin(names)]
    won = compared.assign(won=compared["winner"] == "a")
    runs = won[won["own"]].groupby("run", sort=False)["won"].all()
    people = won[won["subject"] != ALL].groupby("who", sort=False)["won"].all()
    beaten = " and ".join(WITHOUT.get(n, condition_label(n)) for n in names)
    where = f"In {runs.sum()} of {len(runs)} run{'s' if len(runs) > 1 else ''}"
    whom = f", and in {people.sum()} of {len(people)} subjects" if len(people) > 1 else ""
    return f"{where}{whom}, the decoder beats {beaten}."


def _score_sentence(group, metric, size):
    rows = group.scores[group.scores["metric"] == metric]
    rows = rows[rows["set_size"].fillna(-1) == (size if size == size else -1)]
    by_name = {row.condition: row for row in rows.itertuples()}
    model = [n for n in _named(group, "model") if n in by_name]
    if not model:
        return ""
    row = by_name[model[0]]
    others = [
        f"{WITHOUT.get(n, condition_label(n))} {number(by_name[n].mean, 2)}"
        for n in _named(group, "control")
        if n in by_name
    ]
    label = metric_label(metric, size)
    spread = f" ± {number(row.sd, 2)} (SD over {row.n_runs} runs)" if row.n_runs > 1 else ""
    beside = ", ".join([f"chance {number(row.chance, 3)}", *others])
    return f"{label[0].upper()}{label[1:]}: {number(row.mean, 2)}{spread}; {beside}."


def _against_baseline(row, name):
    spread = f" ± {number(row.sd, 2)}" if row.n_runs > 1 else ""
    return (
        f"Against {condition_label(name)}: {signed(row.mean)}{spread}; ahead in {row.runs_a} of "
        f"{row.n_runs} run{'s' if row.n_runs > 1 else ''}, behind in {row.runs_b}."
    )


def _runs(study):
    heads = list(study.members[0])
    return render(
        "group_runs.html.j2",
        sentences=study.notes,
        heads=heads,
        rows=[list(member.values()) for member in study.members],
        varying_heads=list(study.varying[0]) if study.varying else [],
        varying=[list(line.values()) for line in study.varying],
    )


def _colours(study):
    return condition_colours(list(dict.fromkeys(n for g in study.groups for n in g.kinds)))


def _glance(study):
    palette = _colours(study)
    groups = [
        {"label": group.label, "panels": [_panel(group, *m, palette) for m in _glance_of(group)]}
        for group in study.groups
    ]
    many = any(g.metrics.groupby("who")["run"].nunique().max() > 1 for g in study.groups)
    note = f"A dot and a 95 % interval over {study.unit[0]} for each subject and run. "
    note += "Large dots: the mean over a subject's runs, which has no interval of its own." * many
    legend = [{"label": condition_label(n), "colour": c} for n, c in palette.items()]
    return render("group_glance.html.j2", groups=groups, legend=legend, note=note.strip())


def _glance_of(group):
    """One metric of each family, a compared one if there is one, each at its largest set."""
    names = [*(group.differences["metric"].unique() if len(group.differences) else ())]
    names += list(group.scores["metric"].unique())
    first = {}
    for name in names:
        first.setdefault(metric_words(name)[1], name)
    sizes = group.scores["set_size"].fillna(-1).groupby(group.scores["metric"]).max()
    return [(name, sizes[name]) for family, name in first.items() if family != "rank"][:GLANCE]


def _panel(group, metric, size, palette):
    rows = group.metrics[group.metrics["metric"] == metric]
    rows = rows[rows["set_size"].fillna(-1) == size]
    rows = rows[rows["subject"] != ALL] if set(rows["subject"]) != {ALL} else rows
    svg = svg_uri(as_svg(group_scores(rows, list(rows["label"].unique()), palette)))
    label = metric_label(metric, size if size >= 0 else None)
    return {"title": label, "svg": svg, "meaning": metric_words(metric)[2]}


def _scores(study):
    palette = _colours(study)
    groups = []
    for group in study.groups:
        heads, rows = _every_score(group)
        groups.append(
            {"label": group.label, "about": _about(group), "heads": heads, "rows": rows}
            | {"table": _score_table(group, palette)}
            | {"summary": f"Every run's values, {len(rows)} rows"}
        )
    note = (
        "Mean over runs of each run's score over its subjects; bars and brackets: least and most "
        "of the runs; SD: between runs. They are spread, not confidence: each run's own interval "
        f"over {study.unit[0]} stands in the full table. n counts {study.unit[1]} of a run. "
        + _subject_words(study)
    )
    return render("group_tables.html.j2", groups=groups, note=note, chance=True)


def _subject_words(study):
    if not any(group.scores["subjects_lo"].notna().any() for group in study.groups):
        return "With fewer than three distinct subjects these are listed, not pooled."
    return (
        f"“Subjects”: mean over distinct subjects with Student's t interval ({study.level:.0%}), "
        "which speaks of other people seeing these stimuli."
    )


def _about(group):
    n = len(group.runs)
    text = f"{n} run{'s' if n > 1 else ''} ({', '.join(group.runs)}), "
    text += f"{group.n_subjects} distinct subject{'s' if group.n_subjects > 1 else ''}. "
    text += REPLICATION[group.replication]
    if group.n_splits > 1:
        text += f" Their test sets differ: {group.n_splits} different splits."
    if not _named(group, "control"):
        text += " No control was scored."
    return text


def _score_table(group, palette):
    """The whole-set scores: a line per metric, a column per condition (see `plotted`)."""
    names, groups = list(group.kinds), []
    scores = group.scores[_largest(group.scores)]
    for family, rows in scores.groupby(_family(scores), sort=False):
        ends = rows[["mean", "least", "most", "chance"]].to_numpy().ravel()
        axis = axis_for(ends)
        lines = [
            _score_line(line, names, palette, axis)
            for _, line in rows.groupby(["metric", "space"], sort=False)
        ]
        groups.append({"title": family, "ticks": axis_ticks(axis), "rows": lines})
    return {"conditions": _heads(names, palette), "groups": groups}


def _largest(scores):
    size = scores["set_size"].fillna(-1)
    return size == size.groupby(scores["metric"]).transform("max")


def _family(rows):
    return rows["metric"].map(lambda m: metric_words(m)[1])


def _heads(names, palette, word=""):
    return [{"name": n, "label": word + condition_label(n), "colour": palette[n]} for n in names]


def _score_line(rows, names, palette, axis):
    first = rows.iloc[0]
    by_name = {r.condition: r for r in rows.itertuples()}
    label = metric_label(first["metric"], first["set_size"])
    marks = [
        (n, by_name[n].mean, by_name[n].least, by_name[n].most, palette[n])
        for n in names
        if n in by_name
    ]
    levels = [rows["chance_least"].min(), rows["chance_most"].max()]
    digits = 3 if 0 < first["chance"] < 0.1 else 2
    ends = [number(level, digits) for level in levels]
    return {
        "label": label,
        "meaning": metric_words(first["metric"])[2],
        "lower": first["better"] == "lower",
        "plot": interval_plot(marks, axis, chance=first["chance"], what=f"{label}, over runs"),
        "chance": ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}",
        "n": number(rows["n"].min()),
        "cells": [_score_cell(by_name.get(name)) for name in names],
    }


def _score_cell(row):
    if row is None:
        return {"value": "–", "interval": "", "p": ""}
    lines = [f"SD {number(row.sd, 2)} {interval(row.least, row.most)}"] if row.n_runs > 1 else []
    if row.subjects_lo == row.subjects_lo:
        over = f"{number(row.subjects_mean, 2)} {interval(row.subjects_lo, row.subjects_hi)}"
        lines.append(f"subjects {over}")
    return {"value": number(row.mean, 2), "interval": "\n".join(lines), "p": ""}


def _every_score(group):
    """Every pooled line with each run's own value and interval."""
    own, key = group.metrics[group.metrics["own"]], _score_key
    cells = {
        (*key(r), r.run): f"{number(r.value, 3)} {interval(r.lo, r.hi)}" for r in own.itertuples()
    }
    heads = ["metric", "condition", *group.runs, "mean", "SD", "range", "over subjects"]
    heads += ["subjects", "chance"]
    rows = []
    for r in group.scores.itertuples():
        chance = [number(c, 3) for c in (r.chance_least, r.chance_most)]
        rows.append(
            [metric_label(r.metric, r.set_size), condition_label(r.condition)]
            + [cells.get((*key(r), run), "–") for run in group.runs]
            + [number(r.mean, 3), number(r.sd, 3), interval(r.least, r.most, 3)]
            + [_over(r), number(r.n_subjects)]
            + [chance[0] if chance[0] == chance[1] else " to ".join(chance)]
        )
    return heads, rows


def _over(row, show=number):
    bounds = interval(row.subjects_lo, row.subjects_hi, 3)
    return f"{show(row.subjects_mean, 3)} {bounds}" if bounds else "–"


def _score_key(row):
    size = int(row.set_size) if row.set_size == row.set_size else -1
    return row.metric, row.space, size, row.condition


def _comparisons(study):
    palette, groups = _colours(study), []
    for group in study.groups:
        if len(group.differences):
            heads, rows = _every_difference(group)
            groups.append(
                {"label": group.label, "about": "", "heads": heads, "rows": rows}
                | {"table": _difference_table(group, palette)}
                | {"summary": f"Every run's differences, {len(rows)} rows"}
            )
    if not groups:
        return None
    note = (
        f"Score of the decoder minus score of the named row on the same {study.unit[1]}: mean over "
        "runs; bars: least and most of the runs. Below: in how many runs and subjects the 95 % "
        f"interval over {study.unit[0]} excludes zero in favour of the decoder (a subject counts "
        "if it does in every run that the subject is in). Blue: in all runs the decoder is ahead. "
        "Orange: in all runs the other is. Grey: neither."
    )
    return render("group_tables.html.j2", groups=groups, note=note, chance=False)


def _difference_table(group, palette):
    names, groups = list(group.differences["b"].unique()), []
    for family, rows in group.differences.groupby(_family(group.differences), sort=False):
        axis = symmetric_axis(rows[["mean", "least", "most"]].to_numpy().ravel())
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
    marks = [(r.b, r.mean, r.least, r.most, palette[r.b]) for r in rows.itertuples()]
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
    lines = [f"{row.runs_a} of {row.n_runs} runs"]
    if row.n_subjects:
        lines[0] += f", {row.subjects_a} of {row.n_subjects} subjects"
    if row.subjects_lo == row.subjects_lo:
        bounds = interval(row.subjects_lo, row.subjects_hi)
        lines.append(f"subjects {signed(row.subjects_mean)} {bounds}")
    return {"value": signed(row.mean), "interval": "\n".join(lines), "p": "", "winner": winner}


def _every_difference(group):
    own = group.compared[group.compared["own"]]
    cells = {
        (r.metric, r.space, r.a, r.b, r.run): f"{signed(r.difference, 3)} {interval(r.lo, r.hi)}"
        for r in own.itertuples()
    }
    heads = ["metric", "minus", *group.runs, "mean", "SD", "range", "over subjects"]
    heads += ["decoder ahead", "other ahead", "subjects ahead"]
    rows = []
    for r in group.differences.itertuples():
        key = (r.metric, r.space, r.a, r.b)
        rows.append(
            [metric_label(r.metric), condition_label(r.b)]
            + [cells.get((*key, run), "–") for run in group.runs]
            + [signed(r.mean, 3), number(r.sd, 3), interval(r.least, r.most, 3), _over(r, signed)]
            + [f"{r.runs_a} of {r.n_runs}", f"{r.runs_b} of {r.n_runs}"]
            + [f"{r.subjects_a} of {r.n_subjects}"]
        )
    return heads, rows
