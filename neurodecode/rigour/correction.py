"""Many tests at once: the chance of any false alarm (max-T), and the share of false alarms (FDR).

The tests of a family are as alike as their scores: the permutations that each of them was judged by
are the same ones, draw by draw, so that the largest of a draw's scores says how far luck gets
anywhere in the family. No assumption is made of how they depend on one another, and tests that say
the same cost nothing.
"""

import numpy as np

BETTER = {"higher": np.positive, "lower": np.negative, "either": np.abs}


def max_t(family, rng):
    """Adjust the p-values of a family for all of them: step-down max-T [1]_.

    Each score is taken relative to the mean and spread of its own draws, the one observed among
    them, so that ranks and correlations can stand in one family. From the largest on, each is
    compared with the largest of the draws over itself and all that are smaller.

    Parameters
    ----------
    family : dict
        ``{key: (value, null, better)}``: a score, its scores under permutation, shape (n_draws,),
        of the same permutations for all keys, and ``higher``, ``lower`` or ``either`` (of a
        difference).
    rng : numpy.random.Generator
        Breaks ties, as in `permutation_p`.

    Returns
    -------
    p : dict
        ``{key: p}``: with p ≤ α for all that are below it, the chance of any false alarm in the
        family is at most α. NaN for a score that is NaN, or whose draws are.

    Raises
    ------
    ValueError
        If nulls have different lengths, or `better` is none of the three.

    References
    ----------
    .. [1] Westfall & Young, Resampling-based multiple testing (1993), algorithm 4.1.
    """
    known = {k: f for k, f in family.items() if np.isfinite(f[0]) and np.isfinite(f[1]).all()}
    found = dict.fromkeys(family, np.nan)
    if not known:
        return found
    lengths = {len(null) for _, null, _ in known.values()}
    if len(lengths) > 1:
        raise ValueError(
            f"nulls have {sorted(lengths)} draws: tests of one family share their permutations"
        )
    scores = np.stack([_standardised(*test) for test in known.values()])  # (n_tests, 1 + n_draws)
    order = np.argsort(-scores[:, 0], kind="stable")
    largest = np.maximum.accumulate(scores[order, 1:][::-1], axis=0)[::-1]
    places = [_place(scores[k, 0], null, rng) for k, null in zip(order, largest, strict=True)]
    keys = list(known)
    stepped = zip(order, np.maximum.accumulate(places), strict=True)
    return found | {keys[k]: float(p) for k, p in stepped}


def fdr(p, method="bh"):
    """Adjust p-values for the share of false alarms among all alarms: q-values.

    Parameters
    ----------
    p : array_like, any shape
        NaN: not tested; it stays NaN and does not count.
    method : {"bh", "by"}
        Benjamini & Hochberg, for tests that are independent or lean the same way; Benjamini &
        Yekutieli, for any.

    Returns
    -------
    q : ndarray, shape of `p`
    """
    from scipy.stats import false_discovery_control

    q = np.array(p, dtype=float)
    tested = np.isfinite(q)
    if tested.any():
        q[tested] = false_discovery_control(q[tested], method=method)
    return q


def _standardised(value, null, better):
    """Observed first, then its draws, in spreads from their mean; 0 where nothing varies."""
    if better not in BETTER:
        raise ValueError(f"better is {better!r}: {', '.join(BETTER)}")
    scores = np.concatenate([[value], null])
    spread = scores.std()
    varies = spread > 1e-10 * (1 + abs(value))
    return BETTER[better]((scores - scores.mean()) / spread if varies else np.zeros(len(scores)))


def _place(observed, null, rng):
    """The place of a score among the draws, a random one of its equals."""
    tied = int((np.abs(null - observed) <= 1e-9).sum())
    beaten = int((null > observed + 1e-9).sum()) + int(rng.integers(tied + 1))
    return (1 + beaten) / (len(null) + 1)
