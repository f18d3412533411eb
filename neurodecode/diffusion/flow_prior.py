"""A prior in few steps: tokens flow from the best Gaussian guess to those a picture could have.

What a decoder said becomes a Gaussian belief about tokens (`token_belief`). Flow matching [1]_
usually starts at white noise, and many steps go into finding mean and covariance. Here it starts at
a draw of the belief itself. With x_0 the true tokens, m the believed mean, e a draw of its spread,

    x_t = m + cos(angle) (x_0 - m) + sin(angle) e,    angle = t pi / 2,
    dx_t / d(angle) = cos(angle) e - sin(angle) (x_0 - m).

Were tokens Gaussian, the mean of that velocity given x_t would be 0 everywhere [2]_: the network
has only to learn what is not Gaussian, starts by saying 0, and a step or two follow it.

Guidance is that of the likelihood: the belief is what it would be had the brain spoken `guidance`
times as surely, p(x) p(brain | x)^guidance. The network is trained for beliefs of every strength,
none included, so that this costs no second evaluation.

References
----------
.. [1] Lipman et al. (2023). Flow matching for generative modeling. ICLR.
.. [2] Albergo, Vanden-Eijnden (2023). Normalizing flows with stochastic interpolants. ICLR.
"""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neurodecode.core.ranges import Count, NotNegative, PartShare, Positive
from neurodecode.diffusion.flow_network import FlowNetwork
from neurodecode.diffusion.noise import noise, rows_of_noise, seeded
from neurodecode.diffusion.token_belief import BelievingPrior


