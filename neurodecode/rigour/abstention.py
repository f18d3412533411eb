"""Is a picture the brain's or the prior's: rows whose samples look like draws without a brain.

A generator paints something plausible whatever it is told. If the brain says something of a row,
samples drawn for it resemble each other more than draws of the prior do: they share what was read.
For each row its samples are mixed with prior-only draws, of any row since all are draws of one
prior, and the question is how often as many of the mixture, picked blindly, agree as well. That is
a permutation test: p is uniform for a row whose samples are prior draws, whatever the prior is.

Agreement is the mean cosine of pairs, after each dimension of the mixture was standardised. At
simulated studies of 64 dimensions with 100 prior draws (scripts/bench/abstention.py), where a share
of each sample's variance follows the brain, p ≤ .05 is reached by

    share of variance    .1     .2     .4
    2 samples a row     .20    .47    .95
    4 samples a row     .55    .94   1.00
    8 samples a row     .93   1.00   1.00

Compared by energy distance, or without standardising, fewer rows are told. With one sample nothing
can be: a good posterior's single draw is, over rows, a draw of the prior.

A small p says that the decoder told the generator something, not that it was right: samples of a
shuffled brain agree as well. Whether it was right is what scores are for.
"""

from math import comb

import numpy as np

MOST_DRAWS = 200  # of the prior that a row is held against: more tell hardly more
LEAST_SPLITS = 20  # with fewer ways to split the mixture p cannot be .05


def indistinguishable(samples, prior_samples, rng, n_permutations=999):
    """Test of each row whether its samples could be draws of the prior.

    Parameters
    ----------
    samples : sequence of ndarray, shapes (n_samples, dim); or one (n_rows, n_samples, dim)
        Samples of each row under one condition: embeddings, tokens or pictures as vectors.
    prior_samples : ndarray, shape (..., dim)
        Draws without a brain, pooled over rows; at most 200 of them, drawn by `rng`, are used.
        One that shares its noise with a sample of a row makes that row's p no smaller.
    rng : numpy.random.Generator
    n_permutations : int

    Returns
    -------
    p : ndarray, shape (n_rows,)
        Small where the samples agree more than prior draws do; at least
        1 / (n_permutations + 1). NaN for a row of a single sample: nothing can be told.

    Raises
    ------
    ValueError
        For other dimensions, NaN, or so few draws that p could not be small.
    """
    rows = [np.asarray(row, np.float64) for row in samples]
    pool = np.asarray(prior_samples, np.float64)
    pool = pool.reshape(-1, pool.shape[-1])
    _check(rows, pool)
    if len(pool) > MOST_DRAWS:
        pool = pool[rng.choice(len(pool), MOST_DRAWS, replace=False)]
    picks = {}
    for n in {len(row) for row in rows} - {1}:
        picks[n] = _splits(len(pool) + n, n, n_permutations, rng)
    return np.array([_p(row, pool, picks[len(row)]) if len(row) > 1 else np.nan for row in rows])


def agreement(mixture, picks):
    """Mean cosine among the picked rows of a mixture, each dimension of which is standardised.

    Parameters
    ----------
    mixture : ndarray, shape (n, dim)
    picks : ndarray of int, shape (n_picks, k)
        Different rows of the mixture.

    Returns
    -------
    agreement : ndarray, shape (n_picks,)
    """
    spread = mixture.std(axis=0)
    varies = spread > 1e-12 * max(spread.max(), 1e-300)
    z = (mixture - mixture.mean(axis=0))[:, varies] / spread[varies]
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    z = z / np.where(norm > 0, norm, 1.0)
    cosine = z @ z.T
    np.fill_diagonal(cosine, 0.0)
    k = picks.shape[1]
    return cosine[picks[:, :, None], picks[:, None, :]].sum(axis=(1, 2)) / (k * (k - 1))


def _p(row, pool, picks):
    own = np.arange(len(row))[None]
    found = agreement(np.concatenate([row, pool]), np.concatenate([own, picks]))
    return (1 + (found[1:] >= found[0] - 1e-10).sum()) / len(found)


def _splits(n, k, n_permutations, rng):
    """Pick k of n blindly, n_permutations times: shape (n_permutations, k)."""
    if comb(n, k) < LEAST_SPLITS:
        raise ValueError(
            f"{n - k} prior draws cannot be told from {k} samples: {comb(n, k)} ways to mix them, "
            f"but p ≤ .05 takes {LEAST_SPLITS}; give more prior draws"
        )
    return np.argpartition(rng.random((n_permutations, n)), k - 1, axis=1)[:, :k]


def _check(rows, pool):
    shapes = sorted({row.shape[1:] for row in rows} | {pool.shape[1:]})
    if len(shapes) != 1 or len(shapes[0]) != 1 or not all(len(row) for row in rows):
        raise ValueError(
            f"samples and prior draws have dimensions {shapes}: expected (n_samples, dim) for each "
            "row with at least one sample, and the same dim for the prior's"
        )
    bad = sum(not np.isfinite(row).all() for row in rows)
    if bad or not np.isfinite(pool).all():
        raise ValueError(f"samples of {bad} rows, or the prior's draws, are not finite")
