"""The latents of a variational autoencoder [1]_ as a target: what latent diffusion starts from.

References
----------
.. [1] Rombach, R. et al. (2022). High-resolution image synthesis with latent diffusion models.
   CVPR.
"""

import numpy as np

from neurodecode.contrastive.embedding import check_pictures, in_batches, slices
from neurodecode.core.ranges import Count
from neurodecode.weights.folders import (
    check_fit,
    check_whole,
    model_folder,
    read_config,
    weight_files,
)


class VaeTarget:
    """An ``AutoencoderKL`` of diffusers as a target.

    A picture is scaled to `picture_px`, to [-1, 1], and encoded: the mode of the posterior, shifted
    and multiplied as the configuration says (``scaling_factor``: 0.18215 of Stable Diffusion,
    0.13025 of SDXL), so that latents have a variance of about 1. A token is one place of the map.

    Parameters
    ----------
    model : str
        A folder with ``config.json`` and ``diffusion_pytorch_model.safetensors``, or a hub id.
    revision : str or None
        Commit, tag or branch of a hub id.
    subfolder : str
        Where the autoencoder lies in it (``vae`` of a whole pipeline).
    picture_px : int
        Side to which pictures are scaled; latents have an eighth of it (Stable Diffusion).
    flat : bool
        One token of all numbers, instead of one a place.
    batch : int
        Pictures encoded at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    FileNotFoundError
        If a file is missing, naming it.
    ValueError
        If configuration and weights are of different networks.
    """

    takes = ("pictures",)

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        subfolder: str = "",
        picture_px: Count = 256,
        flat: bool = False,
        batch: int = 16,
        device: str = "cpu",
    ):
        folder = model_folder(model, revision, subfolder)
        self._vae = load_vae(folder).to(device)
        self.picture_px, self._flat = picture_px, flat
        self.batch, self.device = batch, device
        pooled, tokens = self.pictures(np.zeros((1, 8, 8, 3), np.uint8))
        self.dim = pooled.shape[1]
        self.n_tokens, self.token_dim = tokens.shape[1:]

    def pictures(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encode uint8 pictures (n, height, width, 3).

        Returns
        -------
        pooled : ndarray of float32, shape (n, h * w * c)
            The latents in the order of the tokens, at unit length.
        tokens : ndarray of float32, shape (n, h * w, c), or (n, 1, h * w * c)
            Row by row of the map, its channels last.
        """
        return in_batches(self._embed, self._batches(pictures))

    def _embed(self, rows):
        import torch

        with torch.inference_mode():
            latents = latents_of(self._vae, rows)
        tokens = latents.flatten(2).transpose(1, 2)
        pooled = tokens.flatten(1)
        return pooled, pooled[:, None] if self._flat else tokens

    def _batches(self, pictures):
        import torch
        from PIL import Image

        check_pictures(pictures)
        size = (self.picture_px, self.picture_px)
        for some in slices(pictures, self.batch):
            scaled = [
                np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BICUBIC)) for p in some
            ]
            rows = torch.from_numpy(np.stack(scaled)).permute(0, 3, 1, 2)
            yield (rows.float() / 127.5 - 1).to(self.device)


def load_vae(folder):
    """Load an AutoencoderKL of diffusers in float32, once its folder is found to hold one.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the message says which, and how to get it.
    ValueError
        If the folder is of another network, or damaged.
    """
    import torch
    from diffusers import AutoencoderKL

    about, path = read_config(folder), folder / "config.json"
    if about.get("_class_name") != "AutoencoderKL":
        raise ValueError(
            f"{path} is of {about.get('_class_name', 'no class of diffusers')}, not of an "
            "AutoencoderKL: name the folder of one (of a whole pipeline, subfolder=vae)"
        )
    files = weight_files(folder, "diffusion_pytorch_model")
    check_fit(lambda: AutoencoderKL.from_config(about), files, path)
    how = {"use_safetensors": True, "local_files_only": True, "dtype": torch.float32}
    how["low_cpu_mem_usage"] = False  # it would need accelerate
    try:
        vae, found = AutoencoderKL.from_pretrained(str(folder), output_loading_info=True, **how)
    except Exception as error:  # diffusers raises many, over whatever the files say
        lines = str(error).splitlines() or [""]
        raise ValueError(
            f"{folder} cannot be loaded by diffusers ({type(error).__name__}: {lines[0]:.300}): "
            "its weights or its configuration are damaged; fetch it again"
        ) from error
    check_whole(found, folder)
    return vae.eval().requires_grad_(False)


def latents_of(vae, pictures):
    """The mode of a VAE's posterior, ``(mode - shift_factor) * scaling_factor``: (n, c, h, w)."""
    mode, about = vae.encode(pictures).latent_dist.mode(), vae.config
    return (mode - (about.shift_factor or 0)) * about.scaling_factor
