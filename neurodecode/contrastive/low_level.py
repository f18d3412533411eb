"""Low-level targets: what a picture looks like, without what it shows.

The brain is regressed to one of these beside the embedding, and the generator begins from the
decoded picture. Anything with the members of `LowLevel` will do: a small blurred picture, or
latents of the autoencoder of a latent diffusion model, as MindEye has it [1]_.

References
----------
.. [1] Scotti, P. S. et al. (2023). Reconstructing the mind's eye: fMRI-to-image with contrastive
   learning and diffusion priors. NeurIPS.
"""

from typing import Protocol

import numpy as np

from neurodecode.contrastive.latents import latents_of, load_vae
from neurodecode.core.ranges import Count
from neurodecode.weights.folders import model_folder


class LowLevel(Protocol):
    """A way to write a picture's appearance as a few numbers, and to see them again.

    Attributes
    ----------
    shape : tuple of (int, int, int)
        Height, width and channels of what is written.
    """

    shape: tuple[int, int, int]

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Write uint8 pictures (n, h, w, 3): float32 (n, *shape)."""

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Show values (n, *shape) as pictures: float32 (n, height, width, 3) in [0, 1]."""


class Miniature:
    """The picture averaged over areas: a blurry miniature.

    Parameters
    ----------
    px : int
        Height and width of the miniature.
    """

    def __init__(self, px: Count = 16):
        self.shape = (px, px, 3)

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Average uint8 pictures (n, h, w, 3) over areas: float32 (n, px, px, 3) in [0, 1]."""
        import torch
        from torch.nn.functional import adaptive_avg_pool2d

        channels_first = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        return adaptive_avg_pool2d(channels_first, self.shape[:2]).permute(0, 2, 3, 1).numpy()

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Keep what was decoded within [0, 1]."""
        return np.clip(values, 0, 1)


class VaeLatents:
    """Latents of an AutoencoderKL of diffusers: the mode of the posterior, times the VAE's scale.

    ``(mode - shift_factor) * scaling_factor``, with both from the VAE's own configuration, so that
    a value's standard deviation is about 1 and a denoiser of the same VAE can begin there.

    Parameters
    ----------
    model : str
        A folder with ``config.json`` and safetensors, or a hub id (``stabilityai/sd-vae-ft-mse``),
        which is fetched.
    px : int
        Height and width to which pictures are scaled; a multiple of the VAE's downsampling, 8 for
        those of Stable Diffusion: 64 gives latents of 8 x 8 x 4, MindEye's 512 ones of 64 x 64 x 4.
    subfolder : str
        ``vae`` where the folder is that of a whole pipeline.
    revision : str or None
        Commit of a hub id; None: its main branch, which may change under you.
    batch : int
        Pictures at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the message says which, and how to get it.
    ValueError
        If the folder is of another network, or `px` does not fit it.
    """

    def __init__(
        self,
        model: str,
        px: Count = 64,
        subfolder: str = "",
        revision: str | None = None,
        batch: Count = 8,
        device: str = "cpu",
    ):
        folder = model_folder(model, revision, subfolder)
        self._vae = load_vae(folder).to(device)
        own = self._vae.config
        factor = 2 ** (len(own.block_out_channels) - 1)
        if px % factor:
            raise ValueError(
                f"embed.low_level.px={px}: this VAE makes one latent of {factor} x {factor} "
                f"pixels; choose a multiple of {factor}"
            )
        self.px, self.batch, self.device = px, batch, device
        self.shape = (px // factor, px // factor, own.latent_channels)
        self._scale, self._shift = own.scaling_factor, own.shift_factor or 0.0

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Encode uint8 pictures (n, h, w, 3), scaled to px (bilinear, antialiased)."""
        return self._in_batches(self._encoded, pictures, self.shape)

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Decode latents to pictures, float32 (n, px, px, 3) in [0, 1]."""
        return self._in_batches(self._decoded, values, (self.px, self.px, 3))

    def _encoded(self, pictures):
        from torch.nn.functional import interpolate

        size = (self.px, self.px)
        pictures = interpolate(pictures / 127.5 - 1, size, mode="bilinear", antialias=True)
        return latents_of(self._vae, pictures)

    def _decoded(self, values):
        pictures = self._vae.decode(values / self._scale + self._shift).sample
        return (pictures / 2 + 0.5).clamp(0, 1)

    def _in_batches(self, step, rows, shape):
        """Put rows (n, h, w, c) through a step that has channels first."""
        import torch

        found = np.empty((len(rows), *shape), np.float32)
        for first in range(0, len(rows), self.batch):
            some = slice(first, first + self.batch)
            given = torch.from_numpy(np.array(rows[some], np.float32)).permute(0, 3, 1, 2)
            with torch.inference_mode():
                made = step(given.to(self.device))
            found[some] = made.permute(0, 2, 3, 1).float().cpu().numpy()
        return found
