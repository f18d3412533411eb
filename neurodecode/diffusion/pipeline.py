"""From image tokens to pictures by flow matching [1]_ on pixels, as a diffusers pipeline.

A picture `x_0` (in [-1, 1]) goes from noise (sigma = 1) to itself (sigma = 0) along the straight
line `x_sigma = (1 - sigma) x_0 + sigma noise`. The network, seeing `x_sigma` and the tokens, says
`x_0`; the velocity is `(x_sigma - x_0) / sigma`, and Euler steps follow it. Saying the picture and
not the noise is what lets patches of 16 x 16 pixels go through 256 channels [2]_: pictures lie on
a thin sheet in the space of pixels, noise fills it.

References
----------
.. [1] Lipman, Y. et al. (2023). Flow matching for generative modeling. ICLR.
.. [2] Li, T. & He, K. (2025). Back to basics: let denoising generative models denoise.
"""

import math

import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, PixArtTransformer2DModel


class TokenPipeline(DiffusionPipeline):
    """A denoiser of pixels that cross-attends to CLIP tokens.

    Saved and loaded in diffusers' own layout (`model_index.json` and a folder per part).

    Parameters
    ----------
    transformer : PixArtTransformer2DModel
        Says the clean picture; `caption_channels` is the width of the tokens it is conditioned on.
    scheduler : FlowMatchEulerDiscreteScheduler
    """

    def __init__(
        self,
        transformer: PixArtTransformer2DModel,
        scheduler: FlowMatchEulerDiscreteScheduler,
    ):
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a picture."""
        size = self.transformer.config.sample_size
        return self.transformer.config.in_channels, size, size

    @torch.inference_mode()
    def __call__(
        self,
        tokens: torch.Tensor,
        noise: torch.Tensor,
        start: torch.Tensor | None = None,
        strength: float = 1.0,
        steps: int = 4,
        guidance: float = 1.0,
    ) -> torch.Tensor:
        """Generate pictures.

        Parameters
        ----------
        tokens : tensor, shape (n, n_tokens, token_dim)
        noise : tensor, shape (n, *picture_shape)
            Standard normal.
        start : tensor, shape (n, 3, height, width), values in [0, 1], or None
            Picture to begin from, of any size (a blurry 16 x 16 will do).
        strength : float
            How noisy the beginning is: 1 is pure noise (`start` has no say), 0 is `start` itself.
        steps : int
            Network evaluations from sigma = 1 to 0; a beginning at sigma < 1 takes its share.
        guidance : float
            `v_null + guidance (v - v_null)` [classifier-free guidance], the null condition being
            tokens of zeros; 1 evaluates the network once per step.

        Returns
        -------
        pictures : tensor, shape (n, 3, height, width), values in [0, 1]
        """
        x, strength = noise, 1.0 if start is None else strength
        if start is not None:
            size = self.picture_shape[1:]
            begun = F.interpolate(start * 2 - 1, size, mode="bilinear", antialias=True)
            x = (1 - strength) * begun + strength * noise
        n_steps = math.ceil(steps * strength - 1e-9)
        if n_steps:
            sigmas = [strength * (n_steps - i) / n_steps for i in range(n_steps)]
            self.scheduler.set_timesteps(sigmas=sigmas, device=x.device)
            for t in self.scheduler.timesteps:
                x = self.scheduler.step(self._velocity(x, t, tokens, guidance), t, x)[0]
        return (x / 2 + 0.5).clamp(0, 1)

    def _velocity(self, x, t, tokens, guidance):
        sigma = t / self.scheduler.config.num_train_timesteps
        clean = self._clean(x, t, tokens)
        if guidance != 1.0:
            null = self._clean(x, t, torch.zeros_like(tokens))
            clean = null + guidance * (clean - null)
        return (x - clean) / sigma

    def _clean(self, x, t, tokens):
        return self.transformer(x, tokens, t.expand(len(x)), return_dict=False)[0]
