"""Thumbnails as arrays of grey values: halved, blurred, rid of clipped pixels, compared."""

import numpy as np

SIDE = 64  # pixels of a thumbnail's sides
CELL = 8  # pixels; cells of twice that are compared one by one
SUMS = np.array(  # which pixels are in which cell, along one side
    [[a <= pixel < a + 2 * CELL for pixel in range(SIDE)] for a in range(0, SIDE - CELL, CELL)],
    np.float32,
)
FINE = 1 / 8  # sd of the blur that takes the coarse away, in shares of the picture
FLAT = 3.0  # grey values; a contrast below that is noise
WHITE = 240.0  # grey values from which a picture that was brightened may be clipped
LEAST_UNCLIPPED = 0.04  # share of pixels
PICTURES = 2048  # reduced at once


def reduced(thumbnails, side):
    """Average all pictures to `side` pixels: uint8, a sixteenth of the memory at 16 of 64."""
    small = np.empty((len(thumbnails), side, side, 3), np.uint8)
    for first in range(0, len(thumbnails), PICTURES):
        rows = slice(first, first + PICTURES)
        small[rows] = np.rint(averaged(np.asarray(thumbnails[rows], np.float32), side))
    return small


def averaged(pictures, side):
    """Halve pictures until they have `side` pixels: (n, side, side, 3)."""
    while pictures.shape[1] > side:
        pictures = halved(pictures)
    return pictures


def halved(pictures):
    """Average squares of two by two pixels."""
    rows = pictures[:, ::2] + pictures[:, 1::2]  # numpy's mean over short axes is ten times slower
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def grey(pictures):
    """Average the colours: (n, side, side)."""
    return (pictures[..., 0] + pictures[..., 1] + pictures[..., 2]) / 3


def blurred(pictures, sd_px):
    """Blur pictures (n, height, width, colours) by a Gaussian of this width in pixels."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(pictures, (0, sd_px, sd_px, 0))


def details_of(pictures):
    """What is finer than an eighth of the picture, in units of its local contrast."""
    sd_px = FINE * pictures.shape[1]
    fine = pictures - blurred(pictures, sd_px)
    local = blurred(grey(fine**2)[..., None], sd_px)
    return fine / np.sqrt(local + FLAT**2)


def unclipped(a, b):
    """Tell pixels without white in or beside them; all of them where that leaves too few."""
    from scipy.ndimage import maximum_filter

    reach = 3 if a.shape[1] == SIDE else 1
    both = np.maximum(a, b)
    brightest = np.maximum(np.maximum(both[..., 0], both[..., 1]), both[..., 2])
    brightest = maximum_filter(brightest, (1, reach, reach))
    kept = (brightest < WHITE).astype(np.float32)[..., None]
    enough = kept.mean(axis=(1, 2, 3), keepdims=True) >= LEAST_UNCLIPPED
    return np.where(enough, kept, 1.0)


def cells_of(x):
    """Sum over overlapping squares of 2 CELL pixels a side: (n, 7, 7) of (n, 64, 64)."""
    return SUMS @ x @ SUMS.T


def correlation(a, b, weight):
    """Correlate pictures pixel by pixel, weighted; 0 where one of them is flat: shape (n,)."""
    axes = tuple(range(1, a.ndim))
    weight = np.broadcast_to(weight, a.shape)
    total = weight.sum(axis=axes, keepdims=True)
    centred = [x - (weight * x).sum(axis=axes, keepdims=True) / total for x in (a, b)]
    product = lambda x, y: (weight * x * y).sum(axis=axes)
    scale = np.sqrt(product(centred[0], centred[0]) * product(centred[1], centred[1]))
    return np.divide(product(*centred), scale, out=np.zeros(len(a)), where=scale > 1e-3)
