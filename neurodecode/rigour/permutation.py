"""How often chance does as well: p-values from permuted pairings of predictions and truths.

A score arrives as its full table ``values[i, j]``, what row j earns against truth i, so that a
permuted pairing costs one look-up per row and nothing is recomputed.
"""

import numpy as np


def permuted_truths(keys, truth_of_unit):
    """Deal the units' truths out anew, once per draw.

    Parameters
    ----------
    keys : ndarray, shape (n_draws, n_units)
        Uniform numbers. Subjects whose units are the same stimuli share keys, and are then permuted
        together, which keeps what their predictions have in common.
    truth_of_unit : ndarray of int, shape (n_units,)

    Returns
    -------
    truths : ndarray of int, shape (n_draws, n_units)
        The truth dealt to each unit in each draw.
    """
    return truth_of_unit[np.argsort(keys, axis=1, kind="stable")]


def permuted_values(values, truths_of_row):
    """What every row earns in every draw, values[truths[d, j], j]: shape (n_draws, n_rows).

    Row by row, whose values then stay in the cache: five times as fast as draw by draw. Truths in
    Fortran order are read without a copy.
    """
    return np.take_along_axis(np.ascontiguousarray(values.T), truths_of_row.T, axis=1).T


def permutation_p(observed, null, rng, better="higher"):
    """One-sided p of a score among its permuted scores, at least 1 / (n_draws + 1).

    (1 + number of draws that beat the observed score) / (n_draws + 1), a random number of the tied
    draws, 0 to all, counting as better. The observed score's place is then uniform among the
    n_draws + 1 under the null however coarse the score is. Counting all ties as better (p ≥ .37
    for a top-1 of none) is valid too but far from uniform, which would hide a faulty pipeline.

    Parameters
    ----------
    observed : float
    null : ndarray, shape (n_draws,)
    rng : numpy.random.Generator
        Breaks ties.
    better : {"higher", "lower"}
    """
    if better not in ("higher", "lower"):
        raise ValueError(f"better is {better!r}: higher or lower")
    gain = (null - observed) * (1 if better == "higher" else -1)
    slack = 1e-10 * (1 + abs(observed))  # sums of the same numbers in another order differ by less
    tied = int((np.abs(gain) <= slack).sum())
    beaten = int((gain > slack).sum()) + int(rng.integers(tied + 1))
    return (1 + beaten) / (len(null) + 1)


def two_sided_p(observed, null, rng):
    """p of a difference among sign-swapped differences: `permutation_p` of its size."""
    return permutation_p(abs(observed), np.abs(null), rng)


def swaps(n_units, n_draws, rng):
    """Draw which units swap their two conditions, shape (n_draws, n_units) of bool.

    Under the null two conditions are exchangeable stimulus by stimulus: a difference recomputed
    after such swaps is as likely as the one observed. All rows of a unit swap together.
    """
    return rng.random((n_draws, n_units)) < 0.5


def permuted_stimuli(stimulus_ids, rng):
    """Deal the stimuli of some trials out anew, and keep together what is of the same one.

    Trials of one stimulus stay together, and those of other subjects with them, so that repeats and
    what subjects have in common remain; only what the brain says of the pictures is lost.

    Parameters
    ----------
    stimulus_ids : iterable of str
        Of the trials of all subjects.
    rng : numpy.random.Generator

    Returns
    -------
    dealt : dict of str to str
        Stimulus -> the one it is taken for.
    """
    stimuli = sorted(set(stimulus_ids))
    return dict(zip(stimuli, (stimuli[k] for k in rng.permutation(len(stimuli))), strict=True))
