"""Early vision: gratings excite their own orientation, fields lie where they are put."""

import numpy as np
import pytest

from neurodecode.world import gabor


def grey(n=1):
    return np.full((n, 64, 64, 3), 128, dtype=np.uint8)


def grating(angle_rad, wavelength_px):
    y, x = np.mgrid[:64, :64]
    wave = np.cos(2 * np.pi * (x * np.cos(angle_rad) + y * np.sin(angle_rad)) / wavelength_px)
    return np.repeat(np.rint(128 + 100 * wave)[None, ..., None], 3, axis=-1).astype(np.uint8)


@pytest.mark.parametrize("wavelength", range(3))
@pytest.mark.parametrize("orientation", range(4))
def test_a_grating_excites_its_own_orientation_and_wavelength_most(wavelength, orientation):
    angle, period = gabor.ORIENTATIONS_RAD[orientation], gabor.WAVELENGTHS_PX[wavelength]
    energy = gabor.feature_maps(grating(angle, period))[0, : gabor.N_ENERGY].mean(axis=-1)
    assert energy.argmax() == wavelength * len(gabor.ORIENTATIONS_RAD) + orientation


def test_energy_does_not_care_about_the_sign_of_contrast_nor_about_brightness():
    rng = np.random.default_rng(0)
    luminance = rng.random((2, 64, 64)).astype(np.float32)
    energy = gabor.gabor_energy(luminance)
    np.testing.assert_allclose(gabor.gabor_energy(1 - luminance), energy, atol=1e-6)
    np.testing.assert_allclose(gabor.gabor_energy(luminance + 0.3), energy, atol=1e-6)


def test_energy_agrees_with_a_gabor_convolved_in_space():
    luminance = np.random.default_rng(1).random((1, 64, 64)).astype(np.float32)
    wavelength, angle = gabor.WAVELENGTHS_PX[1], gabor.ORIENTATIONS_RAD[1]
    sd_px = 2.5 * wavelength / (2 * np.pi)  # of the Gaussian whose transform has sd |f0| / 2.5
    y, x = np.mgrid[-20:21, -20:21]
    envelope = np.exp(-(x**2 + y**2) / (2 * sd_px**2)) / (2 * np.pi * sd_px**2)
    wave = np.exp(2j * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength)
    patch = luminance[0, 32 - 20 : 32 + 21, 32 - 20 : 32 + 21] - 0.5  # far from every border
    by_hand = abs((patch * (envelope * wave)[::-1, ::-1]).sum())
    channel = 1 * len(gabor.ORIENTATIONS_RAD) + 1
    # The mean luminance passes a spatial Gabor by 4 % of its peak, and none of ours.
    assert gabor.gabor_energy(luminance)[0, channel, 32, 32] == pytest.approx(by_hand, rel=0.05)


def test_a_grey_screen_excites_nothing():
    maps = gabor.feature_maps(grey())
    assert maps[0, : gabor.N_ENERGY].max() < 1e-6
    assert maps[0, gabor.N_ENERGY :].max() < 0.003  # 128 is not quite a half of 255


def test_red_excites_the_red_channel_and_not_the_opposite_one():
    picture = grey()
    picture[0, 20:40, 20:40] = (220, 30, 30)
    hues = gabor.feature_maps(picture)[0, gabor.N_ENERGY + 2 :].sum(axis=-1)
    assert hues[0] > 10
    assert hues[3] == 0


def test_maps_of_a_picture_do_not_depend_on_its_company():
    pictures = np.random.default_rng(2).integers(0, 256, (20, 64, 64, 3)).astype(np.uint8)
    alone = gabor.feature_maps(pictures[17:18])
    np.testing.assert_array_equal(gabor.feature_maps(pictures)[17:18], alone)


def test_fields_sum_to_one_and_lie_where_they_are_put():
    centres = np.array([[32.0, 32.0], [20.0, 44.0]])
    fields = gabor.receptive_fields(centres, np.array([3.0, 5.0]), 64)
    np.testing.assert_allclose(fields.sum(axis=1), 1, atol=1e-5)
    middles = (np.arange(32) + 0.5) * 2
    cells = fields.reshape(2, 32, 32)  # rows are y
    found = np.stack([cells.sum(axis=1) @ middles, cells.sum(axis=2) @ middles], axis=1)
    np.testing.assert_allclose(found, centres, atol=0.05)


def test_pooling_compresses():
    fields = np.full((1, 4), 0.25, dtype=np.float32)
    weak, strong = gabor.pool(np.array([[1.0] * 4, [10.0] * 4], dtype=np.float32), fields)[:, 0]
    assert strong / weak == pytest.approx(10**gabor.EXPONENT, rel=1e-5)


def test_grey_valued_or_floating_pictures_are_refused():
    with pytest.raises(ValueError, match="expected uint8"):
        gabor.feature_maps(np.zeros((2, 64, 64, 3)))
    with pytest.raises(ValueError, match="expected uint8"):
        gabor.feature_maps(np.zeros((2, 64, 64), dtype=np.uint8))
