"""How well could any model do: noise ceilings of responses and decoding, and scores over them.

The reliability of a mean of m trials is ``signal / (signal + noise / m)`` (`anova`): the largest
r^2 of any model of responses. Over channels, sums are divided, never single channels and then
averaged: a channel of hardly any signal has a ratio of any size. Nothing is cut, so that by noise a
ceiling may come out below 0 and a normalised score above 1; that is what the interval is for.

With decoded embeddings of single trials for responses, the same tells how well decoding can do.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.anova import (
    by_stimulus,
    effective_repeats,
    left_out,
    ratio_of_sums,
    sum_between,
    variances,
)

LEAST_RELIABILITY = 0.05  # below it nothing is divided: the ceiling is not known well enough


@dataclass(frozen=True)
class Ceiling:
    """One ceiling with its interval.

    Parameters
    ----------
    estimator : str
        What was estimated and how, in words.
    value, lo, hi : float
        NaN where it cannot be told: no repeats, or no variance.
    n : int
        Stimuli with more than one trial.
    n_repeats : float
        Trials averaged.
    """

    estimator: str
    value: float
    lo: float
    hi: float
    n: int
    n_repeats: float


@dataclass(frozen=True)
class NormalisedScore:
    """The explained share of the signal's variance, of all channels together and of single ones.

    Parameters
    ----------
    estimator : str
    value, lo, hi : float
        NaN where nothing is divided, see `normalised_score`.
    n : int
        Stimuli.
    n_repeats : float
        Trials of a stimulus that were averaged (n0 where they differ).
    reliability : float
        Of the averaged responses: ratio of sums over channels.
    channels : ndarray, shape (n_channels,)
        Of single channels; NaN where a channel's own reliability is under the least.
    """

    estimator: str
    value: float
    lo: float
    hi: float
    n: int
    n_repeats: float
    reliability: float
    channels: np.ndarray


def response_ceiling(responses, stimulus, n_repeats=1, confidence=0.95):
    """Estimate which share of the variance of responses any model could explain.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels)
        Single trials of one subject, the channels of one region.
    stimulus : array of str or int, shape (n_trials,)
    n_repeats : float
        Trials that are averaged where the ceiling is to hold.
    confidence : float

    Returns
    -------
    ceiling : Ceiling
        The reliability, the largest r^2; its root is the largest correlation.
    """
    name = "explainable variance: ANOVA, ratio of sums over channels"
    trials = by_stimulus(responses, stimulus)
    return Ceiling(name, *_reliability(trials, n_repeats, confidence), trials.n_repeated, n_repeats)


def _reliability(trials, n_repeats, confidence):
    if not trials.repeat:
        return np.nan, np.nan, np.nan
    signal, noise = (part.sum(axis=1) for part in variances(trials, left_out(len(trials.counts))))
    return ratio_of_sums(signal, signal + noise / n_repeats, confidence)


def channel_reliability(responses, stimulus, n_repeats=1):
    """Estimate the reliability of a mean of `n_repeats` trials for each channel, (n_channels,).

    0 for a constant channel, NaN throughout without repeats; as uncertain as one channel is.
    """
    (signal,), (noise,) = variances(by_stimulus(responses, stimulus))
    return _own_reliability(signal, noise, n_repeats)


def _own_reliability(signal, noise, n_repeats):
    total = signal + noise / n_repeats
    return np.divide(signal, total, out=np.zeros_like(total), where=~(total <= 0))


def normalised_score(predicted, responses, stimulus, least=LEAST_RELIABILITY, confidence=0.95):
    """Say which share of the explainable variance of responses is explained.

    r^2 over reliability, in its unbiased form: with SSR the sum of squares that a regression of the
    stimulus means on the prediction explains, and MSR its residual mean square,

        sum over channels of (SSR - MSR)  /  sum over channels of (SSB - (S - 1) MSW)

    Where the prediction is the signal both have the expectation ``sum n_s (signal_s - mean)^2``, on
    the same stimuli. Scale and offset of predictions do not matter, nor does the sign of a
    channel's correlation: r^2 counts a channel predicted upside down as predicted.

    Parameters
    ----------
    predicted : ndarray, shape (n_trials, n_channels)
        Predicted responses; those of a stimulus are averaged.
    responses : ndarray, shape (n_trials, n_channels)
        Single trials.
    stimulus : array of str or int, shape (n_trials,)
    least : float
        Reliability of the averaged responses below which nothing is divided: all channels
        together, or a single one. Nor is anything where the interval of the explainable sum
        of squares holds 0.
    confidence : float

    Returns
    -------
    score : NormalisedScore
    """
    trials, model = by_stimulus(responses, stimulus), by_stimulus(predicted, stimulus)
    n_stimuli, n_channels = trials.means.shape
    if model.means.shape != trials.means.shape or n_stimuli < 4:
        raise ValueError(
            f"{model.means.shape[1]} channels predicted and {n_channels} measured, for "
            f"{n_stimuli} stimuli: a normalised score needs the same channels, and four stimuli"
        )
    (signal,), (noise,) = variances(trials)
    n0 = float(effective_repeats(trials, np.ones((1, n_stimuli)))[0])
    reliability = float(_own_reliability(signal.sum(), noise.sum(), n0))
    value, channels = (np.nan, np.nan, np.nan), np.full(n_channels, np.nan)
    if trials.repeat and reliability >= least:
        weights = left_out(n_stimuli)
        top, bottom = _explained(trials, model, weights)
        per_stimulus = weights.sum(axis=1)
        value = ratio_of_sums(
            top.sum(axis=1) / per_stimulus, bottom.sum(axis=1) / per_stimulus, confidence
        )
        sure = (_own_reliability(signal, noise, n0) >= least) & (bottom[0] > 0)
        np.divide(top[0], bottom[0], out=channels, where=sure)
    name = "explained share of signal variance: ANOVA, ratio of sums over channels"
    return NormalisedScore(name, *value, n_stimuli, n0, reliability, channels)


def _explained(trials, model, weights):
    """Explained and explainable sums of squares, (n_weights, n_channels) each."""
    n, p, y = trials.counts[:, None], model.means, trials.means
    total, n_stimuli = weights @ n, weights.sum(axis=1, keepdims=True)
    sum_p = weights @ (n * p)
    pp = weights @ (n * p * p) - sum_p**2 / total
    py = weights @ (n * p * y) - sum_p * (weights @ (n * y)) / total
    between = sum_between(trials, weights)
    varies = pp > 1e-12 * (weights @ (n * p * p))
    regression = np.divide(py**2, pp, out=np.zeros_like(py), where=varies)
    residual = (between - regression) / (n_stimuli - 2)
    within = weights @ trials.within / (weights @ (n - 1))
    explained = np.where(varies, regression - residual, 0)
    return explained, between - (n_stimuli - 1) * within


def decoding_ceiling(decoded, stimulus, n_repeats=1, confidence=0.95):
    """Estimate how well decoded embeddings of averaged trials could correlate with the truth.

    The embedding of a mean of m trials is what the decoder says of the stimulus plus noise. Were
    what it says perfect, up to scale, the correlation over stimuli, all dimensions pooled
    (covariances and variances summed), would still be the root of the reliability: of one trial by
    ANOVA over embeddings, stepped up to m trials as Spearman and Brown do. It is a ceiling of this
    decoder on these trials; another decoder may be more reliable.

    Parameters
    ----------
    decoded : ndarray, shape (n_trials, dim)
        Of single trials.
    stimulus : array of str or int, shape (n_trials,)
    n_repeats : float
        Trials averaged.
    confidence : float

    Returns
    -------
    ceiling : Ceiling
        0 where the reliability comes out below.
    """
    name = "correlation with truth: root of ANOVA reliability, Spearman-Brown"
    trials = by_stimulus(decoded, stimulus)
    roots = np.sqrt(np.maximum(_reliability(trials, n_repeats, confidence), 0))
    return Ceiling(name, *map(float, roots), trials.n_repeated, n_repeats)


def noise_free_correlation(decoded, truth, stimulus, confidence=0.95):
    """Estimate the correlation with the truth that endless repeats would bring.

    ``r = sum cov(decoded, truth) / sqrt(sum signal x sum var(truth))``, sums over dimensions, the
    signal that of the decoded embeddings: the correlation of averaged trials over its ceiling
    (`decoding_ceiling`). Scores low where the decoder is wrong, whatever the noise.

    Parameters
    ----------
    decoded, truth : ndarray, shape (n_trials, dim)
        The truth of a trial is that of its stimulus.
    stimulus : array of str or int, shape (n_trials,)
    confidence : float
        Of the jackknife interval over stimuli.

    Returns
    -------
    correlation : Ceiling
        With ``n_repeats`` infinite; NaN without repeats, or where no signal is found.
    """
    from scipy.stats import t as student

    name = "correlation with truth without trial noise: ANOVA, ratio of sums over dimensions"
    trials, true = by_stimulus(decoded, stimulus), by_stimulus(truth, stimulus)
    weights = left_out(len(trials.counts))
    n, total = trials.counts[:, None], weights @ trials.counts
    signal = variances(trials, weights)[0].sum(axis=1)
    spread = sum_between(true, weights).sum(axis=1)
    product = weights @ (n * trials.means * true.means).sum(axis=1)
    means = ((weights @ (n * m)) for m in (trials.means, true.means))
    product -= np.prod(list(means), axis=0).sum(axis=1) / total
    scale = effective_repeats(trials, weights) * (weights.sum(axis=1) - 1)  # of SSB's signal
    known = np.all(signal > 0) and np.all(spread > 0)
    r = product / np.sqrt(signal * scale * spread) if known else np.full(len(weights), np.nan)
    n_groups = len(weights) - 1
    half = student.ppf((1 + confidence) / 2, n_groups - 1) * np.sqrt((n_groups - 1) * r[1:].var())
    return Ceiling(name, *map(float, (r[0], r[0] - half, r[0] + half)), trials.n_repeated, np.inf)
