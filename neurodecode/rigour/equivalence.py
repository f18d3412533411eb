"""Are two conditions the same, for all that matters? Two one-sided tests, by resampling [1]_.

That a difference is not significant shows nothing: the study may be small. Equivalence is shown
where the whole interval of the difference lies within a margin that was named beforehand.

References
----------
.. [1] Schuirmann (1987), J. Pharmacokinet. Biopharm. 15:657.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Equivalence:
    """What was found of a difference.

    Parameters
    ----------
    low, high : float
        Its interval of coverage 1 - 2 α: .90 for α = .05.
    margin : float
    p : float
        The larger of the two one-sided p-values.
    shown : bool
    """

    low: float
    high: float
    margin: float
    p: float
    shown: bool

    @property
    def words(self):
        """``equivalent within ± .02``, or that it was not shown."""
        within = f"within ± {self.margin:g}".replace(" 0.", " .")
        return f"equivalent {within}" if self.shown else f"equivalence {within} not shown"


def equivalent(difference, draws, n_units, margin, alpha=0.05):
    """Test whether a difference lies within ± `margin`.

    Parameters
    ----------
    difference : float
    draws : ndarray, shape (n_draws,)
        Its bootstrap draws.
    n_units : int
        Number of resampled units. Draws are spread by Student's t and the unbiased variance, as
        bootstrap intervals of few units are too narrow.
    margin : float
        The least difference that matters, named before looking.
    alpha : float
        Chance of calling a difference of exactly `margin` equivalent; it is less in a study whose
        interval is hardly narrower than the margins, which can show little.

    Returns
    -------
    found : Equivalence

    Raises
    ------
    ValueError
        If the margin is not above 0, or there are fewer than two units.
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}: a difference that matters is above 0")
    if n_units < 2:
        raise ValueError(f"{n_units} unit(s): equivalence needs at least 2 stimuli or subjects")
    spread = difference + _widening(n_units, alpha) * (draws[np.isfinite(draws)] - difference)
    low, high = np.quantile(spread, [alpha, 1 - alpha])
    beyond = max((spread >= margin).sum(), (spread <= -margin).sum())
    p = (1 + beyond) / (1 + len(spread))
    shown = bool(-margin < low and high < margin)
    return Equivalence(float(low), float(high), float(margin), float(p), shown)


def _widening(n_units, alpha):
    from scipy.stats import norm, t

    return t.ppf(1 - alpha, n_units - 1) / norm.ppf(1 - alpha) * np.sqrt(n_units / (n_units - 1))
