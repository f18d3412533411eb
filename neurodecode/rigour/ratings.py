"""What people's choices say: accuracy with raters and stimuli as random, p, Holm, and agreement.

Answers are crossed: every rater sees every stimulus. The interval speaks of other raters and other
stimuli (crossed clusters, as `rigour.hierarchical`); p-values are of the null that the two pictures
of a trial are exchangeable, whoever looks at them, so that all answers to a stimulus flip together.
How often the interval covers and the test is falsely sure is printed by scripts/bench/rating.py.
"""

import numpy as np

from neurodecode.rigour.hierarchical import crossed_variance
from neurodecode.rigour.permutation import permutation_p, two_sided_p

LEAST_RATERS, LEAST_STIMULI = 2, 8  # of fewer there is no interval that speaks of others


def share_interval(hits, raters, stimuli, level=0.95):
    """Interval of the share of hits, for other raters and other stimuli.

    Wilson's, with the variance of crossed clusters and Student's t, so that it never ends outside
    0 to 1. Where all answers are the same, what there is counts as many trials as stimuli.

    Parameters
    ----------
    hits : ndarray of 0 or 1, shape (n_answers,)
    raters, stimuli : array_like, shape (n_answers,)
    level : float

    Returns
    -------
    share, low, high : float
        low and high are NaN below `LEAST_RATERS` raters or `LEAST_STIMULI` stimuli.
    """
    from scipy.stats import t

    hits = np.asarray(hits, float)
    rater, stimulus = (np.unique(x, return_inverse=True)[1] for x in (raters, stimuli))
    share, n_stimuli = hits.mean(), stimulus.max() + 1
    if rater.max() + 1 < LEAST_RATERS or n_stimuli < LEAST_STIMULI:
        return float(share), np.nan, np.nan
    binary = share * (1 - share)
    if binary == 0:
        worth, freedom = n_stimuli, n_stimuli - 1
    else:
        influence = (hits - share) / len(hits)
        variance, freedom = crossed_variance(influence, rater, stimulus, "both")
        # chance alone spreads independent answers so much: less is luck, not knowledge
        worth = binary / max(variance, binary / len(hits))
    z = t.ppf((1 + level) / 2, freedom)
    centre = (share + z**2 / (2 * worth)) / (1 + z**2 / worth)
    half = z / (1 + z**2 / worth) * np.sqrt(binary / worth + z**2 / (4 * worth**2))
    return float(share), float(max(centre - half, 0)), float(min(centre + half, 1))


def sign_flip_p(hits, stimuli, rng, n_draws=10_000, two_sided=False):
    """p of the share of hits against .5: all answers to a stimulus flip together.

    Parameters
    ----------
    hits : ndarray of 0 or 1, shape (n_answers,)
    stimuli : array_like, shape (n_answers,)
    rng : numpy.random.Generator
    n_draws : int
    two_sided : bool
        For a preference.
    """
    stimulus = np.unique(stimuli, return_inverse=True)[1]
    sums = np.bincount(stimulus, np.asarray(hits, float) - 0.5) / len(stimulus)
    null = (2 * rng.integers(2, size=(n_draws, len(sums))) - 1) @ sums
    judge = two_sided_p if two_sided else permutation_p
    return judge(sums.sum(), null, rng)


def holm(p):
    """Adjust p-values for the chance of any false alarm (Holm's steps); NaN is not counted."""
    p = np.asarray(p, float)
    adjusted, tested = np.full(len(p), np.nan), np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = np.arange(len(order), 0, -1) * p[order]
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def krippendorff(labels, units):
    """Krippendorff's alpha of nominal labels: 1 full agreement, 0 that of chance [1]_.

    Parameters
    ----------
    labels : array_like, shape (n_answers,)
    units : array_like, shape (n_answers,)
        What was judged; units with one answer do not count. Missing answers are simply not there.

    Returns
    -------
    alpha : float
        NaN where all labels are the same, or no unit has two.

    References
    ----------
    .. [1] Krippendorff, Content Analysis (2004), chapter 11.
    """
    names, label = np.unique(labels, return_inverse=True)
    _, unit = np.unique(units, return_inverse=True)
    counts = np.zeros((unit.max() + 1, len(names)))
    np.add.at(counts, (unit, label), 1)
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        return np.nan
    per_unit = counts.sum(axis=1)
    agreed = ((counts * (counts - 1)).sum(axis=1) / (per_unit - 1)).sum()
    total, marginal = counts.sum(), counts.sum(axis=0)
    expected = (marginal * (total - marginal)).sum() / (total - 1)
    return float(1 - (total - agreed) / expected) if expected > 0 else np.nan


def pairwise_agreement(labels, units):
    """Mean share of equal answers over pairs of raters of the same unit; NaN without such pairs."""
    names, label = np.unique(labels, return_inverse=True)
    _, unit = np.unique(units, return_inverse=True)
    counts = np.zeros((unit.max() + 1, len(names)))
    np.add.at(counts, (unit, label), 1)
    per_unit = counts.sum(axis=1)
    pairs = (per_unit * (per_unit - 1)).sum()
    return float((counts * (counts - 1)).sum() / pairs) if pairs else np.nan
