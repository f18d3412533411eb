"""Retrieval both ways: is a row's own picture among the nearest, is a picture's own row.

Ties share: of t + 1 equal candidates each takes each of their t + 1 places equally often, so that a
model to which every picture looks alike scores exactly chance.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.metrics.score import Score, cosine, count_rivals


@dataclass(frozen=True)
class Retrieval:
    """Top-k retrieval in embedding space, at several set sizes, and the median rank.

    Parameters
    ----------
    top : tuple of int
        A hit is one of the `top` nearest candidates.
    set_sizes : tuple of int
        Numbers of candidates, the true one among them; the full set is always scored as well. A
        smaller set is scored by its exact expectation over all sets of that size.
    """

    top: tuple[int, ...] = (1, 5)
    set_sizes: tuple[int, ...] = (10, 50)

    space = "embedding"
    needs = "pooled"

    def __call__(self, truth, predicted):
        """Score `predicted` (n_rows, dim) against `truth` (n_truths, dim)."""
        similarity = cosine(truth, predicted)
        scores = []
        for direction, axis in (("brain_to_image", 0), ("image_to_brain", 1)):
            if axis and truth.shape[0] != predicted.shape[0]:
                continue  # a picture with several rows has no single right answer
            rivals, n = count_rivals(similarity, axis), similarity.shape[axis]
            if not axis:
                ranks = rivals[0] + rivals[1] / 2
            for k in self.top:
                for size in [n, *(s for s in self.set_sizes if s < n)]:
                    if k < size:
                        hits = expected_hits(*rivals, n, k, size)
                        scores.append(Score(f"{direction}_top{k}", hits, k / size, size))
        n = len(similarity)
        scores.append(Score("median_rank", ranks, (n - 1) / 2, n, "median", "lower"))
        return scores


def brain_to_image(similarity, k=1, set_size=None):
    """Chance that a picture is among the k nearest of `set_size` pictures to a row, ties shared.

    Parameters
    ----------
    similarity : ndarray, shape (n_truths, n_rows)
    k : int
    set_size : int or None
        Candidates, the picture among them; the others drawn from all other pictures without
        replacement, in expectation over all draws. None: all pictures.

    Returns
    -------
    hits : ndarray in [0, 1], shape (n_truths, n_rows)
        Entry [i, j] takes picture i for the own one of row j.
    """
    above, tied = count_rivals(similarity, axis=0)
    return expected_hits(above, tied, len(similarity), k, set_size)


def image_to_brain(similarity, k=1, set_size=None):
    """Chance that a row is among the k nearest of `set_size` rows to a picture; as above.

    MindEye's released ``fwd`` is this number, its ``bwd`` is `brain_to_image`.
    """
    above, tied = count_rivals(similarity, axis=1)
    return expected_hits(above, tied, similarity.shape[1], k, set_size)


def match_rank(similarity):
    """Number of pictures nearer to a row than each picture, ties half; chance (n - 1) / 2."""
    above, tied = count_rivals(similarity, axis=0)
    return above + tied / 2


def expected_hits(above, tied, n_candidates, k, set_size=None):
    """Turn counts of nearer and equal rivals into the chance of a place among the first k.

    With r rivals nearer among all n - 1, the number of them among the m - 1 drawn is
    hypergeometric, and the chance of a hit is that it is less than k. A tie with t others makes r
    uniform on above, …, above + t.

    Parameters
    ----------
    above, tied : ndarray of int
        From `count_rivals`.
    n_candidates : int
        Size n of the full set.
    k : int
    set_size : int or None
        Size m of the sets; None: n.
    """
    from scipy.stats import hypergeom

    set_size = n_candidates if set_size is None else set_size
    if not 1 <= k < set_size <= n_candidates:
        raise ValueError(
            f"top {k} of {set_size} out of {n_candidates} candidates: "
            "expected 1 <= top < set size <= candidates"
        )
    hit_at = hypergeom.cdf(k - 1, n_candidates - 1, np.arange(n_candidates), set_size - 1)
    summed = np.concatenate([[0.0], np.cumsum(hit_at)])
    return (summed[above + tied + 1] - summed[above]) / (tied + 1)


def published_top1(similarity):
    """Top-1 of the column argmax, as published tables count it: the first of equals wins.

    For comparison with published numbers only: an all-equal similarity gives 1/n here as well, but
    only because one candidate is always first; one with the true picture first gives 1.

    Parameters
    ----------
    similarity : ndarray, shape (n, n)
        Columns ask, rows answer: rows = pictures gives brain_to_image, its transpose
        image_to_brain.

    Returns
    -------
    hits : ndarray of float, shape (n,)
        1 where column j's first maximum is entry j.
    """
    return (np.argmax(similarity, axis=0) == np.arange(similarity.shape[1])).astype(float)
