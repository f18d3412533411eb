"""How sure a decoder is, and how stable: samples, split halves, and what uncertainty is worth."""

import numpy as np

from neurodecode.report import gallery
from neurodecode.report.artifacts import coverage, subjects, table, unit
from neurodecode.report.page import render
from neurodecode.report.pictures import as_uint8
from neurodecode.report.tables import panes
from neurodecode.report.words import interval, metric_label, number, p_value, signed

WIDEST = 0.25  # standard deviation, in grey levels from 0 to 1, at the bright end of the scale
N_SHOWN = 10  # rows of each subject whose uncertainty is drawn
OVER = {
    "samples": "noise (samples)",
    "halves": "trials (split halves)",
}
SEEN = {"decoded": "decoded embedding", "embedding": "embedding of the picture", "pixels": "pixels"}
HEADS = [
    "what differs",
    "compared by",
    "likeness",
    "interval",
    "chance",
    "finds the other",
    "interval",
]
HEADS += ["chance", "p", "two-way", "n"]


def how_sure(study):
    """Consistency over samples and halves, uncertainty pictures, and what selection buys."""
    alike = table(study.inputs, "evaluate", "consistency.tsv")
    spread = table(study.inputs, "evaluate", "spread.tsv")
    if alike is None and spread is None:
        return None
    surer = table(study.inputs, "evaluate", "certainty.tsv")
    gained = table(study.inputs, "evaluate", "selection.tsv")
    named = {"consistency": alike, "certainty": surer, "selection": gained, "spread": spread}
    return render(
        "consistency.html.j2",
        alike=_tabs(alike, _alike_rows),
        heads=HEADS,
        surer=_tabs(surer, _certainty_rows),
        gained=_tabs(gained, _gained_rows),
        drawn=_drawn(study) if spread is not None else [],
        widest=number(WIDEST),
        colours=", ".join(_hex(v) for v in np.linspace(0, 1, 9)),
        coverage=coverage(study.inputs),
        unit=unit(study.inputs)[0],
        files=[study.table(name, found) for name, found in named.items() if found is not None],
    )


def uncertainty(made, row, spread):
    """The mean picture of a row's samples and the map of their spread, by what they are called.

    Parameters
    ----------
    made : neurodecode.report.gallery.Reconstructions
    row : str
    spread : callable (pictures) -> ndarray (h, w)
        Standard deviation of each pixel, or None where nobody computes it.

    Returns
    -------
    pictures : dict of str to ndarray
        Empty for a row with one sample.
    """
    places = made.places("model", row)
    if len(places) < 2:
        return {}
    pictures = np.stack([made.picture("model", place) for place in places])
    found = spread(pictures)
    if found is None:
        return {}
    mean = as_uint8(pictures.mean(axis=0) / 255)
    return {"mean of samples": mean, f"spread, 0 to {number(WIDEST)}": coloured(found)}


def coloured(values):
    """Colour a map of standard deviations (h, w): black is 0, the brightest `WIDEST` and above."""
    from matplotlib import colormaps

    return as_uint8(colormaps["magma"](np.clip(values / WIDEST, 0, 1))[..., :3])


def _tabs(found, rows_of):
    """A tab per subject, the pooled rows first."""
    if found is None or not len(found):
        return []
    return [{"name": s, "rows": rows_of(found[found["subject"] == s])} for s in panes(found)]


def _alike_rows(mine):
    rows = []
    for (over, seen), same in mine.groupby(["over", "seen"], sort=False):
        one = {r.measure: r for r in same.itertuples()}
        like, top, two = one["likeness"], one["top1"], one["two_way"]
        rows.append(
            [OVER[over], SEEN[seen], number(like.value), interval(like.lo, like.hi),
             number(like.chance), number(top.value), interval(top.lo, top.hi),
             number(top.chance, 3), p_value(like.p), number(two.value), number(like.n)]
        )  # fmt: skip
    return rows


def _certainty_rows(mine):
    rows = []
    for metric, same in mine.groupby("metric", sort=False):
        one = {r.uncertainty: r for r in same.itertuples()}
        cells = [c for name in ("spread", "disagreement") for c in _rho(one[name])]
        rows.append([metric_label(metric), *cells, number(same["n"].iloc[0])])
    return rows


def _rho(line):
    return [signed(line.rho), interval(line.lo, line.hi), p_value(line.p)]


def _gained_rows(mine):
    return [
        [metric_label(r.metric) + (", lower is better" if r.better == "lower" else ""),
         signed(r.difference, 3), interval(r.lo, r.hi, 3), p_value(r.p), number(r.n)]
        for r in mine.itertuples()
    ]  # fmt: skip


def _drawn(study):
    """Tabs of uncertainty pictures, of the gallery's first rows."""
    if not study.inputs.has("reconstruct"):
        return []
    originals = gallery.Originals(table(study.inputs, "index", "stimuli.tsv"), study.read_picture)
    tabs = []
    for subject in subjects(study.inputs):
        made = gallery.Reconstructions(study.inputs, subject, bool(study.hidden))
        rows = made.drawn_rows(N_SHOWN, study.seed)[:N_SHOWN]
        found = {row: uncertainty(made, row, study.spread) for row in rows}
        rows = [row for row in rows if found[row]]
        if rows:
            tabs.append({"name": subject, "blocks": [_block(made, originals, rows, found)]})
    return tabs


def _block(made, originals, rows, found):
    words = [originals.caption(made.stimulus(row)) for row in rows]
    first = [originals.uri(made.stimulus(row)) for row in rows]
    shown = {"original": first, "reconstruction": [made.chosen("model", row) for row in rows]}
    for word in found[rows[0]]:
        shown[word] = [made.encode(found[row][word]) for row in rows]
    lines = [
        gallery.Row(name, "original" if name == "original" else "model", [
            gallery.Cell([u] if u else [], f"{name}, for: {w}")
            for u, w in zip(uris, words, strict=True)
        ])
        for name, uris in shown.items()
        if any(uris)
    ]  # fmt: skip
    return gallery.Block([str(k + 1) for k in range(len(rows))], words, lines)


def _hex(share):
    r, g, b = coloured(np.array([[share * WIDEST]]))[0, 0]
    return f"#{r:02x}{g:02x}{b:02x}"
