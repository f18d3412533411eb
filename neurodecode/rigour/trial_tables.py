"""The tables of classified trials: scores of every condition, and paired comparisons.

`answers` maps conditions to a list of ``(scores, labels)`` of all rows, of all subjects one after
the other: several where a condition was repeated on labels dealt anew.
"""

from dataclasses import dataclass, replace

import numpy as np

from neurodecode.rigour.category_tables import compared
from neurodecode.rigour.run_draws import pooled
from neurodecode.rigour.trial_scores import (
    binomial_interval,
    chance_levels,
    interval,
    named,
    scores_of,
)

ALL = "all"


@dataclass(frozen=True)
class Rows:
    """What was classified: trials, or windows of them.

    Parameters
    ----------
    labels : ndarray of int, shape (n_rows,)
    subjects : ndarray of str, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        What is independent, and resampled as a whole.
    dealt : ndarray of int, shape (n_draws, n_rows)
        Labels dealt anew, for p-values.
    n_classes : int
    ordered : bool
        Whether the classes are a scale.
    """

    labels: np.ndarray
    subjects: np.ndarray
    groups: np.ndarray
    dealt: np.ndarray
    n_classes: int
    ordered: bool = False

    @property
    def who(self):
        """Subject -> its rows."""
        return {s: np.flatnonzero(self.subjects == s) for s in dict.fromkeys(self.subjects)}

    def n_groups(self, subject):
        """Number of independent groups of a subject, or of all."""
        own = slice(None) if subject == ALL else self.who[subject]
        return len(np.unique(self.groups[own]))


def judge_all(answers, rows, n_bootstrap, rng_of):
    """Judge every condition in every subject, and pooled over subjects.

    Parameters
    ----------
    answers : dict
        Condition -> list of (scores (n_rows, n_classes), labels (n_rows,)).
    rows : Rows
    n_bootstrap : int
    rng_of : callable (subject) -> numpy.random.Generator
        In the same state each time: draws of all conditions are paired.

    Returns
    -------
    judged : dict
        ``{condition: {(subject or "all", metric): RunScore}}``.
    """
    judged = {}
    for name, draws in answers.items():
        single = {}
        for subject, own in rows.who.items():
            found = [
                scores_of(scores[own], labels[own], rows.groups[own], rows.dealt[:, own],
                          n_bootstrap, rng_of(subject), rows.ordered)
                for scores, labels in draws
            ]  # fmt: skip
            for metric in found[0]:
                mean = pooled([one[metric] for one in found])
                single[subject, metric] = replace(mean, n=len(own))
        metrics = dict.fromkeys(metric for _, metric in single)
        together = {(ALL, m): pooled([single[s, m] for s in rows.who]) for m in metrics}
        judged[name] = single | together
    return judged


def with_refits(judged, refits):
    """Let scores of refits on dealt labels be the null of a condition, draw by draw.

    Parameters
    ----------
    judged : dict
        (subject, metric) -> RunScore of the condition.
    refits : list of dict
        The same of every refit.
    """
    null = lambda key: np.array([one[key].value for one in refits])
    return {key: replace(score, null=null(key)) for key, score in judged.items()}


def metrics_table(judged, kinds, rows, level, rng_of):
    """One line per subject, condition and metric; `rng_of` of these three breaks ties in p.

    ``lo hi`` are over groups; ``binomial_lo binomial_hi``, of accuracies, are what they would be
    were all rows independent, and ``n_groups`` is how many groups there are.
    """
    import pandas as pd

    chance = {
        subject: chance_levels(rows.labels[own], rows.n_classes, rows.ordered)
        for subject, own in rows.who.items()
    }
    chance[ALL] = {m: np.mean([c[m] for c in chance.values()]) for m in next(iter(chance.values()))}
    lines = []
    for name, found in judged.items():
        for (subject, metric), score in found.items():
            n_groups = rows.n_groups(subject)
            low, high = interval(metric, score, n_groups, level)
            bare = (np.nan, np.nan)
            if metric == "accuracy":
                bare = binomial_interval(score.value, score.n, level)
            lines.append(
                {
                    "subject": subject,
                    "condition": name,
                    "kind": kinds[name],
                    "metric": metric,
                    "space": "class",
                    "set_size": rows.n_classes,
                    "value": score.value,
                    "lo": low,
                    "hi": high,
                    "n": score.n,
                    "chance": chance[subject][metric],
                    "p": score.p(rng_of(subject, name, metric), "higher"),
                    "ceiling": np.nan,
                    "better": "higher",
                    "n_groups": n_groups,
                    "binomial_lo": bare[0],
                    "binomial_hi": bare[1],
                }
            )
    return pd.DataFrame(lines)


def comparison_table(judged, answers, rows, model, level):
    """Accuracy of `model` less that of every other: interval over groups, McNemar's p over rows.

    Of a condition with several refits, McNemar's test takes the first.
    """
    import pandas as pd

    right = {name: _right(*draws[0]) for name, draws in answers.items()}
    lines = []
    for other in (name for name in judged if name != model):
        for subject in [*rows.who, ALL]:
            own = slice(None) if subject == ALL else rows.who[subject]
            a, b = judged[model][subject, "accuracy"], judged[other][subject, "accuracy"]
            line = {"subject": subject, "metric": "accuracy", "a": model, "b": other}
            lines.append(line | compared(a, b, right[model][own], right[other][own], level))
    return pd.DataFrame(lines)


def trial_table(answers, rows, about, classes):
    """One line per trial: its group, its class, and what every condition named it.

    `about` is a table with ``subject row_id stimulus_id`` of the rows.
    """
    columns = about.assign(group=rows.groups, true=np.array(classes)[rows.labels])
    for name, draws in answers.items():
        columns[f"predicted_{name}"] = np.array(classes)[draws[0][0].argmax(axis=1)]
    return columns


def confusion(answers, n_classes):
    """Count rows of each true class (rows) by the class named (columns), ties in equal parts."""
    scores, labels = answers[0]
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, labels, named(scores))
    return counts


def _right(scores, labels):
    return scores.argmax(axis=1) == labels
