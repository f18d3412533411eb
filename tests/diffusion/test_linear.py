"""The linear denoiser is the Gaussian posterior; the simulator's brains look like real ones."""

import numpy as np
import pytest
import torch

from neurodecode.diffusion.linear import (
    BrainSimulator,
    LinearDenoiser,
    TokenBasis,
    principal_components,
    slope,
)


def gaussian_study(n, noise, seed):
    """Gaussian tokens (n, 3, 4) with planted covariance, and brains that shrink and blur them."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(7).standard_normal((12, 12)))[0]
    scores = rng.standard_normal((n, 12)) * np.linspace(2, 0.2, 12)
    said = 0.5 * scores + noise * rng.standard_normal((n, 12))
    return (torch.as_tensor((s @ axes.T).reshape(n, 3, 4)) for s in (scores, said))


@pytest.fixture(scope="module")
def fitted():
    tokens, brain = gaussian_study(20_000, 0.4, seed=0)
    denoiser = LinearDenoiser(3, 4, 11).double()
    denoiser.fit(tokens, brain, tokens)
    return denoiser


@pytest.mark.parametrize("alpha_bar", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("use_brain", [True, False])
def test_denoising_is_as_good_as_regression_on_all_there_is(fitted, alpha_bar, use_brain):
    tokens, brain = gaussian_study(20_000, 0.4, seed=1)
    noise = torch.randn(tokens.shape, generator=torch.Generator().manual_seed(0)).double()
    x_t = alpha_bar**0.5 * tokens + (1 - alpha_bar) ** 0.5 * noise
    keep = torch.full((len(tokens),), use_brain)
    ours = fitted(x_t, torch.full((len(tokens),), alpha_bar).double(), brain, keep)
    given = [x_t.flatten(1)] + [brain.flatten(1)] * use_brain
    given = torch.cat(given, dim=1).numpy()
    best = given @ np.linalg.lstsq(given, tokens.flatten(1).numpy(), rcond=None)[0]
    error = (ours - tokens).square().mean().item()
    least = np.square(best - tokens.flatten(1).numpy()).mean()
    assert error == pytest.approx(least, rel=0.02)


def test_all_kept_is_the_same_as_no_mask(fitted):
    tokens, brain = gaussian_study(5, 0.4, seed=2)
    a = torch.full((5,), 0.3).double()
    kept = torch.ones(5, dtype=torch.bool)
    assert torch.equal(fitted(tokens, a, brain, kept), fitted(tokens, a, brain, None))


def test_fewer_stimuli_than_components_leave_the_rest_empty():
    basis = TokenBasis(3, 4, 8)
    basis.fit(torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0)))
    assert basis.components[:, 5:].abs().max() == 0 and basis.variance[5:].max() == 0
    assert basis.rest < 1e-6


@pytest.mark.parametrize("n", [8, 30])
def test_principal_components_are_those_of_the_singular_value_decomposition(n):
    flat = torch.randn(n, 12, generator=torch.Generator().manual_seed(0)).double()
    variance, components = principal_components(flat, 5)
    _, singular, rows = torch.linalg.svd(flat, full_matrices=False)
    torch.testing.assert_close(variance, singular[:5] ** 2 / n)
    torch.testing.assert_close((components.T @ rows[:5].T).abs(), torch.eye(5).double())


def test_too_many_components_are_refused():
    with pytest.raises(ValueError, match="give 1 to 11"):
        TokenBasis(3, 4, 12)


def test_simulated_brains_are_as_wrong_as_real_ones():
    tokens, brain = gaussian_study(4000, 0.4, seed=3)
    simulate = BrainSimulator(tokens, brain, tokens, n_components=11)
    new, real = gaussian_study(4000, 0.4, seed=4)
    drawn = simulate(new, torch.Generator().manual_seed(0))
    for statistic in (lambda x: x.var(), lambda x: (x - new).square().mean()):
        assert statistic(drawn).item() == pytest.approx(statistic(real).item(), rel=0.05)


def test_least_noise_makes_some_brains_clearer():
    tokens, brain = gaussian_study(2000, 0.4, seed=3)

    def error(low):
        simulate = BrainSimulator(tokens, brain, tokens, 11, least_noise=low)
        clean = simulate.basis.expand(simulate.slope * simulate.basis.project(tokens))
        return (simulate(tokens, torch.Generator().manual_seed(0)) - clean).square().mean().item()

    assert error(0.0) == pytest.approx(error(1.0) / 3, rel=0.1)  # mean square of a uniform level
    with pytest.raises(ValueError, match="0 to 1"):
        error(1.5)


def test_the_slope_of_a_constant_zero_is_zero():
    assert slope(torch.zeros(3, 1), torch.ones(3, 1)).item() == 0
