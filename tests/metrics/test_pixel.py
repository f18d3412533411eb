"""Pixel scores: scipy, scikit-image and torchmetrics, pair by pair; the published chain."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from scipy.stats import pearsonr
from skimage.metrics import structural_similarity

from neurodecode.metrics.pixel import SSIM, PixCorr, grey, published_size, ssim
from neurodecode.metrics.score import pearson
from tests.golden.rule import data, golden

own = np.diagonal


def pictures(seed, n, size=32):
    """Smooth uint8 pictures: noise alone has no structure to be similar in."""
    noise = np.random.default_rng(seed).random((n, size, size, 3))
    return (255 * np.clip(4 * (uniform_filter(noise, (0, 7, 7, 0)) - 0.5) + 0.5, 0, 1)).astype(
        np.uint8
    )


def test_pixcorr_agrees_with_scipy():
    truth, predicted = pictures(0, 3), pictures(1, 4)
    (score,) = PixCorr()(truth, predicted)
    for (i, j), value in np.ndenumerate(score.values):
        pair = (truth[i].ravel().astype(float), predicted[j].ravel().astype(float))
        assert value == pytest.approx(pearsonr(*pair).statistic, abs=1e-12)


def test_ssim_agrees_with_scikit_image():
    truth, predicted = grey(pictures(2, 3)), grey(pictures(3, 4))
    values = ssim(truth, predicted)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for (i, j), value in np.ndenumerate(values):
        theirs = structural_similarity(truth[i], predicted[j], data_range=1.0, **settings)
        assert value == pytest.approx(theirs, abs=1e-5)


@pytest.mark.slow  # importing torchmetrics takes longer than the rest of this file
def test_ssim_agrees_with_torchmetrics_inside_the_border():
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    truth, predicted = (grey(pictures(seed, 3, size=40)) for seed in (4, 5))
    _, full = structural_similarity_index_measure(
        torch.from_numpy(truth)[:, None],
        torch.from_numpy(predicted)[:, None],
        sigma=1.5,
        data_range=1.0,
        return_full_image=True,
    )
    crop = (full.shape[-1] - 30) // 2
    inside = full[:, 0, crop : crop + 30, crop : crop + 30].numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(own(ssim(truth, predicted)), inside, atol=1e-5)


def test_grey_is_what_scikit_image_calls_grey():
    from skimage.color import rgb2gray

    some = pictures(6, 2)
    np.testing.assert_allclose(grey(some), rgb2gray(some), atol=1e-6)
    np.testing.assert_allclose(grey(some / 255), grey(some), atol=1e-6)


@pytest.mark.parametrize("case", ["antialias_false_pre256", "antialias_true_pre256"])
def test_the_published_chain_gives_the_published_numbers(case):
    expected = golden("image_metrics")["resize_chain_pixcorr_ssim"]["outputs"][case]
    real, recon = ((data(tag, (2, 3, 320, 300)) + 1) / 2 for tag in ("real_img", "recon_img"))
    ready = [contrasted(real), contrasted(0.6 * real + 0.4 * recon)]
    a, b = (published_size(x, antialias="true" in case) for x in ready)
    assert list(np.moveaxis(a, -1, 1).shape) == expected["size"]
    assert own(pearson(a, b)).mean() == pytest.approx(expected["pixcorr"], abs=1e-5)
    assert own(ssim(grey(a), grey(b))).mean() == pytest.approx(expected["ssim"], abs=1e-5)


def contrasted(x):
    blurred = uniform_filter(x, (0, 0, 15, 15), mode="mirror")
    return np.moveaxis(np.clip(8 * (blurred - 0.5) + 0.5, 0, 1), 1, -1).astype(np.float32)


def scored(metric, truth, predicted):
    extra = {"own": np.arange(len(predicted))} if isinstance(metric, SSIM) else {}
    return metric(truth, predicted, **extra)


def test_with_few_partners_own_pairs_stay_and_chance_is_near():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    predicted = truth[::-1] // 2 + rng.integers(0, 99, truth.shape, dtype=np.uint8)
    rows = np.arange(40)[::-1]
    (whole,) = SSIM(None)(truth, predicted, rows)
    (some,) = SSIM(12)(truth, predicted, rows)
    assert some.sampled and not whole.sampled and some.values.shape == (13, 40)
    np.testing.assert_allclose(some.values[0], whole.values[rows, np.arange(40)])
    others = whole.values[rows[:, None] != np.arange(40)[None]]
    assert some.values[1:].mean() == pytest.approx(others.mean(), abs=0.01)
    assert np.isin(some.values[1:].round(12), others.round(12)).all()


@pytest.mark.parametrize("metric", [PixCorr(), SSIM()])
def test_a_picture_is_most_like_itself(metric):
    some = pictures(7, 6)
    values = scored(metric, some, some)[0].values
    np.testing.assert_allclose(own(values), 1, atol=1e-5)
    np.testing.assert_allclose(values, values.T, atol=1e-6)
    assert (np.argmax(values, axis=0) == np.arange(6)).all()


@pytest.mark.parametrize("metric", [PixCorr(), SSIM()])
def test_more_noise_is_less_like(metric):
    rng = np.random.default_rng(8)
    some = pictures(9, 8)
    noisy = lambda sd: np.clip(some + sd * rng.normal(size=some.shape), 0, 255).astype(np.uint8)
    means = [own(scored(metric, some, noisy(sd))[0].values).mean() for sd in (1, 10, 40, 120)]
    assert means == sorted(means, reverse=True)


def test_brightness_changes_ssim_and_not_pixcorr():
    some = pictures(10, 4) // 2
    brighter = some + np.uint8(60)
    np.testing.assert_allclose(own(PixCorr()(some, brighter)[0].values), 1, atol=1e-9)
    assert (own(scored(SSIM(), some, brighter)[0].values) < 0.97).all()


def test_sizes_that_differ_or_are_too_small_are_refused():
    with pytest.raises(ValueError, match="one size"):
        PixCorr()(pictures(0, 2, 16), pictures(0, 2, 32))
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(np.zeros((2, 10, 10)), np.zeros((2, 10, 10)))
