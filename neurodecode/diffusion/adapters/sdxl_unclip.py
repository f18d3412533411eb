"""SDXL-unCLIP: SDXL tuned to paint from 256 tokens of CLIP ViT-bigG, as MindEye2 [1]_ used it.

Its weights are published in the layout of `sgm`; `scripts/convert_sgm.py` writes them in
diffusers' own. The sampler is Euler's on the 1000 steps of the network's training, of which
`steps` roughly equally spaced ones are taken.

References
----------
.. [1] Scotti, P. et al. (2024). MindEye2: shared-subject models enable fMRI-to-image with 1 hour
   of data. ICML.
"""

import numpy as np
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
)

from neurodecode.core.ranges import Count, NotNegative
from neurodecode.diffusion.adapters.base import Adapter
from neurodecode.diffusion.adapters.weights import Dtype, Memory, Weights

NEEDED = ("unet", "vae", "scheduler")


class UnclipXLPipeline(DiffusionPipeline):
    """The parts of SDXL-unCLIP, saved and loaded in diffusers' layout."""

    model_cpu_offload_seq = "unet->vae"

    def __init__(
        self, unet: UNet2DConditionModel, vae: AutoencoderKL, scheduler: EulerDiscreteScheduler
    ):
        super().__init__()
        self.register_modules(unet=unet, vae=vae, scheduler=scheduler)


class SdxlUnclip(Adapter):
    """SDXL-unCLIP on decoded tokens, (n, 256, 1664): bigG's penultimate ones, no class token.

    Without the condition the network is told standard normal tokens, drawn anew for each row.

    Parameters
    ----------
    path : str
        A folder that `scripts/convert_sgm.py` wrote.
    offset_noise : float
        Of a number a row that is added to all of its noise: brightness is freer.
    compat : {"mindeye2"} or None
        ``mindeye2``: pictures are ``clamp(.8 x + .2)``, as published weights need it, which were
        trained on targets of pictures in [0, 1] taken for [-1, 1]. None: ``clamp(x / 2 + .5)``.
    steps, guidance, picture_px
        See `neurodecode.diffusion.adapters.base.Adapter`.
    revision, variant, dtype, memory, device
        See `neurodecode.diffusion.adapters.weights.Weights`.
    """

    upcasts = True

    def __init__(
        self,
        path: str,
        steps: Count = 38,
        guidance: NotNegative = 5.0,
        offset_noise: NotNegative = 0.04,
        compat: str | None = None,
        picture_px: Count | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: Dtype = "float32",
        memory: Memory = "all_on_device",
        device: str = "cpu",
    ):
        if compat not in (None, "mindeye2"):
            raise ValueError(f"compat={compat!r}: known are mindeye2 and null")
        weights = Weights(path, revision, variant, dtype, memory, device)
        if isinstance(path, str):
            path = weights.pipeline(UnclipXLPipeline, NEEDED)
        super().__init__(path, weights, steps, guidance, picture_px)
        self.offset_noise, self.compat = offset_noise, compat
        self.token_shape = (None, self._network.config.cross_attention_dim)

    def _conditioned(self, rows):
        import torch

        told, n = rows.tokens, len(rows)
        if self.guidance > 1:
            told, n = torch.cat([rows.noise(*told.shape[1:]), told]), 2 * n
        ids = torch.tensor([[self.picture_px, self.picture_px, 0, 0]]).to(told).repeat(n, 1)
        added = {"text_embeds": told.new_zeros(n, 0), "time_ids": ids}
        return lambda x, t: self._network(
            x, t, encoder_hidden_states=told, added_cond_kwargs=added, return_dict=False
        )[0]

    def _set_timesteps(self):
        last = self._scheduler.config.num_train_timesteps - 1
        spaced = np.linspace(last, 0, self.steps, endpoint=False).astype(int)
        self._scheduler.set_timesteps(timesteps=spaced.tolist(), device=self.device)

    def _noise(self, rows):
        return rows.noise(*self._latent_shape) + self.offset_noise * rows.noise(1, 1, 1)

    def _pure_noise(self, rows):
        """Noise of the last step's spread around latents that are noise themselves."""
        return rows.noise(*self._latent_shape) + self._scheduler.sigmas[0] * self._noise(rows)

    def _decoded(self, latents):
        pictures = super()._decoded(latents)
        return pictures if self.compat is None else (0.8 * pictures + 0.2) * 2 - 1
