"""A belief is Bayes' rule on what a decoder was seen to say."""

import numpy as np
import pytest
from scipy.stats import norm

from neurodecode.diffusion.belief import FEWEST_PAIRS, believe, calibrate

INTERCEPT, SLOPE = np.array([0.5, -2.0, 0.0]), np.array([0.4, 1.5, 0.0])
TRIAL, LASTING = np.array([0.8, 0.1, 1.0]), np.array([0.2, 0.6, 0.0])


def answers(n_stimuli, n_repeats, seed):
    """Truth and answers of a decoder with the noise above; repeats share the lasting part."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_stimuli, 3))
    lasting = np.sqrt(LASTING) * rng.standard_normal((n_stimuli, 3))
    stimulus = np.repeat(np.arange(n_stimuli), n_repeats)
    said = (INTERCEPT + SLOPE * z + lasting)[stimulus]
    said = said + np.sqrt(TRIAL) * rng.standard_normal(said.shape)
    return z, said, stimulus


def test_line_and_noise_are_recovered():
    z, said, stimulus = answers(20_000, 2, seed=0)
    found = calibrate(said, z[stimulus], stimulus)
    np.testing.assert_allclose(found["intercept"], INTERCEPT, atol=0.03)
    np.testing.assert_allclose(found["slope"], SLOPE, atol=0.03)
    noise = found["trial"] + found["lasting"]
    np.testing.assert_allclose(noise, TRIAL + LASTING, rtol=0.05)
    share = TRIAL.sum() / (TRIAL + LASTING).sum()  # one share for all components
    np.testing.assert_allclose(found["trial"] / noise, share, atol=0.03)


def test_a_belief_agrees_with_integrating_bayes_rule_over_a_grid():
    calibration = {"intercept": INTERCEPT, "slope": SLOPE, "trial": TRIAL, "lasting": LASTING}
    said = np.array([[1.4, -0.3, 2.0]])
    mean, variance = believe(said, calibration, np.array([3]))[0]
    z = np.linspace(-8, 8, 20_001)[:, None]
    density = norm.pdf(z) * norm.pdf(said, INTERCEPT + SLOPE * z, np.sqrt(TRIAL / 3 + LASTING))
    density /= density.sum(axis=0)
    expected = (density * z).sum(axis=0)
    np.testing.assert_allclose(mean, expected, atol=1e-5)
    np.testing.assert_allclose(variance, (density * z**2).sum(axis=0) - expected**2, atol=1e-5)


def test_the_truth_lies_as_often_within_the_belief_as_it_says():
    z, said, stimulus = answers(300, 2, seed=1)
    calibration = calibrate(said, z[stimulus], stimulus)
    new, said, stimulus = answers(4000, 2, seed=2)
    averaged = said.reshape(4000, 2, 3).mean(axis=1)
    mean, variance = believe(averaged, calibration, np.full(4000, 2)).swapaxes(0, 1)
    inside = np.abs(new - mean) < norm.ppf(0.95) * np.sqrt(variance)
    np.testing.assert_allclose(inside.mean(), 0.9, atol=0.03)


def test_a_decoder_that_says_nothing_or_the_contrary_is_not_believed():
    z, said, stimulus = answers(4000, 1, seed=3)
    for told in (said, -said):
        mean, variance = believe(told, calibrate(told, z, stimulus), np.ones(4000))[:, :, 2].T
        assert np.abs(mean).max() < 0.2 and variance.min() > 0.95
    contrary = believe(-said, calibrate(-said, z, stimulus), np.ones(4000))
    assert (contrary[:, 0, 1] == 0).all() and (contrary[:, 1, 1] == 1).all()


def test_repeats_help_as_far_as_noise_is_the_trials():
    z, said, stimulus = answers(500, 2, seed=4)
    calibration = calibrate(said, z[stimulus], stimulus)
    once, often = (believe(said[:1], calibration, np.array([n]))[0, 1] for n in (1, 100))
    assert (often[:2] < once[:2]).all() and often[1] > 0.05  # what lasts is not averaged out


def test_caution_is_more_noise_component_by_component():
    z, said, stimulus = answers(500, 1, seed=6)
    calibration = calibrate(said, z[stimulus], stimulus)  # no repeats: all noise lasts
    noisier = calibration | {"lasting": calibration["lasting"] * np.array([1, 4, 1])}
    belief = believe(said, calibration, np.ones(len(said)), np.array([1.0, 4.0, 1.0]))
    np.testing.assert_allclose(belief, believe(said, noisier, np.ones(len(said))), atol=1e-6)
    assert (belief[:, 1, 1] > believe(said, calibration, np.ones(len(said)))[:, 1, 1]).all()


def test_without_repeats_all_noise_is_taken_to_last():
    z, said, stimulus = answers(FEWEST_PAIRS - 1, 2, seed=5)
    assert (calibrate(said, z[stimulus], stimulus)["trial"] == 0).all()


@pytest.mark.parametrize("said", [np.zeros((40, 3)), np.ones((40, 3))])
def test_a_constant_answer_leaves_the_prior(said):
    z = np.random.default_rng(6).standard_normal((40, 3))
    belief = believe(said, calibrate(said, z, np.arange(40)), np.ones(40))
    assert np.isfinite(belief).all()
    np.testing.assert_allclose(belief[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(belief[:, 1], 1, atol=1e-6)
