"""The page of an audit: verdict, scores beside chance and controls, and what was not computed."""

from neurodecode.report.page import TEMPLATES, render
from neurodecode.report.words import condition_label, metric_label, metric_words, p_value

HEADS = ("score", "value", "interval", "chance", "category oracle", "n", "p")


def audited_page(about, found):
    """Render the page.

    Parameters
    ----------
    about : dict
        ``sentence``, ``level`` and ``options``, as in figures.json.
    found : dict
        As `rigour.battery.judge_embeddings` returns it.

    Returns
    -------
    html : str
        Self-contained: no request leaves it.
    """
    subjects = list(dict.fromkeys(line["subject"] for line in found["metrics"]))
    # pooled lines come last and are shown first; those of one subject are its own
    subjects = subjects[:1] if len(subjects) == 2 else [*subjects[-1:], *subjects[:-1]]
    metrics = dict.fromkeys(line["metric"] for line in found["metrics"])
    return render(
        "audited.html.j2",
        about=about,
        verdict=found["verdict"],
        tables=[(subject, score_rows(found, subject)) for subject in subjects],
        compared=[(line["subject"], said(line)) for line in found["comparisons"]],
        collapse=found["collapse"],
        attributable=found["attributable"],
        not_computed=unlisted(found),
        words={metric_label(name): metric_words(name)[2] for name in metrics},
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
    )


def score_rows(found, subject):
    """One subject's scores in print: heads, then a line per condition, metric and set size."""
    oracle = {(o["subject"], o["metric"], o["set_size"]): o["value"] for o in found["oracle"]}
    oracles = [o["subject"] for o in found["oracle"]]
    whose = subject if subject in oracles else None
    rows = []
    for line in found["metrics"]:
        if line["subject"] == subject:
            key = line["metric"], line["set_size"]
            known = [v for (s, *k), v in oracle.items() if tuple(k) == key and whose in (s, None)]
            rows.append(_row(line, sum(known) / len(known) if known else None))
    conditions = {line["condition"] for line in found["metrics"]}
    heads = ["condition", *HEADS] if len(conditions) > 1 else list(HEADS)
    rows = [row if len(conditions) > 1 else row[1:] for row in rows]
    if not oracle:
        at = heads.index("category oracle")
        heads, rows = heads[:at] + heads[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]
    return [heads, *rows]


def said(line):
    """A comparison in words."""
    other = condition_label(line["b"])
    return (
        f"{metric_label(line['metric'])}, minus {other}: {line['difference']:+.3f} "
        f"[{line['lo']:+.3f}, {line['hi']:+.3f}], p {p_value(line['p'])}, n = {line['n']}"
    )


def unlisted(found):
    """What was not computed, each with its reason."""
    return [tuple(pair) for pair in found["not_computed"]]


def _row(line, oracle):
    number = lambda v: "–" if v is None or v != v else f"{v:.3f}"
    return [
        condition_label(line["condition"]),
        metric_label(line["metric"], line["set_size"]),
        number(line["value"]),
        f"[{number(line['lo'])}, {number(line['hi'])}]",
        number(line["chance"]),
        number(oracle),
        str(line["n"]),
        f"{line['p']:.3f}",
    ]
