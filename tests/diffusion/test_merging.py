"""Merging a generated picture with the low-level one: the formulas, and what each keeps."""

import numpy as np
import pytest

from neurodecode.diffusion.merging import Frequencies, Pixelwise, enlarged

rng = np.random.default_rng(0)
PICTURES = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
BLURRY = rng.uniform(0, 1, (3, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize("weight", [0.25, 0.0, 1.0, 0.6])
def test_the_pixelwise_merge_is_a_weighted_mean(weight):
    expected = np.rint(((1 - weight) * PICTURES / 255 + weight * BLURRY) * 255)
    assert np.abs(Pixelwise(weight)(PICTURES, BLURRY) - expected).max() <= 1


def test_the_default_weights_are_those_of_mindeye2():
    assert np.array_equal(Pixelwise()(PICTURES, BLURRY), Pixelwise(0.25)(PICTURES, BLURRY))


@pytest.mark.parametrize(("frequency", "from_blurry"), [(1, True), (12, False)])
def test_low_frequencies_come_from_the_low_level_picture_and_high_ones_do_not(
    frequency, from_blurry
):
    # cosines of half cycles are reflected without an edge
    wave = 0.5 + 0.4 * np.cos(np.pi * (2 * frequency) * (np.arange(32) + 0.5) / 32)
    grating = np.broadcast_to(wave[None, None, :, None], (1, 32, 32, 3)).astype(np.float32)
    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    merged = Frequencies(cycles=4.0)(grey, grating) / 255
    contrast = np.ptp(merged) / np.ptp(grating)
    passes = 2.0 ** -((frequency / 4) ** 2)  # half the amplitude at four cycles
    assert contrast == pytest.approx(passes, abs=0.02)
    assert (contrast > 0.9) == from_blurry


def test_the_share_of_low_frequencies_goes_from_none_to_all():
    assert np.array_equal(Frequencies(share=0.0)(PICTURES, BLURRY), PICTURES)
    half, whole = (Frequencies(2.0, share)(PICTURES, BLURRY) / 255 for share in (0.5, 1.0))
    inside = (whole > 0.01) & (whole < 0.99) & (half > 0) & (half < 1)
    assert np.abs(half - (PICTURES / 255 + whole) / 2)[inside].max() < 1.5 / 255
    assert not np.array_equal(
        Frequencies(8.0)(PICTURES, BLURRY), Frequencies(2.0)(PICTURES, BLURRY)
    )


def test_a_small_picture_is_enlarged_to_the_others_size():
    small = np.full((3, 4, 4, 3), 0.5, np.float32)
    assert np.array_equal(Pixelwise(1.0)(PICTURES, small), np.full((3, 32, 32, 3), 128))
    assert np.allclose(enlarged(BLURRY, (8, 8)).mean(), BLURRY.mean(), atol=0.01)
