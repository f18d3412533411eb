"""Scores exactly as published tables count them, where that is not how this project counts.

Pixel scores at 425 pixels, and top-1 retrieval among 300 in 30 draws. They stand beside the rows
that are fair to ties, never in their place: retrieval rows end in ``_compat``, pixel rows in their
size.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.core.ranges import Count, Seed
from neurodecode.metrics.pixel import grey, published_size, ssim_of_pairs
from neurodecode.metrics.score import NotComputed, Score, cosine, partners

SIZE_PX = 425


@dataclass(frozen=True)
class PublishedPixCorr:
    """Pixel correlation at the published size: 256 x 256, then 425 x 425, bilinear.

    Parameters
    ----------
    antialias : bool
        In resizing. Published tables were made without: torchvision 0.15 and 0.16 had it off.
    """

    antialias: bool = False

    space = "picture"
    needs = "pictures"

    def __call__(self, truth, predicted):
        """Score uint8 pictures (n, height, width, 3)."""
        if truth.shape[1:] != predicted.shape[1:]:
            raise ValueError(
                f"true pictures are {truth.shape[1:]}, predicted ones {predicted.shape[1:]}: "
                "bring them to one size before scoring"
            )
        return [Score("pixcorr_425", pixcorr_425(truth, predicted, self.antialias))]


def pixcorr_425(truth, predicted, antialias=False):
    r"""Correlate every truth with every prediction as if both had been enlarged.

    Resizing is linear, ``y = A x B^T`` for each colour, and keeps constants. With each picture's
    mean at 425 pixels taken off, ``<y, y'> = <A^T A x B^T B, x'>``: the sum over 541,875 enlarged
    values is one over the pixels that were there.

    Parameters
    ----------
    truth, predicted : ndarray of uint8 or float, shape (n, height, width, 3)

    Returns
    -------
    r : ndarray, shape (n_truths, n_rows)
        0 for a picture of one value only.
    """
    down, along = (enlarging(size, antialias) for size in truth.shape[1:3])
    weights = np.multiply.outer(down.mean(axis=0), along.mean(axis=0))  # sum to 1
    gram_down, gram_along = down.T @ down, along.T @ along
    centres = [np.einsum("nhwc,hw->n", x, weights) / 3 for x in (truth, predicted)]
    products, squares = 0.0, [0.0, 0.0]
    for colour in range(3):
        sides = [
            x[..., colour] - m[:, None, None]
            for x, m in zip((truth, predicted), centres, strict=True)
        ]
        spread = [gram_down @ x @ gram_along for x in sides]
        products = products + np.einsum("ihw,jhw->ij", spread[0], sides[1], optimize=True)
        squares = [
            s + np.einsum("nhw,nhw->n", x, y)
            for s, x, y in zip(squares, spread, sides, strict=True)
        ]
    flat = [np.ptp(x.reshape(len(x), -1), axis=1) == 0 for x in (truth, predicted)]
    norms = [np.sqrt(np.where(f, np.inf, s)) for f, s in zip(flat, squares, strict=True)]
    return products / norms[0][:, None] / norms[1]


def enlarging(size_px, antialias=False):
    """Write the published resizing of one axis as a matrix, shape (425, size_px)."""
    import torch
    from torch.nn.functional import interpolate

    step = torch.eye(size_px, dtype=torch.float64)[None, None]
    for size in (256, SIZE_PX):
        step = interpolate(step, (size, size_px), mode="bilinear", antialias=antialias)
    return step[0, 0].numpy()


@dataclass(frozen=True)
class PublishedSSIM:
    """Structural similarity at the published size.

    A pair at 425 pixels costs as much as forty at 64, and a table of 1,000 x 1,000 hours: each row
    is scored against its own truth and a few others, see `partners`.

    Parameters
    ----------
    n_partners : int
        Other truths that each row is scored against, for chance and p.
    antialias : bool
        In resizing. Published tables were made without: torchvision 0.15 and 0.16 had it off.
    seed : int
        Draws them.
    """

    n_partners: Count = 5
    antialias: bool = False
    seed: Seed = 0

    space = "picture"
    needs = "pictures"
    paired = True

    def prepare(self, pictures):
        """Enlarge uint8 pictures (n, height, width, 3): their luma, (n, 425, 425) float32."""
        return published_size(grey(pictures)[..., None], self.antialias)[..., 0]

    def __call__(self, truth, predicted, own):
        """Score what `prepare` gave; `own` (n_rows,) is the number of each row's truth."""
        n_partners = min(self.n_partners, len(truth) - 1)
        which = partners(own, len(truth), n_partners, self.seed)
        pairs = zip(which.T, predicted, strict=True)
        values = np.stack([ssim_of_pairs(truth[rows], x[None]) for rows, x in pairs], axis=1)
        return [Score("ssim_425", values, sampled=True)]


