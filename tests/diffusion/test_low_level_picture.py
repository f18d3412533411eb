"""What a low-level pipeline shows is what was decoded, whatever the tokens are."""

import numpy as np
import pytest

from neurodecode.diffusion.low_level_picture import LowLevelPicture

PICTURES = np.random.default_rng(0).random((3, 4, 4, 3)).astype(np.float32)


def painted(px, tokens=0.0, seeds=(0, 1, 2)):
    return LowLevelPicture(px).generate(np.full((3, 2, 5), tokens), list(seeds), PICTURES)


def test_a_picture_of_its_own_size_is_shown_as_it_is():
    assert np.array_equal(painted(4), np.rint(PICTURES * 255).astype(np.uint8))


@pytest.mark.parametrize("px", [8, 16])
def test_it_is_as_large_as_asked_and_of_the_same_colour(px):
    pictures = painted(px)
    assert pictures.shape == (3, px, px, 3)
    assert np.allclose(pictures.mean((1, 2)) / 255, PICTURES.mean((1, 2)), atol=0.02)


def test_tokens_and_seeds_count_not():
    assert np.array_equal(painted(8), painted(8, tokens=3.0, seeds=(7, 8, 9)))


def test_without_a_picture_it_says_what_to_set():
    with pytest.raises(ValueError, match=r"reconstruct\.start_from"):
        LowLevelPicture().generate(np.zeros((1, 2, 5)), [0])
