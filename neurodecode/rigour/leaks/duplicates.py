"""Near-duplicates among pictures: resized, cropped, mirrored, re-encoded or brightened copies.

Two steps. A perceptual hash (signs of the lowest 8 x 8 cosine coefficients of the luminance) of
each picture, of its mirror image and of slightly cropped views gives candidates. Each candidate is
aligned (shift and scale of both axes, brightness and contrast; Gauss-Newton from coarse to fine)
and confirmed by the correlation of the aligned pixels, in colour, and once more of their details
alone: scenes that resemble each other share light and layout, copies share the details too.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.leaks.alignment import align, warped
from neurodecode.rigour.leaks.hashing import CROPS, hash_candidates
from neurodecode.rigour.leaks.pixels import (
    CELL,
    SIDE,
    averaged,
    blurred,
    cells_of,
    correlation,
    details_of,
    grey,
    halved,
    reduced,
    unclipped,
)

# Alignment: pixels of a side, steps taken there, and the correlation below which it ends.
LEVELS = ((16, 0, 0.5), (16, 6, 0.7), (32, 4, 0.8), (64, 3, 0.85))
# Confirmation.
LEAST_PIXELS = 0.96  # correlation of the aligned pixels of a duplicate
LEAST_DETAILS = 0.85  # of what is finer than an eighth of the picture
WHOLE = np.array([1.0, 0.0, 1.0, 0.0], np.float32)  # the part of a picture that is all of it
UNMOVED = 0.003  # largest difference from that of a copy that was not cropped
LEAST_CROP = 0.015  # what else must be missing of one side, in shares of it
EDGE = 0.006  # to which a part may stand beyond the edge: an error of the alignment
LEAST_TEXTURE = 0.55  # share of a picture that must have details if a copy may be cropped
TEXTURE, TEXTURE_SD = 2.0, 2.0  # grey values, and pixels of the halved thumbnail
CONTRAST = 16.0  # grey values, of cells that can be unlike
MOST_UNLIKE_PLAIN = 0.05  # on a plain ground, where no cells tell what noise does, and elsewhere:
MOST_UNLIKE, LEAST_UNLIKE = 0.2, 0.005  # one minus the correlation of a cell; and in units of
TIMES_WHOLE, TIMES_PART = 15, 80  # the usual cell, of copies that are whole or cropped
SAME = 2.0  # largest difference, grey values, of a copy in any case
LEAST_AS_THEY_ARE = 0.9  # correlation at the coarsest level of copies that need no alignment
MOST_MOVED_AS_THEY_ARE = 0.1  # pixels of a thumbnail, beyond three standard errors, and
MOST_MOVED = 0.4  # of copies that were aligned
SURE = 0.15  # standard error, pixels, of cells that can have moved
BATCH = 128  # candidates aligned at once: their arrays stay in a core's cache


@dataclass(frozen=True)
class Duplicates:
    """Pairs of pictures that are the same but for their treatment.

    Parameters
    ----------
    pairs : ndarray of int, shape (n_pairs, 2)
        Row numbers, the smaller first.
    pixels, details : ndarray, shape (n_pairs,)
        Correlation of the aligned pixels, and of their details.
    mirrored : ndarray of bool, shape (n_pairs,)
    n_compared, n_candidates : int
        Pairs whose hashes were compared, and pairs that were aligned.
    """

    pairs: np.ndarray
    pixels: np.ndarray
    details: np.ndarray
    mirrored: np.ndarray
    n_compared: int
    n_candidates: int


def near_duplicates(thumbnails, sides=None, also=()):
    """Find copies among pictures.

    Parameters
    ----------
    thumbnails : ndarray of uint8, shape (n_pictures, SIDE, SIDE, 3)
        Whole pictures scaled to a square; a memory map will do.
    sides : array of str, shape (n_pictures,), optional
        Only pairs from different sides are compared; a picture whose side is ``""`` with none.
        None: all pairs.
    also : sequence of (int, int)
        Further candidates, such as neighbours in embedding space.

    Returns
    -------
    found : Duplicates
        Sorted by row numbers.

    Raises
    ------
    ValueError
        If the thumbnails have another shape.
    """
    if thumbnails.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"thumbnails are {thumbnails.shape[1:]}, not {(SIDE, SIDE, 3)}")
    candidates, n_compared = hash_candidates(thumbnails, sides)
    asked = np.sort(np.asarray(also, int).reshape(-1, 2), axis=1)
    both = [(a, b, view, mirrored) for a, b in asked for view in (0,) for mirrored in (0, 1)]
    candidates = np.concatenate([candidates, np.asarray(both, int).reshape(-1, 4)])
    pixels, details = similarity(thumbnails, candidates)
    good = (pixels >= LEAST_PIXELS) & (details >= LEAST_DETAILS)
    kept = _best_of_each_pair(candidates[good], pixels[good])
    candidates, pixels, details = (x[good][kept] for x in (candidates, pixels, details))
    pairs = np.sort(candidates[:, :2], axis=1)
    return Duplicates(pairs, pixels, details, candidates[:, 3] == 1, n_compared, len(good))


def similarity(thumbnails, candidates):
    """Correlate candidates, all pixels and details, as they are and aligned; -1 if let go."""
    pixels, details = np.full((2, len(candidates)), -1.0)
    coarse = reduced(thumbnails, LEVELS[0][0])
    for first in range(0, len(candidates), BATCH):
        rows = np.arange(first, min(first + BATCH, len(candidates)))
        for found, warp in (
            as_they_are(thumbnails, coarse, candidates, rows),
            aligned(thumbnails, coarse, candidates, rows),
        ):
            if not len(found):
                continue
            a, b = _pair(thumbnails, candidates[found], SIDE)
            new = np.stack(agreement(a, b, warp))
            new[1, ~one_picture(a, b, warp)] = -1.0
            new[:, _same(a, b) & (warp == WHOLE).all(axis=1)] = 1.0
            better = new[1] > details[found]
            pixels[found[better]], details[found[better]] = new[:, better]
    return pixels, details


def as_they_are(thumbnails, coarse, candidates, rows):
    """Take candidates that agree without being aligned: of flat pictures no place can be found."""
    a, b = _pair(coarse, candidates[rows], LEVELS[0][0])
    clear = unclipped(a, b)[..., 0]
    alike = correlation(grey(a), grey(b), clear) >= LEAST_AS_THEY_ARE
    rows = rows[alike | _same(a, b)]
    return rows, np.tile(WHOLE, (len(rows), 1))


def _same(a, b):
    """Say whether pictures differ by no more than rounding does, however little they show."""
    return np.abs(a - b).max(axis=(1, 2, 3)) <= SAME


def aligned(thumbnails, coarse, candidates, rows):
    """Align candidates from coarse to fine; those that still agree, and the parts that do."""
    views = np.array(CROPS, np.float32)[candidates[rows, 2]]
    warp = np.stack([views[:, 0], views[:, 2], views[:, 0], views[:, 1]], axis=1)
    for side, n_steps, least in LEVELS:
        if not len(rows):
            break
        known = coarse if side == LEVELS[0][0] else thumbnails
        a, b = _pair(known, candidates[rows], side)
        clear = unclipped(a, b)[..., 0]
        warp, close = align(grey(a), grey(b), clear, warp, n_steps)
        rows, warp = rows[close >= least], warp[close >= least]
    return rows, warp


def one_picture(a, b, warp):
    """Tell views of one picture from pictures of like things: bool, shape (n,).

    A copy is whole, or a part of the other picture; its parts have not moved against each other;
    and it is as like everywhere as its noise allows. One object on a plain ground looks like a
    cropped view of itself from nearby: where so little is seen, only whole copies can be told.
    """
    off = np.abs(warp - WHOLE).max(axis=1)
    whole = off <= UNMOVED
    plain = texture(a, b) < LEAST_TEXTURE
    views = whole | (is_part(warp) & ~plain)
    worst, usual = unlikeness(a, b, warp)
    times = np.where(whole, TIMES_WHOLE, TIMES_PART)
    most = np.where(plain, MOST_UNLIKE_PLAIN, MOST_UNLIKE)
    alike = worst <= np.minimum(most, LEAST_UNLIKE + times * usual)
    most = np.where(off == 0, MOST_MOVED_AS_THEY_ARE, MOST_MOVED)
    return views & alike & (moved_px(a, b, warp) <= most)


def is_part(warp):
    """Say whether one picture lies within the other, and is smaller: bool, shape (n,)."""
    start, end = warp[:, 1::2], warp[:, 1::2] + warp[:, ::2]
    inside = ((start >= -EDGE) & (end <= 1 + EDGE)).all(axis=1)
    outside = ((start <= EDGE) & (end >= 1 - EDGE)).all(axis=1)
    return (inside | outside) & (np.abs(warp[:, ::2] - 1).max(axis=1) >= LEAST_CROP)


def unlikeness(a, b, warp):
    """One minus the correlation within cells that have contrast: the worst, and the lower quartile.

    Returns
    -------
    worst, usual : ndarray, shape (n,)
    """
    parts = [warped(a[..., c], warp) for c in range(3)]
    seen = parts[0][1] * unclipped(a, b)[..., 0]
    weight = cells_of(seen)
    mean = lambda x: cells_of(seen * x) / np.maximum(weight, 1)
    pairs = [(part, b[..., c]) for c, (part, _) in enumerate(parts)]
    shared = lambda x, y: mean(x * y) - mean(x) * mean(y)
    both = sum(shared(x, y) for x, y in pairs)
    one, other = (sum(shared(p[i], p[i]) for p in pairs) for i in (0, 1))
    plain = (np.maximum(one, other) / 3 <= CONTRAST**2) | (weight <= 2 * CELL**2)
    scale = np.sqrt(np.maximum(one, 1) * np.maximum(other, 1))
    cells = np.where(plain, np.nan, 1 - both / scale).reshape(len(a), -1)
    cells[plain.reshape(len(a), -1).all(axis=1)] = 0  # nothing has contrast: nothing speaks against
    return np.nanmax(cells, axis=1), np.nanquantile(cells, 0.25, axis=1)


def moved_px(a, b, warp):
    """Return the largest shift of a part of the picture that its noise does not explain, (n,).

    In every cell: b = gain a + offset + shift along its slopes, by least squares.
    """
    part, seen = warped(grey(a), warp)
    b, seen = grey(b), seen * unclipped(a, b)[..., 0]
    weight = cells_of(seen)
    mean = lambda x: cells_of(seen * x) / np.maximum(weight, 1)
    shared = lambda x, y: mean(x * y) - mean(x) * mean(y)
    terms = [part, *np.gradient(part, axis=(1, 2))]
    normal = np.stack([np.stack([shared(x, y) for y in terms], -1) for x in terms], -2)
    normal = normal + np.eye(3, dtype=np.float32)  # a grey value: of flat cells nothing is known
    right = np.stack([shared(x, b) for x in terms], axis=-1)
    inverse = np.linalg.inv(normal)
    solved = (inverse @ right[..., None])[..., 0]
    left = np.maximum(shared(b, b) - (solved * right).sum(axis=-1), 0) + 0.5
    gain = np.where(np.abs(solved[..., :1]) > 0.2, solved[..., :1], 1.0)
    variance = np.stack([inverse[..., 1, 1], inverse[..., 2, 2]], axis=-1) * left[..., None]
    # neighbouring pixels are alike: a third of them counts
    error = np.sqrt(3 * variance / np.maximum(weight, 1)[..., None]) / np.abs(gain)
    known = (weight > 2 * CELL**2)[..., None] & (error < SURE)
    beyond = np.maximum(np.abs(solved[..., 1:] / gain) - 3 * error, 0)
    return np.where(known, beyond, 0).max(axis=(1, 2, 3))


def texture(a, b):
    """Return the share of a picture that has details, in the plainer of two: shape (n,)."""
    shares = []
    for pictures in (halved(a), halved(b)):
        fine = (pictures - blurred(pictures, TEXTURE_SD)) ** 2
        cells = grey(halved(halved(fine)))
        shares.append((cells > TEXTURE**2).mean(axis=(1, 2)))
    return np.minimum(*shares)


def _pair(pictures, candidates, side):
    """Both pictures of each candidate, averaged to `side` pixels; the second mirrored if so."""
    of = lambda rows: averaged(np.asarray(pictures[rows], np.float32), side)
    a, b = of(candidates[:, 0]), of(candidates[:, 1])
    return a, np.where(candidates[:, 3, None, None, None] == 1, b[:, :, ::-1], b)


def agreement(a, b, warp):
    """Correlate aligned pictures in colour: all pixels, and details; (n, SIDE, SIDE, 3) each."""
    parts = [warped(a[..., c], warp) for c in range(3)]
    part, seen = np.stack([p for p, _ in parts], axis=-1), parts[0][1]
    seen = seen[..., None] * unclipped(part, b)
    part, b, seen = (halved(x) for x in (part, b, seen))
    pixels = correlation(part, b, seen)
    return pixels, correlation(details_of(part), details_of(b), seen)


def _best_of_each_pair(candidates, pixels):
    """Row numbers of the best candidate of each pair of pictures, in the order of the pairs."""
    pairs = np.sort(candidates[:, :2], axis=1)
    order = np.lexsort((-pixels, pairs[:, 1], pairs[:, 0]))
    first = np.ones(len(order), bool)
    first[1:] = (pairs[order][1:] != pairs[order][:-1]).any(axis=1)
    return order[first]
