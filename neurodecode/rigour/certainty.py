"""Is a decoder more certain where it is right: rank correlation of uncertainty and error.

Spearman's correlation over test rows. Stimuli are resampled for its interval, and errors dealt anew
among them for its p-value, jointly for all subjects.
"""

import numpy as np

from neurodecode.rigour.judge import Verdict


def certainty(uncertainty, error, panel, draws):
    """Judge how well one number of each row foretells another.

    Parameters
    ----------
    uncertainty, error : ndarray, shape (n_rows,)
    panel : neurodecode.rigour.judge.Panel
        Of these rows.
    draws : neurodecode.rigour.judge.Draws
        That the panel was made from.

    Returns
    -------
    verdict : neurodecode.rigour.judge.Verdict
        Its value is Spearman's correlation, 0 where one side does not vary: such a number foretells
        nothing.
    """
    own = np.arange(len(error))
    taken = [np.repeat(own, counts.astype(int)) for counts in panel.counts]
    found = [spearman(uncertainty[rows], error[rows]) for rows in taken]
    keys = np.argsort(draws.keys[:, panel.rows.unit], axis=1, kind="stable")
    return Verdict(
        value=spearman(uncertainty, error),
        chance=0.0,
        n=panel.rows.n_units,
        draws=np.array(found),
        left_out=np.zeros(0),
        null=_all_pairings(uncertainty, error, keys),
        rows=np.empty(0),
        summary="correlation",
        better="higher",
    )


def spearman(a, b):
    """Spearman's correlation of two vectors; 0 where one of them does not vary."""
    a, b = _standard_ranks(a), _standard_ranks(b)
    return float(a @ b)


def _all_pairings(a, b, orders):
    """The correlation of a with b in each order: (n_draws,)."""
    return _standard_ranks(b)[orders] @ _standard_ranks(a)


def _standard_ranks(values):
    from scipy.stats import rankdata

    if len(values) < 2:
        return np.zeros(len(values))
    centred = rankdata(values) - (len(values) + 1) / 2
    length = np.linalg.norm(centred)
    return centred / length if length > 0 else centred
