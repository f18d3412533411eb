"""Scores of classified trials: accuracy and what goes with it, resampled by what is independent.

Everything is a function of counts (true class by named class) of each group, so that an interval is
a matter of weighting groups, and a p-value one of counting again with labels dealt anew. Classes
that share the top count in equal parts.
"""

import numpy as np

from neurodecode.rigour.bootstrap import percentile_interval, resample_counts, wilson_interval
from neurodecode.rigour.run_draws import RunScore

SHARES = ("accuracy", "balanced_accuracy", "top2", "seq2hr")  # Wilson's interval; F1: percentiles


def named(scores):
    """Shares of each class in what rows are named, (n_rows, n_classes): ties split evenly."""
    top = scores == scores.max(axis=1, keepdims=True)
    return top / top.sum(axis=1, keepdims=True)


def top_two(scores, labels):
    """Chance that the true class is among the two best of each row, ties drawn by lot."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    above, tied = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    return np.clip((2 - above) / tied, 0, 1)


def sequential_hits(scores, labels):
    """Whether the two best classes are neighbours on their scale and one of them is the true one.

    HiSTN's sequential top-2 hit rate (Seq2HR) [1]_ is the mean; ties are drawn by lot.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_classes)
        Classes in the order of their scale.
    labels : ndarray of int, shape (n_rows,)

    References
    ----------
    .. [1] Kuang, Song & Michoski, arXiv 2408.15255.
    """
    n_classes = scores.shape[1]
    second = np.sort(scores, axis=1)[:, -2]
    top = scores > second[:, None]
    tied = scores == second[:, None]
    n_tied = tied.sum(axis=1)
    alone = top.any(axis=1)
    pairs = np.where(alone, n_tied, n_tied * (n_tied - 1) / 2)  # equally likely pairs at the top
    hits = np.zeros(len(labels))
    for low in range(n_classes - 1):
        pair = slice(low, low + 2)
        best = np.where(
            alone,
            top[:, pair].any(axis=1) & tied[:, pair].any(axis=1),
            tied[:, pair].all(axis=1),
        )
        hits += best * np.isin(labels, (low, low + 1)) / pairs
    return hits


def measures(counts):
    """Accuracy, balanced accuracy and macro F1 of counts (..., true class, named class).

    Of balanced accuracy and F1 only the classes that occur among the true ones are averaged.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    true, said = counts.sum(axis=-1), counts.sum(axis=-2)
    there = np.where(true > 0, 1.0, np.nan)
    divide = lambda a, b: np.divide(a, b, out=np.zeros_like(a), where=b > 0)
    return {
        "accuracy": hits.sum(axis=-1) / true.sum(axis=-1),
        "balanced_accuracy": np.nanmean(divide(hits, true) * there, axis=-1),
        "macro_f1": np.nanmean(divide(2 * hits, true + said) * there, axis=-1),
    }


def chance_levels(labels, n_classes, ordered=False):
    """What guesses earn that are uniform over the classes: ``{metric: chance}``."""
    share = np.bincount(labels, minlength=n_classes) / len(labels)
    uniform = np.outer(share, np.full(n_classes, 1 / n_classes))
    found = {name: float(value) for name, value in measures(uniform).items()}
    found["top2"] = min(1.0, 2 / n_classes)
    if ordered:
        neighbours = np.full(n_classes, 2)
        neighbours[[0, -1]] = 1
        found["seq2hr"] = float(share @ neighbours / (n_classes * (n_classes - 1) / 2))
    return found


def scores_of(scores, labels, groups, dealt, n_bootstrap, rng, ordered=False):
    """Judge one subject's answers.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_classes)
        The largest names the class.
    labels : ndarray of int, shape (n_rows,)
    groups : ndarray, shape (n_rows,)
        What is independent: resampled as a whole.
    dealt : ndarray of int, shape (n_draws, n_rows)
        Labels dealt anew, for p-values; may hold no draws.
    n_bootstrap : int
    rng : numpy.random.Generator
        In the same state for all conditions: their draws are then paired.
    ordered : bool
        Whether classes have an order, so that Seq2HR means something.

    Returns
    -------
    judged : dict
        Metric -> RunScore.
    """
    n_classes = scores.shape[1]
    names, unit = np.unique(groups, return_inverse=True)
    weights = resample_counts(len(names), n_bootstrap, rng)
    said, truth = named(scores), np.eye(n_classes)
    counts = np.zeros((len(names), n_classes, n_classes))
    np.add.at(counts, (unit, labels), said)
    drawn = np.tensordot(weights, counts, axes=1)  # (n_bootstrap, n_classes, n_classes)
    null = np.stack([truth[one].T @ said for one in dealt]) if len(dealt) else counts[:0]
    parts = [measures(c) for c in (counts.sum(axis=0), drawn, null)]
    judged = {
        name: RunScore(float(parts[0][name]), len(labels), parts[1][name], parts[2][name])
        for name in parts[0]
    }
    rows = {"top2": top_two} | ({"seq2hr": sequential_hits} if ordered else {})
    for name, hits in rows.items() if n_classes > 2 else ():
        by_truth = np.stack([hits(scores, np.full(len(labels), c)) for c in range(n_classes)])
        earned = by_truth[labels, np.arange(len(labels))]
        per_group = np.bincount(unit, earned, len(names))
        draws = weights @ per_group / (weights @ np.bincount(unit, minlength=len(names)))
        anew = by_truth[dealt, np.arange(len(labels))].mean(axis=1) if len(dealt) else draws[:0]
        judged[name] = RunScore(float(earned.mean()), len(labels), draws, anew)
    return judged


def interval(name, score, n_groups, level):
    """Interval over groups: of a share Wilson's, with the variance of its draws."""
    if name in SHARES:
        return wilson_interval(score.draws, score.value, n_groups, level)
    return tuple(map(float, percentile_interval(score.draws, level)))


def binomial_interval(accuracy, n_rows, level):
    """Clopper & Pearson's interval of hits in `n_rows` rows, were all of them independent."""
    from scipy.stats import binomtest

    found = binomtest(round(accuracy * n_rows), n_rows).proportion_ci(level, "exact")
    return float(found.low), float(found.high)
