"""Signal and noise told apart by repeats: analysis of variance, and ratios of what it finds.

With S stimuli of n_s trials, N in all, the one-way random-effects estimates

    noise = MSW,   signal = (MSB - MSW) / n0,   n0 = (N - sum n_s^2 / N) / (S - 1)

are unbiased, also where stimuli are not repeated equally often. Signals are not cut at 0: sums over
channels stay unbiased. Intervals come from leaving stimuli out, in at most `GROUPS` groups.
"""

from dataclasses import dataclass

import numpy as np

GROUPS = 100  # of stimuli, left out one after the other


@dataclass(frozen=True)
class Trials:
    """Trials summed up by stimulus: made by `by_stimulus`.

    Parameters
    ----------
    counts : ndarray, shape (n_stimuli,)
    means : ndarray, shape (n_stimuli, n_channels)
        Relative to the mean of all trials.
    within : ndarray, shape (n_stimuli, n_channels)
        Sums of squares about the stimulus' mean.
    """

    counts: np.ndarray
    means: np.ndarray
    within: np.ndarray

    @property
    def repeat(self):
        """Whether there are three stimuli at least, and two of them with more than one trial."""
        return len(self.counts) >= 3 and self.n_repeated >= 2

    @property
    def n_repeated(self):
        """Number of stimuli with more than one trial."""
        return int((self.counts > 1).sum())


def by_stimulus(responses, stimulus):
    """Sum up trials by stimulus, in the order of `np.unique`.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels)
    stimulus : array of str or int, shape (n_trials,)

    Returns
    -------
    trials : Trials
    """
    responses, stimulus = np.asarray(responses, float), np.asarray(stimulus)
    if responses.ndim != 2 or len(responses) != len(stimulus):
        raise ValueError(
            f"responses {responses.shape} and {len(stimulus)} stimulus ids: give one row of "
            "channels and one id for each trial (flatten a time axis)"
        )
    _, which, counts = np.unique(stimulus, return_inverse=True, return_counts=True)
    centred = responses - responses.mean(axis=0)
    means = sums_by(centred, which, len(counts)) / counts[:, None]
    return Trials(counts, means, sums_by((centred - means[which]) ** 2, which, len(counts)))


def sums_by(rows, which, n):
    """Sum rows of each of n kinds, every one of which occurs."""
    order = np.argsort(which, kind="stable")
    first = np.searchsorted(which[order], np.arange(n))
    return np.add.reduceat(rows[order], first, axis=0)


def left_out(n_stimuli):
    """Weights of stimuli: all of them, then each group left out, (1 + n_groups, n_stimuli)."""
    n_groups = min(n_stimuli, GROUPS)
    kept = np.arange(n_stimuli) % n_groups != np.arange(n_groups)[:, None]
    return np.concatenate([np.ones((1, n_stimuli)), kept])


def sum_between(trials, weights):
    """Sums of squares between weighted stimuli, (n_weights, n_channels)."""
    weighted = trials.counts[:, None] * trials.means
    squares, sums = weights @ (weighted * trials.means), weights @ weighted
    return squares - sums**2 / (weights @ trials.counts)[:, None]


def effective_repeats(trials, weights):
    """n0 of weighted stimuli, (n_weights,)."""
    total = weights @ trials.counts
    return (total - weights @ trials.counts**2 / total) / (weights.sum(axis=1) - 1)


def variances(trials, weights=None):
    """Signal and noise variance of each channel, unbiased: signal may come out below 0.

    Parameters
    ----------
    trials : Trials
    weights : ndarray, shape (n_weights, n_stimuli), optional
        Which stimuli count; all.

    Returns
    -------
    signal, noise : ndarray, shape (n_weights, n_channels)
        NaN where no stimulus repeats.
    """
    weights = np.ones((1, len(trials.counts))) if weights is None else weights
    if not trials.repeat:
        return np.full((2, len(weights), trials.means.shape[1]), np.nan)
    between = sum_between(trials, weights) / (weights.sum(axis=1, keepdims=True) - 1)
    noise = weights @ trials.within / (weights @ (trials.counts - 1))[:, None]
    return (between - noise) / effective_repeats(trials, weights)[:, None], noise


def ratio_of_sums(top, bottom, confidence=0.95):
    """Divide two uncertain numbers, and say how uncertain the ratio is.

    The ratio has Beale's correction, since in small samples that of two unbiased numbers is too
    large; its interval is Fieller's, which stays right where the denominator is hardly known.

    Parameters
    ----------
    top, bottom : ndarray, shape (1 + n_groups,)
        From all stimuli, and with each group left out (`left_out`).
    confidence : float

    Returns
    -------
    value, low, high : float
        NaN where the denominator does not differ from 0 at that confidence.
    """
    from scipy.stats import t as student

    n_groups = len(top) - 1
    pseudo = np.array([n_groups * v[0] - (n_groups - 1) * v[1:] for v in (top, bottom)])
    (var_top, both), (_, var_bottom) = np.cov(pseudo) / n_groups
    a, b = top[0], bottom[0]
    t2 = student.ppf((1 + confidence) / 2, n_groups - 1) ** 2
    curvature = b**2 - t2 * var_bottom
    if not curvature > 0:
        return np.nan, np.nan, np.nan
    value = a / b * (1 + both / (a * b)) / (1 + var_bottom / b**2) if a else 0.0
    middle = a * b - t2 * both
    half = np.sqrt(max(middle**2 - curvature * (a**2 - t2 * var_top), 0))
    return float(value), float((middle - half) / curvature), float((middle + half) / curvature)
