"""Confidence: the planted temperature is found, and its probabilities are those that come true."""

import numpy as np
import pytest

from neurodecode.metrics.confidence import (
    calibration_error,
    fit_temperature,
    judge_confidence,
    probabilities,
)


def planted(noise_sd, n_rows=4000, n_candidates=20, dim=8, seed=0):
    """Noisy views of unit vectors: by Bayes' rule p(candidate) = softmax(similarity / sd^2)."""
    rng = np.random.default_rng(seed)
    candidates = rng.standard_normal((n_candidates, dim))
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    own = rng.integers(0, n_candidates, n_rows)
    seen = candidates[own] + noise_sd * rng.standard_normal((n_rows, dim))
    return seen @ candidates.T, own


@pytest.mark.parametrize("noise_sd", [0.3, 0.7, 1.5])
def test_the_temperature_is_the_variance_of_the_noise(noise_sd):
    similarity, own = planted(noise_sd)
    assert fit_temperature(similarity, own) == pytest.approx(noise_sd**2, rel=0.1)


def test_probabilities_are_a_softmax_and_need_no_unit():
    similarity, own = planted(0.5, n_rows=50)
    found = probabilities(similarity, 0.25)
    expected = np.exp(similarity / 0.25)
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True))
    in_other_unit = probabilities(10 * similarity, fit_temperature(10 * similarity, own))
    same = probabilities(similarity, fit_temperature(similarity, own))
    np.testing.assert_allclose(in_other_unit, same, atol=1e-3)


def test_what_is_said_comes_true_on_trials_that_did_not_fit_it():
    similarity, own = planted(0.6)
    judged = judge_confidence(similarity, own, np.arange(len(own)))
    assert judged["confidence"] == pytest.approx(judged["accuracy"], abs=0.02)
    assert judged["ece"] < 0.03
    assert judged["brier"] < judged["brier_constant"]
    other, rows = planted(0.6, seed=1)
    said = probabilities(other, judged["temperature"] / 4).max(axis=1)  # far too sure
    assert calibration_error(said, other.argmax(axis=1) == rows) > 5 * judged["ece"]


def test_similarities_that_say_nothing_become_chance():
    rng = np.random.default_rng(0)
    similarity, own = rng.uniform(-1, 1, (2000, 10)), rng.integers(0, 10, 2000)
    temperature = fit_temperature(similarity, own)
    assert probabilities(similarity, temperature).max() < 0.2


def test_a_candidate_that_is_out_of_the_race_has_no_probability():
    similarity, own = planted(0.5)
    more = np.column_stack([similarity, np.full(len(own), -np.inf)])
    assert fit_temperature(more, own) == pytest.approx(fit_temperature(similarity, own))
    assert (probabilities(more, 0.25)[:, -1] == 0).all()


def test_a_stimulus_judges_only_what_other_stimuli_fitted():
    similarity, own = planted(0.5, n_rows=30)
    one = judge_confidence(similarity, own, np.zeros(30))
    assert one["confidence"] is one["brier"] is one["ece"] is None and one["n"] == 30
    two = judge_confidence(similarity, own, np.arange(30) % 2)
    halves = [fit_temperature(similarity[k::2], own[k::2]) for k in (1, 0)]
    said = [probabilities(similarity[k::2], halves[k]).max(axis=1).mean() for k in (0, 1)]
    assert two["confidence"] == pytest.approx(np.mean(said))


def test_the_calibration_error_of_bins():
    said, correct = np.array([0.2, 0.2, 0.9, 0.9]), np.array([0, 1, 1, 1])
    assert calibration_error(said, correct, 2) == pytest.approx((0.3 + 0.1) / 2)
    assert calibration_error(said, said) == 0
