"""What the stage audit found out: the brain's share, the bottleneck, ceilings, sets, dimensions."""

from neurodecode.report.artifacts import ALL, document, table
from neurodecode.report.figures import bottleneck_curve, coverage_curve, recovery_curve
from neurodecode.report.page import render
from neurodecode.report.tables import panes, plain_table
from neurodecode.report.words import condition_label, interval, metric_label, number

SHARE = (
    "(decoder − prior only) / (ceiling − prior only): 0 is what a generator shows without any "
    "brain, 1 what embedding and generator allow. No value where the ceiling is not above the "
    "prior."
)
BOTTLENECK = (
    "Score of a decoder that is let see only so many dimensions of the brain, by the number of "
    "dimensions; band: bootstrap interval, dashed: chance, dotted: the knee. A curve that is flat "
    "after few dimensions needs little of the brain."
)
RECOVERY = (
    "Correlation over test pictures of predicted and true embedding, for each of its dimensions: "
    "principal components of the pictures that are not in the test, the widest first. Dots: one "
    "dimension; lines: their running mean. Grey: where 95 % of correlations of nothing would lie."
)
SETS = (
    "For each test picture, a set of candidates that should hold the true one as often as the "
    "level says; calibrated on validation pictures. Left: how often it does (the diagonal is what "
    "is promised). Right: how many candidates that takes; fewer is surer."
)
CEILINGS = (
    "What the repeats of a picture allow: of a response, the share of its variance that comes "
    "back; of decoding, the score that a perfect decoder would reach on the same data."
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
    found = table(study.inputs, "audit", "ceilings.tsv")
    return _joined(_plain(study, "ceilings", found, CEILINGS), _collapse(study), "Dimensions")


def _joined(first, second, title):
    """Two parts of a section, the second under a heading of its own."""
    from markupsafe import Markup, escape

    heading = Markup("<h3>{}</h3>").format(title)
    if not (first and second):
        return first or second
    return escape(first) + heading + escape(second)


def _attributable(study):
    """The brain-attributable score of each metric and subject."""
    found = table(study.inputs, "audit", "attributable.tsv")
    if found is None or not len(found):
        return None
    heads = ["subject", "metric", "brain-attributable", "interval", "n", "decoder", "prior only",
             "ceiling"]  # fmt: skip
    rows = [
        [r.subject, metric_label(r.metric, r.set_size), number(r.value, 2), interval(r.lo, r.hi),
         number(r.n), number(r.model, 2), number(r.prior_only, 2), number(r.ceiling, 2)]
        for s in panes(found)
        for r in found[found["subject"] == s].itertuples()
    ]  # fmt: skip
    files = [study.table("attributable", found)]
    return render("table.html.j2", heads=heads, rows=rows, text=SHARE, files=files)


def bottleneck(study):
    """The score by the number of brain dimensions let through, a panel per subject and metric."""
    found = table(study.inputs, "audit", "bottleneck.tsv")
    if found is None or not len(found):
        return None
    knees = document(study.inputs, "audit", "bottleneck.json") or {}
    panels = []
    for (subject, metric), rows in found.groupby(["subject", "metric"], sort=False):
        if subject not in panes(found):
            continue
        figure = bottleneck_curve(rows, knees.get(subject, {}))
        who = "all subjects" if subject == ALL else subject
        title = f"{who}: {metric_label(metric)}"
        kept = study.figure(f"bottleneck_{subject}_{metric}", figure)
        panels.append(kept | {"title": title, "alt": f"{title} by brain dimensions"})
    heads = ["subject", "decoder", "knee", "interval", "score with all dimensions"]
    rows = [
        [s, condition_label(d), number(k.get("knee"), 1), interval(k.get("lo"), k.get("hi"), 1),
         number(k.get("full"), 2)]
        for s in panes(found)
        for d, k in knees.get(s, {}).items()
    ]  # fmt: skip
    files = [study.table("bottleneck", found)]
    about = {"text": BOTTLENECK, "layout": "panels", "heads": heads, "rows": rows, "files": files}
    return render("curves.html.j2", figures=_pooled_first(panels), **about)


def recovery(study):
    """Which dimensions of the embedding are predicted, a panel per subject."""
    found = study.recovery()
    if found is None:
        return None
    figures = []
    for subject, rows in found.groupby("subject", sort=False):
        kept = study.figure(f"recovery_{subject}", recovery_curve(rows))
        figures.append(kept | {"title": subject, "alt": f"{subject}: recovery by dimension"})
    files = [study.table("recovery", found)]
    return render("figure.html.j2", figures=figures, text=RECOVERY, layout="panels", files=files)


def sets(study):
    """Coverage and size of the candidate sets, and how many rows look like the prior's own."""
    found = table(study.inputs, "audit", "conformal.tsv")
    if found is None or not len(found):
        return None
    import pandas as pd

    shown = pd.concat(found[found["subject"] == subject] for subject in panes(found))
    figures = [
        study.figure(f"sets_{name}", coverage_curve(shown, name)) | {"title": title, "alt": title}
        for name, title in (("coverage", "coverage by level"), ("mean_size", "set size by level"))
    ]
    heads, rows = _table(shown)
    files = [study.table("candidate_sets", found)]
    about = {"text": f"{SETS} {_abstained(study)}".strip(), "heads": heads, "rows": rows}
    return render("curves.html.j2", figures=figures, layout="panels", files=files, **about)


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
    return _plain(study, "collapse", told, COLLAPSE)


def _plain(study, name, found, text):
    if found is None or not len(found):
        return None
    heads, rows = _table(found)
    files = [study.table(name, found)]
    return render("table.html.j2", heads=heads, rows=rows, text=text, files=files)


def _table(found):
    """A table in print, the ends of an interval as one column."""
    if {"lo", "hi"} <= set(found.columns):
        place = list(found.columns).index("lo")
        ends = [interval(lo, hi) for lo, hi in zip(found["lo"], found["hi"], strict=True)]
        found = found.drop(columns=["lo", "hi"])
        found.insert(place, "interval", ends)
    return plain_table(found, {c: NAMES.get(c, c.replace("_", " ")) for c in found.columns})


def _pooled_first(panels):
    return sorted(panels, key=lambda p: not p["title"].startswith("all subjects"))
