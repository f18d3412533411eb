"""Likeness of pictures: pixel correlation and structural similarity, for every pair at once.

Both are scored at the size the pictures come in. Published tables enlarge to 425 pixels first: the
rows `pixcorr_425` and `ssim_425` (`neurodecode.metrics.published`). Enlarging adds no information,
but SSIM's window (11 pixels) then covers a smaller part of the picture, so that values
at 64 pixels stand only beside others at 64 pixels.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from neurodecode.core.ranges import Count
from neurodecode.metrics.score import Score, partners, pearson

SIGMA, RADIUS = 1.5, 5  # pixels; the window of Wang et al. 2004 and of published tables: 11 x 11
K1, K2 = 0.01, 0.03
GREY = np.array([0.2125, 0.7154, 0.0721])  # Rec. 709 luma, the weights of skimage's rgb2gray


@dataclass(frozen=True)
class PixCorr:
    """Pixel correlation, chance from the mismatched pairs."""

    space = "picture"
    needs = "pictures"

    def __call__(self, truth, predicted):
        """Score uint8 pictures (n, height, width, 3)."""
        _check_sizes(truth, predicted)
        return [Score("pixcorr", pearson(truth, predicted))]


@dataclass(frozen=True)
class SSIM:
    """Structural similarity of the grey pictures, chance from the mismatched pairs.

    Parameters
    ----------
    n_partners : int or None
        True pictures, beside its own, that a reconstruction is compared with for chance and p;
        None: all. A thousand pictures make a million pairs, at ten microseconds each.
    """

    n_partners: Count | None = 100

    space = "picture"
    needs = "pictures"
    paired = True

    def __call__(self, truth, predicted, own):
        """Score uint8 pictures (n, height, width, 3); `own` numbers each row's true picture."""
        if self.n_partners is None or self.n_partners >= len(truth) - 1:
            return [Score("ssim", ssim(grey(truth), grey(predicted)))]
        which = partners(own, len(truth), self.n_partners)
        return [Score("ssim", ssim(grey(truth), grey(predicted), which), sampled=True)]


def grey(pictures):
    """Luma in [0, 1] of uint8 pictures (n, height, width, 3), or of float ones in [0, 1]."""
    scale = 255.0 if pictures.dtype == np.uint8 else 1.0
    return (np.asarray(pictures, dtype=np.float64) @ (GREY / scale)).astype(np.float32)


def ssim(truth, predicted, which=None):
    """Structural similarity [1]_ of every truth with every prediction, or with some of them.

    Gaussian window (sigma 1.5 pixels, 11 x 11), population covariance, data range 1, mean over the
    positions where the window fits: the settings of published tables.

    Parameters
    ----------
    truth : ndarray of float in [0, 1], shape (n_truths, height, width)
    predicted : ndarray of float in [0, 1], shape (n_rows, height, width)
    which : ndarray of int, shape (k, n_rows), optional
        The truths that each prediction is compared with.

    Returns
    -------
    similarity : ndarray, shape (n_truths, n_rows) or (k, n_rows)
        Good to 1e-6: the products are float32, which halves the time.

    References
    ----------
    .. [1] Wang et al., Image quality assessment, IEEE Trans. Image Process. 13 (2004).
    """
    _check_sizes(truth, predicted)
    truth, predicted = truth.astype(np.float32), predicted.astype(np.float32)
    blur = _window_mean(*truth.shape[1:])
    mean_t, mean_p = blur(truth), blur(predicted)
    square_t = mean_t**2 + np.float32(K1**2)
    spread_t = blur(truth**2) - mean_t**2 + np.float32(K2**2)
    square_p, spread_p = mean_p**2, blur(predicted**2) - mean_p**2
    similarity = np.empty((len(truth) if which is None else len(which), len(predicted)))

    def fill(j):  # in place: this is bound by memory
        own = slice(None) if which is None else which[:, j]
        product = mean_t[own] * mean_p[j]
        covariance = blur(truth[own] * predicted[j])
        covariance -= product
        covariance *= 2
        covariance += np.float32(K2**2)
        product *= 2
        product += np.float32(K1**2)
        product *= covariance
        below = square_t[own] + square_p[j]
        below *= spread_t[own] + spread_p[j]
        product /= below
        similarity[:, j] = product.mean(axis=(1, 2), dtype=np.float64)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # rows do not know each other
        list(pool.map(fill, range(len(predicted))))
    return similarity


