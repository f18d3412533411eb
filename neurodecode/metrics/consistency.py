"""How alike pictures of the same brain answer are, and how far apart: samples, and split halves.

Two sets of pictures of the same rows are compared row by row with every other row, so that what all
pictures of a generator have in common is the chance level and no consistency.
"""

import numpy as np

from neurodecode.metrics.score import Score, count_rivals

EDGE_PX = 64  # pictures are correlated at about this size, by block means


def likeness_scores(similarity):
    """Say of two versions of some rows how alike they are, and whether one tells the other.

    Parameters
    ----------
    similarity : ndarray, shape (n_rows, n_rows)
        ``similarity[i, j]``: of the second version of row i with the first version of row j.

    Returns
    -------
    scores : list of Score
        ``likeness``: the similarity itself, chance that of different rows. ``top1``: whether the
        own second version is the nearest of all, ties shared. ``two_way``: share of the others that
        it is nearer than.

    Raises
    ------
    ValueError
        For fewer than two rows.
    """
    n = len(similarity)
    if n < 2:
        raise ValueError(f"{n} rows have no others to be told from: two or more are needed")
    above, tied = count_rivals(similarity, axis=0)
    nearest = np.where(above == 0, 1 / (1 + tied), 0.0)
    beaten = 1 - (above + tied / 2) / (n - 1)
    return [
        Score("likeness", np.asarray(similarity, float)),
        Score("top1", nearest, chance=1 / n),
        Score("two_way", beaten, chance=0.5),
    ]


def unit_pictures(pictures):
    """Pictures as vectors whose products are pixel correlations, at `EDGE_PX` pixels or less.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (n, h, w, 3)

    Returns
    -------
    units : ndarray of float32, shape (n, n_features)
        Mean 0 and length 1; 0 where a picture is of one grey all over.
    """
    return np.stack([_unit(block_means(picture).ravel()) for picture in pictures])


def block_means(picture):
    """Reduce a picture (h, w, 3) by whole factors to `EDGE_PX` pixels or a little more: float32."""
    factor = max(1, min(picture.shape[:2]) // EDGE_PX)
    h, w = (side // factor for side in picture.shape[:2])
    cut = np.asarray(picture[: h * factor, : w * factor], np.float32)
    return cut.reshape(h, factor, w, factor, -1).mean(axis=(1, 3))


def two_groups(units, row, sample):
    """Mean vector of each row's even and of its odd samples; their products are mean similarities.

    Both groups are of other noise, so that a pair of groups of one row and one of two rows differ
    in the row alone.

    Parameters
    ----------
    units : ndarray, shape (n_samples, dim)
    row : ndarray of int, shape (n_samples,)
        From 0; each with two samples or more.
    sample : ndarray of int, shape (n_samples,)
        Number within the row, from 0.

    Returns
    -------
    even, odd : ndarray, shape (n_rows, dim)
    """
    n_rows = row.max() + 1
    return tuple(_means(units, row, sample % 2 == parity, n_rows) for parity in (0, 1))


def mean_pairwise(units, row):
    """Mean product of the different samples of each row, shape (n_rows,).

    (|Σ u|² − Σ |u|²) / (n (n − 1)): of unit vectors, their mean pairwise cosine.
    """
    n = np.bincount(row)
    sums = np.zeros((len(n), units.shape[1]))
    np.add.at(sums, row, units)
    own = np.bincount(row, np.einsum("sd,sd->s", units, units, dtype=np.float64))
    return (np.einsum("rd,rd->r", sums, sums) - own) / (n * (n - 1))


def spread_map(pictures):
    """Standard deviation of each pixel over samples (n, h, w, 3), mean of the colours: (h, w).

    Grey levels from 0 to 1. n − 1 in the denominator: an estimate for the generator, not for these
    few samples.
    """
    values = np.asarray(pictures, np.float32) / 255
    return values.std(axis=0, ddof=1).mean(axis=-1)


def pixel_spread(pictures, row):
    """Mean of `spread_map` over each row's picture: shape (n_rows,)."""
    return np.array(
        [spread_map(pictures[np.flatnonzero(row == r)]).mean() for r in range(row.max() + 1)]
    )


def _unit(values):
    if np.ptp(values) == 0:
        return np.zeros_like(values)
    centred = values - values.mean()
    return centred / np.linalg.norm(centred)


def _means(units, row, mine, n_rows):
    sums = np.zeros((n_rows, units.shape[1]))
    np.add.at(sums, row[mine], units[mine])
    return sums / np.bincount(row[mine], minlength=n_rows)[:, None]
