"""The verdict in plain words, from the paired comparisons; where a baseline wins it says so."""

from neurodecode.report.artifacts import ALL, conditions, permuted, scored
from neurodecode.report.words import (
    WITHOUT,
    condition_label,
    interval,
    metric_label,
    metric_words,
    number,
    p_value,
    signed,
)

ROUNDING = 1e-9  # a mean of ones and zeros that cancel is 0 but for the last bits


def headline(inputs, metric=""):
    """Say in one or two sentences whether the decoder reads the brain, and how it stands to ridge.

    Parameters
    ----------
    inputs : View
    metric : str
        The metric of the verdict; "" takes the first one that was compared.

    Returns
    -------
    verdict : dict or None
        sentence, detail, metric; None where nothing was evaluated.
    """
    compared = scored(inputs, "comparisons.tsv")
    metrics = scored(inputs, "metrics.tsv")
    if metrics is None or not len(metrics):
        return None
    if compared is None or not len(compared):
        return _of_scores(metrics, metric)
    compared = with_wins(compared, metrics)
    metric = metric or compared["metric"].iloc[0]
    rows = compared[compared["metric"] == metric]
    if not len(rows):
        known = ", ".join(compared["metric"].unique())
        raise ValueError(f"report.headline_metric={metric} was not compared, but {known}")
    kinds = {c["name"]: c["kind"] for c in conditions(inputs)}
    baselines = [_against_baseline(rows, name) for name in _others(rows, kinds, "baseline")]
    controls = _against_controls(rows, kinds)
    named = _of_categories(metrics)
    lead, *rivals = [*named, *baselines, controls] if named else [controls, *baselines]
    rivals = [rival for rival in rivals if rival]
    null = "Labels permuted, a draw of the null: " if permuted(inputs) else ""
    return {
        "sentence": null + _sentence("; ".join(filter(None, [lead, *rivals]))),
        "lead": null + _sentence(lead),
        "rivals": [_sentence(rival) for rival in rivals],
        "metric": metric_label(metric, _set_size(metrics, metric)),
        "elsewhere": _elsewhere(compared, metrics, metric, kinds),
    }


def with_wins(compared, metrics):
    """Add to each comparison who wins: "a", "b", or "" where the interval holds zero."""
    better = dict(zip(metrics["metric"], metrics["better"], strict=True))
    sign = compared["metric"].map(lambda m: -1 if better.get(m) == "lower" else 1)
    above, below = compared["lo"] > ROUNDING, compared["hi"] < -ROUNDING
    a_wins = above & (sign > 0) | below & (sign < 0)
    b_wins = above & (sign < 0) | below & (sign > 0)
    winner = a_wins.map({True: "a", False: ""}).where(~b_wins, "b")
    return compared.assign(winner=winner)


def _of_categories(metrics):
    """For studies that name categories: how many are named rightly, also of those never shown."""
    rows = metrics[metrics["kind"] == "model"].drop_duplicates(["subject", "metric"])
    subject = ALL if ALL in set(rows["subject"]) else rows["subject"].iloc[0]
    mine = rows[rows["subject"] == subject].set_index("metric")
    unit = "trials" if "dealt" in set(metrics["condition"]) else "blocks"
    told = {
        "accuracy": f"the decoder names {{}} of held-out {unit} rightly, where chance is {{}}",
        "zero_shot": "of two categories it was never shown it tells the right one in {}, chance {}",
    }
    score = lambda row: f"{number(row['value'])} {interval(row['lo'], row['hi'])}".strip()
    chance = lambda row: number(row["chance"], 3).rstrip("0")
    found = {metric: mine.loc[metric] for metric in told if metric in mine.index}
    return [told[m].format(score(row), chance(row)) for m, row in found.items()]


