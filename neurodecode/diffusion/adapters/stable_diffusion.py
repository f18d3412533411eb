"""Stable Diffusion [1]_ from decoded text conditions or captions, and with a ControlNet [2]_.

References
----------
.. [1] Rombach, R. et al. (2022). High-resolution image synthesis with latent diffusion models.
   CVPR.
.. [2] Zhang, L. et al. (2023). Adding conditional control to text-to-image diffusion models. ICCV.
"""

from typing import Literal

from neurodecode.core.ranges import Count, NotNegative
from neurodecode.diffusion.adapters.base import Adapter
from neurodecode.diffusion.adapters.prompts import of_captions, of_one
from neurodecode.diffusion.adapters.weights import Dtype, Memory, Weights
from neurodecode.diffusion.folder import check_network, lacking

NEEDED = ("unet", "vae", "scheduler", "text_encoder", "tokenizer")
WITHOUT = ("safety_checker", "feature_extractor", "image_encoder")
Prompt = Literal["tokens", "captions"]


class StableDiffusion(Adapter):
    """`StableDiffusionPipeline` told what a text encoder would say, from pure noise or a start.

    Parameters
    ----------
    path : str
        Hub id or folder.
    prompt : {"tokens", "captions"}
        Decoded conditions, (n, 77, 768) in place of the text encoder's; or decoded captions.
    negative : str or None
        A sentence to keep away from; None: the empty one.
    steps, guidance, picture_px
        See `neurodecode.diffusion.adapters.base.Adapter`.
    revision, variant, dtype, memory, device
        See `neurodecode.diffusion.adapters.weights.Weights`.
    """

    def __init__(
        self,
        path: str = "stable-diffusion-v1-5/stable-diffusion-v1-5",
        prompt: Prompt = "captions",
        negative: str | None = None,
        steps: Count = 50,
        guidance: NotNegative = 7.5,
        picture_px: Count | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: Dtype = "float32",
        memory: Memory = "all_on_device",
        device: str = "cpu",
    ):
        weights = Weights(path, revision, variant, dtype, memory, device)
        if isinstance(path, str):
            from diffusers import StableDiffusionPipeline

            path = weights.pipeline(StableDiffusionPipeline, NEEDED, WITHOUT)
        super().__init__(path, weights, steps, guidance, picture_px)
        self.prompt, self.negative = prompt, negative
        self.reads, self.token_shape = _reads(self)

    def _conditioned(self, rows):
        words = _words(self, rows)
        return lambda x, t: self._network(x, t, encoder_hidden_states=words, return_dict=False)[0]


class ControlNet(Adapter):
    """`StableDiffusionControlNetImg2ImgPipeline`: the picture to begin from is a condition, too.

    Rows without one (`strength` 1, or conditions that begin from noise) are painted by the
    prompt alone.

    Parameters
    ----------
    path : str
        Stable Diffusion: hub id or folder.
    controlnet : str
        The ControlNet that was trained with it: hub id or folder. One for blurred or downsized
        pictures ("tile") suits a decoded low-level picture.
    control : float
        How much it counts; 1 is what it was trained at.
    img2img : bool
        Whether the latents begin from the picture, too; otherwise they begin from noise.
    prompt, negative
        See `StableDiffusion`.
    steps, guidance, picture_px
        See `neurodecode.diffusion.adapters.base.Adapter`.
    revision, variant, dtype, memory, device
        See `neurodecode.diffusion.adapters.weights.Weights`; `revision` is of Stable Diffusion.
    """

    def __init__(
        self,
        path: str = "stable-diffusion-v1-5/stable-diffusion-v1-5",
        controlnet: str = "lllyasviel/control_v11f1e_sd15_tile",
        control: NotNegative = 1.0,
        img2img: bool = True,
        prompt: Prompt = "captions",
        negative: str | None = None,
        steps: Count = 50,
        guidance: NotNegative = 7.5,
        picture_px: Count | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: Dtype = "float32",
        memory: Memory = "all_on_device",
        device: str = "cpu",
    ):
        weights = Weights(path, revision, variant, dtype, memory, device)
        if isinstance(path, str):
            from diffusers import StableDiffusionControlNetImg2ImgPipeline as Pipeline

            loaded = _network(Weights(controlnet, None, variant, dtype, memory, device))
            path = weights.pipeline(Pipeline, NEEDED, WITHOUT, controlnet=loaded)
        super().__init__(path, weights, steps, guidance, picture_px)
        self.control, self.img2img = control, img2img
        self.prompt, self.negative = prompt, negative
        self.reads, self.token_shape = _reads(self)

    def _conditioned(self, rows):
        words, shown = _words(self, rows), None
        if rows.start is not None:
            shown = (rows.start / 2 + 0.5).to(rows.tokens)
            shown = shown.repeat(2 if self.guidance > 1 else 1, 1, 1, 1)

        def say(x, t):
            more = {} if shown is None else self._control(x, t, words, shown)
            return self._network(x, t, encoder_hidden_states=words, return_dict=False, **more)[0]

        return say

    def _control(self, x, t, words, shown):
        down, middle = self._pipeline.controlnet(
            x,
            t,
            encoder_hidden_states=words,
            controlnet_cond=shown,
            conditioning_scale=self.control,
            return_dict=False,
        )
        return {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }


def _reads(adapter):
    if adapter.prompt == "captions":
        return ("tokens", "captions"), (None, None)
    return ("tokens",), (None, adapter._network.config.cross_attention_dim)


def _words(adapter, rows):
    import torch

    if adapter.prompt == "captions":
        return of_captions(adapter, rows)[0]
    if adapter.guidance <= 1:
        return rows.tokens
    without = of_one(adapter, "", len(rows))[0][: len(rows)]  # the negative half
    if without.shape[1] != rows.tokens.shape[1]:
        raise ValueError(
            f"{rows.tokens.shape[1]} tokens a row, where the text encoder says "
            f"{without.shape[1]}: decode all of them, or take guidance=1"
        )
    return torch.cat([without, rows.tokens])


def _network(weights):
    """Load a ControlNet, once its folder is found to be whole."""
    from diffusers import ControlNetModel

    from neurodecode.diffusion.adapters.weights import downloaded
    from neurodecode.weights import weights_folder

    folder = weights_folder(weights.path)
    if folder is None:
        end = f".{weights.variant}" if weights.variant else ""
        names = ["config.json", f"diffusion_pytorch_model{end}.safetensors"]
        folder = downloaded(weights.path, weights.revision, allow=names)
    if missing := lacking(folder, ControlNetModel, weights.variant):
        raise FileNotFoundError(
            f"{folder} is no whole ControlNet: {', '.join(missing)} missing; get it by: hf "
            f"download lllyasviel/control_v11f1e_sd15_tile --local-dir {folder}"
        )
    check_network(folder, ControlNetModel, weights.variant)
    return weights.read(ControlNetModel, folder)
