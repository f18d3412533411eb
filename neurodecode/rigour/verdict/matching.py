"""Two-way matching: how often a prediction is nearer to its own picture than to another one.

A test is one table: entry [i, j] is what prediction i would earn if picture j were its own. The
score is the mean of the diagonal; a permuted pairing is read from the same table, so hubs (pictures
near to every prediction) are as much there under permutation. Rows have length one: where spread
goes with the features, long rows would otherwise meet long rows more often than permuted ones do.
"""

import numpy as np

from neurodecode.rigour.bootstrap import percentile_interval
from neurodecode.rigour.permutation import permutation_p, permuted_values

CHANCE = 0.5


def similarity(predicted, truth):
    """Cosines, (n, dim) and (n, dim) -> (n, n); 0 for a vector of zeros."""
    return _unit(predicted) @ _unit(truth).T


def among_all(similar):
    """Share of the other pictures that each picture beats, ties half: (n, n) -> (n, n)."""
    return _beaten(similar) / (len(similar) - 1)


def among_others(similar, groups):
    """Share of the pictures of other categories that each picture beats."""
    beaten, size = _beaten(similar), np.bincount(groups)[groups]
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        beaten[:, own] -= _beaten(similar[:, own])
    return beaten / (len(similar) - size)


def among_own(similar, groups):
    """Share of the other pictures of its own category that each picture beats."""
    shares = np.full(similar.shape, np.nan)
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        shares[:, own] = _beaten(similar[:, own]) / (len(own) - 1)
    return shares


def orders(groups, n_draws, rng):
    """Permutations of rows that stay inside their groups, (n_draws, n)."""
    keys = groups + rng.random((n_draws, len(groups)))
    dealt = np.empty(keys.shape, dtype=int)
    dealt[:, np.argsort(groups, kind="stable")] = np.argsort(keys, axis=1)
    return dealt


def judged(name, table, groups, n_permutations, rng):
    """Judge one table: value, interval over stimuli and p, as a line of results.

    Parameters
    ----------
    name : str
    table : ndarray, shape (n, n)
    groups : ndarray of int, shape (n,)
        Pictures are dealt anew inside groups only.

    Returns
    -------
    line : dict
        name value lo hi p n chance
    """
    values = np.diagonal(table)
    null = permuted_values(table.T, orders(groups, n_permutations, rng)).mean(axis=1)
    resampled = values[rng.integers(len(values), size=(n_permutations, len(values)))]
    low, high = percentile_interval(resampled.mean(axis=1))
    value = float(values.mean())
    p = permutation_p(value, null, rng)
    return {
        "name": name,
        "value": value,
        "lo": float(low),
        "hi": float(high),
        "p": p,
        "n": len(values),
        "chance": CHANCE,
    }


def not_judged(name, n):
    """The line of a test that cannot be made: no value, p of one."""
    missing = float("nan")
    return {
        "name": name,
        "value": missing,
        "lo": missing,
        "hi": missing,
        "p": 1.0,
        "n": n,
        "chance": CHANCE,
    }


def _beaten(similar):
    """How many of the other columns are smaller in each row, ties half."""
    from scipy.stats import rankdata

    return rankdata(np.round(similar, 9) + 0.0, axis=1) - 1  # + 0.0: -0.0 is 0


def _unit(rows):
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norm > 1e-12, norm, np.inf)
