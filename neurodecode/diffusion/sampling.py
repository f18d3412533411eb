"""Walk from noise to samples; what a row becomes depends on its own seed alone."""

from collections.abc import Callable

from torch import Tensor

from neurodecode.diffusion.noise import rows_of_noise, seeded
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
    generators = seeded(seeds)
    fresh = lambda: rows_of_noise(like.shape, generators, like.dtype, like.device)
    x = fresh()
    for step in steps:
        x = step.x0_weight * predict(x, step.t) + step.xt_weight * x
        if step.noise_weight > 0:
            x = x + step.noise_weight * fresh()
    return x
