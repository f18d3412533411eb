"""The verdict at the top of the page: which level was reached, by whom, and why."""

from neurodecode.report.artifacts import ALL, document, permuted, scored, table
from neurodecode.report.words import interval, metric_label, number, p_value

LEVELS = {  # from nothing to everything, and what reaching it means
    "none": "Nothing of what was seen can be read from these predictions.",
    "low-level": "What is read does not go beyond low-level features, such as colour and layout.",
    "category": "The kind of picture is read, not which picture of that kind.",
    "within-category": "Pictures of one category are told apart.",
}
TESTS = {  # what the tests compare, in words
    "decoded": "among all test pictures",
    "low-level": "low-level features",
    "category, all": "between categories",
    "category": "between categories, low-level features taken out",
    "within-category, all": "within category",
    "within-category": "within category, low-level features taken out",
}
PERMUTED = (
    "Labels permuted: training labels were dealt at random, so nothing is claimed here. Of many "
    "such draws only as many should reach a level as the tests allow."
)
HEADS = ["test", "value", "interval", "chance", "p", "n"]


def verdict(inputs):
    """Read the verdict of the stage audit.

    Returns
    -------
    verdict : dict or None
        ``title``, ``level`` and ``meaning`` of all subjects together, ``category`` (what counts as
        one), ``levels`` and ``subjects``: for each, and first for all together, name, level, place
        among the levels, reasons, and a table of tests. None where nothing was audited.

    Raises
    ------
    ValueError
        Where the document names a level that there is not.
    """
    found = document(inputs, "audit", "verdict.json")
    if not found or not found.get("subjects"):
        return None
    single = [s for s in found["subjects"] if s != ALL]
    names = [ALL] if ALL in found["subjects"] and len(single) != 1 else []
    told = [_one(name, found["subjects"][name]) for name in [*names, *single]]
    null = permuted(inputs)
    return {
        "level": told[0]["level"],
        "title": "Level that this draw of the null reached" if null else "Level reached",
        "meaning": PERMUTED if null else LEVELS[told[0]["level"]],
        "null": null,
        "category": found.get("category") or "",
        "levels": list(LEVELS),
        "subjects": told,
    }


def _one(name, about):
    if about["level"] not in LEVELS:
        known = ", ".join(LEVELS)
        raise ValueError(
            f"verdict.json: {name} has the level {about['level']!r}, not one of {known}"
        )
    rows = [
        [TESTS.get(t["name"], t["name"]), number(t.get("value"), 2),
         interval(t.get("lo"), t.get("hi")), number(t.get("chance"), 2), p_value(t.get("p")),
         number(t.get("n"))]
        for t in about.get("tests") or []
    ]  # fmt: skip
    return {
        "name": name,
        "level": about["level"],
        "place": list(LEVELS).index(about["level"]),
        "reasons": about.get("reasons") or [],
        "heads": HEADS,
        "rows": rows,
    }


def figures(inputs, metric=""):
    """The headline figures: few scores of the decoder, each with all that it must be read with.

    Returns
    -------
    figures : list of dict
        label, value, interval, and ``beside``: (name, value) of chance, ceiling and n.
    """
    metrics = scored(inputs, "metrics.tsv")
    if metrics is None or not len(metrics):
        return []
    found = [_score(metrics, name) for name in _headline_metrics(inputs, metrics, metric)]
    return [*found, *_attributable(inputs), *_sets(inputs)]


def _headline_metrics(inputs, metrics, metric):
    """The metric of the headline, and one of pictures, if there are any."""
    compared = scored(inputs, "comparisons.tsv")
    names = [] if compared is None else list(compared["metric"].unique())
    first = metric or next(iter(names), metrics["metric"].iloc[0])
    pictures = metrics.loc[metrics["space"] == "picture", "metric"]
    wanted = [m for m in ("attribute_mean", "pixcorr") if m in set(pictures)]
    return list(dict.fromkeys([first, *wanted[:1]]))


def _score(metrics, metric):
    rows = metrics[(metrics["kind"] == "model") & (metrics["metric"] == metric)]
    row = _pooled(rows).sort_values("set_size", ascending=False, kind="stable").iloc[0]
    chance = float(row["chance"])
    whole = abs(100 * chance - round(100 * chance)) < 1e-6 and chance >= 0.1
    beside = [("chance", number(chance, 2 if whole else 3))]
    ceiling = ceiling_of(metrics, row)
    if ceiling == ceiling:
        beside.append(("ceiling", number(ceiling)))
    return {
        "label": metric_label(metric, row["set_size"]),
        "value": number(row["value"], 2),
        "interval": interval(row["lo"], row["hi"]),
        "beside": [*beside, ("n", number(row["n"]))],
    }


def ceiling_of(metrics, row):
    """The ceiling of a row: its own, else the score of the condition that is one; NaN: none."""
    own = row.get("ceiling", float("nan"))
    if own == own:
        return float(own)
    same = (metrics["subject"] == row["subject"]) & (metrics["metric"] == row["metric"])
    same &= metrics["set_size"].fillna(-1) == (-1 if _missing(row["set_size"]) else row["set_size"])
    found = metrics.loc[same & (metrics["kind"] == "ceiling"), "value"]
    return float(found.iloc[0]) if len(found) else float("nan")


def _attributable(inputs):
    found = table(inputs, "audit", "attributable.tsv")
    rows = None if found is None else _pooled(found.dropna(subset=["value"]))
    if rows is None or not len(rows):
        return []
    row = rows.iloc[0]
    return [
        {
            "label": f"brain-attributable share of {metric_label(row['metric'], row['set_size'])}",
            "value": number(row["value"], 2),
            "interval": interval(row["lo"], row["hi"]),
            "beside": [("no brain", "0"), ("ceiling", "1"), ("n", number(row["n"]))],
        }
    ]


def _sets(inputs):
    found = table(inputs, "audit", "conformal.tsv")
    if found is None or not len(found):
        return []
    level = found.loc[(found["level"] - 0.9).abs().idxmin(), "level"]
    rows = found[found["level"] == level]
    rows = rows[rows["subject"] == ALL] if ALL in set(rows["subject"]) else rows
    several = [("subjects", number(len(rows)))] if len(rows) > 1 else []
    return [
        {
            "label": f"pictures in a {100 * level:g} % candidate set",
            "value": f"{_ends(rows['mean_size'], 1)} of {_ends(rows['n_candidates'], 0)}",
            "interval": "",
            "beside": [
                ("holds the true one", _ends(rows["coverage"], 2)),
                *several,
                ("n", _ends(rows["n"], 0)),
            ],
        }
    ]


def _ends(values, digits):
    """The least and the most of several subjects; one number where they print alike."""
    ends = [number(float(v), digits) for v in (values.min(), values.max())]
    return " to ".join(dict.fromkeys(ends))


def _pooled(rows):
    """Rows of all subjects together; those of the first subject where nothing was pooled."""
    if not len(rows):
        return rows
    names = set(rows["subject"])
    return rows[rows["subject"] == (ALL if ALL in names else rows["subject"].iloc[0])]


def _missing(value):
    return value is None or value != value or str(value) == "<NA>"
