"""The page on which people rate reconstructions, and the page of what they said."""

import base64
import json

import numpy as np

from neurodecode.report.page import TEMPLATES, render
from neurodecode.report.pictures import webp
from neurodecode.report.tables import plain_table
from neurodecode.report.words import condition_label, interval, number, p_value

EDGE_PX, QUALITY = 256, 90  # pictures of the page: longer side at most, WebP quality
QUESTION = {
    "identification": "which of two reconstructions is of the picture shown",
    "preference": "which of two is more like the picture shown",
}


def rating_page(study, key, picture, rng):
    """Render the page: every picture inlined under a shuffled number, no answer in it.

    The copy of an original among the choices of a catch trial is a picture of its own, written
    with another quality, so that equal bytes give nothing away. Only practice trials carry an
    answer, for the feedback.

    Parameters
    ----------
    study : str
        Its id.
    key : DataFrame
        See `neurodecode.stages.rating.KEY`.
    picture : callable (name) -> ndarray
        Reads what the key's left and right name, and ``original|subject|row_id``.
    rng : numpy.random.Generator
        Shuffles the list of pictures.

    Returns
    -------
    html : str
        Self-contained: no request leaves it.
    """
    trials, pictures = [], []
    for row in key.itertuples(index=False):
        shown = [f"original|{row.subject}|{row.row_id}", row.left, row.right]
        trials.append([row, [_add(pictures, picture(n), k > 0) for k, n in enumerate(shown)]])
    order = rng.permutation(len(pictures))
    place = np.argsort(order)
    data = {
        "study": study,
        "pictures": [pictures[k] for k in order],
        "practice": [
            _trial(row, places, place) | {"a": row.answer}
            for row, places in trials
            if row.kind == "practice"
        ],
        "trials": [_trial(row, p, place) for row, p in trials if row.kind != "practice"],
    }
    data["trials"].sort(key=lambda trial: trial["n"])
    return render(
        "rating.html.j2",
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        style=(TEMPLATES / "rating.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "rating.js").read_text(encoding="utf-8"),
        n=len(data["trials"]),
    )


def ratings_page(found):
    """Render what people said: scores, raters, and how metrics agree with them.

    Parameters
    ----------
    found : dict
        As ratings.json.
    """
    import pandas as pd

    heads = ["question", "condition", "share", "interval", "p", "p, Holm", "answers", "raters"]
    heads += ["stimuli", "alpha", "pairwise agreement"]
    rows = [_line(one) for one in found["ratings"]]
    raters = pd.DataFrame(found["raters"])
    correlated = [
        [
            m["kind"],
            _whose(m),
            m["metric"],
            number(m["rho"]),
            interval(m["lo"], m["hi"]),
            str(m["n"]),
        ]
        for m in found["metrics"]
    ]
    return render(
        "ratings.html.j2",
        found=found,
        questions=QUESTION,
        heads=heads,
        rows=rows,
        raters=plain_table(raters) if len(raters) else None,
        correlated=correlated,
        warning=(found["study"].get("selection") or {}).get("warning", ""),
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
    )


def _trial(row, places, place):
    of, left, right = (int(place[p]) for p in places)
    return {"n": int(row.trial), "o": of, "l": left, "r": right}


def _add(pictures, picture, choice):
    """Put a picture on the list, and say where; choices are written with a quality of their own."""
    file = webp(picture, EDGE_PX, QUALITY - 2 * choice)
    pictures.append(base64.b64encode(file).decode())
    return len(pictures) - 1


def _whose(one):
    name = condition_label(one["condition"])
    return f"{name} rather than {condition_label(one['other'])}" if one["other"] else name


def _line(one):
    return [
        one["kind"],
        _whose(one),
        number(one["value"]),
        interval(one["lo"], one["hi"]) if one["lo"] == one["lo"] else "too few",
        p_value(one["p"]),
        p_value(one["p_holm"]),
        str(one["n_answers"]),
        str(one["n_raters"]),
        str(one["n_stimuli"]),
        number(one["alpha"]),
        number(one["agreement"]),
    ]
