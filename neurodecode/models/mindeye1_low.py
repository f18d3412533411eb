"""The low-level network of MindEye, with the parameter names and shapes of its checkpoints.

    lin0: Linear-LayerNorm-SiLU-Dropout, residual blocks of the same, lin1 to 64 maps
    norm, upsampler: the maps through a VAE's decoder to latents of a picture

See `low_level_heads` for the decoder, and for the auxiliary head (`maps_projector`), which is
built and not trained.

References
----------
.. [1] Scotti et al. (2023). Reconstructing the mind's eye. NeurIPS. Defaults are those of its
   released autoencoder of 512 px pictures.
"""

import math

import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, CountOrNone
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

LAYOUT = "MindEye's low-level network"
SUBJECT = "sub-01"  # how the one subject of a published checkpoint is called here


class VoxelsToLatents(nn.Module):
    """Map one subject's voxels to latents of what it saw; published as Voxel2StableDiffusion [1]_.

    Parameters
    ----------
    in_dim : int
        Voxels.
    h : int
        Width of the residual blocks.
    n_blocks : int
        Residual blocks.
    shape : tuple of int
        Height, width and channels of the latents.
    width : int
        Filters of the decoder's last block; the first has four times as many.
    """

    def __init__(
        self,
        in_dim: int,
        h: int = 4096,
        n_blocks: int = 4,
        shape: tuple[int, int, int] = (64, 64, 4),
        width: int = 64,
    ):
        super().__init__()
        self.shape = tuple(shape)
        self.lin0 = _block(in_dim, h, dropout=0.5)
        self.mlp = nn.ModuleList(_block(h, h, dropout=0.25) for _ in range(n_blocks))
        self.lin1 = nn.Linear(h, N_MAPS * math.prod(grid_of(shape)), bias=False)
        self.norm = nn.GroupNorm(1, N_MAPS)
        self.upsampler = latent_decoder(shape[2], width)
        self.maps_projector = maps_projector()

    def forward(self, voxels: Tensor) -> Tensor:
        """Decode trials, (n_trials, in_dim), to latents (n_trials, channels, height, width).

        Height and width are rounded up to multiples of 4.
        """
        return self.latents(self.code(voxels))

    def code(self, voxels: Tensor) -> Tensor:
        """What the residual blocks make of trials: (n_trials, h)."""
        x = self.lin0(voxels)
        for block in self.mlp:
            x = x + block(x)
        return x

    def latents(self, code: Tensor) -> Tensor:
        """Decode a code (n_trials, h) to latents."""
        return self.upsampler(self.maps(code))

    def maps(self, code: Tensor) -> Tensor:
        """The maps that the decoder reads of a code: (n_trials, 64, height / 4, width / 4)."""
        return self.norm(as_maps(self.lin1(code), self.shape))

    def auxiliary(self, code: Tensor) -> Tensor:
        """What the auxiliary head says of a code: (n_trials, places, 512)."""
        return places(self.maps_projector(self.maps(code)))


def _block(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, n_out, bias=False), nn.LayerNorm(n_out), nn.SiLU(), nn.Dropout(dropout)
    )


class MindEye1Low(nn.Module):
    """Decode what pictures look like: one low-level network for each subject [1]_.

    Published, it says nothing but latents. Here an embedding is read from its code too, linearly,
    so that its pictures can be scored and calibrated like all others; no gradient of it reaches the
    code, so the low-level network is trained by its own loss alone.

    Parameters
    ----------
    sizes : Sizes
        What the data decide. There must be a low-level target.
    hidden, n_blocks, width
        `h`, `n_blocks` and `width` of `VoxelsToLatents`.
    """

    def __init__(
        self, sizes: Sizes, hidden: Count = 4096, n_blocks: CountOrNone = 4, width: Count = 64
    ):
        super().__init__()
        self.sizes = sizes
        self.networks = low_level_networks(sizes, hidden, n_blocks, width)
        n_values = sizes.n_tokens * sizes.token_dim
        self.pooled = nn.ModuleDict({s: nn.Linear(hidden, sizes.dim) for s in sizes.channels})
        self.tokens = nn.ModuleDict(
            {s: nn.Linear(hidden, n_values) for s in sizes.channels if n_values}
        )

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject, (n_trials, n_channels of this subject[, n_times])."""
        check_trials(responses, subject, self.sizes)
        network, sizes = self.networks[subject], self.sizes
        code = network.code(responses.flatten(1))
        blurry = as_target(network.latents(code), sizes.blurry)
        tokens, read = None, code.detach()
        if self.tokens:
            tokens = self.tokens[subject](read).unflatten(1, (sizes.n_tokens, sizes.token_dim))
        return BrainOutput(tokens, self.pooled[subject](read), blurry)


def low_level_networks(sizes: Sizes, hidden: int, n_blocks: int, width: int) -> nn.ModuleDict:
    """Build a low-level network for each subject, its auxiliary head frozen.

    Raises
    ------
    ValueError
        If there is no low-level target.
    """
    if sizes.blurry is None:
        raise ValueError(
            "MindEye's low-level network decodes pictures, and the study shows none: choose "
            "model=mindeye1 with low_hidden=null"
        )
    networks = {
        subject: VoxelsToLatents(n * (sizes.n_times or 1), hidden, n_blocks, sizes.blurry, width)
        for subject, n in sizes.channels.items()
    }
    for network in networks.values():
        network.maps_projector.requires_grad_(False)
    return nn.ModuleDict(networks)


def published(state: Shapes) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint, and say where each of its weights belongs.

    Parameters
    ----------
    state : dict of tuple
        Shapes by key, ``lin0.0.weight`` and so on. Old names of the decoder's attention will do.

    Returns
    -------
    network : VoxelsToLatents
        On the meta device: of one subject, in a ModuleDict ``networks`` as `MindEye1Low` has it.
    names : dict of str
        Our key for each published one.

    Raises
    ------
    ValueError
        If a key of the layout is missing.
    """
    hidden, n_voxels = shape_of(state, "lin0.0.weight", LAYOUT)
    width = shape_of(state, "upsampler.conv_norm_out.weight", LAYOUT)[0]
    side = math.isqrt(shape_of(state, "lin1.weight", LAYOUT)[0] // N_MAPS) * 4
    channels = shape_of(state, "upsampler.conv_out.weight", LAYOUT)[0]
    n_blocks = numbered(state, "mlp.", ".0.weight")
    sizes = Sizes({SUBJECT: n_voxels}, dim=1, blurry=(side, side, channels))
    with torch.device("meta"):
        networks = low_level_networks(sizes, hidden, n_blocks, width)
    network = nn.ModuleDict({"networks": networks})
    own = set(network.state_dict())
    names = {key: f"networks.{SUBJECT}.{present_name(key)}" for key in state}
    return network, {key: name for key, name in names.items() if name in own}
