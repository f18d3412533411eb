"""What the stage audit found out: the brain's share, the bottleneck, ceilings, sets, dimensions."""

import numpy as np

from neurodecode.report.artifacts import ALL, coverage, document, table, unit
from neurodecode.report.figures import bottleneck_curve, coverage_curve, recovery_curve
from neurodecode.report.page import render
from neurodecode.report.tables import legend, panes, plain_table
from neurodecode.report.words import (
    condition_colours,
    condition_label,
    family_place,
    interval,
    metric_label,
    number,
)

LONG = 12  # rows of a table that are shown at once; more stand in tabs by subject
SHARE = (
    "(decoder − prior only) / (ceiling − prior only): 0 is what a generator shows without any "
    "brain, 1 what embedding and generator allow. No value where the ceiling is not above the "
    "prior."
)
BOTTLENECK = (
    "Score of a decoder that is let see only so many dimensions of the brain, by the number of "
    "dimensions; band: {coverage} bootstrap interval over {unit}; dashed: chance; dotted: the knee "
    "and its interval; “all”: the untouched brain. A curve that is flat after few dimensions needs "
    "little of the brain."
)
NARROWED = {  # scores of the bottleneck
    "correlation": "correlation with the true embedding",
    "two_way": "two-way identification",
    "top1": "top 1 among the test pictures",
}
RECOVERY = (
    "Correlation over test pictures of predicted and true embedding, for each of its dimensions: "
    "principal components of the training pictures, the widest first. Marks: one dimension; lines: "
    "their running mean; dashed: what the best dimension of a shuffled order stays below, 95 % of "
    "the time. A dimension above its line is recovered."
)
SETS = (
    "For each test picture, a set of candidates that should hold the true one as often as the "
    "level says; calibrated on validation pictures. Fewer candidates are surer."
)
SETS_CURVES = (
    "Left: how often they hold it (the diagonal is what is promised). Right: how many candidates "
    "that takes."
)
CEILINGS = (
    "What the repeats of a picture allow. Response: the share of its variance that comes back, of "
    "all channels and of each region. Decoding: the correlation of embeddings that these trials "
    "allow, and the one that this decoder would reach without trial noise."
)
COLLAPSE = (
    "Effective rank of true and predicted embeddings of the test pictures, and the share of their "
    "energy outside of what the training pictures span. A linear decoder can predict nothing there."
)
NAMES = {
    "n_train": "training pictures",
    "dim": "dimensions",
    "rank_truth": "rank, true",
    "rank_predicted": "rank, predicted",
    "out_of_span_truth": "out of span, true",
    "out_of_span_predicted": "out of span, predicted",
    "n_repeats": "repeats",
    "n_cal": "calibrated on",
    "n_candidates": "candidates",
    "mean_size": "mean size",
}


def brain_share(study):
    """What the score owes to the brain, and how much of the brain it needs."""
    return _joined(_attributable(study), bottleneck(study), "How much of the brain it needs")


def ceilings(study):
    """What can be reached: noise ceilings, and the dimensions that predictions can use."""
    return _joined(_ceilings(study), _collapse(study), "Dimensions")


def _ceilings(study):
    """Noise ceilings, what each is of in words."""
    found = table(study.inputs, "audit", "ceilings.tsv")
    if found is None or not len(found):
        return None
    of_responses = found["kind"] == "response"
    named = found["roi"].replace({"all": "all channels"})
    told = found.assign(
        roi=named.where(of_responses, found["roi"].map(condition_label)),
        kind=found["kind"].replace({"noise-free": "decoding, no trial noise"}),
        n_repeats=found["n_repeats"].map(lambda n: "∞" if n == np.inf else f"{n:g}"),
    )
    return _plain(study, "ceilings", found, CEILINGS, told.rename(columns={"roi": "of"}))