class FlowPrior(BelievingPrior):
    """Flow from a Gaussian belief about image tokens to image tokens.

    Parameters
    ----------
    n_tokens, dim : int
        Image tokens and their size.
    width, depth, heads, ff_mult, dropout
        Of the network, see `FlowNetwork`.
    linear_components : int
        Principal components of the tokens of which something is believed.
    cond_drop : float
        Share of training rows without a brain; the control `prior_only` needs them.
    clearest : float
        Training rows are as if the brain had spoken 1 / `clearest` to `clearest` times.
    time_scale : float
        Times of training are drawn logit-normally with this standard deviation; about 1.7 is nearly
        uniform, less favours the middle.
    n_steps : int
        Evaluations of the network where sampling does not say.
    solver : {"euler", "midpoint"}
        Euler's steps take one evaluation each, midpoint's two, and err less.
    """

    descends = True

    def __init__(
        self,
        n_tokens: int,
        dim: int,
        width: Count = 128,
        depth: Count = 3,
        heads: Count = 4,
        ff_mult: Count = 4,
        dropout: PartShare = 0.0,
        linear_components: Count = 200,
        cond_drop: PartShare = 0.1,
        clearest: Positive = 8.0,
        time_scale: NotNegative = 1.7,
        n_steps: Count = 4,
        solver: Literal["euler", "midpoint"] = "euler",
    ):
        super().__init__(n_tokens, dim, linear_components)
        if width % heads:
            raise ValueError(f"width is {width} and heads is {heads}: give a multiple of it")
        if clearest < 1:
            raise ValueError(f"clearest is {clearest}; give 1 (as single trials are) or more")
        self.shape = (n_tokens, dim)
        sizes = (width, depth, heads, ff_mult, dropout)
        self.net = FlowNetwork(n_tokens, dim, linear_components, *sizes)
        self.cond_drop, self.clearest, self.time_scale = cond_drop, clearest, time_scale
        self.n_steps, self.solver = n_steps, solver

    def velocity(self, x_t: Tensor, t: Tensor, belief: Tensor) -> Tensor:
        """What the network says of dx / d(angle) at times t (n,), (n, n_tokens, dim)."""
        mean, variance = belief.unbind(dim=1)
        around = self.belief.tokens(mean), self.belief.spread(variance)
        return self.net(x_t, t, *around, belief).to(x_t.dtype)

    def loss(self, brain: Tensor, image: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of the velocity at random times, for brains of random clarity.

        Parameters
        ----------
        brain, image : Tensor, shape (n, n_tokens, dim)
            Predicted and true tokens of the same pictures.
        generator : torch.Generator
            A CPU generator: draws times, noise and clarity, the same on every device.
        """
        n = len(image)
        clarity = self.clearest ** (2 * torch.rand(n, 1, generator=generator) - 1)
        clarity = clarity * (torch.rand(n, 1, generator=generator) >= self.cond_drop)
        belief = self.belief.heard(brain, image, clarity.to(image, non_blocking=True))
        said, velocity = self._pair(image, belief, generator)
        return F.mse_loss(said, velocity)

    def _pair(self, image, belief, generator):
        """The network's velocity and that of one draw, at random times."""
        t = torch.sigmoid(self.time_scale * torch.randn(len(image), generator=generator))
        fresh = noise(image.shape, generator, image.dtype, image.device)
        t = t.to(image, non_blocking=True)
        mean, variance = belief.unbind(dim=1)
        mean, deviation = self.belief.tokens(mean), self.belief.draw(fresh, variance)
        sin, cos = (f(t * math.pi / 2)[:, None, None] for f in (torch.sin, torch.cos))
        x_t = mean + cos * (image - mean) + sin * deviation
        return self.velocity(x_t, t, belief), cos * deviation - sin * (image - mean)

    @torch.no_grad()
    def errors(self, brain: Tensor, truth: Tensor, generator: torch.Generator) -> dict[str, float]:
        """Mean squared errors of the velocity on held-out trials, with a brain and without.

        `gained`: of those with a brain, what the network takes off the Gaussian's.
        """
        found, state = {}, generator.get_state()
        for name, times in (("with_brain", 1.0), ("without_brain", 0.0)):
            generator.set_state(state)
            belief = self.belief.heard(brain, truth, torch.full_like(truth[:, 0, :1], times))
            said, velocity = self._pair(truth, belief, generator)
            found[name] = float((said - velocity).square().mean())
            if times:
                found["gained"] = float(velocity.square().mean()) - found[name]
        return found

    @torch.no_grad()
    def sample(
        self,
        belief: Tensor | None,
        seeds: list[int],
        n_sampling: int | None = None,
        eta: float = 0.0,
        guidance: float = 1.0,
    ) -> Tensor:
        """Draw one set of image tokens per row.

        Parameters
        ----------
        belief : Tensor or None, shape (n, 2, n_components)
            None draws from the prior alone: no brain.
        seeds : list of int, length n
            Each row has its own noise: what it becomes does not depend on the other rows.
        n_sampling : int, optional
            Evaluations of the network; None: `n_steps`.
        eta : float
            Has to be 0: a flow adds no noise on its way.
        guidance : float
            1 draws a fair sample of what is believed; above 1 as if the brain were surer.

        Returns
        -------
        tokens : Tensor, shape (n, n_tokens, dim)
        """
        if eta != 0:
            raise ValueError(f"predict.eta is {eta}, but a flow adds no noise: predict.eta=0")
        belief = self.asked(belief, seeds, guidance)
        mean, variance = belief.unbind(dim=1)
        fresh = rows_of_noise(self.shape, seeded(seeds), mean.dtype, mean.device)
        x = self.belief.tokens(mean) + self.belief.draw(fresh, variance)
        speed = lambda x, t: self.velocity(x, x.new_full((len(x),), t), belief)
        for step in flow_steps(self.n_steps if n_sampling is None else n_sampling, self.solver):
            x = step(x, speed)
        return x


def flow_steps(n_evaluations: int, solver: str) -> list:
    """Steps from t = 1 to 0 that take so many evaluations in all.

    Returns
    -------
    steps : list of callable (x, speed) -> x
        `speed(x, t)` is dx / d(angle). With an odd number of evaluations midpoint's last step is
        one of Euler's.
    """
    costs = [1] * n_evaluations
    if solver == "midpoint":
        costs = [2] * (n_evaluations // 2) + [1] * (n_evaluations % 2)
    times = 1 - np.cumsum([0, *costs]) / n_evaluations
    return [
        _midpoint(a, b) if cost == 2 else _euler(a, b)
        for cost, a, b in zip(costs, times[:-1], times[1:], strict=True)
    ]


def _euler(a, b):
    return lambda x, speed: x + (b - a) * math.pi / 2 * speed(x, a)


def _midpoint(a, b):
    half = _euler(a, (a + b) / 2)
    return lambda x, speed: x + (b - a) * math.pi / 2 * speed(half(x, speed), (a + b) / 2)
