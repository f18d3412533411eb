"""Chance levels and controls: what a score means when the brain says nothing, or a category."""

import numpy as np


def derangement(n, rng):
    """Draw a permutation of n that leaves nothing in place, uniformly (by rejection).

    About e = 2.7 draws are needed whatever n is.
    """
    if n < 2:
        raise ValueError(f"{n} row(s) cannot be deranged: a shuffled control needs at least 2")
    while True:
        order = rng.permutation(n)
        if (order != np.arange(n)).all():
            return order


def mismatched_mean(values, own):
    """Chance of a score that has no closed form: the mean over pairs that do not belong together.

    Parameters
    ----------
    values : ndarray, shape (n_truths, n_rows)
        ``values[i, j]``: what row j earns against truth i.
    own : ndarray of int, shape (n_rows,)
        The truth each row belongs to.

    Returns
    -------
    chance : float
        The expected score of this condition's rows, each scored against another truth.
    """
    n_truths, n_rows = values.shape
    if n_truths < 2:
        raise ValueError("one truth has no mismatched pair: score at least 2 stimuli")
    matched = values[own, np.arange(n_rows)].sum()
    return float((values.sum() - matched) / (n_rows * (n_truths - 1)))


def category_oracle(categories):
    """Embed like a decoder that knows the category and nothing else: one-hot rows.

    Truth and prediction alike, put through any ranking metric with fair ties: that is the metric's
    value for spurious reconstruction, the reference line of [1]_.

    Returns
    -------
    embedding : ndarray, shape (n, n_categories)

    References
    ----------
    .. [1] Shirakawa et al., Spurious reconstruction from brain activity, arXiv 2405.10078.
    """
    names, number = np.unique(np.asarray(categories, dtype=str), return_inverse=True)
    return np.eye(len(names))[number]


def oracle_two_way(n, n_categories):
    """Two-way identification of the category oracle, equal categories, ties half.

    1 - .5 (n / n_categories - 1) / (n - 1): every other category is told apart, the rest of one's
    own is a coin flip. .9545 for 100 stimuli of 10 categories.
    """
    if n < 2 or n % n_categories:
        raise ValueError(f"{n} stimuli do not make {n_categories} equal categories")
    return 1 - 0.5 * (n / n_categories - 1) / (n - 1)
