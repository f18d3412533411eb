"""Classified trials: how they were held out, what was named what, and the published protocol."""

import numpy as np

from neurodecode.report.artifacts import array, coverage, document, scored, table, unit
from neurodecode.report.figures import confusion
from neurodecode.report.page import render
from neurodecode.report.tables import panes
from neurodecode.report.words import condition_label, interval, metric_label, number, p_value

MOST = 20  # classes in a drawn confusion matrix
GROUPS = {
    "run": "Runs of a subject were held out as a whole",
    "stimulus": "Stimuli were held out as a whole, with all of their trials",
    "subject": "Subjects were held out as a whole",
}
HEADS = ["condition", "score", "as published", "interval", "n", "honest", "interval", "chance", "p"]


def classes(study):
    """The protocol in words, the matrix of confusions, and accuracy by independent groups."""
    how = document(study.inputs, "classify", "protocol.json")
    if how is None:
        return None
    found = table(study.inputs, "classify", "classes.tsv")
    counts = np.asarray(array(study.inputs, "classify", "confusion.npy"))
    names = [str(name) for name in found["class"]]
    kept = study.table("classes", found.join(_columns(counts, names)))
    figures = []
    if len(names) <= MOST:
        drawn = study.figure("classes", confusion(np.round(counts, 1), names))
        about = "Trials of all subjects: rows were presented, columns are what was named."
        figures = [drawn | {"alt": "confusion matrix", "title": about}]
    text = _in_words(study.inputs, how, found)
    return render("figure.html.j2", figures=figures, text=text, layout="figures", files=[kept])


def leaky(study):
    """What a published protocol that leaks gives on the same trials, beside the honest figures."""
    found = table(study.inputs, "classify", "published.tsv")
    if found is None:
        return None
    how = document(study.inputs, "classify", "protocol.json")
    tabs = [{"name": s, "heads": HEADS, "rows": _lines(found, s)} for s in panes(found)]
    text = (
        f"Published protocol, not evidence: {'; '.join(how['compat_words'])}. The same trials and "
        "the same classifiers, fitted as papers did. "
    )
    if "dealt" in set(found["condition"]):
        text += (
            "Labels dealt anew mean nothing: what is reached on them is owed to the protocol alone."
        )
    files = [study.table("published", found)]
    return render("tabs.html.j2", name="published", tabs=tabs, text=text, files=files)


def _lines(found, subject):
    return [
        [
            condition_label(r.condition),
            metric_label(r.metric),
            number(r.value, 2),
            interval(r.lo, r.hi),
            number(r.n),
            number(r.value_honest, 2),
            interval(r.lo_honest, r.hi_honest),
            number(r.chance, 2),
            p_value(r.p),
        ]
        for r in found[found["subject"] == subject].itertuples()
    ]


def _columns(counts, names):
    import pandas as pd

    return pd.DataFrame(counts, columns=[f"named {name}" for name in names])


def _in_words(inputs, how, found):
    metrics = scored(inputs, "metrics.tsv")
    accuracy = metrics[(metrics["metric"] == "accuracy") & (metrics["condition"] == "model")]
    pooled = accuracy.iloc[-1]
    text = f"{GROUPS[how['folds']]}. "
    if how["windows_per_trial"] > 1:
        text += (
            f"A trial was read in {how['windows_per_trial']} windows, which stay in one fold and "
            "are averaged into one answer. "
        )
    share = found["n_trials"] / found["n_trials"].sum()
    text += (
        f"{len(found)} classes; the most frequent one has {number(share.max(), 2)} of the trials. "
        f"Intervals ({coverage(inputs)}) resample {number(int(pooled['n_groups']))} "
        f"{unit(inputs)[0]}; were all {number(int(pooled['n']))} trials independent, that of the "
        f"accuracy would be {interval(pooled['binomial_lo'], pooled['binomial_hi'])}."
    )
    if how["stimuli_on_both_sides"]:
        text += (
            f" {how['stimuli_on_both_sides']} stimuli have trials in training and test: a "
            "classifier may know a stimulus again. What it reaches on labels dealt anew by "
            "stimulus shows how far that goes."
        )
    return text
