"""Refine another generator's pictures with SDXL [1]_ and decoded captions, as in MindEye2 [2]_.

References
----------
.. [1] Podell, D. et al. (2024). SDXL: improving latent diffusion models for high-resolution image
   synthesis. ICLR.
.. [2] Scotti, P. et al. (2024). MindEye2: shared-subject models enable fMRI-to-image with 1 hour
   of data. ICML.
"""

from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.ranges import Count, NotNegative
from neurodecode.core.seeds import child_seed
from neurodecode.diffusion.adapters.base import Adapter
from neurodecode.diffusion.adapters.prompts import of_captions, of_one, time_ids
from neurodecode.diffusion.adapters.weights import Dtype, Memory, Weights

NEEDED = ("unet", "vae", "scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
WITHOUT = ("image_encoder", "feature_extractor")
NEGATIVE = "blurry, low quality, deformed, distorted, watermark, text, cropped, duplicate, grainy"
Prompt = Literal["captions", "empty"]


class CaptionedXL(Adapter):
    """SDXL from captions, and as `StableDiffusionXLImg2ImgPipeline` where there is a start.

    Parameters
    ----------
    path : str
        Hub id or folder.
    prompt : {"captions", "empty"}
        Decoded captions, or the empty sentence.
    negative : str or None
        A sentence to keep away from; None: SDXL's zeros.
    steps, guidance, picture_px
        See `neurodecode.diffusion.adapters.base.Adapter`.
    revision, variant, dtype, memory, device
        See `neurodecode.diffusion.adapters.weights.Weights`.
    """

    upcasts = True

    def __init__(
        self,
        path: str = "stabilityai/stable-diffusion-xl-base-1.0",
        prompt: Prompt = "captions",
        negative: str | None = NEGATIVE,
        steps: Count = 25,
        guidance: NotNegative = 5.0,
        picture_px: Count | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: Dtype = "float32",
        memory: Memory = "all_on_device",
        device: str = "cpu",
    ):
        weights = Weights(path, revision, variant, dtype, memory, device)
        if isinstance(path, str):
            from diffusers import StableDiffusionXLPipeline

            path = weights.pipeline(StableDiffusionXLPipeline, NEEDED, WITHOUT)
        super().__init__(path, weights, steps, guidance, picture_px)
        self.prompt, self.negative = prompt, negative
        self.reads = ("tokens", "captions") if prompt == "captions" else ("tokens",)

    def _conditioned(self, rows):
        captioned = self.prompt == "captions"
        words, pooled = of_captions(self, rows) if captioned else of_one(self, "", len(rows))
        ids = time_ids(len(pooled), self.picture_px, pooled)
        added = {"text_embeds": pooled, "time_ids": ids}
        return lambda x, t: self._network(
            x, t, encoder_hidden_states=words, added_cond_kwargs=added, return_dict=False
        )[0]


class Refined:
    """Another generator's pictures, painted again over the last steps of SDXL.

    Parameters
    ----------
    base : mapping
        The node of the generator that paints first; it gets the tokens, the start and `strength`.
    last_steps : int
        How many of the `steps` are taken: of all of them nothing of the first picture is left.
    path, prompt, negative, steps, guidance, picture_px, revision, variant, dtype, memory, device
        See `CaptionedXL`.
    """

    def __init__(
        self,
        base: dict,
        path: str = "stabilityai/stable-diffusion-xl-base-1.0",
        prompt: Prompt = "captions",
        negative: str | None = NEGATIVE,
        steps: Count = 25,
        last_steps: Count = 13,
        guidance: NotNegative = 5.0,
        picture_px: Count | None = 768,
        revision: str | None = None,
        variant: str | None = None,
        dtype: Dtype = "float32",
        memory: Memory = "all_on_device",
        device: str = "cpu",
    ):
        if last_steps > steps:
            raise ValueError(f"last_steps={last_steps}: there are steps={steps} in all")
        settings = (negative, steps, guidance, picture_px, revision, variant, dtype, memory, device)
        self._second, self._share = CaptionedXL(path, prompt, *settings), last_steps / steps
        self._first = build(base)
        self.token_shape, self.picture_px = self._first.token_shape, self._second.picture_px
        self.reads = tuple(dict.fromkeys([*self._first.reads, *self._second.reads]))

    def generate(
        self,
        tokens: np.ndarray,
        seeds: list[int],
        start: np.ndarray | None = None,
        strength: float = 0.8,
        batch: int = 32,
        captions: list[str] | None = None,
    ) -> np.ndarray:
        """Generate a picture per row; see `neurodecode.diffusion.adapters.base.Adapter.generate`.

        With `strength` 0 the start is returned as it is, not refined.
        """
        captioned = captions if "captions" in self._first.reads else None
        first = self._first.generate(tokens, seeds, start, strength, batch, captioned)
        share = 0.0 if start is not None and strength == 0 else self._share
        anew = [child_seed(seed, "refined") for seed in seeds]
        captions = captions if "captions" in self._second.reads else None
        # of all its steps: from noise that the first picture has no part in
        return self._second.generate(tokens, anew, first / 255, share, batch, captions)
