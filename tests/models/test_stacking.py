"""Network and ridge together: each worth what it tells, component by component."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from neurodecode.models.stacking import WEIGHTS, stacked, stacking_weights

N, K = 400, 4


@pytest.fixture
def answers():
    """The code, and two decoders of it: noise of variance 1 and 4, alike, 4 and 1, nothing."""
    rng = np.random.default_rng(0)
    true = rng.standard_normal((N, K))
    network = true + np.array([1, 1, 2, 1]) * rng.standard_normal((N, K))
    ridge = true + np.array([2, 1, 1, 1]) * rng.standard_normal((N, K))
    network[:, 3], ridge[:, 3] = -true[:, 3], -true[:, 3]
    return network, ridge, true


def test_the_weights_are_those_of_bounded_least_squares(answers):
    network, ridge, true = answers
    found = stacking_weights([answers])
    for k in range(K - 1):
        both = np.stack([network[:, k], ridge[:, k]], axis=1)
        both -= both.mean(axis=0)
        expected = lsq_linear(both, true[:, k] - true[:, k].mean(), (0, np.inf)).x
        assert np.allclose(found[:, k], expected, atol=1e-5)


def test_the_less_noisy_decoder_is_worth_more_by_as_much_as_its_noise_is_less(answers):
    share = stacking_weights([answers])[0] / stacking_weights([answers]).sum(axis=0)
    assert share[0] == pytest.approx(0.8, abs=0.07)  # weights are as 1 / variance
    assert share[1] == pytest.approx(0.5, abs=0.07)
    assert share[2] == pytest.approx(0.2, abs=0.07)


def test_what_neither_tells_is_halved_between_them(answers):
    assert stacking_weights([answers])[:, 3].tolist() == [0.5, 0.5]


def test_together_they_err_less_than_either_on_new_trials(answers):
    network, ridge, true = (part[:, 1] for part in answers)
    old, new = slice(0, N // 2), slice(N // 2, N)
    first, second = stacking_weights([[p[old, None] for p in (network, ridge, true)]])[:, 0]
    together = first * network + second * ridge
    error = lambda said: np.square(said - true)[new].mean()
    assert error(together) < 0.8 * min(error(network), error(ridge))


def test_subjects_may_differ_in_their_means(answers):
    moved = [part[N // 2 :] + shift for part, shift in zip(answers, (3, -5, 1), strict=True)]
    apart = stacking_weights([[part[: N // 2] for part in answers], moved])
    assert np.allclose(apart, stacking_weights([answers]), atol=0.05)


def test_the_code_alone_is_said_together():
    network = lambda responses, subject: {"code": responses, "pooled": responses + 1}
    ridge = lambda responses, subject: {"code": 10 * responses, "pooled": responses - 1}
    weights = {WEIGHTS: np.array([[0.5, 0.0], [0.1, 0.2]], np.float32)}
    said = stacked(network, ridge, weights)(np.ones((3, 2), np.float32), "sub-01")
    assert np.allclose(said["code"], [1.5, 2.0]) and np.allclose(said["pooled"], 2)
    assert stacked(network, ridge, {}) is network
