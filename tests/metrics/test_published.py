"""Published pixel and retrieval scores: golden numbers, scikit-image, and the published loop."""

import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from neurodecode.metrics.pixel import grey, published_size, ssim, ssim_of_pairs
from neurodecode.metrics.published import (
    PublishedPixCorr,
    PublishedRetrieval,
    PublishedSSIM,
    drawn_top1,
    pixcorr_425,
    published_draws,
)
from neurodecode.metrics.retrieval import brain_to_image, image_to_brain, published_top1
from neurodecode.metrics.score import NotComputed, cosine, partners, pearson
from tests.golden.rule import data, golden
from tests.metrics.test_pixel import contrasted, pictures

own = np.diagonal


def golden_pictures():
    real, recon = ((data(tag, (2, 3, 320, 300)) + 1) / 2 for tag in ("real_img", "recon_img"))
    return contrasted(real), contrasted(0.6 * real + 0.4 * recon)


@pytest.mark.parametrize("antialias", [False, True])
def test_both_rows_give_the_published_numbers(antialias):
    expected = golden("image_metrics")["resize_chain_pixcorr_ssim"]["outputs"]
    expected = expected[f"antialias_{str(antialias).lower()}_pre256"]
    truth, predicted = golden_pictures()
    (pixels,) = PublishedPixCorr(antialias)(truth, predicted)
    assert pixels.name == "pixcorr_425"
    assert own(pixels.values).mean() == pytest.approx(expected["pixcorr"], abs=1e-6)
    metric = PublishedSSIM(antialias=antialias)
    (likeness,) = metric(metric.prepare(truth), metric.prepare(predicted), np.arange(2))
    assert likeness.name == "ssim_425"
    assert likeness.sampled and likeness.values[0].mean() == pytest.approx(
        expected["ssim"], abs=1e-6
    )


@pytest.mark.parametrize("size", [64, 320])
@pytest.mark.parametrize("antialias", [False, True])
def test_correlating_before_enlarging_is_correlating_after(size, antialias):
    truth, predicted = pictures(0, 2, size), pictures(1, 3, size)
    after = [published_size(x, antialias).astype(float) for x in (truth, predicted)]
    np.testing.assert_allclose(
        pixcorr_425(truth, predicted, antialias), pearson(*after), atol=1e-6
    )  # published_size is float32


def test_a_picture_of_one_grey_correlates_with_nothing():
    some = pictures(2, 3)
    assert (pixcorr_425(some, np.full_like(some, 77)) == 0).all()


def test_ssim_at_the_published_size_agrees_with_scikit_image():
    truth, predicted = pictures(3, 3), pictures(4, 3)
    metric = PublishedSSIM()
    (score,) = metric(metric.prepare(truth), metric.prepare(predicted), np.array([2, 0, 1]))
    large = [rgb2gray(published_size(x, False).astype(float)) for x in (truth, predicted)]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    which = partners(np.array([2, 0, 1]), 3, 2)
    for (k, j), value in np.ndenumerate(score.values):
        i = which[k, j]
        theirs = structural_similarity(large[0][i], large[1][j], data_range=1.0, **settings)
        assert value == pytest.approx(theirs, abs=1e-6)


def test_ssim_of_pairs_is_the_diagonal_of_all_pairs():
    truth, predicted = grey(pictures(5, 4)), grey(pictures(6, 4))
    table = ssim(truth, predicted)
    np.testing.assert_allclose(ssim_of_pairs(truth, predicted), own(table), atol=1e-6)
    np.testing.assert_allclose(ssim_of_pairs(truth, predicted[:1]), table[:, 0], atol=1e-6)


def test_the_own_pair_is_scored_and_some_others():
    rng = np.random.default_rng(0)
    truth, predicted = (rng.random((9, 12, 12)).astype(np.float32) for _ in range(2))
    where, table = rng.permutation(9), ssim(truth, predicted)
    some = PublishedSSIM(n_partners=2)(truth, predicted, where)[0].values
    assert some.shape == (3, 9)
    np.testing.assert_allclose(some[0], table[where, np.arange(9)], atol=1e-5)
    others = np.abs(some[1:, :, None] - table.T[None]).min(axis=2)
    assert others.max() < 1e-5, "each is a pair of that row"
    other = PublishedSSIM(n_partners=2, seed=1)(truth, predicted, where)[0].values
    assert (other[0] == some[0]).all() and (other[1:] != some[1:]).any()


def test_drawn_retrieval_is_the_published_loop():
    rng = np.random.default_rng(1)
    image = rng.normal(size=(340, 12))
    brain = image + 1.5 * rng.normal(size=(340, 12))
    old = np.random.RandomState(42)  # what seeding numpy's global generator with 42 gives
    forth, back = [], []
    for _ in range(30):
        drawn = old.choice(np.arange(340), size=300, replace=False)
        table = cosine(image[drawn], brain[drawn])
        forth.append(published_top1(table).mean())
        back.append(published_top1(table.T).mean())
    order = rng.permutation(340)  # rows in an order of their own
    scores = PublishedRetrieval()(image, brain[order], order)
    found = {s.name: s.values[order, np.arange(340)].mean() for s in scores}
    assert found["brain_to_image_top1_compat"] == pytest.approx(np.mean(forth), abs=1e-12)
    assert found["image_to_brain_top1_compat"] == pytest.approx(np.mean(back), abs=1e-12)
    assert {s.set_size for s in scores} == {300} and {s.chance for s in scores} == {1 / 300}
    # the exact expectation over all sets is what many draws tend to
    many = published_draws(340, 300, 300, 0)
    table = cosine(image, brain)
    exact = own(brain_to_image(table, 1, 300)).mean(), own(image_to_brain(table, 1, 300)).mean()
    drawn = own(drawn_top1(table, many)).mean(), own(drawn_top1(table.T, many)).mean()
    np.testing.assert_allclose(drawn, exact, atol=0.004)


def test_the_table_of_a_guess_holds_chance_everywhere():
    rng = np.random.default_rng(2)
    table = drawn_top1(rng.normal(size=(400, 400)), published_draws(400, 20, 400, 3))
    off = table[~np.eye(400, dtype=bool)]
    assert off.mean() == pytest.approx(1 / 20, abs=0.003)
    assert own(table).mean() == pytest.approx(1 / 20, abs=0.03)


def test_repeats_of_a_stimulus_are_averaged_before_they_are_compared():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(30, 6))
    rows = np.repeat(np.arange(30), 3)
    predicted = truth[rows] + rng.normal(size=(90, 6))
    metric = PublishedRetrieval(set_size=20, n_draws=5, seed=1)
    one = metric(truth, predicted, rows)
    two = metric(truth, predicted.reshape(30, 3, 6).mean(axis=1), np.arange(30))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a.values, b.values[:, rows], atol=1e-12)


def test_options_of_the_draws_change_them():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(40, 6))
    predicted = truth + rng.normal(size=(40, 6))
    score = lambda **how: own(
        PublishedRetrieval(**{"set_size": 20, "n_draws": 5} | how)(truth, predicted, np.arange(40))[
            0
        ].values
    )
    usual = score()
    for changed in ({"set_size": 30}, {"n_draws": 6}, {"seed": 43}):
        assert (score(**changed) != usual).any(), changed


def test_too_few_test_pictures_are_not_computed_and_the_reason_is_said():
    with pytest.raises(NotComputed, match="draws 300 test pictures, this study has 40"):
        PublishedRetrieval()(np.ones((40, 3)), np.ones((40, 3)), np.arange(40))
