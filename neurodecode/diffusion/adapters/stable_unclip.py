"""Stable unCLIP: Stable Diffusion 2.1 [2]_ tuned to paint from a pooled CLIP embedding [1]_.

References
----------
.. [1] Ramesh, A. et al. (2022). Hierarchical text-conditional image generation with CLIP latents.
   arXiv:2204.06125.
.. [2] Rombach, R. et al. (2022). High-resolution image synthesis with latent diffusion models.
   CVPR.
"""

from neurodecode.core.ranges import Count, CountOrNone, NotNegative
from neurodecode.diffusion.adapters.base import Adapter
from neurodecode.diffusion.adapters.prompts import of_one
from neurodecode.diffusion.adapters.weights import Dtype, Memory, Weights

NEEDED = ("unet", "vae", "scheduler", "text_encoder", "tokenizer", "image_normalizer")
NEEDED += ("image_noising_scheduler",)
WITHOUT = ("image_encoder", "feature_extractor")  # embeddings come decoded


class StableUnclip(Adapter):
    """`StableUnCLIPImg2ImgPipeline` on decoded embeddings.

    Tokens are one a row, (n, 1, dim): the pooled embedding with its projection, not at unit length;
    1024 numbers of ViT-H, 768 of ViT-L for the small one.

    Parameters
    ----------
    path : str
        Hub id or folder.
    steps, guidance, picture_px
        See `neurodecode.diffusion.adapters.base.Adapter`.
    noise_level : int
        How much noise the embedding gets, from 0 to 999; more makes the picture freer.
    prompt : str
        A sentence for all pictures; it is encoded once.
    revision, variant, dtype, memory, device
        See `neurodecode.diffusion.adapters.weights.Weights`.
    """

    negative = None

    def __init__(
        self,
        path: str = "stabilityai/stable-diffusion-2-1-unclip",
        steps: Count = 20,
        guidance: NotNegative = 10.0,
        noise_level: CountOrNone = 0,
        prompt: str = "",
        picture_px: Count | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: Dtype = "float32",
        memory: Memory = "all_on_device",
        device: str = "cpu",
    ):
        weights = Weights(path, revision, variant, dtype, memory, device)
        if isinstance(path, str):
            from diffusers import StableUnCLIPImg2ImgPipeline

            path = weights.pipeline(StableUnCLIPImg2ImgPipeline, NEEDED, WITHOUT)
        super().__init__(path, weights, steps, guidance, picture_px)
        most = self._pipeline.image_noising_scheduler.config.num_train_timesteps - 1
        if noise_level > most:
            raise ValueError(f"noise_level={noise_level}: it goes from 0 to {most}")
        self.noise_level, self.prompt = noise_level, prompt
        self.token_shape = (1, self._pipeline.image_normalizer.config.embedding_dim)

    def _conditioned(self, rows):
        import torch

        guided, n = self.guidance > 1, len(rows)
        (sentence,) = of_one(self, self.prompt, n)
        noise = rows.noise(rows.tokens.shape[2])
        told = self._pipeline.noise_image_embeddings(rows.tokens[:, 0], self.noise_level, noise)
        told = torch.cat([torch.zeros_like(told), told]) if guided else told
        return lambda x, t: self._network(
            x, t, encoder_hidden_states=sentence, class_labels=told, return_dict=False
        )[0]
