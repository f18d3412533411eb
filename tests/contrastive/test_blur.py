"""Pictures are blurred as published: half sharp at the centre, the less the farther from it."""

import numpy as np
import pytest

from neurodecode.contrastive.blur import FoveatedTarget, foveated, sharp_share
from neurodecode.contrastive.targets import OpenClipTarget

SHIPPED = {"_target_": "neurodecode.contrastive.targets.OpenClipTarget"}


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), dtype=np.uint8)


def blurred_by_hand(picture, kernel_px):
    """Weighted sums with a square kernel of OpenCV's standard deviation, edges mirrored."""
    radius = (kernel_px - 1) // 2
    sigma = 0.3 * ((kernel_px - 1) * 0.5 - 1) + 0.8
    weight = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel = np.outer(weight, weight) / weight.sum() ** 2
    wide = np.pad(picture.astype(float), ((radius, radius), (radius, radius), (0, 0)), "reflect")
    out = np.zeros(picture.shape)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            window = wide[y : y + kernel_px, x : x + kernel_px]
            out[y, x] = (kernel[..., None] * window).sum(axis=(0, 1))
    return out


def test_at_the_published_size_it_is_the_published_blur():
    picture = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    y, x = np.mgrid[:224, :224] - 112
    share = 0.5 * np.exp(-3 * np.minimum(1, np.hypot(y, x) / np.hypot(111, 111)))[..., None]
    expected = share * picture[0] + (1 - share) * blurred_by_hand(picture[0], 9)
    assert np.abs(foveated(picture, kernel_px=9)[0] - expected).max() < 0.51  # of rounding


def test_smaller_pictures_are_blurred_in_proportion():
    small = np.zeros((1, 56, 56, 3), np.uint8)
    small[:, :, 40:] = 200
    large = small.repeat(4, axis=1).repeat(4, axis=2)
    apart = foveated(large)[:, 2::4, 2::4].astype(float) - foveated(small)
    assert np.abs(apart).max() < 16  # of 200: the edge itself lies half a small pixel off
    assert np.abs(apart).mean() < 2


def test_the_centre_is_half_sharp_and_corners_hardly():
    share = sharp_share(20, 30)
    assert share[10, 15] == 0.5 == share.max()
    assert share[-1, -1] == pytest.approx(0.5 * np.exp(-3))
    assert (sharp_share(20, 30, falloff=0.0) == 0.5).all()


def test_a_plain_picture_stays_and_a_kernel_of_one_pixel_does_nothing(pictures):
    plain = np.full((1, 28, 28, 3), 77, np.uint8)
    assert (foveated(plain) == 77).all()
    assert (foveated(pictures, kernel_px=1) == pictures).all()


def test_a_larger_kernel_leaves_less(pictures):
    spread = [foveated(pictures, kernel_px=k).std() for k in (9, 45, 51, 57)]
    assert spread == sorted(spread, reverse=True)
    assert len(set(spread)) == 4


def test_pooled_embeddings_are_of_blurred_pictures_and_tokens_of_sharp_ones(pictures):
    plain, target = OpenClipTarget(), FoveatedTarget(SHIPPED)
    pooled, tokens = target.pictures(pictures)
    np.testing.assert_allclose(pooled, plain.pictures(foveated(pictures))[0], atol=1e-6)
    np.testing.assert_allclose(tokens, plain.pictures(pictures)[1], atol=1e-5)
    assert not np.allclose(pooled, plain.pictures(pictures)[0], atol=1e-2)
    assert (target.dim, target.n_tokens, target.token_dim) == (plain.dim, *tokens.shape[1:])
    np.testing.assert_allclose(target.texts(["a cat"]), plain.texts(["a cat"]))
    assert list(target.layers(pictures)) == list(plain.layers(pictures))


def test_every_option_changes_the_embedding(pictures):
    pooled = lambda **options: FoveatedTarget(SHIPPED, **options).pictures(pictures)[0]
    base = pooled()
    assert not np.allclose(pooled(kernel_px=9), base, atol=1e-3)
    assert not np.allclose(pooled(falloff=0.0), base, atol=1e-3)
    other = FoveatedTarget(SHIPPED | {"tokens": "pooled"})
    assert other.n_tokens == 1


def test_what_it_cannot_blur_is_refused():
    with pytest.raises(ValueError, match="kernel_px is 50: give an odd number"):
        FoveatedTarget(SHIPPED, kernel_px=50)
    with pytest.raises(ValueError, match="kernel_px is 50: give an odd number"):
        foveated(np.zeros((1, 8, 8, 3), np.uint8), kernel_px=50)
