"""Low-level features: scikit-image's Gabor filters, and what gratings, blobs and sizes must do."""

import numpy as np
import pytest
from scipy.ndimage import convolve, zoom
from skimage.filters import gabor_kernel

from neurodecode.metrics import low_level
from neurodecode.metrics.low_level import (
    EDGE_CELLS,
    LIGHT_CELLS,
    N_EDGES,
    N_FEATURES,
    ORIENTATIONS_RAD,
    WAVELENGTHS_PX,
    low_level_features,
)


def parts(pictures):
    """Features by family: edges (n, 4, 4, 8, 8), means and spreads (n, 3, 16, 16)."""
    features = low_level_features(pictures)
    n = len(features)
    edges = features[:, :N_EDGES].reshape(n, len(WAVELENGTHS_PX), -1, EDGE_CELLS, EDGE_CELLS)
    light = features[:, N_EDGES:].reshape(n, 2, 3, LIGHT_CELLS, LIGHT_CELLS)
    return edges, light[:, 0], light[:, 1]


def grating(wavelength_px, angle_rad, size=64):
    y, x = np.mgrid[:size, :size]
    wave = np.cos(2 * np.pi * (x * np.cos(angle_rad) + y * np.sin(angle_rad)) / wavelength_px)
    return np.repeat(np.uint8(np.round(127.5 + 100 * wave))[..., None], 3, axis=-1)


def test_energies_agree_with_scikit_image():
    luminance = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    luminance -= np.pad(luminance, 16, mode="symmetric").mean()  # the mean passes no filter
    energy = low_level._energy(luminance[None])[0]
    for i in (0, 5, 7):  # longer waves reach beyond the border that is reflected
        wavelength, angle = WAVELENGTHS_PX[i // 4], ORIENTATIONS_RAD[i % 4]
        sigma = 2.5 * wavelength / (2 * np.pi)
        kernel = gabor_kernel(1 / wavelength, angle, sigma_x=sigma, sigma_y=sigma, n_stds=5)
        real, imaginary = (
            convolve(luminance, k, mode="reflect") for k in (kernel.real, kernel.imag)
        )
        inside = np.s_[16:-16, 16:-16]
        expected = np.hypot(real, imaginary)[inside]
        np.testing.assert_allclose(energy[i][inside], expected, atol=2e-3)


def test_a_grating_is_seen_by_the_filter_of_its_wavelength_and_orientation():
    for w, wavelength in enumerate(WAVELENGTHS_PX):
        for o, angle in enumerate(ORIENTATIONS_RAD):
            edges, _, _ = parts(grating(wavelength, angle)[None])
            middle = edges[0, :, :, 3:5, 3:5].mean(axis=(2, 3))
            assert np.unravel_index(middle.argmax(), middle.shape) == (w, o)


def test_a_plain_picture_has_no_edge_and_no_spread():
    plain = np.full((1, 64, 64, 3), (200, 100, 50), dtype=np.uint8)
    edges, mean, spread = parts(plain)
    red, green, blue = np.array([200, 100, 50]) / 255
    luminance = 0.2125 * red + 0.7154 * green + 0.0721 * blue
    expected = [luminance, red - green, blue - (red + green) / 2]
    np.testing.assert_allclose(mean[0].mean(axis=(1, 2)), expected, atol=1e-5)
    assert np.ptp(mean[0], axis=(1, 2)).max() < 1e-5
    assert (
        edges.max() < 2e-3 and spread.max() < 0.03
    )  # square and fourth roots of float32's last bits


def test_a_red_spot_is_found_where_it_is():
    picture = np.full((1, 64, 64, 3), 128, dtype=np.uint8)
    picture[0, 40:44, 8:12] = (255, 0, 0)  # cell row 10, column 2
    _, mean, spread = parts(picture)
    assert np.unravel_index(mean[0, 1].argmax(), (16, 16)) == (10, 2)
    assert spread[0, 1, 10, 2] > spread[0, 1, 3, 12]


def test_a_mirrored_picture_has_mirrored_light():
    picture = np.random.default_rng(1).integers(256, size=(2, 64, 64, 3)).astype(np.uint8)
    _, mean, spread = parts(picture)
    _, mirrored_mean, mirrored_spread = parts(picture[:, :, ::-1])
    np.testing.assert_allclose(mirrored_mean, mean[..., ::-1], atol=1e-5)
    np.testing.assert_allclose(mirrored_spread, spread[..., ::-1], atol=1e-3)


def test_the_size_of_the_file_hardly_matters():
    smooth = zoom(np.random.default_rng(2).random((8, 8, 3)), (8, 8, 1), order=1)
    small = np.uint8(255 * smooth)
    large = np.uint8(255 * zoom(smooth, (425 / 64, 425 / 64, 1), order=1))
    features = low_level_features(small[None]), low_level_features(large[None])
    assert features[1].shape == (1, N_FEATURES)
    assert np.corrcoef(features[0][0], features[1][0])[0, 1] > 0.99


def test_pictures_do_not_depend_on_their_neighbours():
    pictures = np.random.default_rng(3).integers(256, size=(11, 64, 64, 3)).astype(np.uint8)
    alone = np.concatenate([low_level_features(p[None]) for p in pictures])
    np.testing.assert_allclose(low_level_features(pictures), alone, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 64, 64), (2, 64, 64, 4)])
def test_other_things_than_colour_pictures_are_refused(shape):
    with pytest.raises(ValueError, match="expected uint8"):
        low_level_features(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="float64"):
        low_level_features(np.zeros((2, 64, 64, 3)))
