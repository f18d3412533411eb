"""The page of several runs: configurations side by side, seeds and subjects told apart."""

from dataclasses import dataclass

from neurodecode.report.artifacts import ALL
from neurodecode.report.figures import as_svg, group_scores
from neurodecode.report.group_tables import (
    difference_table,
    every_difference,
    every_score,
    score_table,
)
from neurodecode.report.page import TEMPLATES, Section, render, script
from neurodecode.report.pictures import svg_uri
from neurodecode.report.tables import legend
from neurodecode.report.words import (
    WITHOUT,
    condition_colours,
    condition_label,
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
        coverage=f"{100 * study.level:g} %",
        sections=[(section, html) for section, html in drawn if html],
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        script=script(),
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
        of_model = compared["a"].isin(_named(group, "model"))
        compared = compared[(compared["metric"] == metric) & of_model]
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
    many = any(group.replication in ("same", "mixed") for group in study.groups)
    note = (
        f"A dot and a {100 * study.level:g} % interval over {study.unit[0]} for each subject "
        "and run. "
    )
    note += "Large dots: the mean over a subject's runs, which has no interval of its own." * many
    keys = legend(palette)
    return render("group_glance.html.j2", groups=groups, legend=keys, note=note.strip())


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
        heads, rows = every_score(group)
        groups.append(
            {"label": group.label, "about": _about(group), "heads": heads, "rows": rows}
            | {"table": score_table(group, palette)}
            | {"summary": f"Every run's values, {len(rows)} rows"}
        )
    note = (
        "Mean over runs of each run's score over its subjects; bars and brackets: least and most "
        "of the runs; SD: between runs. They are spread, not confidence: each run's own interval "
        f"over {study.unit[0]} stands in the full table, and here where there is but one run. "
        f"n counts {study.unit[1]} of a run. " + _subject_words(study)
    )
    return render("group_tables.html.j2", groups=groups, note=note, chance=True)


def _subject_words(study):
    if not any(group.scores["subjects_lo"].notna().any() for group in study.groups):
        return "With fewer than eight distinct subjects these subjects only: listed, not pooled."
    return (
        f"“subj.”: Student's t interval ({study.level * 100:g} %) over distinct subjects, around "
        "their mean: it speaks of other people, tested as these were."
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


def _comparisons(study):
    palette, groups = _colours(study), []
    for group in study.groups:
        if len(group.differences):
            heads, rows = every_difference(group)
            groups.append(
                {"label": group.label, "about": "", "heads": heads, "rows": rows}
                | {"table": difference_table(group, palette)}
                | {"summary": f"Every run's differences, {len(rows)} rows"}
            )
    if not groups:
        return None
    note = (
        f"Score of the decoder minus score of the named row on the same {study.unit[1]}: mean over "
        "runs; bars: least and most of the runs, or the interval of a single one. Below: in how "
        f"many runs and subjects the {100 * study.level:g} % interval over {study.unit[0]} "
        "excludes zero in favour of the decoder (a subject counts if it does in every run that it "
        "is in). Blue: in all runs the decoder is ahead. Orange: in all runs the other is. Grey: "
        "neither."
    )
    return render("group_tables.html.j2", groups=groups, note=note, chance=False)
