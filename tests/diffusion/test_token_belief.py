"""Beliefs about tokens are the Gaussian posterior, however often the brain has spoken."""

import numpy as np
import pytest
import torch

from neurodecode.diffusion.token_belief import TokenBelief, guided
from tests.diffusion.test_linear import gaussian_study


@pytest.fixture(scope="module")
def fitted():
    tokens, brain = gaussian_study(20_000, 0.4, seed=0)
    belief = TokenBelief(3, 4, 11).double()
    belief.fit(tokens, brain, tokens)
    return belief


def test_the_believed_mean_is_as_good_as_regression(fitted):
    tokens, brain = gaussian_study(20_000, 0.4, seed=1)
    calibration = fitted.calibrate(brain.numpy(), tokens.numpy(), np.arange(len(tokens)))
    mean, variance = fitted.condition(
        brain.numpy(), calibration, np.ones(len(tokens), int)
    ).swapaxes(0, 1)
    said, true = (a.flatten(1).numpy() for a in (brain, tokens))
    best = said @ np.linalg.lstsq(said, true, rcond=None)[0]
    ours = fitted.tokens(torch.as_tensor(mean).double()).flatten(1).numpy()
    left = np.square(ours - true).mean()
    assert left == pytest.approx(np.square(best - true).mean(), rel=0.02)
    believed = fitted.spread(torch.as_tensor(variance[:1]).double()).square().mean().item()
    assert believed == pytest.approx(left, rel=0.03)


def test_hearing_a_brain_four_times_is_averaging_four_trials(fitted):
    tokens, _ = gaussian_study(4000, 0.4, seed=1)
    others = [tuple(gaussian_study(4000, 0.4, seed=seed)) for seed in range(2, 6)]
    trials = [0.5 * tokens + brain - 0.5 * their for their, brain in others]
    averaged = torch.stack(trials).mean(dim=0)
    heard = fitted.heard(trials[0], tokens, torch.full((4000, 1), 4.0).double())
    errors = [(fitted.tokens(heard[:, 0]) - tokens).square().mean().item()]
    noise = (fitted.noise / 4) / (fitted.slope.square() + fitted.noise / 4)
    mean = (1 - noise) / fitted.slope.clamp(min=1e-3) * fitted.read(averaged)
    errors.append((fitted.tokens(mean) - tokens).square().mean().item())
    assert errors[0] == pytest.approx(errors[1], rel=0.05)
    torch.testing.assert_close(heard[:, 1], noise.expand(4000, -1))


def test_a_brain_heard_no_times_leaves_what_is_known_without_one(fitted):
    tokens, brain = gaussian_study(5, 0.4, seed=1)
    heard = fitted.heard(brain, tokens, torch.zeros(5, 1).double())
    torch.testing.assert_close(heard, fitted.nothing(5))


def test_drawn_deviations_have_the_believed_spread(fitted):
    variance = torch.linspace(0.1, 1, 11).double().expand(40_000, -1)
    noise = torch.randn(40_000, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    drawn = fitted.draw(noise, variance)
    torch.testing.assert_close(drawn.std(dim=0), fitted.spread(variance[:1])[0], rtol=0.03, atol=0)


def test_guidance_sharpens_one_forgets_nothing_and_zero_all(fitted):
    tokens, brain = gaussian_study(6, 0.4, seed=1)
    belief = fitted.heard(brain, tokens, torch.ones(6, 1).double())
    assert guided(belief, 1.0) is belief
    torch.testing.assert_close(guided(belief, 0.0), fitted.nothing(6))
    surer = guided(belief, 3.0)
    assert (surer[:, 1] <= belief[:, 1]).all() and (surer[:, 0].abs() >= belief[:, 0].abs()).all()


def test_guidance_by_two_is_the_product_of_two_likelihoods():
    p, z = 0.7, 1.3  # precision of the brain, and what it says
    once, twice = (torch.tensor([[[n * p * z / (1 + n * p)], [1 / (1 + n * p)]]]) for n in (1, 2))
    torch.testing.assert_close(guided(once, 2.0), twice)
