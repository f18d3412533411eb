"""The gallery of a category study: for each block, what was seen and the classes ranked for it."""

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.report.artifacts import array, table
from neurodecode.report.figures import confusion
from neurodecode.report.page import render
from neurodecode.report.pictures import data_uri

RANKED = 3  # classes shown per block


def blocks(study):
    """Blocks drawn by a fixed seed: the true class and those the decoder ranks first."""
    folds = table(study.inputs, "crossvalidate", "folds.tsv")
    if folds is None or "ranking" not in folds:
        return None
    pictures = {name: study.example(name) for name in sorted(set(folds["true"]))}
    examples = {n: None if p is None else data_uri(p) for n, p in pictures.items()}
    tabs = [
        {"name": s, "blocks": _drawn(rows, study), "of": len(rows)}
        for s, rows in folds.groupby("subject", sort=False)
    ]
    files = [study.table("blocks", folds)]
    return render("blocks.html.j2", tabs=tabs, examples=examples, ranked=RANKED, files=files)


def confusions(study):
    """How often the decoder names each class, by the class that was seen."""
    import pandas as pd

    counts = array(study.inputs, "crossvalidate", "confusion.npy")
    classes = table(study.inputs, "crossvalidate", "classes.tsv")
    if counts is None or classes is None:
        return None
    drawn = confusion(np.asarray(counts), list(classes["stimulus_id"]))
    text = "Blocks of all subjects: rows were seen, columns are what the decoder named."
    figure = study.figure("confusions", drawn) | {"alt": "confusion matrix", "title": ""}
    names = list(classes["stimulus_id"])
    table_of = pd.DataFrame(np.asarray(counts), columns=names)
    table_of.insert(0, "seen", names)
    files = [study.table("confusions", table_of)]
    about = {"text": text, "layout": "figures", "files": files}
    return render("figure.html.j2", figures=[figure], **about)


def _drawn(rows, study):
    """Blocks drawn by the seed, in the order they were seen."""
    drawn = child_rng(study.seed, "gallery").permutation(len(rows))[: study.n_gallery]
    picked = rows.iloc[np.sort(drawn)]
    return [
        {"run": r.fold, "true": r.true, "ranking": str(r.ranking).split(",")[:RANKED]}
        for r in picked.itertuples()
    ]
