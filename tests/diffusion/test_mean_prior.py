"""The baseline of every prior says the mean, whatever the seed."""

import numpy as np
import pytest
import torch

from neurodecode.diffusion.linear import LinearDenoiser
from neurodecode.diffusion.mean_prior import MeanPrior
from tests.diffusion.test_linear import gaussian_study


@pytest.fixture(scope="module")
def study():
    return tuple(gaussian_study(4000, 0.4, seed=0))


def prepared(study, n_components=11):
    prior = MeanPrior(3, 4, n_components).double()
    prior.prepare(study[0], study[1], study[0])
    return prior


def test_it_is_the_linear_denoiser_that_sees_noise_alone(study):
    tokens, brain = study
    prior, denoiser = prepared(study), LinearDenoiser(3, 4, 11).double()
    denoiser.fit(tokens, brain, tokens)
    calibration = prior.calibrate(brain.numpy(), tokens.numpy(), np.arange(len(tokens)))
    known = torch.as_tensor(prior.condition(brain.numpy(), calibration, np.ones(4000, int)))
    ours = prior.sample(known.double(), list(range(4000)))
    theirs = denoiser(0 * brain, torch.zeros(4000).double(), brain, None)
    assert (ours - theirs).square().mean() < 1e-3 * theirs.square().mean()


def test_every_seed_gives_the_same_and_no_brain_gives_the_mean(study):
    prior = prepared(study)
    known = torch.randn(3, 2, 11, generator=torch.Generator().manual_seed(0)).double().abs()
    assert torch.equal(prior.sample(known, [0, 1, 2]), prior.sample(known, [7, 8, 9]))
    assert prior.sample(None, [0, 1]).abs().max() == 0


def test_fewer_components_say_less_and_guidance_says_more(study):
    known = torch.stack([torch.ones(1, 11), torch.full((1, 11), 0.5)], dim=1).double()
    power = lambda prior, k, **how: prior.sample(known[..., :k], [0], **how).square().sum()
    all_of_them, few = prepared(study), prepared(study, 2)
    assert power(few, 2) < power(all_of_them, 11) < power(all_of_them, 11, guidance=3.0)


@pytest.mark.parametrize("how", [{"n_sampling": 4}, {"eta": 1.0}])
def test_steps_and_noise_are_refused(study, how):
    with pytest.raises(ValueError, match="predict.sampling_steps=null predict.eta=0"):
        prepared(study).sample(None, [0], **how)


def test_seeds_and_rows_must_match(study):
    with pytest.raises(ValueError, match="2 seeds"):
        prepared(study).sample(torch.ones(1, 2, 11).double(), [0, 1])
