"""Two classifiers on the same rows: do they err on different ones? McNemar's exact test."""

import numpy as np


def mcnemar(a_right, b_right):
    """Compare two classifiers where exactly one of them is right [1]_.

    Parameters
    ----------
    a_right, b_right : ndarray of bool, shape (n_rows,)

    Returns
    -------
    p : float
        Two-sided, exact: the binomial probability of splits of the discordant rows at most as
        likely as the one seen; 1 if there are none.
    only_a, only_b : int
        Rows that only the one got right.

    References
    ----------
    .. [1] McNemar (1947), Psychometrika 12:153.
    """
    from scipy.stats import binomtest

    a_right, b_right = np.asarray(a_right, bool), np.asarray(b_right, bool)
    only_a, only_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    if only_a + only_b == 0:
        return 1.0, 0, 0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue), only_a, only_b
