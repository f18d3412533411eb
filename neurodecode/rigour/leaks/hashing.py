"""A perceptual hash of pictures: signs of their lowest cosine waves, cropped and mirrored too."""

import numpy as np

from neurodecode.rigour.leaks.pixels import PICTURES, SIDE

HASH = 8  # lowest cosine coefficients along each axis
BITS = 14  # of the 63 that may differ in a candidate
CROPS = (  # views of a picture that are hashed: size, left, top, in shares of the whole
    (1.0, 0.0, 0.0),
    (0.95, 0.025, 0.025),
    (0.95, 0.0, 0.0),
    (0.95, 0.05, 0.0),
    (0.95, 0.0, 0.05),
    (0.95, 0.05, 0.05),
    (0.9, 0.05, 0.05),
)
BLOCK = 1 << 22  # pairs whose hashes are compared at once
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def hash_candidates(thumbnails, sides=None):
    """Return pairs whose hashes nearly agree, and how many pairs were compared.

    Returns
    -------
    candidates : ndarray of int, shape (n_candidates, 4)
        Picture a, picture b, which of `CROPS` of a looks like b, and whether b was mirrored.
    n_compared : int
    """
    codes, mirrored = hashes(thumbnails)
    n, found = len(codes), []
    rows = max(1, BLOCK // max(n, 1))
    number = np.unique(sides, return_inverse=True)[1] if sides is not None else np.arange(n)
    shown = np.asarray(sides) != "" if sides is not None else np.ones(n, bool)
    n_compared = 0
    for first in range(0, n, rows):
        a = slice(first, first + rows)
        apart = (number[a, None] != number) & shown[a, None] & shown
        n_compared += int(apart.sum())
        for flip, whole in enumerate((codes[:, 0], mirrored)):
            best, view = np.full(apart.shape, 64, np.uint8), np.zeros(apart.shape, np.uint8)
            for crop in range(len(CROPS)):
                differing = np.bitwise_count(codes[a, crop, None] ^ whole)
                view[differing < best] = crop
                np.minimum(best, differing, out=best)
            i, j = np.nonzero((best <= BITS) & apart)
            found.append(np.stack([i + first, j, view[i, j], np.full(len(i), flip)], axis=1))
    return np.concatenate(found or [np.zeros((0, 4), int)]), n_compared // 2


def hashes(thumbnails):
    """Return the hash of every view of each picture, and of the whole picture mirrored.

    Returns
    -------
    codes : ndarray of uint64, shape (n_pictures, len(CROPS))
    mirrored : ndarray of uint64, shape (n_pictures,)
    """
    turned = (-1.0) ** np.arange(HASH)  # mirroring changes the sign of odd waves
    codes = np.zeros((len(thumbnails), len(CROPS)), np.uint64)
    mirrored = np.zeros(len(thumbnails), np.uint64)
    for first in range(0, len(thumbnails), PICTURES):
        rows = slice(first, first + PICTURES)
        grey = np.asarray(thumbnails[rows], np.float32) @ LUMINANCE
        for number, (size, left, top) in enumerate(CROPS):
            waves = _cosines(size, top) @ grey @ _cosines(size, left).T  # (n, HASH, HASH)
            codes[rows, number] = _packed(waves)
            if number == 0:
                mirrored[rows] = _packed(waves * turned)
    return codes, mirrored


def _cosines(size, start):
    """Waves over a part of a thumbnail's side, as weights of its pixels: (HASH, SIDE)."""
    place = (np.arange(SIDE) + 0.5) / SIDE
    within = (place >= start) & (place <= start + size)
    phase = (place - start) / size
    return (np.cos(np.pi * np.arange(HASH)[:, None] * phase) * within).astype(np.float32)


def _packed(waves):
    """Signs of all waves but the mean, as bits of a whole number."""
    signs = waves.reshape(len(waves), -1) > 0
    signs[:, 0] = False
    return np.packbits(signs, axis=1).view(np.uint64)[:, 0]