def _joined(first, second, title):
    """Two parts of a section, the second under a heading of its own."""
    from markupsafe import Markup, escape

    heading = Markup("<h3>{}</h3>").format(title)
    if not (first and second):
        return first or second
    return escape(first) + heading + escape(second)


def _attributable(study):
    """The brain-attributable score of each metric, a tab per subject."""
    found = table(study.inputs, "audit", "attributable.tsv")
    if found is None or not len(found):
        return None
    heads = ["metric", "brain-attributable", "interval", "n", "decoder", "prior only", "ceiling"]
    tabs = [
        {"name": s, "heads": heads, "rows": _shares(found[found["subject"] == s])}
        for s in panes(found)
    ]
    about = {"text": SHARE, "files": [study.table("attributable", found)]}
    return render("tabs.html.j2", name="attributable", tabs=tabs, **about)


def _shares(rows):
    order = rows["metric"].map(family_place).sort_values(kind="stable").index
    return [
        [metric_label(r.metric, r.set_size), number(r.value, 2), interval(r.lo, r.hi),
         number(r.n), number(r.model, 2), number(r.prior_only, 2), number(r.ceiling, 2)]
        for r in rows.loc[order].itertuples()
    ]  # fmt: skip


def bottleneck(study):
    """The score by the number of brain dimensions let through: metrics below, subjects beside."""
    found = table(study.inputs, "audit", "bottleneck.tsv")
    if found is None or not len(found):
        return None
    knees = document(study.inputs, "audit", "bottleneck.json") or {}
    groups = [
        {"title": NARROWED.get(m) or metric_label(m), "figures": _narrowed(study, m, rows, knees)}
        for m, rows in found.groupby("metric", sort=False)
    ]
    heads = ["subject", "decoder", "knee", "interval", "score with the whole brain", "chance", "n"]
    rows = [
        [s, condition_label(d), number(k.get("knee"), 1), interval(k.get("lo"), k.get("hi"), 1),
         number(k.get("full"), 2), number(one["chance"], 2), number(one["n"])]
        for s in panes(found)
        for d, k in knees.get(s, {}).items()
        for one in [_of(found, s, k.get("metric")).iloc[0]]
    ]  # fmt: skip
    text = BOTTLENECK.format(coverage=coverage(study.inputs), unit=unit(study.inputs)[0])
    about = {
        "text": text,
        "heads": heads,
        "rows": rows,
        "files": [study.table("bottleneck", found)],
    }
    keys = legend(condition_colours(list(found["decoder"].unique())))
    return render("narrowed.html.j2", groups=groups, legend=keys, **about)


def _narrowed(study, metric, rows, knees):
    """The panels of one metric, a subject each, on one scale."""
    ends = rows[["lo", "hi", "chance"]].to_numpy()
    pad = 0.05 * (np.nanmax(ends) - np.nanmin(ends))
    limits = float(np.nanmin(ends) - pad), float(np.nanmax(ends) + pad)
    figures = []
    for subject in panes(rows):
        own = {d: k for d, k in knees.get(subject, {}).items() if k.get("metric", metric) == metric}
        figure = bottleneck_curve(rows[rows["subject"] == subject], own, limits)
        who = "all subjects" if subject == ALL else subject
        alt = f"{who}: {NARROWED.get(metric) or metric_label(metric)} by brain dimensions"
        kept = study.figure(f"bottleneck_{subject}_{metric}", figure)
        figures.append(kept | {"title": who, "alt": alt})
    return figures


def _of(found, subject, metric):
    """Rows of a subject, of this metric if it is named."""
    mine = found[found["subject"] == subject]
    return mine[mine["metric"] == metric] if metric in set(mine["metric"]) else mine


