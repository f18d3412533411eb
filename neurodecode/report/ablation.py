"""What the low-level picture adds: variants of the decoder's pictures, each without one part."""

from functools import partial

from neurodecode.report import gallery
from neurodecode.report.artifacts import array, coverage, document, first_member, subjects, table
from neurodecode.report.page import render
from neurodecode.report.pictures import data_uri, fitting
from neurodecode.report.tables import families, panes
from neurodecode.report.words import interval, is_compat, metric_label, metric_words, number

FULL = "full"
LABELS = {
    FULL: "full picture",
    "semantic_only": "semantic only",
    "structure_only": "structure only",
    "merged": "merged",
    "low_level_only": "low-level only",
}
PICTURES_BYTES = 2_500_000  # of the page, for the strip


def ablation(study):
    """A strip of the variants' pictures, and how each scores beside the full picture."""
    scores = table(study.inputs, "evaluate", "ablations.tsv")
    if scores is None or not len(scores):
        return None
    shown = scores[~scores["metric"].map(is_compat)]
    tabs = [
        {"name": s, "table": score_rows(shown, s), "said": said_of(shown, s)} for s in panes(shown)
    ]
    return render(
        "ablation.html.j2",
        tabs=tabs,
        variants=described(study.inputs),
        strips=strips(study),
        coverage=coverage(study.inputs),
        files=[study.table("ablations", scores)],
    )


def described(inputs):
    """The variants that were painted: (label, what it is) each."""
    member = first_member(inputs, "reconstruct")
    listed = document(inputs, "reconstruct", "variants.json", member) or []
    return [(LABELS.get(v["name"], v["name"]), v["about"]) for v in listed]


def score_rows(scores, subject):
    """One subject's table: a line per metric, a column per variant.

    Parameters
    ----------
    scores : DataFrame
        ablations.tsv.
    subject : str
        Or "all" for the pooled lines.

    Returns
    -------
    table : dict
        ``heads``; ``groups`` of ``title`` and ``rows``, each with label, meaning, chance, n and one
        cell {value, interval, said, side} per column.
    """
    mine = scores[scores["subject"] == subject]
    names = list(mine["variant"].unique())
    groups = [
        {"title": family, "rows": [_row(same, names) for _, same in by_metric(rows)]}
        for family, rows in families(mine)
    ]
    return {"heads": [LABELS.get(name, name) for name in names], "groups": groups}


def by_metric(rows):
    """Lines of each metric, in their order."""
    return rows.groupby("metric", sort=False)


def said_of(scores, subject):
    """What each variant loses and gains, a sentence each."""
    mine = scores[(scores["subject"] == subject) & (scores["variant"] != FULL)]
    sentences = []
    for name, rows in mine.groupby("variant", sort=False):
        sides = [verdict(r)[1] for r in rows.itertuples()]
        found = [
            f"{word} on {sides.count(side)}"
            for word, side in (("worse", "b"), ("better", "a"), ("no difference shown", ""))
            if side in sides
        ]
        label = LABELS.get(name, name).capitalize()
        sentences.append(f"{label}: {', '.join(found)} of {len(sides)} scores.")
    return sentences


def verdict(row):
    """A variant against the full picture, in words: ``worse by .05 [.02, .08]``, and the side.

    The side is "b" where the full picture is ahead, "a" where the variant is, "" where the
    interval of the difference holds zero.
    """
    if row.difference != row.difference:
        return "", ""
    if row.difference_lo <= 0 <= row.difference_hi:
        return "no difference shown", ""
    ahead = (row.difference > 0) == (row.better == "higher")
    ends = sorted((abs(row.difference_lo), abs(row.difference_hi)))
    digits = 2 if abs(row.difference) >= 0.01 else 3
    text = f"{'worse' if ahead else 'better'} by {number(abs(row.difference), digits)}"
    return f"{text} {interval(*ends, digits)}", "b" if ahead else "a"


def strips(study):
    """For each subject the gallery's rows: original, low-level picture, variants, full picture."""
    made = {s: Variants(study.inputs, s) for s in subjects(study.inputs)}
    made = {s: one for s, one in made.items() if one.names}
    if not made:
        return []
    rows = {s: one.drawn_rows(study.n_gallery, study.seed) for s, one in made.items()}
    rows = {s: own[: gallery.COLUMNS] for s, own in rows.items()}
    encode = _encoder(made, rows)
    stimuli = table(study.inputs, "index", "stimuli.tsv")
    originals = gallery.Originals(stimuli, study.read_picture, encode)
    for one in made.values():
        one.encode = encode
    return [{"name": s, "blocks": [one.block(originals, rows[s])]} for s, one in made.items()]


class Variants(gallery.Reconstructions):
    """One subject's pictures, and the variants of the decoder's."""

    def __init__(self, inputs, subject):
        super().__init__(inputs, subject, hidden=True)
        listed = document(inputs, "reconstruct", "variants.json", subject) or []
        self.names = [v["name"] for v in listed]
        self.varied = {}
        for name in self.names:
            painted = table(inputs, "reconstruct", f"{name}/samples.tsv", subject)
            lines = dict(zip(painted["row_id"], painted.index, strict=True))
            self.varied[name] = lines, array(inputs, "reconstruct", f"{name}/pictures.npy", subject)

    def variant(self, name, row):
        """A variant's picture of a row."""
        lines, pictures = self.varied[name]
        return pictures[lines[row]]

    def block(self, originals, rows):
        """Rows of a gallery: what was seen, the variants, and the full picture last."""
        captions = [originals.caption(self.stimulus(row)) for row in rows]
        lines = [("original", "original", [originals.uri(self.stimulus(row)) for row in rows])]
        lines += [
            (LABELS.get(name, name), "variant", [self.encode(self.variant(name, r)) for r in rows])
            for name in self.names
        ]
        lines += [(LABELS[FULL], "model", [self.chosen("model", row) for row in rows])]
        drawn = [_drawn(*line, captions) for line in lines if any(line[2])]
        return gallery.Block([str(i + 1) for i in range(len(rows))], captions, drawn)


def _drawn(label, kind, uris, captions):
    cells = [
        gallery.Cell([uri] if uri else [], f"{label}: {caption}")
        for uri, caption in zip(uris, captions, strict=True)
    ]
    return gallery.Row(label, kind, cells)


def _row(same, names):
    first, by_name = same.iloc[0], {r.variant: r for r in same.itertuples()}
    return {
        "label": metric_label(first["metric"]),
        "meaning": metric_words(first["metric"])[2],
        "lower": first["better"] == "lower",
        "chance": number(first["chance"], 2),
        "n": number(same["n"].max()),
        "cells": [_cell(by_name.get(name)) for name in names],
    }


def _cell(row):
    if row is None:
        return {"value": "–", "interval": "", "said": "", "side": ""}
    said, side = verdict(row)
    value, ends = number(row.value, 2), interval(row.lo, row.hi)
    return {"value": value, "interval": ends, "said": said, "side": side}


def _encoder(made, rows):
    """Lossless where the strips are few and small, else as large as the page can bear."""
    some = [one.variant(name, r) for s, one in made.items() for name in one.names for r in rows[s]]
    n = len(some) + 2 * sum(map(len, rows.values()))
    lossless = [len(data_uri(picture)) for picture in some[:: max(1, len(some) // 20)]]
    if sum(lossless) / len(lossless) * n <= PICTURES_BYTES:
        return data_uri
    return partial(data_uri, size=fitting(some, n, PICTURES_BYTES))
