"""How much of a response repeats when its stimulus does: correlations and noise ceilings."""

from itertools import combinations

import numpy as np

from neurodecode.core.lazy import Lazy, slices


def repeat_correlation(responses, stimulus_ids):
    """Correlate single trials of the same stimuli, for each channel.

    Pearson's r over stimuli between repeat i and repeat j, averaged over all pairs i < j with the
    number of stimuli as weight.

    Parameters
    ----------
    responses : ndarray or Lazy, shape (n_trials, n_channels)
        Lazy rows are read block by block.
    stimulus_ids : array of str, shape (n_trials,)
        In the order of presentation; stimuli shown once do not enter.

    Returns
    -------
    r : ndarray, shape (n_channels,)
        0 for a constant channel; NaN throughout if fewer than three stimuli repeat.
    """
    repeats = _repeats(stimulus_ids)
    correlate = _pearson_of_rows if isinstance(responses, Lazy) else _pearson_of_arrays
    total, weight = np.zeros(responses.shape[1]), 0
    for i, j in combinations(range(repeats.shape[1]), 2):
        both = repeats[(repeats[:, i] >= 0) & (repeats[:, j] >= 0)]
        if len(both) >= 3:
            total += len(both) * correlate(responses, both[:, i], both[:, j])
            weight += len(both)
    return total / weight if weight else np.full(responses.shape[1], np.nan)


def split_half_correlation(responses, stimulus_ids, rng):
    """Correlate the mean of one random half of each stimulus's repeats with the other half's.

    Stimuli are split apart one by one; of an odd number of repeats one is left out at random. Not
    stepped up to full length: with Spearman and Brown the whole would give ``2 r / (1 + r)``.
    Arguments and degenerate cases as in `repeat_correlation`; `rng` is a numpy Generator.
    """
    halves = [[], []]
    for trials in _repeats(stimulus_ids):
        trials = rng.permutation(trials[trials >= 0])
        n = len(trials) // 2
        if n:
            halves[0].append(responses[trials[:n]].mean(axis=0))
            halves[1].append(responses[trials[n : 2 * n]].mean(axis=0))
    if len(halves[0]) < 3:
        return np.full(responses.shape[1], np.nan)
    return _pearson(np.array(halves[0]), np.array(halves[1]))


def ncsnr(responses, stimulus_ids):
    """Estimate the noise-ceiling signal-to-noise ratio, sd(signal) / sd(noise), per channel.

    The one-way random-effects ANOVA estimator, unbiased for any number of repeats: with MSW the
    mean square within stimuli and MSB between them, ``noise = MSW`` and
    ``signal = (MSB - MSW) / n0``, cut at 0, where ``n0 = (N - sum n_s^2 / N) / (S - 1)`` is the
    effective number of repeats of S stimuli and N trials. For z-scored channels shown equally
    often it is the estimator of the Natural Scenes Dataset [1]_.

    Returns
    -------
    ncsnr : ndarray, shape (n_channels,)
        0 for a constant channel; NaN if no stimulus repeats or there is only one.

    References
    ----------
    .. [1] Allen et al. (2022), Nature Neuroscience 25:116.
    """
    responses = np.asarray(responses, float)
    _, which, counts = np.unique(np.asarray(stimulus_ids), return_inverse=True, return_counts=True)
    n_trials, n_stimuli = len(which), len(counts)
    if n_stimuli < 2 or n_trials == n_stimuli:
        return np.full(responses.shape[1], np.nan)
    sums = np.zeros((n_stimuli, responses.shape[1]))
    np.add.at(sums, which, responses)
    means = sums / counts[:, None]
    within = ((responses - means[which]) ** 2).sum(axis=0) / (n_trials - n_stimuli)
    spread = (means - responses.mean(axis=0)) ** 2
    between = (counts[:, None] * spread).sum(axis=0) / (n_stimuli - 1)
    n0 = (n_trials - (counts**2).sum() / n_trials) / (n_stimuli - 1)
    signal = np.maximum(between - within, 0) / n0
    ratio = np.divide(signal, within, out=np.zeros_like(signal), where=within > 0)
    return np.sqrt(ratio)


def noise_ceiling(ncsnr, n_averaged=1):
    """Return the largest correlation a perfect model can reach with a mean of `n_averaged` trials.

    ``r = sqrt(ncsnr^2 / (ncsnr^2 + 1 / n_averaged))``; its square is the explainable variance.
    """
    power = np.square(ncsnr)
    return np.sqrt(power / (power + 1 / n_averaged))


def _repeats(stimulus_ids):
    """List the rows of each stimulus in order, (n_stimuli, most repeats), filled up with -1."""
    _, which, counts = np.unique(np.asarray(stimulus_ids), return_inverse=True, return_counts=True)
    table = np.full((len(counts), counts.max(initial=0)), -1)
    order = np.argsort(which, kind="stable")
    first = np.cumsum(counts) - counts
    table[which[order], np.arange(len(which)) - np.repeat(first, counts)] = order
    return table


def _pearson_of_arrays(responses, first, second):
    return _pearson(responses[first], responses[second])


def _pearson_of_rows(rows, first, second):
    """Correlate some rows with others, read block by block; the sums are of what differs from the
    first rows, so that a constant channel has exactly no variance."""
    origin = rows[first[:1]].astype(float), rows[second[:1]].astype(float)
    sums = np.zeros((5, rows.shape[1]))
    for part in slices(rows, len(first)):
        a = rows[first[part]] - origin[0]
        b = rows[second[part]] - origin[1]
        products = [np.einsum("tc,tc->c", *pair) for pair in ((a, a), (b, b), (a, b))]
        sums += [a.sum(axis=0), b.sum(axis=0), *products]
    a, b, aa, bb, ab = sums / len(first)
    scale = np.sqrt(np.maximum((aa - a * a) * (bb - b * b), 0)) * len(first)
    cross = (ab - a * b) * len(first)
    return np.divide(cross, scale, out=np.zeros_like(scale), where=scale > 1e-12)


def _pearson(a, b):
    """Correlate columns; 0 where one of the two is constant."""
    a, b = (np.asarray(m, float) - np.mean(m, axis=0, dtype=float) for m in (a, b))
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.divide((a * b).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 1e-12)
