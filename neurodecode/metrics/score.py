"""What every metric returns: the full table of what each row would earn against each truth."""

from dataclasses import dataclass

import numpy as np

BLOCK = 65_536  # features that `pearson` takes at once


class NotComputed(Exception):
    """A metric that these data do not allow; the message says why, as a reader is to see it."""


@dataclass(frozen=True)
class Score:
    """One metric of one condition, before any averaging.

    The table holds the trial scores (each row against its own truth), the mismatched pairs that
    chance is read from, and every permuted pairing, so that intervals and p-values need nothing
    else.

    Parameters
    ----------
    name : str
    values : ndarray, shape (n_truths, n_rows)
        ``values[i, j]``: what row j (a prediction) earns when truth i is taken for its own.
    chance : float or None
        Expected score of a guess; None where only the mismatched pairs can tell.
    set_size : int or None
        Number of candidates, for retrieval.
    summary : {"mean", "median"}
        How the rows' values become one score.
    better : {"higher", "lower"}
    sampled : bool
        Where all pairs would cost too much, `values` has a first line with each row's own truth and
        further lines with other truths, drawn anew for each row by `partners`.
    """

    name: str
    values: np.ndarray
    chance: float | None = None
    set_size: int | None = None
    summary: str = "mean"
    better: str = "higher"
    sampled: bool = False


def partners(own, n_truths, n_partners, seed=0):
    """Draw for each row its own truth and `n_partners` different others.

    Parameters
    ----------
    own : ndarray of int, shape (n_rows,)
    n_truths : int
    n_partners : int
        Less than `n_truths`.

    Returns
    -------
    truths : ndarray of int, shape (1 + n_partners, n_rows)
        The own one first.
    """
    keys = np.random.default_rng(seed).random((len(own), n_truths))
    keys[np.arange(len(own)), own] = -1.0
    return np.argsort(keys, axis=1)[:, : n_partners + 1].T


def cosine(truth, predicted):
    """Cosine similarity of every truth with every prediction.

    Parameters
    ----------
    truth : ndarray, shape (n_truths, dim)
    predicted : ndarray, shape (n_rows, dim)

    Returns
    -------
    similarity : ndarray, shape (n_truths, n_rows)
        0 for a vector of zeros: it points nowhere.
    """
    return _unit_rows(truth) @ _unit_rows(predicted).T


def pearson(truth, predicted):
    """Pearson correlation of every truth with every prediction, as `cosine`.

    0 for a constant vector: nothing varies with it. Features are taken in blocks, so that rows of
    float32 (184,512 numbers in a layer of AlexNet) are never all copied to float64.
    """
    truth, predicted = (np.asarray(x).reshape(len(x), -1) for x in (truth, predicted))
    if truth.shape[1] != predicted.shape[1]:
        raise ValueError(
            f"truths of {truth.shape[1]} and predictions of {predicted.shape[1]} features cannot "
            "be correlated: represent both alike"
        )
    centres = [x.mean(axis=1, dtype=np.float64, keepdims=True) for x in (truth, predicted)]
    products, squares = np.zeros((len(truth), len(predicted))), [0.0, 0.0]
    for first in range(0, truth.shape[1], BLOCK):
        part = slice(first, first + BLOCK)
        t, p = (x[:, part] - m for x, m in zip((truth, predicted), centres, strict=True))
        products += t @ p.T
        squares = [s + np.einsum("ij,ij->i", x, x) for s, x in zip(squares, (t, p), strict=True)]
    for side, x in enumerate((truth, predicted)):  # the mean of a constant is a last bit off it
        squares[side] = np.where(np.ptp(x, axis=1) == 0, np.inf, squares[side])
    return products / np.sqrt(squares[0])[:, None] / np.sqrt(squares[1])


def _unit_rows(x):
    x = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norm > 0, norm, 1.0)


def count_rivals(similarity, axis=0):
    """Count, for each entry, the others along `axis` that are larger, and that are equal.

    Entries that agree to 1e-9 are ties: BLAS returns equal products a last bit apart, and a model
    that says the same for every picture must score chance, not its rounding.

    Returns
    -------
    above, tied : ndarray of int, shape of `similarity`
    """
    from scipy.stats import rankdata

    rounded = np.round(similarity, 9) + 0.0  # + 0.0 turns -0.0 into 0.0
    lowest = rankdata(rounded, method="min", axis=axis).astype(int)
    highest = rankdata(rounded, method="max", axis=axis).astype(int)
    return similarity.shape[axis] - highest, highest - lowest
