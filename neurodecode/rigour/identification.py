"""The identification ceiling: could the brain's own answer be found again, were it repeated?

A decoded embedding of one half of a stimulus' trials is looked for among those of the other halves,
by cosine: no truth takes part, and so no embedding, generator or decoder that knows too little can
be to blame. Both sides are noisy there and rest on half of the trials; a test row rests on m trials
and is looked for among candidates without noise. `identification_ceiling` steps from one to the
other by a model of signal and noise whose split-half score is compared with the observed one.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.anova import by_stimulus, sums_by, variances
from neurodecode.rigour.ceilings import Ceiling


@dataclass(frozen=True)
class Identification:
    """Top-1 and two-way identification of each stimulus; ties count half, as many share one place.

    Parameters
    ----------
    top1, two_way : ndarray, shape (n_stimuli,)
    """

    top1: np.ndarray
    two_way: np.ndarray


def identify(queries, candidates):
    """Look for each row of `queries` among `candidates`, both (n_stimuli, dim), by cosine."""
    unit = [_unit(rows) for rows in (queries, candidates)]
    similarity = unit[0] @ unit[1].T
    own = np.diag(similarity)[:, None]
    above = (similarity > own).sum(axis=1)
    tied = (similarity == own).sum(axis=1) - 1
    two_way = 1 - (above + tied / 2) / (len(similarity) - 1)
    return Identification(np.where(above == 0, 1 / (tied + 1), 0), two_way)


def _unit(rows):
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _mean(found):
    """Average scores of several `Identification`s, stimulus by stimulus."""
    return Identification(
        np.mean([f.top1 for f in found], axis=0), np.mean([f.two_way for f in found], axis=0)
    )


def split_half(decoded, stimulus, n_splits=20, *, rng):
    """Find the decoded embedding of one half of the trials among those of the other halves.

    Each stimulus with two trials or more is split at random; of an odd number one trial is left
    out. Averaged over splits and both directions.

    Parameters
    ----------
    decoded : ndarray, shape (n_trials, dim)
        Of single trials.
    stimulus : array of str or int, shape (n_trials,)
    n_splits : int
    rng : numpy.random.Generator

    Returns
    -------
    found : Identification
        Of the repeated stimuli, in the order of `np.unique`.
    """
    rows, which = _repeated(decoded, stimulus)
    found = []
    for _ in range(n_splits):
        a, b = _halves(rows, which, rng)
        found += [identify(a, b), identify(b, a)]
    return _mean(found)


def _repeated(decoded, stimulus):
    """Trials of repeated stimuli, and the number of the stimulus of each."""
    decoded = np.asarray(decoded, float)
    _, which, counts = np.unique(np.asarray(stimulus), return_inverse=True, return_counts=True)
    if len(decoded) != len(which):
        raise ValueError(f"{len(decoded)} embeddings and {len(which)} stimulus ids do not match")
    kept = counts[which] > 1
    if (counts > 1).sum() < 4:
        raise ValueError(
            f"{(counts > 1).sum()} stimuli have more than one trial: an identification ceiling "
            "needs four at least"
        )
    return decoded[kept], np.unique(which[kept], return_inverse=True)[1]


def _halves(rows, which, rng):
    order = rng.permutation(len(rows))
    order = order[np.argsort(which[order], kind="stable")]
    counts = np.bincount(which)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    half = np.repeat(counts // 2, counts)
    first, second = place < half, (place >= half) & (place < 2 * half)
    size = (counts // 2)[:, None]
    return tuple(
        sums_by(rows[order[part]], which[order[part]], len(counts)) / size
        for part in (first, second)
    )


def identification_ceiling(decoded, stimulus, n_repeats=1, n_groups=10, confidence=0.95, *, rng):
    """Estimate identification of a mean of `n_repeats` trials among noise-free candidates.

    The candidates are what the decoder would say of the same stimuli after endless repeats. Their
    axes are those of the stimulus means; the signal variance along each is estimated on stimuli
    that did not take part in finding it, and all are scaled so that the model's split-half two-way
    score is the observed one. Noise is drawn from the trials' deviations from their means. Not a
    strict bound: true embeddings as candidates may differ from one another more than decoded ones.

    Parameters
    ----------
    decoded : ndarray, shape (n_trials, dim)
    stimulus : array of str or int, shape (n_trials,)
    n_repeats : int
        Trials averaged.
    n_groups : int
        Of stimuli, left out in turn for the interval (normal, of the jackknife).
    confidence : float
    rng : numpy.random.Generator

    Returns
    -------
    ceilings : dict of str to Ceiling
        ``split_half_top1`` and ``split_half_two_way`` as observed, with as many trials as half the
        stimulus' (mean), and ``top1`` and ``two_way``, of `n_repeats` trials.
    """
    from scipy.stats import t as student

    rows, which = _repeated(decoded, stimulus)
    n_stimuli = int(which.max()) + 1
    n_groups = min(n_groups, n_stimuli // 4)
    group = rng.permutation(n_stimuli) % max(n_groups, 1)
    scores = [_scores(rows, which, n_repeats, rng)]
    for left in range(n_groups if n_groups > 1 else 0):
        kept = group[which] != left
        renamed = np.unique(which[kept], return_inverse=True)[1]
        scores.append(_scores(rows[kept], renamed, n_repeats, rng))
    value, others = scores[0], np.array(scores[1:]).reshape(-1, 4)
    half = np.full(4, np.nan)
    if len(others):
        half = np.sqrt((n_groups - 1) * others.var(axis=0))
        half = half * student.ppf((1 + confidence) / 2, n_groups - 1)
    low, high = np.clip(value - half, 0, 1), np.clip(value + half, 0, 1)
    half_size = float((np.bincount(which) // 2).mean())
    return {
        name: Ceiling(words, *map(float, (value[k], low[k], high[k])), n_stimuli, repeats)
        for k, (name, words, repeats) in enumerate(
            (
                ("split_half_top1", "top-1 from half to half of the trials", half_size),
                ("split_half_two_way", "two-way from half to half of the trials", half_size),
                ("top1", "top-1 among noise-free candidates, modelled", n_repeats),
                ("two_way", "two-way among noise-free candidates, modelled", n_repeats),
            )
        )
    }


def _scores(rows, which, n_repeats, rng):
    """Top-1 and two-way score: observed from half to half, and modelled, (4,)."""
    sizes = np.bincount(which) // 2
    n_draws = max(2, 1000 // len(sizes))
    observed = split_half(rows, which, n_draws, rng=rng)
    signal, noise = _signal(rows, which, rng), _deviations(rows, which)
    center, seed = rows.mean(axis=0), rng.integers(2**32)

    def modelled(scale, queries, candidates):
        draw = np.random.default_rng(seed)  # the same noise at every scale
        truth = center + scale * signal
        return _mean(
            [
                identify(*(truth + _noise(noise, n, draw) for n in (queries, candidates)))
                for _ in range(n_draws)
            ]
        )

    scale = _scale(lambda s: modelled(s, sizes, sizes).two_way.mean(), observed.two_way.mean())
    found = modelled(scale, np.full(len(sizes), n_repeats), np.zeros(len(sizes), int))
    return np.array([s.mean() for f in (observed, found) for s in (f.top1, f.two_way)])


def _scale(score, observed, n_steps=9):
    """Size of the signal, relative to its estimate, at which the score is the observed one."""
    if observed > 0.99 and score(1.0) > 0.99:
        return 1.0  # both are as good as they can be, and say nothing of the size
    low, high = 0.25, 4.0
    for _ in range(n_steps):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if score(middle) < observed else (low, middle)
    return np.sqrt(low * high)


def _signal(rows, which, rng, n_folds=3):
    """Stimulus means, shrunk along each of their axes to the variance of the signal there."""
    from sklearn.isotonic import isotonic_regression

    trials = by_stimulus(rows, which)
    means = trials.means - trials.means.mean(axis=0)
    n_stimuli = len(means)
    u, _, axes = _axes(means)
    variance, times = np.zeros(len(axes)), np.zeros(len(axes))
    fold = rng.permutation(n_stimuli) % n_folds
    for held_out in range(n_folds):
        found = _axes(means[fold != held_out] - means[fold != held_out].mean(axis=0))[2]
        test = fold[which] == held_out
        variance[: len(found)] += variances(by_stimulus(rows[test] @ found.T, which[test]))[0][0]
        times[: len(found)] += 1
    variance = np.nan_to_num(variance / np.maximum(times, 1))
    variance = np.maximum(isotonic_regression(variance, increasing=False), 0)
    total = max(float(variances(trials)[0].sum()), 0)
    variance *= total / variance.sum() if variance.sum() > 0 else 0
    return u * np.sqrt((n_stimuli - 1) * variance) @ axes


def _axes(centred):
    """Singular vectors of centred rows, without the one that centring leaves empty."""
    n_axes = min(len(centred) - 1, centred.shape[1])
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    return u[:, :n_axes], s[:n_axes], vt[:n_axes]


def _deviations(rows, which):
    """Trials less their stimulus' mean, with the variance of single trials."""
    counts = np.bincount(which)
    means = sums_by(rows, which, len(counts)) / counts[:, None]
    return (rows - means[which]) * np.sqrt(counts / (counts - 1))[which][:, None]


def _noise(deviations, sizes, rng):
    """Means of as many deviations, drawn at random, as `sizes` says for each row; 0 for none."""
    total = np.zeros((len(sizes), deviations.shape[1]))
    for place in range(int(sizes.max())):
        drawn = deviations[rng.integers(len(deviations), size=len(sizes))]
        total += np.where((place < sizes)[:, None], drawn, 0)
    return total / np.maximum(sizes, 1)[:, None]
