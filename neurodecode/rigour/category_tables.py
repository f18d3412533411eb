"""The tables of a category study: scores, comparisons, blocks, and pairs of unseen categories.

Throughout, `studies` maps subjects to their `CategoryStudy`, `conditions` is the list of
``{name, kind, …}`` in the order of the tables, and `judged` comes from `judge_all`.
"""

import numpy as np

from neurodecode.rigour.bootstrap import percentile_interval
from neurodecode.rigour.category import METRICS
from neurodecode.rigour.mcnemar import mcnemar
from neurodecode.rigour.run_draws import pooled

ALL = "all"


def judge_all(studies, conditions, n_bootstrap, rng_of):
    """Judge every condition in every subject, and pooled over subjects.

    Parameters
    ----------
    n_bootstrap : int
    rng_of : callable (subject) -> numpy.random.Generator
        In the same state each time, so that the draws of all conditions are paired.

    Returns
    -------
    judged : dict
        ``{condition: {(subject or "all", metric): RunScore}}``.
    """
    judged = {}
    for name in (c["name"] for c in conditions):
        single = {
            (subject, metric): score
            for subject, study in studies.items()
            for metric, score in study.judged(
                name, n_bootstrap, lambda s=subject: rng_of(s)
            ).items()
        }
        metrics = dict.fromkeys(metric for _, metric in single)
        together = {(ALL, m): pooled([single[s, m] for s in studies]) for m in metrics}
        judged[name] = single | together
    return judged


def metrics_table(judged, conditions, n_classes, level, rng_of):
    """One row per subject, condition and metric; `rng_of` of these three breaks ties in p."""
    import pandas as pd

    lines = []
    for condition in conditions:
        for (subject, metric), score in judged[condition["name"]].items():
            better, chance = METRICS[metric]
            low, high = score.interval(level)
            lines.append(
                {
                    "subject": subject,
                    "condition": condition["name"],
                    "kind": condition["kind"],
                    "metric": metric,
                    "space": "embedding",
                    "set_size": 2 if metric.startswith("zero_shot") else n_classes,
                    "value": score.value,
                    "lo": low,
                    "hi": high,
                    "n": score.n,
                    "chance": chance(n_classes),
                    "p": score.p(rng_of(subject, condition["name"], metric), better),
                    "ceiling": np.nan,
                    "better": better,
                }
            )
    return pd.DataFrame(lines)


def comparison_table(judged, studies, model, level):
    """Accuracy of `model` against all others: interval over runs, McNemar's p over blocks."""
    import pandas as pd

    lines = []
    for other in (name for name in judged if name != model):
        for subject in [*studies, ALL]:
            a, b = judged[model][subject, "accuracy"], judged[other][subject, "accuracy"]
            who = list(studies.values()) if subject == ALL else [studies[subject]]
            right = _right(who, model), _right(who, other)
            line = {"subject": subject, "metric": "accuracy", "a": model, "b": other}
            lines.append(line | compared(a, b, *right, level))
    return pd.DataFrame(lines)


def compared(a, b, right_a, right_b, level):
    """The figures of a paired comparison of two accuracies: difference, interval, McNemar's test.

    Parameters
    ----------
    a, b : judged scores
        With ``value``, ``draws`` (the same resamples of both) and ``n``.
    right_a, right_b : ndarray of bool
        Which are named rightly by each.
    level : float
        Of the interval.
    """
    low, high = percentile_interval(a.draws - b.draws, level)
    p, only_a, only_b = mcnemar(right_a, right_b)
    found = {"difference": a.value - b.value, "lo": float(low), "hi": float(high), "n": a.n}
    return found | {"p": p, "only_a": only_a, "only_b": only_b}


def best_baseline(judged, conditions):
    """Name the most accurate baseline, pooled; the first of equal ones; None if there is none."""
    names = [c["name"] for c in conditions if c["kind"] == "baseline"]
    return max(names, key=lambda name: judged[name][ALL, "accuracy"].value, default=None)


def block_table(studies, trials):
    """One line per block, condition and metric: what it earned.

    `trials` maps subjects to their trial tables (``trial_id stimulus_id``) in the rows' order.
    """
    parts = []
    for subject, study in studies.items():
        of = trials[subject]
        about = {"subject": subject, "row_id": of["trial_id"], "stimulus_id": of["stimulus_id"]}
        for condition in study.scores:
            for metric, values in study.row_values(condition).items():
                score = {"condition": condition, "metric": metric, "value": values}
                parts.append(about | score)
    return _stack(parts)


def fold_table(studies, trials, classes, model):
    """One line per block: its fold, what each condition named it and where it ranked the truth.

    ``ranking`` lists the classes from likeliest to least likely, by the decoder `model`.
    """
    names = np.array(classes)
    parts = []
    for subject, study in studies.items():
        columns = {"subject": subject, "row_id": trials[subject]["trial_id"], "fold": study.runs}
        columns["true"] = names[study.labels]
        for condition, scores in study.scores.items():
            columns[f"predicted_{condition}"] = names[scores.argmax(axis=1)]
            columns[f"rank_{condition}"] = study.row_values(condition)["rank"]
        order = np.argsort(-study.scores[model], axis=1, kind="stable")
        columns["ranking"] = [",".join(names[row]) for row in order]
        parts.append(columns)
    return _stack(parts)


def pair_table(studies, classes):
    """One line per pair of unseen categories: share of right choices, singly and jointly."""
    import pandas as pd

    lines = []
    for subject, study in studies.items():
        for condition, pairs in study.choices.items():
            for (a, b), (_, hits, both) in pairs.items():
                line = {
                    "subject": subject,
                    "condition": condition,
                    "a": classes[a],
                    "b": classes[b],
                }
                scores = {"n": len(hits), "accuracy": hits.mean(), "matching": both.mean()}
                lines.append(line | scores)
    return pd.DataFrame(lines)


def _right(studies, condition):
    return np.concatenate([s.row_values(condition)["accuracy"] == 1 for s in studies])


def _stack(parts):
    import pandas as pd

    return pd.concat([pd.DataFrame(columns) for columns in parts], ignore_index=True)
