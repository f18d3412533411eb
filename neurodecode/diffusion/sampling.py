"""Walk from noise to samples; what a row becomes depends on its own seed alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from neurodecode.diffusion.schedule import Schedule, Step, ddim_steps, ddpm_steps


def steps_of(
    schedule: Schedule, n_sampling: int | None, eta: float, compat: bool = False
) -> list[Step]:
    """DDIM with `n_sampling` evaluations and noise `eta`; None: every step of the schedule."""
    if n_sampling is None:
        return ddpm_steps(schedule)
    return ddim_steps(schedule, n_sampling, eta, compat)


def walk(
    steps: list[Step], predict: Callable[[Tensor, int], Tensor], like: Tensor, seeds: list[int]
) -> Tensor:
    """Draw one sample a seed.

    Parameters
    ----------
    steps : list of Step
        From the noisiest down.
    predict : callable (x_t, t) -> x_0
        The denoiser, for all rows at once.
    like : Tensor
        Shape, type and device of one sample.
    seeds : list of int

    Returns
    -------
    x : Tensor, shape (n_seeds, *like.shape)
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    x = _noise(like, generators)
    for step in steps:
        x = step.x0_weight * predict(x, step.t) + step.xt_weight * x
        if step.noise_weight > 0:
            x = x + step.noise_weight * _noise(like, generators)
    return x


def noise_of(like: Tensor, seeds: list[int]) -> Tensor:
    """Standard normal noise like one sample, a row a seed: (n_seeds, *like.shape)."""
    return _noise(like, [torch.Generator().manual_seed(seed) for seed in seeds])


def _noise(like, generators):
    # drawn on the CPU: the same on every device
    rows = [torch.randn(like.shape, generator=g, dtype=like.dtype) for g in generators]
    return torch.stack(rows).to(like.device)