@dataclass(frozen=True)
class PublishedRetrieval:
    """Top-1 retrieval both ways as published: sets of 300, 30 draws, the first of equals wins.

    The exact expectation over all sets, ties shared, is `Retrieval` with ``set_sizes: [300]``.
    Rows of one stimulus are averaged before they are compared, as the published code averages the
    outputs of its repeats. Published ``fwd`` is `image_to_brain`, ``bwd`` is `brain_to_image`,
    whatever the comments there say.

    Parameters
    ----------
    set_size : int
        Candidates of a draw.
    n_draws : int
    seed : int
        Of ``numpy.random.RandomState``, whose draws published code used.
    """

    set_size: Count = 300
    n_draws: Count = 30
    seed: Seed = 42

    space = "embedding"
    needs = "pooled"
    paired = True
    names = ("brain_to_image_top1_compat", "image_to_brain_top1_compat")

    def __call__(self, truth, predicted, own):
        """Score `predicted` (n_rows, dim) whose truths are ``truth[own]``."""
        if len(truth) < self.set_size:
            raise NotComputed(
                f"the published protocol draws {self.set_size} test pictures, this study has "
                f"{len(truth)}"
            )
        sums = np.zeros((len(truth), predicted.shape[1]))
        np.add.at(sums, own, predicted)
        counts = np.bincount(own, minlength=len(truth))
        similarity = np.round(cosine(truth, sums / counts[:, None]), 9)
        draws = published_draws(len(truth), self.set_size, self.n_draws, self.seed)
        return [
            Score(name, table[:, own], 1 / self.set_size, self.set_size)
            for name, table in zip(
                self.names,
                (drawn_top1(similarity, draws), drawn_top1(similarity.T, draws).T),
                strict=True,
            )
        ]


def published_draws(n, set_size=300, n_draws=30, seed=42):
    """Draw sets without replacement as the published code does: shape (n_draws, set_size)."""
    rng = np.random.RandomState(seed)
    return np.stack([rng.choice(n, size=set_size, replace=False) for _ in range(n_draws)])


def drawn_top1(similarity, draws):
    """Top-1 hits in drawn sets: columns ask, rows answer, the first of equals wins.

    Parameters
    ----------
    similarity : ndarray, shape (n, n)
        Row i belongs to column i.
    draws : ndarray of int, shape (n_draws, set_size)

    Returns
    -------
    hits : ndarray, shape (n, n)
        Of column j when row i takes the place of its own, summed over the draws that hold j and
        scaled so that the mean of the diagonal is the mean over draws of published tables.
    """
    n, (n_draws, set_size) = len(similarity), draws.shape
    hits = np.zeros((n, n))
    for drawn in draws:
        among = similarity[drawn][:, drawn]
        won = np.argmax(among, axis=0) == np.arange(set_size)
        np.fill_diagonal(among, -np.inf)
        best = np.argmax(among, axis=0)  # rival of each column's own row
        beats = similarity[:, drawn] > among[best, np.arange(set_size)]
        beats[drawn[best], np.arange(set_size)] = True  # the rival itself, in the own row's place
        beats[drawn, np.arange(set_size)] = won
        hits[:, drawn] += beats
    return hits * n / (n_draws * set_size)