def recovery(study):
    """Which dimensions of the embedding are predicted, a panel per subject."""
    found = table(study.inputs, "audit", "recovery.tsv")
    if found is None or not len(found):
        return None
    figures = []
    for subject, rows in found.groupby("subject", sort=False):
        kept = study.figure(f"recovery_{subject}", recovery_curve(rows))
        figures.append(kept | {"title": subject, "alt": f"{subject}: recovery by dimension"})
    heads = ["subject", "decoder", "recovered", "of", "their share of variance", "threshold", "n"]
    rows = [
        [subject, condition_label(name), number(int(_true(own["recovered"]).sum())),
         number(len(own)), number(own.loc[_true(own["recovered"]), "share"].sum(), 2),
         number(own["threshold"].iloc[0], 2), number(_n_tested(study, subject))]
        for (subject, name), own in found.groupby(["subject", "condition"], sort=False)
    ]  # fmt: skip
    about = {"text": RECOVERY, "heads": heads, "rows": rows}
    files = [study.table("recovery", found)]
    return render("curves.html.j2", figures=figures, layout="panels", files=files, **about)


def _true(column):
    return column.astype(str) == "True"


def _n_tested(study, subject):
    rows = table(study.inputs, "predict", "rows.tsv", subject)
    return float("nan") if rows is None else rows["stimulus_id"].nunique()


def sets(study):
    """Coverage and size of the candidate sets, and how many rows look like the prior's own."""
    found = table(study.inputs, "audit", "conformal.tsv")
    if found is None or not len(found):
        return None
    import pandas as pd

    shown = pd.concat(found[found["subject"] == subject] for subject in panes(found))
    several = found["level"].nunique() > 1  # of one level the table says all
    figures = [
        study.figure(f"sets_{name}", coverage_curve(shown, name)) | {"title": title, "alt": title}
        for name, title in (("coverage", "coverage by level"), ("mean_size", "set size by level"))
        if several
    ]
    heads, rows = _table(shown)
    files = [study.table("candidate_sets", found)]
    text = " ".join(filter(None, [SETS, SETS_CURVES * several, _abstained(study)]))
    about = {"text": text, "heads": heads, "rows": rows, "files": files}
    return render("curves.html.j2", figures=figures, layout="panels", **about)


def _abstained(study):
    rows = table(study.inputs, "audit", "rows.parquet")
    if rows is None or "abstain" not in rows:
        return ""
    counts = rows.groupby("subject", sort=False)["abstain"].agg(["sum", "size"])
    each = ", ".join(f"{s} {int(n)} of {size}" for s, (n, size) in counts.iterrows())
    return (
        "Where a picture's samples cannot be told from those of the prior, the report abstains: "
        f"{each}."
    )


def _collapse(study):
    """Whether predictions use as many dimensions as the truth does."""
    found = table(study.inputs, "audit", "collapse.tsv")
    if found is None or not len(found):
        return None
    told = found.assign(
        condition=found["condition"].map(condition_label),
        collapsed=found["collapsed"].map(lambda c: "yes" if str(c) == "True" else "no"),
    )
    return _plain(study, "collapse", found, COLLAPSE, told)


def _plain(study, name, found, text, told):
    """What is `told` of a table, in tabs by subject where it is long, and the table as a file."""
    files = [study.table(name, found)]
    subjects = panes(told)
    if len(told) <= LONG or len(subjects) < 2:
        heads, rows = _table(told)
        return render("table.html.j2", heads=heads, rows=rows, text=text, files=files)
    tabs = []
    for subject in subjects:
        heads, rows = _table(told[told["subject"] == subject].drop(columns="subject"))
        tabs.append({"name": subject, "heads": heads, "rows": rows})
    return render("tabs.html.j2", name=name, tabs=tabs, text=text, files=files)


def _table(found):
    """A table in print, the ends of an interval as one column."""
    if {"lo", "hi"} <= set(found.columns):
        place = list(found.columns).index("lo")
        ends = [interval(lo, hi) for lo, hi in zip(found["lo"], found["hi"], strict=True)]
        found = found.drop(columns=["lo", "hi"])
        found.insert(place, "interval", ends)
    return plain_table(found, {c: NAMES.get(c, c.replace("_", " ")) for c in found.columns})
