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
            path = _loaded(weights, mix_ratio)
        super().__init__(path, weights, steps, guidance, picture_px)
        self.renormalise = renormalise
        dim = self._network.config.cross_attention_dim
        self.token_shape = (N_IMAGE + (N_TEXT if mix_ratio else 0), dim)

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


def _loaded(weights, mix_ratio):
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
    if mix_ratio:
        kinds["text_unet"] = UNetFlatConditionModel
    left_out = [*OTHERS] if mix_ratio else [*OTHERS, "text_unet"]
    folder = weights.folder(left_out)
    check_folder(folder, [*kinds, "scheduler"], weights.variant, left_out, weights.path)
    parts = {name: weights.read(kind, folder / name) for name, kind in kinds.items()}
    if mix_ratio:
        _mix(parts["image_unet"], parts.pop("text_unet"), mix_ratio)
    with quiet():
        scheduler = UniPCMultistepScheduler.from_pretrained(str(folder / "scheduler"))
    nobody = dict.fromkeys([*OTHERS, "text_unet"])
    pipeline = VersatileDiffusionDualGuidedPipeline(**parts, **nobody, scheduler=scheduler)
    pipeline.model_cpu_offload_seq = "image_unet->vae"
    return pipeline


def _mix(network, text_network, mix_ratio):
    """Put the text branch's transformers beside the image's, in every block that attends.

    diffusers' own module for it (`DualTransformer2DModel`) takes no longer what the blocks pass.
    """
    from diffusers.models import Transformer2DModel

    attending = [n for n, m in network.named_modules() if isinstance(m, Transformer2DModel)]
    for name in attending:
        place, _, number = name.rpartition(".")
        image, text = (n.get_submodule(place)[int(number)] for n in (network, text_network))
        network.get_submodule(place)[int(number)] = _mixed(image, text, mix_ratio)


def _mixed(image, text, mix_ratio):
    """A module of two transformers, each told its own tokens; their answers are averaged."""
    from torch import nn

    class Mixed(nn.Module):
        """Text tokens come first, as in the published network."""

        def __init__(self):
            super().__init__()
            self.image, self.text = image, text

        def forward(self, hidden_states, encoder_hidden_states, return_dict=False, **others):
            """Pass others on; return a tuple, as the blocks want it."""
            said = [
                branch(hidden_states, tokens, return_dict=False, **others)[0]
                for branch, tokens in (
                    (self.text, encoder_hidden_states[:, :N_TEXT]),
                    (self.image, encoder_hidden_states[:, N_TEXT:]),
                )
            ]
            return (mix_ratio * said[0] + (1 - mix_ratio) * said[1],)

    return Mixed()
