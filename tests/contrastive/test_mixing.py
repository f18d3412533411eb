"""MixCo mixes the share of trials it says, with Beta weights, and repeats itself for a seed."""

import numpy as np
import pytest
import scipy.stats
import torch

from neurodecode.contrastive.mixing import blend, draw_mixture


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def mixco(x, generator, **how):
    """Mixed trials, and how they were mixed."""
    partner, lam = draw_mixture(len(x), generator, **how)
    partner, lam = torch.from_numpy(partner), torch.from_numpy(lam)
    return blend(x, x[partner], lam), partner, lam


def test_mixture_is_the_weighted_sum_it_reports():
    x = torch.randn(50, 3, 4, generator=generator(1), dtype=torch.float64)
    mixed, permutation, lam = mixco(x, generator())
    for i in range(50):
        expected = lam[i] * x[i] + (1 - lam[i]) * x[permutation[i]]
        torch.testing.assert_close(mixed[i], expected)
    assert sorted(permutation.tolist()) == list(range(50))


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_share_of_mixed_trials_is_the_probability(probability):
    _, _, lam = mixco(torch.zeros(20_000, 1), generator(), probability=probability)
    error = np.sqrt(probability * (1 - probability) / 20_000)
    # 4 standard errors, and what Beta(.15, .15) rounds to exactly 1 in float32 (about 4 % of draws)
    assert abs(float((lam < 1).double().mean()) - probability) < 4 * error + 0.06 * probability


@pytest.mark.parametrize("beta", [0.15, 2.0])
def test_weights_of_mixed_trials_follow_the_beta_distribution(beta):
    x = torch.zeros(20_000, 1, dtype=torch.float64)
    _, _, lam = mixco(x, generator(), beta=beta, probability=1.0)
    assert scipy.stats.kstest(lam.numpy(), scipy.stats.beta(beta, beta).cdf).pvalue > 0.01


def test_same_generator_state_gives_the_same_mixture_and_the_next_call_another():
    x = torch.randn(32, 5, generator=generator(1))
    stream = generator(7)
    first, second = mixco(x, stream), mixco(x, stream)
    again = mixco(x, generator(7))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], second[1])


def test_probability_zero_leaves_the_trials_alone():
    x = torch.randn(8, 5, generator=generator(1))
    mixed, _, lam = mixco(x, generator(), probability=0.0)
    assert torch.equal(mixed, x) and bool((lam == 1).all())
