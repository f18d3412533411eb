"""Noise schedules: how fast a clean embedding x_0 turns into noise x_T, and the way back.

x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) e,   e ~ N(0, 1),   t = 0 .. n_steps - 1

References
----------
.. [1] Ho, Jain, Abbeel (2020). Denoising diffusion probabilistic models.
.. [2] Nichol, Dhariwal (2021). Improved denoising diffusion probabilistic models. (Cosine.)
.. [3] Song, Meng, Ermon (2021). Denoising diffusion implicit models.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Schedule:
    """Every coefficient of a noise schedule: float64, shape (n_steps,), named as published.

    `posterior_*` describe q(x_{t-1} | x_t, x_0) = N(coef1 x_0 + coef2 x_t, variance) [1]_.
    """

    betas: np.ndarray
    alphas_cumprod: np.ndarray
    alphas_cumprod_prev: np.ndarray
    sqrt_alphas_cumprod: np.ndarray
    sqrt_one_minus_alphas_cumprod: np.ndarray
    log_one_minus_alphas_cumprod: np.ndarray
    sqrt_recip_alphas_cumprod: np.ndarray
    sqrt_recipm1_alphas_cumprod: np.ndarray
    posterior_variance: np.ndarray
    posterior_log_variance_clipped: np.ndarray
    posterior_mean_coef1: np.ndarray
    posterior_mean_coef2: np.ndarray
    p2_loss_weight: np.ndarray


def cosine_betas(n_steps: int, offset: float = 0.008, largest: float = 0.999) -> np.ndarray:
    """Variance added in each step such that alpha_bar falls like a squared cosine [2]_.

    f(t) = cos^2((t / n_steps + offset) / (1 + offset) * pi / 2),   beta_t = 1 - f(t + 1) / f(t)
    """
    if n_steps < 1:
        raise ValueError(f"n_steps is {n_steps}; a schedule needs at least one step")
    t = np.arange(n_steps + 1) / n_steps
    f = np.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    return np.clip(1 - f[1:] / f[:-1], 0, largest)


def cosine_schedule(n_steps: int) -> Schedule:
    """Return all coefficients of the cosine schedule of `n_steps` steps."""
    # float64: 1 - alpha_bar_0 is 6e-4, and its reciprocals lose four digits in float32.
    betas = cosine_betas(n_steps)
    now = np.cumprod(1 - betas)
    before = np.append(1.0, now[:-1])  # alpha_bar_{t-1}; nothing has been added before step 0
    variance = betas * (1 - before) / (1 - now)
    return Schedule(
        betas=betas,
        alphas_cumprod=now,
        alphas_cumprod_prev=before,
        sqrt_alphas_cumprod=np.sqrt(now),
        sqrt_one_minus_alphas_cumprod=np.sqrt(1 - now),
        log_one_minus_alphas_cumprod=np.log(1 - now),
        sqrt_recip_alphas_cumprod=np.sqrt(1 / now),
        sqrt_recipm1_alphas_cumprod=np.sqrt(1 / now - 1),
        posterior_variance=variance,
        posterior_log_variance_clipped=np.log(np.maximum(variance, 1e-20)),
        posterior_mean_coef1=betas * np.sqrt(before) / (1 - now),
        posterior_mean_coef2=(1 - before) * np.sqrt(1 - betas) / (1 - now),
        p2_loss_weight=np.ones(n_steps),  # gamma = 0: every step weighs the same
    )


def ddim_times(n_steps: int, n_sampling: int, compat: bool = False) -> list[int]:
    """Steps that DDIM visits, from the noisiest down; -1, the last entry, is the clean embedding.

    Parameters
    ----------
    n_steps : int
        Steps of the schedule.
    n_sampling : int
        Evaluations of the network; at most `n_steps`.
    compat : bool
        True returns the published grid, which starts below the noisiest step (94 of 99 for 20 of
        100) and holds `n_sampling - 1` evaluations. By default sampling starts where x_t truly is
        noise, and evaluates the network `n_sampling` times.
    """
    if not 1 <= n_sampling <= n_steps:
        raise ValueError(f"{n_sampling} sampling steps of {n_steps}: give 1 to {n_steps}")
    if compat:
        grid = np.linspace(-1, n_steps, n_sampling + 1)[:-1]
        return [int(t) for t in grid[::-1]]
    return [round(t) for t in np.linspace(n_steps - 1, -1, n_sampling + 1)]


class Step(NamedTuple):
    """One step of sampling: x_next = x0_weight x_0 + xt_weight x_t + noise_weight N(0, 1)."""

    t: int
    x0_weight: float
    xt_weight: float
    noise_weight: float


def ddpm_steps(schedule: Schedule) -> list[Step]:
    """Walk back through every step of the schedule, adding the noise of the posterior [1]_."""
    weights = zip(
        schedule.posterior_mean_coef1,
        schedule.posterior_mean_coef2,
        np.sqrt(schedule.posterior_variance),
        strict=True,
    )
    steps = [Step(t, *map(float, row)) for t, row in enumerate(weights)]
    return steps[::-1]


def ddim_steps(schedule: Schedule, n_sampling: int, eta: float, compat: bool = False) -> list[Step]:
    """Walk back in `n_sampling` strides [3]_; see `ddim_times` for the grid.

    Parameters
    ----------
    eta : float
        0 is deterministic; 1 adds as much fresh noise as DDPM.
    compat : bool
        Published grid, with alpha_bar read one step too early everywhere but in the noise estimate.
    """
    now = schedule.alphas_cumprod
    read = schedule.alphas_cumprod_prev if compat else now
    times = ddim_times(len(now), n_sampling, compat)
    steps = []
    for t, t_next in zip(times[:-1], times[1:], strict=True):
        if t_next < 0:
            steps.append(Step(t, 1.0, 0.0, 0.0))  # the predicted x_0 itself
        else:
            steps.append(Step(t, *ddim_weights(read[t], read[t_next], eta, now[t])))
    return steps


def ddim_weights(
    alpha: float, alpha_next: float, eta: float, alpha_noise: float
) -> tuple[float, float, float]:
    """Weights of x_0, x_t and fresh noise in one DDIM step [3]_ from `alpha` to `alpha_next`.

    x_next = sqrt(alpha_next) x_0 + c2 e + c1 noise,
    e = (x_t - sqrt(alpha_noise) x_0) / sqrt(1 - alpha_noise),
    c1 = eta sqrt((1 - alpha / alpha_next) (1 - alpha_next) / (1 - alpha)),
    c2 = sqrt(1 - alpha_next - c1^2).

    All alphas are products alpha_bar; `alpha_noise` is that of x_t and equals `alpha` unless the
    published code is followed.
    """
    c1 = eta * math.sqrt((1 - alpha / alpha_next) * (1 - alpha_next) / (1 - alpha))
    c2 = math.sqrt(max(1 - alpha_next - c1**2, 0.0))
    xt_weight = c2 / math.sqrt(1 - alpha_noise)
    return math.sqrt(alpha_next) - xt_weight * math.sqrt(alpha_noise), xt_weight, c1
