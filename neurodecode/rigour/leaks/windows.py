"""Trials of different sides whose windows share samples of one recording: exact, from the table."""

import numpy as np

RUN = ["subject", "session", "run"]


def overlapping_windows(trials, labels, response_s=0.0):
    """Find trials on different sides whose time windows overlap in the same run.

    A trial's window goes from its onset to the end of its duration and `response_s` beyond. Windows
    that only touch do not overlap.

    Parameters
    ----------
    trials : DataFrame, n_trials rows
        Columns ``subject session run onset_s duration_s``; trials without onset are left out, an
        unknown duration counts as 0.
    labels : array of str, shape (n_trials,)
    response_s : float
        Seconds after a trial's end during which its response is still read.

    Returns
    -------
    pairs : ndarray of int, shape (n_pairs, 2)
        Row numbers into `trials`; one pair for each trial that reaches into the next of another
        side, the earlier first.
    n_compared : int
        Trials with an onset.
    """
    onset = trials["onset_s"].to_numpy(float)
    end = onset + trials["duration_s"].fillna(0).to_numpy(float) + response_s
    pairs, n_compared = [], 0
    for rows in trials.groupby(RUN, dropna=False, sort=False).indices.values():
        rows = rows[np.isfinite(onset[rows])]
        rows = rows[np.argsort(onset[rows], kind="stable")]
        n_compared += len(rows)
        pairs += _reaching(rows, onset[rows], end[rows], labels[rows])
    return np.array(pairs, int).reshape(-1, 2), n_compared


def _reaching(rows, onset, end, labels):
    """Pairs of one run, in the order of time: for each trial, the first it overlaps elsewhere."""
    found = []
    for i, last in enumerate(np.searchsorted(onset, end - 1e-9)):
        other = np.flatnonzero(labels[i + 1 : last] != labels[i])
        found += [(rows[i], rows[i + 1 + other[0]])] if len(other) else []
    return found


def time_windows(trials, length_s):
    """Number consecutive windows of `length_s` seconds within each run: (n_trials,) of int.

    For `shared_state`: trials of one window were recorded in one state.
    """
    window = np.floor(trials["onset_s"].to_numpy(float) / length_s)
    return trials.assign(window=window).groupby([*RUN, "window"], dropna=False).ngroup().to_numpy()
