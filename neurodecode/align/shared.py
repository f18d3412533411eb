"""Two subjects' answers to the same stimuli, and how well one predicts the other."""

import numpy as np

from neurodecode.core.lazy import Lazy, slices


def stimulus_means(
    responses: np.ndarray | Lazy, stimulus_ids, among=None
) -> tuple[np.ndarray, np.ndarray]:
    """Average the repeats of each stimulus, reading the responses block by block.

    Parameters
    ----------
    responses : ndarray or Lazy, shape (n_trials, n_channels[, n_times])
    stimulus_ids : array of str, shape (n_trials,)
    among : array of str, optional
        Only of these stimuli.

    Returns
    -------
    names : ndarray of str, shape (n_stimuli,)
        Sorted; trials without a stimulus (an empty id) are left out.
    means : ndarray of float64, shape (n_stimuli, n_channels[, n_times])
    """
    ids = np.asarray(stimulus_ids, str)
    told = np.flatnonzero(ids != "" if among is None else (ids != "") & np.isin(ids, among))
    names, which, counts = np.unique(ids[told], return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), *responses.shape[1:]))
    for part in slices(responses, len(told)):
        np.add.at(sums, which[part], responses[told[part]])
    return names, sums / counts.reshape(-1, *[1] * (responses.ndim - 1))


def shared_responses(source, source_ids, reference, reference_ids):
    """Pair the answers of two subjects to the stimuli both saw, averaged over repeats.

    Returns
    -------
    source, reference : ndarray, shapes (n_shared, n_source[, n_times]) and (n_shared, n_reference…)
        Row i of both belongs to the same stimulus.
    """
    shared = np.intersect1d(np.asarray(source_ids, str), np.asarray(reference_ids, str))
    _, source = stimulus_means(source, source_ids, shared)
    _, reference = stimulus_means(reference, reference_ids, shared)
    return source, reference


def mean_correlation(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Pearson's r over stimuli, averaged over channels; 0 for a constant channel.

    NaN with fewer than three stimuli, where a correlation says nothing.
    """
    if len(predicted) < 3:
        return float("nan")
    a, b = predicted - predicted.mean(axis=0), measured - measured.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    r = np.divide((a * b).sum(axis=0), scale, out=np.zeros(len(scale)), where=scale > 0)
    return float(r.mean())
