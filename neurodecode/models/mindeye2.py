"""The brain network of MindEye2, with the parameter names and shapes of its published checkpoints.

    ridge:            one linear layer a subject, from voxels to a space that all subjects share
    mixer:            pairs of blocks, one along the features, one along the positions
    backbone_linear:  to all tokens, the condition of the prior
    clip_proj:        each token through LayerNorm-GELU-Linear three times, for the contrast
    blin1, bnorm, bupsampler:  the low-level head, see `low_level_heads`

The published mixer is inert at its published length of one position. Its two kinds of blocks have
residual streams of their own, and each block adds what its own kind said last:

    x = along_features(x) + first;    first = x
    x = along_positions(x') + second; second = x     (x' transposed; first, second = the input)

The second stream carries the input past every block along the features, and a block along the
positions begins with a LayerNorm over one number, which is its bias whatever the number. So
what leaves the mixer is the input plus a constant, and its 134 million weights are of no effect.
That is what `compat=True` computes, and what published weights were trained as.

Repaired, the default, there is one residual stream, and the norm of the blocks along the positions
goes over the features, as in MLP-Mixer [2]_; its gain and bias are still one a position, so that
all parameters have their published names and shapes:

    x = x + along_features(x)
    x = x + along_positions(norm over features(x)')'

References
----------
.. [1] Scotti et al. (2024). MindEye2: shared-subject models enable fMRI-to-image with 1 hour of
   data. ICML. Defaults are those of its released model for 256 tokens of OpenCLIP ViT-bigG.
.. [2] Tolstikhin et al. (2021). MLP-Mixer: an all-MLP architecture for vision. NeurIPS.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.core.ranges import Count, CountOrNone, PartShare
from neurodecode.models.answers import below
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import check_trials
from neurodecode.models.low_level_heads import (
    N_MAPS,
    as_maps,
    as_target,
    grid_of,
    latent_decoder,
    maps_projector,
    places,
    present_name,
)
from neurodecode.models.published import Shapes, numbered, shape_of

LAYOUT = "MindEye2"
LOW_DROPOUT = 0.3


class BrainNetwork(nn.Module):
    """From the shared space to image tokens, their projection, and latents of the picture [1]_.

    Parameters
    ----------
    h : int
        Features of the shared space.
    out_dim : int
        Values of all tokens together; a multiple of `clip_size`.
    seq_len : int
        Positions.
    n_blocks : int
        Pairs of blocks of the mixer.
    dropout : float
        Share of features hidden within them in training.
    clip_size : int
        Values per token.
    latent : tuple of int or None
        Height, width and channels of the low-level target; None: no low-level head.
    width : int
        Filters of the low-level decoder's last block; the first has four times as many.
    compat : bool
        The mixer as published, see the top of this file.
    """

    def __init__(
        self,
        h: int = 4096,
        out_dim: int = 256 * 1664,
        seq_len: int = 1,
        n_blocks: int = 4,
        dropout: float = 0.15,
        clip_size: int = 1664,
        latent: tuple[int, int, int] | None = (28, 28, 4),
        width: int = 32,
        compat: bool = False,
    ):
        super().__init__()
        if out_dim % clip_size:
            raise ValueError(f"out_dim {out_dim} is not a multiple of clip_size {clip_size}")
        self.clip_size, self.latent, self.compat = clip_size, latent, compat
        self.mixer_blocks1 = nn.ModuleList(_mixer(h, dropout) for _ in range(n_blocks))
        self.mixer_blocks2 = nn.ModuleList(_mixer(seq_len, dropout) for _ in range(n_blocks))
        self.backbone_linear = nn.Linear(h * seq_len, out_dim)
        self.clip_proj = nn.Sequential(
            *(
                layer
                for _ in range(3)
                for layer in (nn.LayerNorm(clip_size), nn.GELU(), nn.Linear(clip_size, clip_size))
            )
        )
        if latent is not None:
            self.blin1 = nn.Linear(h * seq_len, N_MAPS * math.prod(grid_of(latent)))
            self.bdropout = nn.Dropout(LOW_DROPOUT)
            self.bnorm = nn.GroupNorm(1, N_MAPS)
            self.bupsampler = latent_decoder(latent[2], width)
            self.b_maps_projector = maps_projector()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Decode trials in the shared space, (n_trials, seq_len, h).

        Returns
        -------
        backbone, projected : Tensor, shape (n_trials, n_tokens, clip_size)
            The condition of the diffusion prior; what the contrastive loss and retrieval read.
        latents : Tensor, shape (n_trials, channels, height, width), or None
            Height and width are rounded up to multiples of 4.
        """
        code = self.mixed(x)
        backbone = self.backbone_linear(code).unflatten(1, (-1, self.clip_size))
        latents = None if self.latent is None else self.bupsampler(self.maps(code))
        return backbone, self.clip_proj(backbone), latents

    def mixed(self, x: Tensor) -> Tensor:
        """What the mixer makes of (n_trials, seq_len, h), flat: (n_trials, seq_len * h)."""
        pairs = zip(self.mixer_blocks1, self.mixer_blocks2, strict=True)
        return (_mixed_as_published if self.compat else _mixed)(x, pairs).flatten(1)

    def maps(self, code: Tensor) -> Tensor:
        """The maps that the low-level decoder reads: (n_trials, 64, height / 4, width / 4)."""
        return self.bnorm(as_maps(self.bdropout(self.blin1(code)), self.latent))

    def auxiliary(self, code: Tensor) -> Tensor:
        """What the auxiliary head says of the mixer's answer: (n_trials, places, 512)."""
        return places(self.b_maps_projector(self.maps(code)))


