"""A walk from noise ends where its denoiser leads, row by row."""

import torch

from neurodecode.diffusion.sampling import steps_of, walk
from neurodecode.diffusion.schedule import cosine_schedule

SCHEDULE = cosine_schedule(100)


def test_a_walk_ends_at_what_the_denoiser_is_sure_of():
    goal = torch.tensor([3.0, -1.0])
    for n_sampling, eta in ((None, 1.0), (10, 1.0), (10, 0.0)):
        steps = steps_of(SCHEDULE, n_sampling, eta)
        made = walk(steps, lambda x, t: goal.expand_as(x), goal, [0, 1, 2])
        torch.testing.assert_close(made, goal.expand(3, 2))


def test_a_gaussian_is_sampled_with_its_mean_and_variance():
    alpha = torch.as_tensor(SCHEDULE.alphas_cumprod, dtype=torch.float32)

    def posterior_mean(x, t, mean=2.0, variance=0.25):
        gain = alpha[t].sqrt() * variance / (alpha[t] * variance + 1 - alpha[t])
        return mean + gain * (x - alpha[t].sqrt() * mean)

    for n_sampling in (None, 50):
        steps = steps_of(SCHEDULE, n_sampling, 1.0)
        made = walk(steps, posterior_mean, torch.zeros(1), list(range(3000)))
        assert abs(float(made.mean()) - 2) < 0.05 and abs(float(made.std()) - 0.5) < 0.05


def test_the_denoiser_is_asked_as_often_as_wished():
    asked = []
    predict = lambda x, t: asked.append(t) or x
    walk(steps_of(SCHEDULE, 7, 1.0), predict, torch.zeros(1), [0])
    assert len(asked) == 7 and asked == sorted(asked, reverse=True)
