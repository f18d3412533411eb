"""Intervals by resampling what generalises: test stimuli, jointly for all subjects and conditions.

One set of draws serves every score, so that a paired difference is the difference of two columns of
draws and the pooled score is the mean over subjects of theirs (subjects are fixed: the interval
speaks of other stimuli, not of other people).

Trial scores are resampled, with the candidates of retrieval as they are. How often the intervals
hold the expected score of new test sets is printed by ``scripts/bench/statistics.py``.

Where a score lies between 0 and 1, Wilson's interval is used by default, with the variance that the
draws show. Percentile intervals fail where hits, or failures, are rare: of 200 stimuli at .95 they
covered .61 of the time for top-1 at chance, .86 at a top-1 of .02, .52 at .996; Wilson's .94, .97
and .95. Both are too narrow for mean two-way scores above .97 (.93 at .964, .87 at .997: a few hard
stimuli carry all of the spread), and for retrieval where all predictions lean to one side and a few
candidates take the hits of all others (.7: take the common part out before comparing). They are too
wide where a stimulus that wins easily is also one that beats others (two-way, predictions alike).
"""

import numpy as np


def resample_counts(n_units, n_draws, rng):
    """Draw how often each unit is taken, shape (n_draws, n_units): rows sum to n_units."""
    picks = rng.integers(n_units, size=(n_draws, n_units))
    counts = np.zeros((n_draws, n_units))
    np.add.at(counts, (np.arange(n_draws)[:, None], picks), 1)
    return counts


def leave_one_out_counts(n_units):
    """Counts of the n_units jackknife samples, shape (n_units, n_units)."""
    return 1.0 - np.eye(n_units)


def weighted_mean(values, counts):
    """Means of `values` (n_rows, n_scores) in each sample of `counts` (n_draws, n_rows).

    Returns
    -------
    means : ndarray, shape (n_draws, n_scores)
        NaN for a sample that holds no row of these (a subject none of whose stimuli was drawn).
    """
    total = counts.sum(axis=1, keepdims=True)
    return counts @ values / np.where(total > 0, total, np.nan)


def weighted_median(values, counts):
    """Medians, as `weighted_mean`; of an even number of rows the mean of the middle two."""
    n_draws = len(counts)
    medians = np.empty((n_draws, values.shape[1]))
    total = counts.sum(axis=1, keepdims=True)
    for column, row_values in enumerate(values.T):
        order = np.argsort(row_values, kind="stable")
        reached = np.cumsum(counts[:, order], axis=1)
        lower = np.argmax(reached > (total - 1) // 2, axis=1)
        upper = np.argmax(reached > total // 2, axis=1)
        medians[:, column] = (row_values[order][lower] + row_values[order][upper]) / 2
    medians[total[:, 0] == 0] = np.nan
    return medians


def percentile_interval(draws, level=0.95):
    """The middle `level` of the draws (n_draws, ...): lower and upper ends."""
    tail = (1 - level) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    return low, high


def wilson_interval(draws, estimate, n_units, level=0.95):
    """Wilson's interval [1]_ of a mean of values between 0 and 1.

    The draws' variance says how many independent hits and misses the mean is worth, which makes it
    an interval of any such mean, with repeated rows or averaged over subjects: of plain hits it is
    Wilson's own. It never ends outside 0 to 1, and is no point where all rows hit.

    Parameters
    ----------
    draws : ndarray, shape (n_draws,)
    estimate : float
    n_units : int
        Number of resampled units: what it is worth where all of them hit, or miss.
    level : float

    Returns
    -------
    low, high : float
        Both the estimate where all rows earn the same, and that is neither 0 nor 1.

    References
    ----------
    .. [1] Wilson (1927), JASA 22:209.
    """
    from scipy.special import ndtri

    variance = np.nanvar(draws) * n_units / max(n_units - 1, 1)
    binary = estimate * (1 - estimate)
    if binary <= 1e-12:
        worth = n_units
    elif variance <= 1e-24:
        return float(estimate), float(estimate)
    else:
        worth = binary / variance
    z = ndtri((1 + level) / 2)
    centre = (estimate + z**2 / (2 * worth)) / (1 + z**2 / worth)
    half = z / (1 + z**2 / worth) * np.sqrt(binary / worth + z**2 / (4 * worth**2))
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))


def bca_interval(draws, estimate, jackknife, level=0.95):
    """Bias-corrected and accelerated interval of one score [1]_.

    Parameters
    ----------
    draws : ndarray, shape (n_draws,)
    estimate : float
        The score of the whole sample.
    jackknife : ndarray, shape (n_units,)
        The score with each unit left out.

    Returns
    -------
    low, high : float
        The percentile interval where all draws are equal, or all on one side of the estimate.

    References
    ----------
    .. [1] Efron, Better bootstrap confidence intervals, JASA 82 (1987).
    """
    from scipy.special import ndtr, ndtri

    draws = draws[np.isfinite(draws)]
    below = (np.mean(draws < estimate) + np.mean(draws <= estimate)) / 2
    if not 0 < below < 1 or np.ptp(draws) == 0:
        return tuple(map(float, percentile_interval(draws, level)))
    bias = ndtri(below)
    spread = jackknife.mean() - jackknife
    squares = (spread**2).sum()
    acceleration = (spread**3).sum() / (6 * squares**1.5) if squares > 0 else 0.0
    shifted = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(draws, ndtr(bias + shifted / (1 - acceleration * shifted)))
    return float(low), float(high)


def mean_interval(values, units, n_draws, rng, level=0.95):
    """Percentile interval of the mean of `values` (n_rows,), resampling `units` (n_rows,) of them.

    For one score by itself; the evaluation shares its draws over all scores.
    """
    names, unit = np.unique(units, return_inverse=True)
    counts = resample_counts(len(names), n_draws, rng)
    draws = weighted_mean(np.asarray(values, dtype=float)[:, None], counts[:, unit])
    low, high = percentile_interval(draws[:, 0], level)
    return float(low), float(high)
