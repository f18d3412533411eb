"""Intervals and p-values of a cross-validated study: runs resampled, labels dealt within runs."""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.bootstrap import percentile_interval, resample_counts, weighted_mean
from neurodecode.rigour.permutation import permutation_p, permuted_values


@dataclass(frozen=True)
class RunScore:
    """One score of one subject with its draws; :func:`pooled` averages subjects.

    Parameters
    ----------
    value : float
    n : int
        What was judged: rows, or pairs of classes.
    draws : ndarray, shape (n_bootstrap,)
        The score in resamples of runs, or of classes.
    null : ndarray, shape (n_draws,)
        The score under permutation; empty where none was computed.
    """

    value: float
    n: int
    draws: np.ndarray
    null: np.ndarray

    def interval(self, level):
        """Lower and upper end of the percentile interval."""
        return tuple(map(float, percentile_interval(self.draws, level)))

    def p(self, rng, better):
        """One-sided permutation p, NaN without permutations."""
        return permutation_p(self.value, self.null, rng, better) if len(self.null) else np.nan


def run_score(values, runs, n_bootstrap, rng, null=()):
    """Score rows by their mean, resampling whole runs.

    Parameters
    ----------
    values : ndarray, shape (n_rows,)
    runs : array, shape (n_rows,)
    n_bootstrap : int
    rng : numpy.random.Generator
        Give equal ones to scores of the same runs: their draws are then paired.
    null : ndarray, shape (n_draws,)
    """
    names, unit = np.unique(np.asarray(runs), return_inverse=True)
    counts = resample_counts(len(names), n_bootstrap, rng)
    values = np.asarray(values, dtype=float)
    draws = weighted_mean(values[:, None], counts[:, unit])[:, 0]
    return RunScore(float(values.mean()), len(values), draws, np.asarray(null))


def pair_score(values, pairs, n_bootstrap, rng, null=()):
    """Score pairs of classes by their mean, resampling classes: it speaks of other categories.

    A class drawn twice counts twice in each of its pairs; with itself it makes no pair.

    Parameters
    ----------
    values : ndarray, shape (n_pairs,)
    pairs : list of (int, int)
    n_bootstrap, rng, null
        As in :func:`run_score`.
    """
    first, second = np.array(pairs).T
    counts = resample_counts(int(max(second.max(), first.max())) + 1, n_bootstrap, rng)
    values = np.asarray(values, dtype=float)
    draws = weighted_mean(values[:, None], counts[:, first] * counts[:, second])[:, 0]
    return RunScore(float(values.mean()), len(values), draws, np.asarray(null))


def pooled(scores):
    """Average subjects: each counts alike."""
    mean = lambda name: np.mean([getattr(s, name) for s in scores], axis=0)
    n = sum(s.n for s in scores)
    return RunScore(float(mean("value")), n, mean("draws"), mean("null"))


def deal_labels(labels, runs, n_draws, rng):
    """Permute labels within runs, once per draw.

    Returns
    -------
    dealt : ndarray of int, shape (n_draws, n_rows)
    """
    labels, runs = np.asarray(labels), np.asarray(runs)
    dealt = np.tile(labels, (n_draws, 1))
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        dealt[:, rows] = rng.permuted(dealt[:, rows], axis=1)
    return dealt


def dealt_scores(values, dealt):
    """Mean of what rows earn against dealt labels, without fitting anew.

    Parameters
    ----------
    values : ndarray, shape (n_classes, n_rows)
        What each row earns were its label this class.
    dealt : ndarray of int, shape (n_draws, n_rows)
    """
    return permuted_values(values, dealt).mean(axis=1)
