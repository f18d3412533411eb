"""How much of what a decoder could score it owes to the brain.

    attributable = (model - prior only) / (ceiling - prior only)

0: the generator does as well without a brain; 1: as well as with the picture's own features. The
three are resampled together, by one set of draws, since a picture that is hard for one of them is
hard for all.

It is a quotient, and worthless where its denominator might be zero. It is given only where the
ceiling is better than prior-only in all but `DOUBT` of the draws. Then, but for these, model -
prior > x (ceiling - prior) says the same as quotient > x in every draw, so that the percentile
interval of the quotient is the one that inverting the test of every x gives (Fieller's [1]_, by
bootstrap). Where it is not given, no number stands in for it.

Measured in 600 simulated studies each of 50 and of 200 pictures, with ceilings .03 to .4 above
prior-only and a per-picture spread of .2: of those that got a number, .93 to .96 of the 95 %
intervals held the truth. With a ceiling .03 above, 15 % of studies of 200 pictures got one.

References
----------
.. [1] Fieller, E. C. (1954). Some problems in interval estimation. J. R. Stat. Soc. B 16.
"""

import numpy as np

from neurodecode.rigour.bootstrap import weighted_mean

DOUBT = 0.001  # share of draws in which the ceiling may fall short of prior-only


def attributable(model, prior, ceiling, counts, better="higher", summary=weighted_mean):
    """Score what a decoder owes to the brain, with its draws.

    Parameters
    ----------
    model, prior, ceiling : ndarray, shape (n_rows,)
        What each row earns; row by row the same pictures. Of several subjects: their rows one
        after the other.
    counts : ndarray, shape (n_draws, n_rows)
        How often each row is taken in each draw.
    better : {"higher", "lower"}
        Which scores are better.
    summary : callable (values (n_rows, n_scores), counts) -> (n_draws, n_scores)
        `weighted_mean`, or `weighted_median` for scores that are summarised so.

    Returns
    -------
    value : float
        May lie outside 0 to 1: a model can be worse than no brain, or better than what is called
        its ceiling. NaN where the ceiling does not reliably exceed prior-only.
    draws : ndarray, shape (n_draws,)
        All NaN where the value is; else NaN in draws that hold no row, or in which the ceiling
        falls short. `percentile_interval` makes the interval.

    Raises
    ------
    ValueError
        Where lengths differ or `better` is unknown.
    """
    if better not in ("higher", "lower"):
        raise ValueError(f"better is {better!r}: higher or lower")
    scores = [np.asarray(score, dtype=float) for score in (model, prior, ceiling)]
    n_rows = counts.shape[1]
    if any(score.shape != (n_rows,) for score in scores):
        raise ValueError(
            f"model, prior and ceiling are {[s.shape for s in scores]}, counts {counts.shape}: "
            "expected one score per row of the same rows, and counts (n_draws, n_rows)"
        )
    everything = np.concatenate([np.ones((1, n_rows)), counts])
    means = summary(np.stack(scores, axis=1), everything) * (1 if better == "higher" else -1)
    gained, possible = means[:, 0] - means[:, 1], means[:, 2] - means[:, 1]
    sound = possible > 1e-12
    quotient = np.full(len(means), np.nan)
    quotient[sound] = gained[sound] / possible[sound]
    seen = np.isfinite(possible[1:])
    if not sound[0] or not seen.any() or (~sound[1:][seen]).mean() > DOUBT:
        quotient[:] = np.nan
    return float(quotient[0]), quotient[1:]
