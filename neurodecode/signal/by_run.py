"""Scale responses run by run: what differs between whole runs is the scanner, not the stimulus.

Labels are never looked at, so that a held-out run may be scaled by its own trials. This is fair as
long as every run shows every category equally often; where runs differ in what they show, their
means carry it away.
"""

import numpy as np


def centre_by_run(responses, runs):
    """Subtract each channel's mean over the trials of a run.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels)
    runs : array, shape (n_trials,)
        The run of each trial.

    Returns
    -------
    centred : ndarray of float64, shape (n_trials, n_channels)
    """
    centred = np.array(responses, dtype=float)
    for run in np.unique(runs):
        rows = np.asarray(runs) == run
        centred[rows] -= centred[rows].mean(axis=0)
    return centred


def zscore_by_run(responses, runs):
    """Centre by run and divide by each channel's population standard deviation in the run.

    0 where a channel is constant in a run. Parameters and shapes as in :func:`centre_by_run`.
    """
    scaled = centre_by_run(responses, runs)
    for run in np.unique(runs):
        rows = np.asarray(runs) == run
        varies = np.ptp(np.asarray(responses)[rows], axis=0) > 0
        std = scaled[rows].std(axis=0)
        scaled[rows] = np.where(varies, scaled[rows] / np.where(varies, std, 1), 0)
    return scaled
