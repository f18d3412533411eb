"""The low-level heads of MindEye and MindEye2: from a code of the trial to a blurry picture.

    maps = GroupNorm(code, reshaped to 64 maps of a quarter of the target's height and width)
    latents = the decoder of a VAE, which doubles height and width twice
    auxiliary = three 1 x 1 convolutions of the maps, one answer of 512 numbers a place

The decoder is that of diffusers [1]_ with random weights. It was made for latents of Stable
Diffusion, (64, 64, 4) in MindEye and (28, 28, 4) in MindEye2; here the maps are as large as the
low-level target of the study asks, whatever it is.

The auxiliary head was published beside a contrastive loss against the feature maps of a frozen
ConvNeXt-XL. The pipeline has no such teacher: the head is built, so that published weights find
their place, and it is neither trained nor read.

References
----------
.. [1] von Platen et al. (2022). Diffusers: state-of-the-art diffusion models.
"""

import math

from torch import Tensor, nn

N_MAPS = 64
UPSAMPLING = 4  # of the decoder, in height and in width
AUX_WIDTH = 512
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def grid_of(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of the maps from which a target (height, width, channels) is decoded."""
    return math.ceil(shape[0] / UPSAMPLING), math.ceil(shape[1] / UPSAMPLING)


def latent_decoder(n_channels: int, width: int) -> nn.Module:
    """Build the decoder: (n, 64, h, w) to (n, n_channels, 4 h, 4 w), `width` to 4 `width` filters.

    Its groups of normalisation are 32, or `width` if that is less: `width` must fill them.
    """
    from diffusers.models.autoencoders.vae import Decoder

    groups = min(32, width)
    if width % groups:
        raise ValueError(f"the decoder's width is {width}: choose up to 32, or a multiple of 32")
    return Decoder(
        in_channels=N_MAPS,
        out_channels=n_channels,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(width, 2 * width, 4 * width),
        layers_per_block=1,
        norm_num_groups=groups,
    )


def maps_projector() -> nn.Sequential:
    """Build the auxiliary head: (n, 64, h, w) to (n, 512, h, w)."""
    convolution = lambda n_in, bias: nn.Conv2d(n_in, AUX_WIDTH, 1, bias=bias)
    return nn.Sequential(
        convolution(N_MAPS, False),
        nn.GroupNorm(1, AUX_WIDTH),
        nn.ReLU(),
        convolution(AUX_WIDTH, False),
        nn.GroupNorm(1, AUX_WIDTH),
        nn.ReLU(),
        convolution(AUX_WIDTH, True),
    )


def as_maps(code: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Lay a code (n, 64 h w) out as the maps of a target: (n, 64, h, w)."""
    return code.unflatten(1, (N_MAPS, *grid_of(shape)))


def places(maps: Tensor) -> Tensor:
    """Maps (n, c, h, w) as one row a place, (n, h w, c)."""
    return maps.flatten(2).transpose(1, 2)


def as_target(latents: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Latents (n, c, h, w), cut to a target's height and width, channels last."""
    return latents[:, :, : shape[0], : shape[1]].permute(0, 2, 3, 1)


def present_name(key: str) -> str:
    """The key of a weight in the decoder of today's diffusers.

    Its attention was once named ``query``, ``key``, ``value`` and ``proj_attn``.
    """
    parts = key.split(".")
    if "attentions" in parts:
        parts = [OLD_NAMES.get(part, part) for part in parts]
    return ".".join(parts)
