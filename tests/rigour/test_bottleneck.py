"""The bottleneck: reduced-rank regression by brute force, the planted dimension, and its limits."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV

from neurodecode.rigour.bootstrap import resample_counts, weighted_mean
from neurodecode.rigour.bottleneck import Bottleneck, knee, knee_interval, steps


def study(n_rows=200, n_channels=30, n_planted=5, snr=0.5, seed=0, n_targets=16):
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n_rows, n_planted))
    brain = np.linalg.qr(rng.standard_normal((n_channels, n_planted)))[0].T
    words = np.linalg.qr(rng.standard_normal((n_targets, n_planted)))[0].T
    responses = snr * np.sqrt(n_channels) * latent @ brain + rng.standard_normal(
        (n_rows, n_channels)
    )
    return 3 + responses, latent @ words + 0.3 * rng.standard_normal((n_rows, n_targets))


@pytest.mark.parametrize("n_channels", [30, 300])
def test_ridge_behind_the_bottleneck_is_reduced_rank_ridge(n_channels):
    x, y = study(n_channels=n_channels)
    bottleneck = Bottleneck.fit(x[:150], y[:150])
    ridge = Ridge(bottleneck.alpha, solver="svd").fit(x[:150], y[:150])
    fitted = ridge.predict(x[:150]) - y[:150].mean(axis=0)
    axes = np.linalg.svd(fitted, full_matrices=False)[2]
    for d in (0, 1, 3, bottleneck.n_dims):
        expected = ridge.predict(x) - y[:150].mean(axis=0)
        expected = expected @ axes[:d].T @ axes[:d] + y[:150].mean(axis=0)
        np.testing.assert_allclose(ridge.predict(bottleneck.through(x, d)), expected, atol=1e-6)


def test_the_penalty_is_the_one_of_leaving_rows_out():
    x, y = study(n_rows=120, snr=0.1)
    fractions = 10.0 ** np.arange(-3, 4)
    length = ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()
    expected = RidgeCV(fractions * length).fit(x, y - y.mean(axis=0)).alpha_
    assert Bottleneck.fit(x, y, fractions).alpha == pytest.approx(expected)
    assert fractions[0] * length < expected < fractions[-1] * length


def test_what_passes_is_what_the_dimensions_predict_of_the_responses():
    x, y = study()
    bottleneck = Bottleneck.fit(x, y)
    z = (x - x.mean(axis=0)) @ bottleneck.weights[:, :4]
    expected = x.mean(axis=0) + z @ np.linalg.lstsq(z, x - x.mean(axis=0), rcond=None)[0]
    passed = bottleneck.through(x, 4)
    np.testing.assert_allclose(passed, expected, atol=1e-8)
    np.testing.assert_allclose(bottleneck.through(passed, 4), passed, atol=1e-8)
    assert np.linalg.matrix_rank(passed - passed.mean(axis=0), tol=1e-6) == 4


def test_no_dimension_is_the_mean_and_none_is_no_bottleneck():
    x, y = study()
    bottleneck = Bottleneck.fit(x, y)
    np.testing.assert_allclose(bottleneck.through(x, 0), np.broadcast_to(x.mean(axis=0), x.shape))
    np.testing.assert_array_equal(bottleneck.through(x), x)
    assert (np.diff(bottleneck.share) <= 0).all() and bottleneck.share.sum() == pytest.approx(1)


def test_units_of_the_responses_and_a_time_axis_do_not_matter():
    x, y = study()
    bottleneck = Bottleneck.fit(x, y)
    scaled = Bottleneck.fit(1000 * x.reshape(200, 10, 3), y)
    passed = scaled.through(1000 * x.reshape(200, 10, 3).astype(np.float32), 3)
    assert passed.shape == (200, 10, 3) and passed.dtype == np.float32
    np.testing.assert_allclose(passed.reshape(200, 30) / 1000, bottleneck.through(x, 3), atol=1e-4)


def test_many_components_are_cut_to_the_leading_ones():
    x, y = study(n_planted=3, snr=2.0)
    whole, cut = Bottleneck.fit(x, y), Bottleneck.fit(x, y, max_components=10)
    np.testing.assert_allclose(cut.through(x, 3), whole.through(x, 3), atol=0.3)
    assert cut.n_dims == 10 < whole.n_dims


@pytest.mark.parametrize("n_planted", [4, 9, 18])
def test_the_knee_is_the_planted_dimension(n_planted):
    found = []
    for seed in range(3):
        x, y = study(500, 100, n_planted, 0.4, seed, n_targets=32)
        train, test = slice(0, 350), slice(350, None)
        bottleneck = Bottleneck.fit(x[train], y[train])
        ridge = Ridge(bottleneck.alpha).fit(x[train], y[train])
        truth, grid, curves = y[test] - y[train].mean(axis=0), steps(bottleneck.n_dims), []
        for d in grid:
            guess = ridge.predict(bottleneck.through(x[test], d)) - y[train].mean(axis=0)
            length = np.linalg.norm(guess, axis=1) * np.linalg.norm(truth, axis=1)
            curves.append((guess * truth).sum(axis=1) / np.maximum(length, 1e-6))
        scores = np.array(curves)
        found.append(knee(grid, scores.mean(axis=1)))
        counts = resample_counts(150, 100, np.random.default_rng(seed))
        low, high = knee_interval(grid, weighted_mean(scores.T, counts))
        assert low <= found[-1] <= high
    assert np.median(found) == pytest.approx(n_planted, rel=0.2)


def test_the_knee_lies_where_the_line_between_two_steps_reaches_the_level():
    assert knee([0, 2, 4, 8], [0.1, 0.3, 0.5, 0.4], level=0.75) == pytest.approx(3)
    assert knee([0, 2, 4], [0.5, 0.9, 0.9], level=1) == pytest.approx(2)
    assert np.isnan(knee([0, 1, 2], [0.5, 0.4, 0.5]))


def test_draws_that_gain_nothing_do_not_make_an_interval():
    flat, rising = np.zeros((60, 3)), np.tile([0.0, 1.0, 1.0], (40, 1))
    assert np.isnan(knee_interval([0, 1, 2], np.concatenate([flat, rising]))).all()
    low, high = knee_interval([0, 1, 2], np.concatenate([flat[:10], rising]))
    assert low == high == pytest.approx(0.975)


@pytest.mark.parametrize("n_dims", [1, 2, 7, 100])
def test_steps_rise_from_nothing_to_everything(n_dims):
    grid = steps(n_dims)
    assert grid[0] == 0 and grid[1] == 1 and grid[-1] == n_dims
    assert grid == sorted(set(grid))


def test_mistakes_are_told():
    x, y = study()
    bottleneck = Bottleneck.fit(x, y)
    with pytest.raises(ValueError, match="the bottleneck has 16 dimensions"):
        bottleneck.through(x, 17)
    with pytest.raises(ValueError, match="fitted on 30"):
        bottleneck.through(x[:, :20], 2)
    with pytest.raises(ValueError, match="one target for each"):
        Bottleneck.fit(x, y[:-1])
    with pytest.raises(ValueError, match="all targets are alike"):
        Bottleneck.fit(x, np.ones_like(y))
    with pytest.raises(ValueError, match="one score for each"):
        knee([0, 1], [0.1, 0.2, 0.3])
