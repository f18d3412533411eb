"""NeuroPictor: a vision transformer reads a flat map of the brain; two branches speak of it.

    encoder:   256 x 256 map -> 16 x 16 patches and a class token -> ViT-L -> 257 tokens of 1024
    semantic:  257 tokens -> 128 -> 77, Linear, LayerNorm: the words Stable Diffusion 2.1 is told
    modulation: 257 tokens -> 514 -> 320 channels of 64 x 64, added after the first input block of a
               ControlNet

Parameter names and shapes are those of the published checkpoints (``fmri_encoder.transformer``,
``cond_stage`` and ``control_model.fmri_mapper``). The published encoder comes from masked
autoencoding of UK Biobank maps, and all parts are trained through a frozen diffusion model; here
they are trained on targets, and the modulation is read by a 1 x 1 convolution that draws the
low-level target.

References
----------
.. [1] Huo et al. (2024). NeuroPictor: refining fMRI-to-image reconstruction via multi-individual
   pretraining and multi-level modulation. ECCV.
.. [2] Qian et al. (2023). fMRI-PTE: a large-scale fMRI pretrained transformer encoder for
   multi-subject brain activity decoding. arXiv:2311.00342.
.. [3] He et al. (2022). Masked autoencoders are scalable vision learners. CVPR.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, PartShare, Positive
from neurodecode.models.answers import below
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.flat_map import FlatMap, layouts
from neurodecode.models.heads import check_trials
from neurodecode.models.published import shape_of


class FlatMapEncoder(nn.Module):
    """The vision transformer of a masked autoencoder, with all of its output tokens [3]_.

    Parameters
    ----------
    map_px, patch_px : int
        Height and width of the map, and of a patch.
    in_chans : int
        Maps per trial.
    embed_dim, depth, num_heads : int
        Width, blocks and attention heads.
    drop_rate : float
        Dropout, of paths too.
    """

    def __init__(
        self,
        map_px: int = 256,
        patch_px: int = 16,
        in_chans: int = 1,
        embed_dim: int = 1024,
        depth: int = 24,
        num_heads: int = 16,
        drop_rate: float = 0.01,
    ):
        from timm.models.vision_transformer import Block

        super().__init__()
        if map_px % patch_px:
            raise ValueError(f"a map of {map_px} cells cannot be cut into patches of {patch_px}")
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim is {embed_dim}, no multiple of num_heads, {num_heads}")
        side = map_px // patch_px
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(in_chans, embed_dim, patch_px, stride=patch_px)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        places = torch.zeros(1, 1 + side**2, embed_dim)
        self.pos_embed = nn.Parameter(places, requires_grad=False)
        rates = {"proj_drop": drop_rate, "attn_drop": drop_rate, "drop_path": drop_rate}
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, qkv_bias=True, norm_layer=nn.LayerNorm, **rates)
            for _ in range(depth)  # torch's norm, with its eps of 1e-5, as published
        )
        self.norm = nn.LayerNorm(embed_dim)
        self._begin(side)

    def _begin(self, side):
        with torch.no_grad():
            self.pos_embed[0, 1:].copy_(sincos_positions(side, self.pos_embed.shape[2]))
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.flatten(1))
        for layer in self.blocks.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Encode maps (n, in_chans, map_px, map_px): (n, 1 + n_patches, embed_dim), class first."""
        patches = self.patch_embed.proj(maps).flatten(2).transpose(1, 2)
        patches = patches + self.pos_embed[:, 1:]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(maps), -1, -1)
        x = torch.cat([first, patches], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class SemanticBranch(nn.Module):
    """From the encoder's tokens to those of a text encoder.

    Parameters
    ----------
    n_codes, embed_dim : int
        Tokens of the encoder, and their width.
    n_tokens, token_dim : int
        Tokens that are said, and their width.
    """

    def __init__(
        self, n_codes: int = 257, embed_dim: int = 1024, n_tokens: int = 77, token_dim: int = 1024
    ):
        super().__init__()
        self.channel_mapper = nn.Sequential(*_mixers(n_codes, n_codes // 2, n_tokens))
        self.dim_mapper = nn.Linear(embed_dim, token_dim)
        self.norm = nn.LayerNorm(token_dim)
        self.extra_clip = nn.Sequential(
            *_mixers(n_codes, n_codes // 2, n_tokens),
            nn.Linear(embed_dim, token_dim),
            nn.LayerNorm(token_dim),
        )
        self.extra_clip_out = _zero(nn.Conv1d(n_tokens, n_tokens, 3, padding=1))

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Say tokens of codes (n, n_codes, embed_dim).

        Returns
        -------
        tokens : Tensor, shape (n, n_tokens, token_dim)
            The condition: both branches.
        words : Tensor, shape (n, n_tokens, token_dim)
            The first branch alone, which the published cost compares with a caption's tokens.
        """
        words = self.norm(self.dim_mapper(self.channel_mapper(codes)))
        return words + self.extra_clip_out(self.extra_clip(codes)), words


class Modulation(nn.Module):
    """From the encoder's tokens to feature maps that a ControlNet adds to its first block.

    Parameters
    ----------
    n_codes, embed_dim : int
        Tokens of the encoder, and their width.
    out_channel, out_dim : int
        Feature maps, and their height and width.
    """

    def __init__(
        self, n_codes: int = 257, embed_dim: int = 1024, out_channel: int = 320, out_dim: int = 64
    ):
        super().__init__()
        self.out_dim = out_dim
        self.channel_mapper = nn.Sequential(*_mixers(n_codes, n_codes * 2, out_channel))
        self.dim_mapper = nn.Sequential(nn.Linear(embed_dim, out_dim**2), nn.SiLU())
        self.out = _zero(nn.Conv1d(out_channel, out_channel, 3, padding=1))

    def forward(self, codes: Tensor) -> Tensor:
        """Modulate by codes (n, n_codes, embed_dim): (n, out_channel, out_dim, out_dim)."""
        maps = self.out(self.dim_mapper(self.channel_mapper(codes)))
        return maps.unflatten(2, (self.out_dim, self.out_dim))


class PublishedNeuroPictor(nn.Module):
    """The parts of NeuroPictor that read the brain, at their published sizes."""

    def __init__(self, encoder: dict, semantic: dict, modulation: dict):
        super().__init__()
        self.encoder = FlatMapEncoder(**encoder)
        self.semantic = SemanticBranch(**semantic)
        self.modulation = Modulation(**modulation)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return conditions, words and modulation of maps; see the branches."""
        codes = self.encoder(maps)
        return *self.semantic(codes), self.modulation(codes)


class NeuroPictor(nn.Module):
    """Decode trials of any known subject by a vision transformer on flat maps [1]_ [2]_.

    One encoder for all subjects: what is a subject's own is where its channels lie. Needs
    `sizes.positions`.

    Parameters
    ----------
    sizes : Sizes
        What the data decide. With times, each is a map of its own.
    map_px, patch_px : int
        Height and width of the map in cells, and of a patch.
    embed_dim, depth, num_heads : int
        Width, blocks and attention heads of the transformer.
    dropout : float
        Its dropout, of paths too.
    reach : float
        How far a channel's value spreads into empty cells.
    modulation_channels, modulation_px : int
        Feature maps for a ControlNet, and their height and width.

    Raises
    ------
    ValueError
        If no positions are known.
    """

    def __init__(
        self,
        sizes: Sizes,
        map_px: Count = 256,
        patch_px: Count = 16,
        embed_dim: Count = 1024,
        depth: Count = 24,
        num_heads: Count = 16,
        dropout: PartShare = 0.01,
        reach: Positive = 3.0,
        modulation_channels: Count = 320,
        modulation_px: Count = 64,
    ):
        super().__init__()
        self.sizes = sizes
        if sizes.positions is None:
            raise ValueError(
                "NeuroPictor reads a flat map, but no subject's positions are known: preprocess a "
                "study with a mask, a surface or sensor positions, or choose another model"
            )
        found = layouts({s: sizes.positions[s] for s in sizes.channels}, map_px, reach)
        self.maps = nn.ModuleDict(
            {s: FlatMap(n, map_px, found[s]) for s, n in sizes.channels.items()}
        )
        how = (map_px, patch_px, sizes.n_times or 1, embed_dim, depth, num_heads, dropout)
        self.encoder = FlatMapEncoder(*how)
        codes = (self.encoder.pos_embed.shape[1], embed_dim)
        self.flat_tokens = sizes.dim == sizes.n_tokens * sizes.token_dim
        self.semantic = (
            SemanticBranch(*codes, sizes.n_tokens, sizes.token_dim) if sizes.n_tokens else None
        )
        self.pooled = None if self.flat_tokens else nn.Linear(embed_dim, sizes.dim)
        self.modulation = self.picture = None
        if sizes.blurry:
            self.modulation = Modulation(*codes, modulation_channels, modulation_px)
            self.picture = nn.Conv2d(modulation_channels, sizes.blurry[2], 1)

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials (n_trials, n_channels of this subject[, n_times])."""
        check_trials(responses, subject, self.sizes)
        codes = self.encoder(self.maps[subject](responses))
        tokens = None if self.semantic is None else self.semantic(codes)[0]
        pooled = tokens.flatten(1) if self.flat_tokens else self.pooled(codes[:, 0])
        blurry = None
        if self.modulation is not None:
            drawn = self.picture(self.modulation(codes))
            drawn = nn.functional.interpolate(drawn, self.sizes.blurry[:2], mode="area")
            blurry = drawn.permute(0, 2, 3, 1)
        return BrainOutput(tokens, pooled, blurry)


def sincos_positions(side: int, dim: int) -> Tensor:
    """Fixed positions of side x side patches, row by row: (side * side, dim) [3]_.

    The first half of a row tells the column, the second half the row: sines, then cosines.
    """
    if dim % 4:
        raise ValueError(f"embed_dim is {dim}: fixed 2-D positions need a multiple of 4")
    rate = 10_000.0 ** -(np.arange(dim // 4) / (dim / 4))
    row, column = (axis.ravel() for axis in np.indices((side, side)))
    waves = lambda at: np.concatenate([np.sin(np.outer(at, rate)), np.cos(np.outer(at, rate))], 1)
    return torch.from_numpy(np.concatenate([waves(column), waves(row)], axis=1))


PREFIXES = {
    "encoder": "fmri_encoder.transformer.",
    "semantic": "cond_stage.",
    "modulation": "control_model.fmri_mapper.",
}


def published(
    state: dict[str, tuple[int, ...]], num_heads: int = 16
) -> tuple[nn.Module, dict[str, str]]:
    """Read the sizes of a published checkpoint off its shapes.

    The encoder's autoencoding head (``pred``, ``mask_token``) and the diffusion model in the same
    file are left out.

    Parameters
    ----------
    state : dict of tuple of int
        Shapes by key.
    num_heads : int
        Attention heads, which no shape tells.

    Returns
    -------
    network : PublishedNeuroPictor
        On the meta device. Its parameters are named as those of `NeuroPictor`, which also knows
        where channels lie, and has a head for the pooled embedding.
    names : dict of str
        From published keys to the network's.

    Raises
    ------
    ValueError
        If a part is missing.
    """
    own = {part: below(state, prefix) for part, prefix in PREFIXES.items()}
    shape = lambda part, key: shape_of(state, PREFIXES[part] + key, "NeuroPictor")
    embed_dim, in_chans, patch_px, _ = shape("encoder", "patch_embed.proj.weight")
    n_codes = shape("encoder", "pos_embed")[1]
    shape("encoder", "blocks.0.attn.qkv.weight")
    depth = 1 + max(int(k.split(".")[1]) for k in own["encoder"] if k.startswith("blocks."))
    out_channel, out_dim = (
        shape("modulation", "out.weight")[0],
        shape("modulation", "dim_mapper.0.weight")[0],
    )
    with torch.device("meta"):
        network = PublishedNeuroPictor(
            {
                "map_px": math.isqrt(n_codes - 1) * patch_px,
                "patch_px": patch_px,
                "in_chans": in_chans,
                "embed_dim": embed_dim,
                "depth": depth,
                "num_heads": num_heads,
            },
            {
                "n_codes": n_codes,
                "embed_dim": embed_dim,
                "n_tokens": shape("semantic", "extra_clip_out.weight")[0],
                "token_dim": shape("semantic", "norm.weight")[0],
            },
            {
                "n_codes": n_codes,
                "embed_dim": embed_dim,
                "out_channel": out_channel,
                "out_dim": math.isqrt(out_dim),
            },
        )
    names = {
        f"{PREFIXES[part]}{key}": f"{part}.{key}"
        for part in PREFIXES
        for key in getattr(network, part).state_dict()
    }
    if missing := sorted(set(names) - set(state)):
        raise ValueError(f"no checkpoint of NeuroPictor: it has no {', '.join(missing[:5])}")
    return network, names


def _mixers(n_in, n_hidden, n_out):
    """Two linear maps over tokens, each value by itself."""
    return nn.Conv1d(n_in, n_hidden, 1), nn.Conv1d(n_hidden, n_out, 1)


def _zero(layer):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
