"""Conformal candidate sets: for each row the pictures it may have been, right at a stated rate.

A candidate is in a row's set where its similarity reaches a threshold. The threshold is the k-th
largest similarity of validation rows to their own picture, k = ⌈level (n + 1)⌉ of n: a new row's
own picture then reaches it with probability k / (n + 1), between ``level`` and
``level + 1 / (n + 1)``, whatever the decoder is worth [1]_. A poor decoder gets large sets, not
wrong ones. It holds on average over validation and test sides whose stimuli are exchangeable, and
whose rows average equally many repeats.

The score of a pair depends on that pair alone, and so not on how many candidates there are: the
validation side may have fewer than the test side. `relative_similarity` makes rows comparable
first, by a reference gallery that belongs to neither side; it makes sets smaller and keeps this.

References
----------
.. [1] Vovk, Gammerman, Shafer (2005). Algorithmic Learning in a Random World. Springer.
.. [2] Dunn, Wasserman, Ramdas (2023). Distribution-free prediction sets for two-layer hierarchical
   models. JASA 118.
"""

import math

import numpy as np

SLACK = 1e-9  # BLAS returns equal products a last bit apart


def relative_similarity(similarity: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Measure each row's similarities on the scale of its similarities to a reference gallery.

    Parameters
    ----------
    similarity : ndarray, shape (n_rows, n_candidates)
    reference : ndarray, shape (n_rows, n_reference)
        Similarity of the same rows to stimuli of neither the validation nor the test side, such as
        the training stimuli; the same gallery for both sides.

    Returns
    -------
    relative : ndarray, shape (n_rows, n_candidates)
        (similarity − mean) / standard deviation of the row's reference; 0 for a row to which all
        of the reference is alike.

    Raises
    ------
    ValueError
        Where the rows differ in number, or the gallery has fewer than 2 stimuli.
    """
    similarity, reference = (np.asarray(x, np.float64) for x in (similarity, reference))
    if len(reference) != len(similarity) or reference.shape[1] < 2:
        raise ValueError(
            f"similarity {similarity.shape} and reference {reference.shape}: expected the same "
            "rows, and a gallery of at least 2 stimuli"
        )
    spread = reference.std(axis=1, keepdims=True)
    varies = spread > SLACK
    centred = similarity - reference.mean(axis=1, keepdims=True)
    return np.where(varies, centred / np.where(varies, spread, 1.0), 0.0)


def least_stimuli(level: float) -> int:
    """Fewest validation stimuli that can tell a candidate out: 9 for a level of .90."""
    _check_level(level)
    return math.ceil(round(level / (1 - level), 9))


def calibrate(similarity: np.ndarray, own: np.ndarray, level: float, rng) -> float:
    """Find the similarity that a row's own picture reaches at a rate of `level`.

    Parameters
    ----------
    similarity : ndarray, shape (n_rows, n_candidates)
        Of validation rows.
    own : ndarray of int, shape (n_rows,)
        Column of each row's own picture. Where several rows show one picture, one of them is drawn:
        stimuli are exchangeable, single trials are not [2]_.
    level : float in (0, 1)
    rng : numpy.random.Generator
        Draws that row.

    Returns
    -------
    threshold : float
        −∞, with which every candidate is in the set, below `least_stimuli` validation stimuli.

    Raises
    ------
    ValueError
        For a level outside (0, 1), NaN, or columns that are not there.
    """
    _check_level(level)
    scores = own_similarity(similarity, own)
    order = rng.permutation(len(scores))
    _, first = np.unique(np.asarray(own)[order], return_index=True)
    scores = np.sort(scores[order[first]])[::-1]
    k = math.ceil(round(level * (len(scores) + 1), 9))
    return float(scores[k - 1]) if k <= len(scores) else -math.inf


def candidate_sets(similarity: np.ndarray, threshold: float) -> np.ndarray:
    """Say which candidates may be a row's own: bool, shape (n_rows, n_candidates).

    A set may be empty: no candidate is as like the prediction as own pictures are.
    """
    return np.asarray(similarity) >= threshold - SLACK


def judge_sets(sets: np.ndarray, own: np.ndarray, confidence: float = 0.95) -> dict:
    """Say how often the own picture is in the set, and how large sets are.

    Parameters
    ----------
    sets : ndarray of bool, shape (n_rows, n_candidates)
    own : ndarray of int, shape (n_rows,)
    confidence : float
        Of the Clopper–Pearson interval, over stimuli; rows of one stimulus count as their mean.

    Returns
    -------
    judged : dict
        ``n`` stimuli, ``n_candidates``, ``coverage``, ``lo``, ``hi``, ``mean_size`` and ``empty``,
        the share of empty sets.
    """
    from scipy.stats import beta

    inside = own_similarity(sets.astype(float), own)
    _, stimulus, counts = np.unique(own, return_inverse=True, return_counts=True)
    n, hits = len(counts), float((np.bincount(stimulus, inside) / counts).sum())
    tail = (1 - confidence) / 2
    size = sets.sum(axis=1)
    return {
        "n": n,
        "n_candidates": sets.shape[1],
        "coverage": hits / n,
        "lo": float(beta.ppf(tail, hits, n - hits + 1)) if hits > 0 else 0.0,
        "hi": float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0,
        "mean_size": float(size.mean()),
        "empty": float((size == 0).mean()),
    }


def promise(n_stimuli: int, level: float) -> str:
    """Say in a sentence what sets calibrated on so many stimuli can promise."""
    if n_stimuli < least_stimuli(level):
        return (
            f"{n_stimuli} validation stimuli cannot calibrate sets at {level:.0%}, which takes "
            f"{least_stimuli(level)}: every candidate is in every set"
        )
    most = min(1.0, level + 1 / (n_stimuli + 1))
    return (
        f"calibrated on {n_stimuli} validation stimuli: a set holds the picture at a rate between "
        f"{level:.1%} and {most:.1%}, on average over studies like this one"
    )


def own_similarity(similarity: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Take each row's entry in the column of its own picture, shape (n_rows,)."""
    similarity, own = np.asarray(similarity), np.asarray(own)
    if similarity.ndim != 2 or own.shape != (len(similarity),) or not len(own):
        raise ValueError(
            f"similarity {similarity.shape} and own {own.shape}: expected (n_rows, n_candidates) "
            "and (n_rows,), with at least one row"
        )
    if own.min() < 0 or own.max() >= similarity.shape[1]:
        raise ValueError(
            f"own names columns {own.min()} to {own.max()}, but there are "
            f"{similarity.shape[1]} candidates"
        )
    scores = similarity[np.arange(len(own)), own]
    if np.isnan(scores).any():
        raise ValueError(
            f"{np.isnan(scores).sum()} similarities are NaN: predictions must be finite"
        )
    return scores


def _check_level(level):
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: expected a rate between 0 and 1, such as .9")
