"""Collapse: spans by projection, linear decoders that cannot leave them, dimensions recovered."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from neurodecode.rigour.collapse import (
    collapse,
    effective_rank,
    out_of_span,
    recovery_profile,
    training_span,
)


def study(n_train, dim, snr=1.0, seed=0, n_test=80):
    """Predictions of ridge, true test embeddings and training embeddings."""
    rng = np.random.default_rng(seed)
    to_brain = rng.standard_normal((dim, 200)) / np.sqrt(dim)
    truth = rng.standard_normal((n_train + n_test, dim)) + 0.3
    brain = snr * truth @ to_brain + rng.standard_normal((n_train + n_test, 200))
    ridge = Ridge(100.0).fit(brain[:n_train], truth[:n_train])
    return ridge.predict(brain[n_train:]), truth[n_train:], truth[:n_train]


def test_out_of_span_is_what_least_squares_cannot_reach():
    rng = np.random.default_rng(0)
    train, rows = rng.standard_normal((12, 30)), rng.standard_normal((7, 30))
    deviation = rows - train.mean(axis=0)
    fit = LinearRegression(fit_intercept=False).fit(train.T, deviation.T)
    expected = ((deviation.T - fit.predict(train.T)) ** 2).sum() / (deviation**2).sum()
    found = out_of_span(rows, training_span(train), train.mean(axis=0))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("d", [1, 3, 8])
def test_effective_rank_counts_equal_dimensions(d):
    rng = np.random.default_rng(1)
    rows = np.linalg.qr(rng.standard_normal((50, 9)))[0]
    rows = np.linalg.qr(rows - rows.mean(axis=0))[0][:, :d]
    turned = np.linalg.qr(rng.standard_normal((20, 20)))[0][:d]
    assert effective_rank(5 * rows @ turned + 1e3) == pytest.approx(d)


def test_constant_rows_have_no_rank():
    assert effective_rank(np.full((10, 4), 0.1)) == 0
    assert effective_rank(np.zeros((10, 4))) == 0


@pytest.mark.parametrize("unit_length", [False, True])
def test_ridge_on_few_stimuli_cannot_leave_their_span(unit_length):
    predicted, truth, train = study(n_train=40, dim=100)
    if unit_length:
        predicted = predicted / np.linalg.norm(predicted, axis=1, keepdims=True)
    found = collapse(predicted.astype(np.float32), truth, train)
    assert found["out_of_span_predicted"] < 1e-8
    assert found["out_of_span_truth"] == pytest.approx(0.6, abs=0.05)
    assert found["collapsed"] and found["n_train"] == 40 and found["dim"] == 100


def test_ridge_on_many_stimuli_is_not_collapsed():
    found = collapse(*study(n_train=1500, dim=40))
    assert found["out_of_span_truth"] < 1e-8 and not found["collapsed"]
    assert found["rank_predicted"] > 0.7 * found["rank_truth"]


def test_predictions_that_leave_the_span_are_not_called_confined():
    _, truth, train = study(n_train=40, dim=100)
    assert not collapse(truth, truth, train)["collapsed"]


def test_one_answer_for_all_is_collapsed():
    _, truth, train = study(n_train=500, dim=30)
    found = collapse(np.tile(train.mean(axis=0), (80, 1)), truth, train)
    assert found["rank_predicted"] == 0 and found["collapsed"]
    line = np.linspace(-1, 1, 80)[:, None] * np.ones(30)
    assert collapse(line, truth, train)["collapsed"]


def test_noise_is_rich_and_recovers_nothing():
    _, truth, train = study(n_train=1500, dim=40)
    recovered = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal(truth.shape)
        assert not collapse(noise, truth, train)["collapsed"]
        profile = recovery_profile(noise, truth, train, n_permutations=100, rng=rng)
        recovered.append(profile.n_recovered > 0)
    assert np.mean(recovered) <= 0.15  # .05 expected; 40 studies


def test_the_profile_is_the_correlation_along_each_axis_and_counts_what_was_planted():
    rng = np.random.default_rng(2)
    strength = np.array([5, 4, 3, 2, 1.0])
    truth = rng.standard_normal((400, 5)) * strength
    predicted = truth * [1, 1, 1, 0, 0] + 3 * rng.standard_normal(truth.shape)
    profile = recovery_profile(predicted[:100], truth[:100], truth[100:], rng=rng)
    assert profile.n_recovered == 3
    axes = np.linalg.svd(truth[100:] - truth[100:].mean(axis=0))[2]
    for k in range(5):
        r = np.corrcoef(truth[:100] @ axes[k], predicted[:100] @ axes[k])[0, 1]
        assert profile.correlation[k] == pytest.approx(r)
    assert profile.share.sum() == pytest.approx(1) and profile.share[0] > profile.share[4]


def test_shapes_that_do_not_match_are_told():
    predicted, truth, train = study(n_train=40, dim=10)
    with pytest.raises(ValueError, match="same rows"):
        collapse(predicted[:-1], truth, train)
    with pytest.raises(ValueError, match="same dim"):
        collapse(predicted, truth, train[:, :5])
    with pytest.raises(ValueError, match="at least three"):
        collapse(predicted[:2], truth[:2], train)
