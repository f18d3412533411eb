"""Do predictions collapse onto what was seen in training, and which dimensions of the truth return?

A linear decoder can say nothing outside the span of its training targets, however good the brain
data [1]_ [2]_: with fewer training stimuli than dimensions, part of every test embedding is out of
reach. `collapse` measures the span; it does not ask whether predictions are right, and a predictor
of pure noise has full rank. `recovery_profile` asks that, one principal axis of the truth at a
time [3]_.

References
----------
.. [1] Shirakawa et al., Spurious reconstruction from brain activity, arXiv:2405.10078.
.. [2] Otsuka et al. (2025), Overcoming output dimension collapse.
.. [3] Nakamura et al. (2026), arXiv:2605.20127.
"""

from dataclasses import dataclass

import numpy as np

OUT_OF_REACH = 0.05  # share of the truth's energy beyond the training span that matters
CONFINED = 0.1  # predictions reach less than this share of what the truth has out there
POOR = 0.1  # effective rank of predictions below this share of the truth's


def effective_rank(rows):
    """Effective number of dimensions of centred rows: the exponential of their spectral entropy.

    ``exp(-sum p log p)``, ``p`` the shares of variance along the principal axes [1]_ (there of the
    singular values). d equally strong dimensions give d, constant rows 0.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, dim)

    References
    ----------
    .. [1] Roy & Vetterli, The effective rank, EUSIPCO 2007.
    """
    rows = np.asarray(rows, float)
    variance = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2
    scale = (rows**2).sum()
    if variance.sum() <= 1e-12 * scale or scale == 0:
        return 0.0
    p = variance[variance > 0] / variance.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def training_span(truth_train, tolerance=1e-5):
    """Orthonormal basis (dim, n_axes) of the span of the training targets, their mean included.

    Axes whose singular value is below `tolerance` of the largest are rounding (float32) and left
    out.
    """
    _, s, vt = np.linalg.svd(np.asarray(truth_train, float), full_matrices=False)
    return vt[s > tolerance * s[0]].T


def out_of_span(rows, basis, center):
    """Share of the energy of ``rows - center`` outside a span; 0 if the rows are all at center.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, dim)
    basis : ndarray, shape (dim, n_axes)
        Orthonormal.
    center : ndarray, shape (dim,)
    """
    deviation = np.asarray(rows, float) - center
    energy = (deviation**2).sum()
    outside = deviation - (deviation @ basis) @ basis.T
    return float((outside**2).sum() / energy) if energy > 0 else 0.0


def collapse(predicted, truth, truth_train):
    """Compare the dimensions of predictions with those of the truth.

    Called collapsed is a set of predictions that

    - stays in the training span where the truth does not: at least `OUT_OF_REACH` of the energy of
      the true test embeddings lies outside, and the share of the predictions' that does is below
      `CONFINED` of that; or
    - is poor: its effective rank is below `POOR` of the truth's.

    Parameters
    ----------
    predicted, truth : ndarray, shape (n_rows, dim)
        Of the test rows.
    truth_train : ndarray, shape (n_train, dim)
        Embeddings of the training stimuli. Energy is counted from their mean.

    Returns
    -------
    found : dict
        n_train, dim, rank_truth, rank_predicted (effective ranks over the test rows),
        out_of_span_truth, out_of_span_predicted, collapsed.
    """
    predicted, truth, truth_train = (np.asarray(a, float) for a in (predicted, truth, truth_train))
    _check(predicted, truth, truth_train)
    basis, center = training_span(truth_train), truth_train.mean(axis=0)
    ranks = effective_rank(truth), effective_rank(predicted)
    outside = out_of_span(truth, basis, center), out_of_span(predicted, basis, center)
    confined = outside[0] >= OUT_OF_REACH and outside[1] < CONFINED * outside[0]
    return {
        "n_train": len(truth_train),
        "dim": truth.shape[1],
        "rank_truth": ranks[0],
        "rank_predicted": ranks[1],
        "out_of_span_truth": outside[0],
        "out_of_span_predicted": outside[1],
        "collapsed": bool(confined or ranks[1] < POOR * ranks[0]),
    }


@dataclass(frozen=True)
class RecoveryProfile:
    """How well each principal axis of the truth is predicted, most variance first.

    Parameters
    ----------
    share : ndarray, shape (n_axes,)
        Share of the test rows' true variance along each axis.
    correlation : ndarray, shape (n_axes,)
        Pearson correlation of prediction and truth along each, over rows.
    threshold : float
        The largest correlation of any axis exceeds this with probability alpha by luck.
    n_recovered : int
        Axes above the threshold: dimensions of the truth that were recovered.
    """

    share: np.ndarray
    correlation: np.ndarray
    threshold: float
    n_recovered: int


def recovery_profile(
    predicted, truth, truth_train, n_axes=50, n_permutations=500, alpha=0.05, *, rng
):
    """Correlate predictions with the truth along each principal axis of the training embeddings.

    Parameters
    ----------
    predicted, truth : ndarray, shape (n_rows, dim)
        One row per test stimulus.
    truth_train : ndarray, shape (n_train, dim)
        Gives the axes.
    n_axes : int
        At most; no more than the training embeddings have.
    n_permutations : int
        Orders of the predictions, the one observed among them, that give the threshold for the
        largest of all axes.
    alpha : float
    rng : numpy.random.Generator

    Returns
    -------
    profile : RecoveryProfile
    """
    predicted, truth, truth_train = (np.asarray(a, float) for a in (predicted, truth, truth_train))
    _check(predicted, truth, truth_train)
    _, s, vt = np.linalg.svd(truth_train - truth_train.mean(axis=0), full_matrices=False)
    axes = vt[s > 1e-5 * s[0]][:n_axes].T
    true, said = _standardised(truth @ axes), _standardised(predicted @ axes)
    observed = (true * said).mean(axis=0)
    largest = [observed.max()]
    largest += [
        (true * said[rng.permutation(len(said))]).mean(axis=0).max()
        for _ in range(n_permutations - 1)
    ]
    threshold = float(np.quantile(largest, 1 - alpha, method="higher"))
    deviation = truth - truth.mean(axis=0)
    share = ((deviation @ axes) ** 2).sum(axis=0) / (deviation**2).sum()
    return RecoveryProfile(share, observed, threshold, int((observed > threshold).sum()))


def _standardised(columns):
    """Mean 0 and population variance 1 in each column; 0 where it is constant."""
    centred = columns - columns.mean(axis=0)
    sd = centred.std(axis=0)
    return np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 1e-12)


def _check(predicted, truth, truth_train):
    if predicted.shape != truth.shape or truth_train.shape[1:] != truth.shape[1:]:
        raise ValueError(
            f"predicted {predicted.shape}, truth {truth.shape} and training truth "
            f"{truth_train.shape}: predictions and truth need the same rows, and all the same dim"
        )
    if len(truth) < 3:
        raise ValueError(
            f"{len(truth)} test rows: at least three are needed to speak of dimensions"
        )