def _mixer(length: int, dropout: float) -> nn.Sequential:
    layers = (nn.Linear(length, length), nn.GELU(), nn.Dropout(dropout), nn.Linear(length, length))
    return nn.Sequential(nn.LayerNorm(length), nn.Sequential(*layers))


def _mixed(x, pairs):
    for along_features, along_positions in pairs:
        x = x + along_features(x)
        own, layers = along_positions
        normed = F.layer_norm(x, x.shape[2:]).transpose(1, 2) * own.weight + own.bias
        x = x + layers(normed).transpose(1, 2)
    return x


def _mixed_as_published(x, pairs):
    first, second = x, x.transpose(1, 2)
    for along_features, along_positions in pairs:
        first = along_features(x) + first
        second = along_positions(first.transpose(1, 2)) + second
        x = second.transpose(1, 2)
    return x


class MindEye2(nn.Module):
    """Decode trials of any known subject: a ridge of its own, and a `BrainNetwork` all share [1]_.

    Where the pooled embedding is all tokens, flat (`embed.pooled=tokens`), it is the projected
    tokens, as published. Another one is read linearly from their mean. A target without tokens is
    decoded as one token.

    The ridges are linear layers; what makes them ridges is the weight decay of the training
    (`train.decoder_training.weight_decay`).

    Parameters
    ----------
    sizes : Sizes
        What the data decide.
    hidden : int
        Features of the shared space.
    n_blocks, dropout, compat
        Of the mixer, see `BrainNetwork`.
    low_level : bool
        False: no low-level head, and no low-level picture is decoded.
    low_width : int
        Filters of its decoder's last block.
    """

    def __init__(
        self,
        sizes: Sizes,
        hidden: Count = 4096,
        n_blocks: CountOrNone = 4,
        dropout: PartShare = 0.15,
        low_level: bool = True,
        low_width: Count = 32,
        compat: bool = False,
    ):
        super().__init__()
        self.sizes = sizes
        self.ridge = nn.ModuleDict(
            {s: nn.Linear(n * (sizes.n_times or 1), hidden) for s, n in sizes.channels.items()}
        )
        clip_size = sizes.token_dim or sizes.dim
        n_values = (sizes.n_tokens or 1) * clip_size
        latent = sizes.blurry if low_level else None
        self.backbone = BrainNetwork(
            hidden, n_values, 1, n_blocks, dropout, clip_size, latent, low_width, compat
        )
        if latent is not None:
            self.backbone.b_maps_projector.requires_grad_(False)
        self.pooled = None if n_values == sizes.dim else nn.Linear(clip_size, sizes.dim)

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject, (n_trials, n_channels of this subject[, n_times])."""
        check_trials(responses, subject, self.sizes)
        shared = self.ridge[subject](responses.flatten(1)).unsqueeze(1)
        backbone, projected, latents = self.backbone(shared)
        pooled = projected.flatten(1)
        if self.pooled is not None:
            pooled = self.pooled(projected.mean(dim=1))
        blurry = None if latents is None else as_target(latents, self.sizes.blurry)
        return BrainOutput(backbone if self.sizes.n_tokens else None, pooled, blurry)


def published(state: Shapes) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint, and say where each of its weights belongs.

    Parameters
    ----------
    state : dict of tuple
        Shapes by key, ``ridge.linears.0.weight`` and so on. Old names of the low-level decoder's
        attention will do.

    Returns
    -------
    network : MindEye2
        On the meta device, with the mixer as published: subjects are ``sub-01``, ``sub-02``, … in
        the order of the checkpoint, whoever they were.
    names : dict of str
        Our key for each published one. Those of the prior (``diffusion_prior.…``) have none.

    Raises
    ------
    ValueError
        If a key of the layout is missing.
    """
    hidden = shape_of(state, "ridge.linears.0.weight", LAYOUT)[0]
    n_subjects = numbered(state, "ridge.linears.", ".weight")
    channels = {
        _subject(k): shape_of(state, f"ridge.linears.{k}.weight", LAYOUT)[1]
        for k in range(n_subjects)
    }
    own = below(state, "backbone.")
    out_dim = shape_of(own, "backbone_linear.weight", LAYOUT)[0]
    clip_size = shape_of(own, "clip_proj.0.weight", LAYOUT)[0]
    blurry, width = None, 32
    if "blin1.weight" in own:
        side = 4 * math.isqrt(own["blin1.weight"][0] // N_MAPS)
        blurry = (side, side, shape_of(own, "bupsampler.conv_out.weight", LAYOUT)[0])
        width = shape_of(own, "bupsampler.conv_norm_out.weight", LAYOUT)[0]
    sizes = Sizes(channels, out_dim, out_dim // clip_size, clip_size, blurry)
    n_blocks = numbered(own, "mixer_blocks1.", ".0.weight")
    with torch.device("meta"):
        network = MindEye2(sizes, hidden, n_blocks, low_width=width, compat=True)
    known = network.state_dict()
    names = {key: _renamed(key) for key in state}
    return network, {key: name for key, name in names.items() if name in known}


def _renamed(key):
    if key.startswith("ridge.linears."):
        k, _, rest = key.removeprefix("ridge.linears.").partition(".")
        return f"ridge.{_subject(int(k))}.{rest}" if k.isdigit() else key
    return present_name(key)


def _subject(k):
    return f"sub-{k + 1:02d}"
