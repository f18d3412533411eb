"""The noise schedule agrees with published numbers, and its two ways back agree with each other."""

import numpy as np
import pytest

from neurodecode.diffusion.schedule import (
    cosine_schedule,
    ddim_steps,
    ddim_times,
    ddim_weights,
    ddpm_steps,
)
from tests.golden.rule import data, golden, probe

GOLDEN = golden("diffusion_prior")


@pytest.mark.parametrize(
    "name",
    [
        "betas",
        "alphas_cumprod",
        "posterior_variance",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
    ],
)
def test_cosine_schedule_agrees_with_the_golden_numbers(name):
    facts = GOLDEN["cosine_schedule_T100"]
    ours = getattr(cosine_schedule(100), name)[facts["index"]]
    np.testing.assert_allclose(ours, facts[name], rtol=1e-8, atol=1e-15)


def test_published_ddim_grid_has_19_evaluations_below_the_noisiest_step():
    facts = GOLDEN["cosine_schedule_T100"]
    assert ddim_times(100, 20, compat=True) == facts["ddim20_times"]
    steps = ddim_steps(cosine_schedule(100), 20, eta=1.0, compat=True)
    assert len(steps) == facts["ddim20_network_evaluations"]


def test_repaired_ddim_grid_starts_at_pure_noise_and_keeps_its_promise_of_20():
    times = ddim_times(100, 20)
    assert (times[0], times[-1], len(times) - 1) == (99, -1, 20)


def test_published_ddim_step_agrees_with_the_golden_numbers():
    facts, schedule = GOLDEN["ddim_step_94_to_89_eta1"], cosine_schedule(100)
    step = ddim_steps(schedule, 20, eta=1.0, compat=True)[0]
    x_t, x_0, noise = (data(tag, facts["output"]["shape"]) for tag in facts["inputs"])
    x_next = step.x0_weight * x_0 + step.xt_weight * x_t + step.noise_weight * noise
    assert step.t == 94
    assert step.noise_weight == pytest.approx(facts["c1"], rel=1e-8)
    np.testing.assert_allclose(x_next, facts["output"]["first"], rtol=1e-8)
    assert probe(x_next) == pytest.approx(facts["output"]["probe"], rel=1e-8)


def test_ddim_through_every_step_with_full_noise_is_ddpm():
    schedule = cosine_schedule(100)
    ddim = np.array(ddim_steps(schedule, 100, eta=1.0))
    np.testing.assert_allclose(ddim, np.array(ddpm_steps(schedule)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_ddim_step_keeps_the_variance_of_a_true_x_t(eta):
    now, after = 0.3, 0.6
    x0_weight, xt_weight, noise_weight = ddim_weights(now, after, eta, now)
    assert x0_weight + xt_weight * np.sqrt(now) == pytest.approx(np.sqrt(after))  # of x_0
    assert xt_weight**2 * (1 - now) + noise_weight**2 == pytest.approx(1 - after)  # of the noise


def test_sampling_steps_beyond_the_schedule_are_refused():
    with pytest.raises(ValueError, match="1 to 100"):
        ddim_times(100, 101)
