"""Versatile Diffusion [1]_ from CLIP's 257 image tokens, and its 77 text tokens.

MindEye1 asks the image branch alone; MindBridge and Brain-Diffuser mix both.

References
----------
.. [1] Xu, X. et al. (2023). Versatile Diffusion: text, images and variations all in one diffusion
   model. ICCV.
"""

from neurodecode.core.ranges import Count, NotNegative, Share
from neurodecode.diffusion.adapters.base import Adapter
from neurodecode.diffusion.adapters.weights import Dtype, Memory, Weights, quiet
from neurodecode.diffusion.folder import check_folder

N_IMAGE, N_TEXT = 257, 77  # tokens of CLIP ViT-L/14's two towers
OTHERS = ("tokenizer", "image_feature_extractor", "text_encoder", "image_encoder")


class VersatileDiffusion(Adapter):
    """The dual-guided pipeline's network on decoded tokens.

    Parameters
    ----------
    path : str
        Hub id or folder.
    mix_ratio : float
        Share of the text branch. 0: tokens are (n, 257, 768), the image's, and the text branch is
        not even loaded; else (n, 334, 768), the image's and then the text's 77.
    renormalise : bool
        Divide the image tokens by the norm of the first, the class token, as they were when the
        network was trained.
    steps, guidance, picture_px
        See `neurodecode.diffusion.adapters.base.Adapter`; the steps are UniPC's.
    revision, variant, dtype, memory, device
        See `neurodecode.diffusion.adapters.weights.Weights`.
    """

    def __init__(
        self,
        path: str = "shi-labs/versatile-diffusion",
        mix_ratio: Share = 0.0,
        renormalise: bool = True,
        steps: Count = 20,
        guidance: NotNegative = 3.5,
        picture_px: Count | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: Dtype = "float32",
        memory: Memory = "all_on_device",
        device: str = "cpu",
    ):
        weights = Weights(path, revision, variant, dtype, memory, device)
        if isinstance(path, str):
            path = _loaded(weights, mix_ratio > 0)
        super().__init__(path, weights, steps, guidance, picture_px)
        self.renormalise = renormalise
        dim = self._network.config.cross_attention_dim
        self.token_shape = (N_IMAGE + (N_TEXT if mix_ratio else 0), dim)
        _set_mix(self._network, mix_ratio)

    @property
    def _network(self):
        return self._pipeline.image_unet

    def _conditioned(self, rows):
        import torch

        image, text = rows.tokens[:, :N_IMAGE], rows.tokens[:, N_IMAGE:]
        if self.renormalise:
            image = image / (image[:, :1].norm(dim=-1, keepdim=True) + 1e-6)
        told = torch.cat([text, image], dim=1)  # the order of the network's two branches
        if self.guidance > 1:
            told = torch.cat([torch.zeros_like(told), told])
        return lambda x, t: self._network(x, t, encoder_hidden_states=told, return_dict=False)[0]


def _loaded(weights, with_text):
    """The pipeline without its encoders; its index names parts that diffusers cannot find."""
    from diffusers import (
        AutoencoderKL,
        UNet2DConditionModel,
        UniPCMultistepScheduler,
        VersatileDiffusionDualGuidedPipeline,
    )
    from diffusers.pipelines.deprecated.versatile_diffusion.modeling_text_unet import (
        UNetFlatConditionModel,
    )

    kinds = {"image_unet": UNet2DConditionModel, "vae": AutoencoderKL}
    if with_text:
        kinds["text_unet"] = UNetFlatConditionModel
    left_out = [*OTHERS] if with_text else [*OTHERS, "text_unet"]
    folder = weights.folder(left_out)
    check_folder(folder, [*kinds, "scheduler"], weights.variant, left_out, weights.path)
    parts = {name: weights.read(kind, folder / name) for name, kind in kinds.items()}
    with quiet():
        scheduler = UniPCMultistepScheduler.from_pretrained(str(folder / "scheduler"))
        pipeline = VersatileDiffusionDualGuidedPipeline(
            **{"text_unet": None} | parts, **dict.fromkeys(OTHERS), scheduler=scheduler
        )
    pipeline.remove_unused_weights()  # the text branch is in the image's network now
    pipeline.model_cpu_offload_seq = "image_unet->vae"
    return pipeline


def _set_mix(network, mix_ratio):
    from diffusers.models import DualTransformer2DModel

    for module in network.modules():
        if isinstance(module, DualTransformer2DModel):
            module.mix_ratio = mix_ratio
            module.condition_lengths = [N_TEXT, N_IMAGE]
            module.transformer_index_for_condition = [1, 0]