def _window_mean(height, width):
    """Return the function that averages (n, height, width) in the window, where it fits.

    A Gaussian window is separable: two matrix products do what a convolution does, and faster. One
    small product per picture stays on one thread: a single large one took ten times as long where
    other work kept the second core busy.
    """
    if min(height, width) <= 2 * RADIUS:
        raise ValueError(f"SSIM's window is 11 pixels wide, the pictures are {height} x {width}")

    def band(size):
        rows = np.arange(size - 2 * RADIUS)
        matrix = np.zeros((len(rows), size), dtype=np.float32)
        for offset, weight in enumerate(_window()):
            matrix[rows, rows + offset] = weight
        return matrix

    down, along = band(height), band(width).T.copy()
    return lambda x: down @ (x @ along)


def _window():
    """The 11 weights of the window along one axis."""
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def _check_sizes(truth, predicted):
    if truth.shape[1:] != predicted.shape[1:]:
        raise ValueError(
            f"true pictures are {truth.shape[1:]}, predicted ones {predicted.shape[1:]}: "
            "bring them to one size before scoring"
        )


def ssim_of_pairs(truth, predicted):
    """Structural similarity of pictures pair by pair, as `ssim`: its diagonal, for large pictures.

    Parameters
    ----------
    truth, predicted : ndarray of float in [0, 1], shape (n_pairs, height, width)
        One of them may hold a single picture, which then belongs to every pair.

    Returns
    -------
    similarity : ndarray, shape (n_pairs,)
    """
    _check_sizes(truth, predicted)
    truth, predicted = truth.astype(np.float32), predicted.astype(np.float32)
    mean_t, mean_p = _sliding_mean(truth), _sliding_mean(predicted)
    product, squares = mean_t * mean_p, mean_t**2 + mean_p**2
    covariance = _sliding_mean(truth * predicted) - product
    spread = _sliding_mean(truth**2 + predicted**2) - squares  # of both, added
    product, covariance = 2 * product + np.float32(K1**2), 2 * covariance + np.float32(K2**2)
    likeness = product * covariance / ((squares + np.float32(K1**2)) * (spread + np.float32(K2**2)))
    return likeness.mean(axis=(1, 2), dtype=np.float64)


def _sliding_mean(x):
    """Average (n, height, width) in the window, where it fits: shift and add, down then along."""
    for axis in (1, 2):
        n = x.shape[axis] - 2 * RADIUS
        if n < 1:
            raise ValueError(f"SSIM's window is 11 pixels wide, the pictures are {x.shape[1:]}")
        shifted = (x[(slice(None),) * axis + (slice(k, k + n),)] for k in range(2 * RADIUS + 1))
        x = sum(weight * part for weight, part in zip(_window(), shifted, strict=True))
    return x


def published_size(pictures, antialias=True, size_px=425):
    """Bring pictures to the size of published tables: 256 x 256, then `size_px`, bilinear.

    Parameters
    ----------
    pictures : ndarray, shape (n, height, width, n_channels)
        uint8, or float in [0, 1].
    antialias : bool
        What torchvision's resize did is False up to 0.16 and True from 0.17 on: SSIM moves by 2e-3.
    size_px : int
        425 for pixel metrics; each network has its own.

    Returns
    -------
    resized : ndarray of float32 in [0, 1], shape (n, size_px, size_px, n_channels)
    """
    import torch
    from torchvision.transforms.functional import resize

    scale = np.float32(255 if pictures.dtype == np.uint8 else 1)
    channels_first = torch.from_numpy(np.moveaxis(np.asarray(pictures, np.float32) / scale, -1, 1))
    small = resize(channels_first.contiguous(), [256, 256], antialias=antialias)
    return np.moveaxis(resize(small, [size_px], antialias=antialias).numpy(), 1, -1)
