"""Ridge regression in sliding windows of time: a decoder for each window, testable in all of them.

What a window gives is the mean of each channel over its samples, and its time is its middle, so
that nothing is early or late by construction. The penalty of each window is chosen on left-out
runs, one for all targets, as in `neurodecode.models.ridge`. There the trials left out are predicted
with each penalty; here their squared error follows from one decomposition per window and fold,

    ||Y - X V D B||^2 = ||Y||^2 - 2 <D B, P> + <D B, G D B>,
    X0' X0 = V diag(s) V',  B = V' X0' Y0,  P = V' X' Y,  G = V' X' X V,  D = diag(1 / (s + alpha)),

with X0, Y0 the trials that fit and X, Y those left out: a penalty costs next to nothing, and a
hundred windows take the time of a few.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.models.ridge import FRACTIONS, whole_folds


@dataclass(frozen=True)
class Windows:
    """Windows of equal length, from the first sample on.

    Parameters
    ----------
    starts : ndarray of int, shape (n_windows,)
        First sample of each.
    n_samples : int
        Length of a window.
    times_s : ndarray, shape (n_windows,)
        The middle of each, seconds from the onset.
    length_s, step_s : float
        Length and distance, as whole samples allow.
    """

    starts: np.ndarray
    n_samples: int
    times_s: np.ndarray
    length_s: float
    step_s: float

    @property
    def before_onset(self):
        """Which windows end before the onset, (n_windows,) of bool."""
        return self.times_s + (self.n_samples - 1) / self.n_samples * self.length_s / 2 < 0


def sliding_windows(times_s, window_s, step_s, where="timecourse"):
    """Lay windows over an epoch.

    Parameters
    ----------
    times_s : ndarray, shape (n_times,)
        Of the samples, evenly spaced.
    window_s, step_s : float
        Rounded to whole samples, at least one.
    where : str
        The stage that asks, for messages.

    Raises
    ------
    ValueError
        If a window is longer than the epoch, or window or step is not above 0.
    """
    times_s = np.asarray(times_s, float)
    for name, value in (("window_s", window_s), ("step_s", step_s)):
        if not value > 0:
            raise ValueError(f"{where}.{name} is {value}: give seconds, more than 0")
    n_times = len(times_s)
    # Epochs of one sample have no sampling rate: the sample is the window.
    sample_s = (times_s[-1] - times_s[0]) / (n_times - 1) if n_times > 1 else window_s
    n_samples, step = (max(1, round(s / sample_s)) for s in (window_s, step_s))
    span_s = n_times * sample_s
    if window_s > span_s * (1 + 1e-6):
        raise ValueError(
            f"{where}.window_s is {window_s} s, but the epochs are {span_s:.3g} s long: give a "
            "shorter window, or longer epochs in preprocess"
        )
    starts = np.arange(0, n_times - n_samples + 1, step)
    middles = np.round((times_s[starts] + times_s[starts + n_samples - 1]) / 2, 9)
    return Windows(starts, n_samples, middles, n_samples * sample_s, step * sample_s)


def window_means(responses, windows):
    """Average each channel over the samples of each window.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels, n_times)
    windows : Windows

    Returns
    -------
    means : ndarray of float64, shape (n_windows, n_trials, n_channels)
    """
    means = np.empty((len(windows.starts), *responses.shape[:2]))
    for mean, start in zip(means, windows.starts, strict=True):
        mean[:] = responses[:, :, start : start + windows.n_samples].mean(axis=2, dtype=float)
    return means


def fit_over_time(x, y, groups, fractions=FRACTIONS, n_folds=5):
    """Fit one ridge regression per window.

    Parameters
    ----------
    x : ndarray, shape (n_windows, n_trials, n_channels)
        Training rows only, from `window_means`.
    y : ndarray, shape (n_trials, n_targets)
    groups : array of str or int, shape (n_trials,)
        The run of each trial: penalties are chosen on left-out runs.
    fractions : sequence of float
        Candidate penalties, relative to the mean squared length of a centred trial.
    n_folds : int
        Fewer if there are fewer groups.

    Returns
    -------
    fit : dict of ndarray
        ``weights`` (n_windows, n_channels, n_targets), ``intercepts`` (n_windows, n_targets) and
        ``alphas`` (n_windows,). Weights are 0 in a window where no channel varies.

    Raises
    ------
    ValueError
        If trials do not match or there are fewer than two groups.
    """
    y = np.asarray(y, float)
    if not x.shape[1] == len(y) == len(groups):
        raise ValueError(
            f"{x.shape[1]} trials, {len(y)} targets and {len(groups)} groups do not match"
        )
    folds = whole_folds(groups, n_folds)
    mean = y.mean(axis=0)
    fits = [_fit_window(window, y - mean, folds, np.asarray(fractions, float)) for window in x]
    weights, intercepts, alphas = map(np.stack, zip(*fits, strict=True))
    return {"weights": weights, "intercepts": intercepts + mean, "alphas": alphas}


def predict_over_time(x, fit):
    """Predict the targets of trials, each window by its own ridge.

    Parameters
    ----------
    x : ndarray, shape (n_windows, n_trials, n_channels)
    fit : dict
        From `fit_over_time`.

    Returns
    -------
    y : ndarray, shape (n_windows, n_trials, n_targets)
    """
    return x @ fit["weights"] + fit["intercepts"][:, None]


def activation_patterns(x, channels, fit):
    """How strongly each channel goes along with what is decoded in each window [1]_.

    The covariance of a channel with the predictions, as a length over all targets. Unlike a weight
    it is large where the signal is, not where noise is cancelled, and it can be asked of channels
    that the decoder was not given.

    Parameters
    ----------
    x : ndarray, shape (n_windows, n_trials, n_channels)
        What the decoder was fitted on.
    channels : ndarray, shape (n_windows, n_trials, n_sensors)
        The channels asked about, of the same trials.
    fit : dict
        From `fit_over_time`.

    Returns
    -------
    patterns : ndarray, shape (n_windows, n_sensors)
        In the unit of `channels` times that of the targets.

    References
    ----------
    .. [1] Haufe et al., On the interpretation of weight vectors of linear models in multivariate
       neuroimaging, NeuroImage 87 (2014).
    """
    pairs = zip(x, channels, fit["weights"], strict=True)
    covariances = [
        (asked - asked.mean(axis=0)).T @ ((window - window.mean(axis=0)) @ weights) / len(window)
        for window, asked, weights in pairs
    ]
    return np.linalg.norm(covariances, axis=2)


def _fit_window(x, y, folds, fractions):
    """Weights, intercepts and penalty of one window; y is centred."""
    mean = x.mean(axis=0)
    x = x - mean
    alphas = fractions * (x**2).sum(axis=1).mean()
    if not alphas.any():
        return np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1]), 0.0
    held_out = [_moments(x[held], y[held]) for _, held in folds]
    everything = [sum(parts) for parts in zip(*held_out, strict=True)]
    errors = np.mean([_held_out_error(everything, own, alphas) for own in held_out], axis=0)
    alpha = alphas[np.argmin(errors)]
    weights = np.linalg.solve(everything[3] + alpha * np.eye(x.shape[1]), everything[4])
    return weights, -mean @ weights, alpha


def _moments(x, y):
    """Number of trials, sums, and sums of products: all that ridge needs to know of trials."""
    return len(x), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y


def _held_out_error(everything, held_out, alphas):
    """Mean squared error of the trials left out, less what no penalty changes: (n_alphas,)."""
    n, x, y, xx, xy = (a - b for a, b in zip(everything, held_out, strict=True))
    mean_x, mean_y = x / n, y / n
    s, V = np.linalg.eigh(xx - np.outer(mean_x, x))
    B = V.T @ (xy - np.outer(mean_x, y))
    n, x, y, xx, xy = held_out  # from here on about the means of the trials that fit
    cross = np.outer(mean_x, x)
    G = V.T @ (xx - cross - cross.T + n * np.outer(mean_x, mean_x)) @ V
    P = V.T @ (xy - np.outer(mean_x, y) - np.outer(x - n * mean_x, mean_y))
    d = 1 / (np.maximum(s, 0) + alphas[:, None])  # (n_alphas, n_channels)
    return (np.einsum("ai,ij,aj->a", d, G * (B @ B.T), d) - 2 * d @ (B * P).sum(axis=1)) / n
