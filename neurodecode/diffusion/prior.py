"""The diffusion prior: from the tokens a brain suggests to tokens a picture could have.

A decoder's predictions are averages over all pictures that fit a noisy recording; a generator wants
the tokens of one picture. The prior learns p(image tokens | brain tokens) by denoising [1]_ and is
sampled once per picture wanted. Tokens come in standardised (mean 0, variance 1 per feature).

References
----------
.. [1] Ramesh et al. (2022). Hierarchical text-conditional image generation with CLIP latents.
.. [2] Ho, Salimans (2022). Classifier-free diffusion guidance.
"""

import math
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.core.ranges import Count, CountOrNone, PartShare
from neurodecode.diffusion.linear import LinearDenoiser
from neurodecode.diffusion.noise import noise
from neurodecode.diffusion.prior_network import PriorNetwork
from neurodecode.diffusion.sampling import steps_of, walk
from neurodecode.diffusion.schedule import cosine_schedule


class DiffusionPrior(nn.Module):
    """Denoising diffusion over image tokens, given brain tokens of the same shape.

    Parameters
    ----------
    n_tokens, dim : int
        Image tokens and their size.
    depth, heads, dim_head, ff_mult, dropout
        Of the transformer, see `PriorNetwork`.
    n_steps : int
        Steps of the cosine noise schedule.
    cond_drop : float
        Chance that a training row loses its brain tokens: so the prior also learns p(image tokens),
        which guidance and the no-brain control need.
    image_drop : float
        Chance that a training row loses its noised image tokens (published: the same .2; it only
        teaches the conditional mean a second time).
    image_embed_scale : float or None
        Tokens are multiplied by this before noise is added, divided after sampling; None is
        sqrt(dim), which suits unit vectors.
    linear_components : int
        Above 0, the network adds to a `LinearDenoiser` with so many principal components, which
        `prepare` fits; with 0 it predicts x_0 by itself, as published.
    compat : bool
        Published quirks: of the network, of DDIM's grid, and guidance away from a null that also
        drops the image tokens.
    """

    reads, comes_trained, descends = "tokens", False, True

    def __init__(
        self,
        n_tokens: int,
        dim: int,
        depth: Count = 6,
        heads: Count = 12,
        dim_head: Count = 64,
        ff_mult: Count = 4,
        dropout: PartShare = 0.0,
        n_steps: Count = 100,
        cond_drop: PartShare = 0.2,
        image_drop: PartShare = 0.0,
        image_embed_scale: float | None = 1.0,
        linear_components: CountOrNone = 0,
        compat: bool = False,
    ):
        super().__init__()
        for name, chance in {"cond_drop": cond_drop, "image_drop": image_drop}.items():
            if not 0 <= chance <= 1:
                raise ValueError(f"{name} is {chance}; give a probability from 0 to 1")
        self.net = PriorNetwork(n_tokens, dim, depth, heads, dim_head, ff_mult, dropout, compat)
        self.schedule = cosine_schedule(n_steps)
        self.noise_scheduler = _buffers(self.schedule)
        self.cond_drop, self.image_drop, self.compat = cond_drop, image_drop, compat
        self.scale = math.sqrt(dim) if image_embed_scale is None else image_embed_scale
        self.linear = None
        if linear_components:
            if self.scale != 1:
                raise ValueError(
                    "linear_components needs image_embed_scale=1 (standardised tokens)"
                )
            self.linear = LinearDenoiser(n_tokens, dim, linear_components)
            # Zero at first: training begins as good as the linear denoiser.
            nn.init.zeros_(self.net.causal_transformer.project_out.weight)

    def node(self, given: dict) -> dict:
        """The configuration node that builds this network again: the one it was built from."""
        return given

    def statistics(self) -> dict:
        """Nothing: tokens are standardised by the training stimuli."""
        return {}

    def calibrate(self, said: np.ndarray, true: np.ndarray, stimulus: np.ndarray) -> dict:
        """Nothing: the prior itself is trained on what decoders say of new trials."""
        return {}

    def condition(self, said: np.ndarray, calibration: dict, n_repeats: np.ndarray) -> np.ndarray:
        """The decoder's tokens as they are."""
        return said

    def prepare(self, tokens: Tensor, brain: Tensor, truth: Tensor) -> None:
        """Fit what is not learned by descent, before training; arguments as of `LinearDenoiser`."""
        if self.linear is not None:
            self.linear.fit(tokens, brain, truth)

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        brain: Tensor,
        keep_brain: Tensor | None = None,
        keep_image: Tensor | None = None,
    ) -> Tensor:
        """Predict x_0, scaled; arguments as of `PriorNetwork`."""
        x_0 = self.net(x_t, t, brain, keep_brain, keep_image)
        if self.linear is None:
            return x_0
        return x_0 + self.linear(x_t, self.noise_scheduler.alphas_cumprod[t], brain, keep_brain)

    def loss(self, brain: Tensor, image: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of the predicted x_0 at random steps.

        Parameters
        ----------
        brain, image : Tensor, shape (n, n_tokens, dim)
            Predicted and true tokens of the same pictures.
        generator : torch.Generator
            A CPU generator: draws steps, noise and dropped conditions, the same on every device.
        """
        x_0 = image * self.scale
        n, device = len(x_0), x_0.device
        t = torch.randint(len(self.schedule.betas), (n,), generator=generator)
        fresh = noise(x_0.shape, generator, x_0.dtype, device)
        keep_brain = torch.rand(n, generator=generator) >= self.cond_drop
        keep_image = torch.rand(n, generator=generator) >= self.image_drop
        drawn = (t, keep_brain, keep_image)  # while the GPU is still at the step before
        t, keep_brain, keep_image = (a.to(device, non_blocking=True) for a in drawn)
        predicted = self(self.add_noise(x_0, t, fresh), t, brain, keep_brain, keep_image)
        return F.mse_loss(predicted.to(x_0.dtype), x_0)

    def add_noise(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise, one step t per row."""
        signal = self.noise_scheduler.sqrt_alphas_cumprod[t][:, None, None]
        spread = self.noise_scheduler.sqrt_one_minus_alphas_cumprod[t][:, None, None]
        return signal * x_0 + spread * noise

    @torch.no_grad()
    def errors(self, brain: Tensor, truth: Tensor, generator: torch.Generator) -> dict[str, float]:
        """Mean squared errors of x_0 at random steps, `with_brain` and `without_brain`."""
        n = len(truth)
        t = torch.randint(len(self.schedule.betas), (n,), generator=generator).to(truth.device)
        fresh = noise(truth.shape, generator, truth.dtype, truth.device)
        x_t = self.add_noise(truth * self.scale, t, fresh)
        found = {}
        for name, keep in (("with_brain", True), ("without_brain", False)):
            kept = torch.full((n,), keep, device=truth.device)
            predicted = self(x_t, t, brain, keep_brain=kept) / self.scale
            found[name] = float((predicted - truth).square().mean())
        return found

    @torch.no_grad()
    def sample(
        self,
        brain: Tensor | None,
        seeds: list[int],
        n_sampling: int | None = None,
        eta: float = 1.0,
        guidance: float = 1.0,
    ) -> Tensor:
        """Draw one set of image tokens per row.

        Parameters
        ----------
        brain : Tensor or None, shape (n, n_tokens, dim)
            None draws from the prior alone: no brain.
        seeds : list of int, length n
            Each row has its own noise: what it becomes does not depend on the other rows.
        n_sampling : int, optional
            DDIM with this many evaluations; None walks through every step (DDPM).
        eta : float
            Noise of DDIM: 0 none, 1 as much as DDPM. Not used by DDPM.
        guidance : float
            1 samples p(image | brain); above 1 moves further from the null condition [2]_.

        Returns
        -------
        tokens : Tensor, shape (n, n_tokens, dim)
        """
        if brain is not None and len(brain) != len(seeds):
            raise ValueError(
                f"{len(brain)} rows of brain tokens, {len(seeds)} seeds: give one each"
            )
        predict = lambda x_t, t: self.predict(x_t, t, brain, guidance)
        steps = steps_of(self.schedule, n_sampling, eta, self.compat)
        return walk(steps, predict, self.net.learned_query, seeds) / self.scale

    def predict(self, x_t: Tensor, t: int, brain: Tensor | None, guidance: float = 1.0) -> Tensor:
        """Return x_0 predicted from x_t (n, n_tokens, dim) at step t, scaled, with guidance."""
        times = torch.full((len(x_t),), t, device=x_t.device)
        none = torch.zeros(len(x_t), dtype=torch.bool, device=x_t.device)
        if brain is None:
            return self(x_t, times, x_t, keep_brain=none)
        with_brain = self(x_t, times, brain)
        if guidance == 1:
            return with_brain
        keep_image = none if self.compat else None
        without = self(x_t, times, brain, keep_brain=none, keep_image=keep_image)
        return without + guidance * (with_brain - without)


def _buffers(schedule) -> nn.Module:
    """The schedule as float32 buffers, under the keys of published checkpoints."""
    module = nn.Module()
    for name, values in asdict(schedule).items():
        module.register_buffer(name, torch.as_tensor(values, dtype=torch.float32))
    return module