def _against_controls(rows, kinds):
    """Which controls are beaten, and in how many subjects."""
    single = rows[rows["subject"] != ALL]
    single = single if len(single) else rows
    wins = {
        WITHOUT.get(name, condition_label(name)): set(
            single.loc[(single["b"] == name) & (single["winner"] == "a"), "subject"]
        )
        for name in _others(rows, kinds, "control")
    }
    n = single["subject"].nunique()
    if not wins or n == 1:
        return _in_one_subject(wins)
    if len({len(won) for won in wins.values()}) == 1:
        both = len(set.intersection(*wins.values()))
        return f"in {both} of {n} subjects the decoder beats {_together(wins)}"
    each = [f"{name} in {len(won)} of {n} subjects" for name, won in wins.items()]
    return "the decoder beats " + ", ".join(each)


def _together(names, word="and"):
    """Names as part of a sentence."""
    *before, last = names
    return f"{', '.join(before)} {word} {last}" if before else last


def _in_one_subject(wins):
    beaten, others = ([n for n, won in wins.items() if bool(won) == w] for w in (True, False))
    if not others:
        return f"the decoder beats {_together(beaten)}" if beaten else ""
    if not beaten:
        return f"the decoder does not beat {_together(others, 'or')}"
    return f"the decoder beats {_together(beaten)}, but not {_together(others, 'or')}"


def _against_baseline(rows, name):
    rows = rows[rows["b"] == name]
    pooled = rows[rows["subject"] == ALL]
    row = (pooled if len(pooled) else rows).iloc[0]
    figures = f"{signed(row['difference'])} {interval(row['lo'], row['hi'])}".strip()
    return {
        "a": f"the decoder is ahead of {condition_label(name)}: {figures}",
        "b": f"{condition_label(name)} wins against the decoder: {figures}",
        "": f"against {condition_label(name)} no difference can be told: {figures}",
    }[row["winner"]]


def _elsewhere(compared, metrics, metric, kinds):
    """Name the other metrics on which a baseline wins, and those on which the decoder does."""
    pooled = compared[(compared["subject"] == ALL) & (compared["metric"] != metric)]
    pooled = pooled if len(pooled) else compared[compared["metric"] != metric]
    lines = []
    for name in _others(compared, kinds, "baseline"):
        rows = pooled[pooled["b"] == name].drop_duplicates("metric")
        won = {winner: rows.loc[rows["winner"] == winner, "metric"] for winner in ("a", "b")}
        if len(won["b"]):
            labels = [_spoken(m, _set_size(metrics, m)) for m in won["b"]]
            lines.append(f"{condition_label(name)} wins on {_listed(labels)}")
        if len(won["a"]):
            what = f"{len(won['a'])} of the {len(rows)} other metrics"
            lines.append(f"the decoder is ahead of {condition_label(name)} on {what}")
    return " ".join(map(_sentence, lines))


def _spoken(metric, set_size):
    """A metric's label as it stands without its table."""
    label, family = metric_label(metric, set_size), metric_words(metric)[1]
    if family != "attributes":
        return label
    return "the mean of the attributes" if metric == "attribute_mean" else f"the attribute {label}"


def _listed(labels):
    """Labels, which may hold commas, as part of a sentence."""
    *before, last = labels
    return f"{'; '.join(before)} and {last}" if before else last


def _others(rows, kinds, kind):
    return [b for b in rows["b"].unique() if kinds.get(b) == kind]


def _sentence(text):
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _of_scores(metrics, metric):
    """Without comparisons: the model's own score beside chance."""
    metric = metric or metrics["metric"].iloc[0]
    rows = metrics[(metrics["metric"] == metric) & (metrics["kind"] == "model")]
    if not len(rows):
        return None
    pooled = rows[rows["subject"] == ALL]
    row = (pooled if len(pooled) else rows).iloc[0]
    label = metric_label(metric, row["set_size"])
    sentence = (
        f"{label[0].upper()}{label[1:]}: {number(row['value'])} {interval(row['lo'], row['hi'])}, "
        f"chance {number(row['chance'])}, n = {number(row['n'])}, p {p_value(row['p'])}."
    )
    return {"sentence": sentence, "lead": sentence, "rivals": [], "metric": label, "elsewhere": ""}


def _set_size(metrics, metric):
    sizes = metrics.loc[metrics["metric"] == metric, "set_size"]
    return sizes.max() if len(sizes) else None
