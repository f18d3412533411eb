"""The brain network of MindEye, with the parameter names and shapes of its published checkpoints.

    backbone:   Linear-LayerNorm-GELU-Dropout, residual blocks of the same, Linear to all tokens
    projector:  each token through LayerNorm-GELU-Linear three times, for the contrastive loss

One network per subject, and beside it, if wanted, the low-level one of `mindeye1_low`: the two
share nothing. For a network that several subjects share see `mindeye2` and `residual_mlp`.

References
----------
.. [1] Scotti et al. (2023). Reconstructing the mind's eye. NeurIPS. Defaults are those of its
   released model for 257 image tokens of CLIP ViT-L/14.
"""

import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, CountOrNone, PartShare
from neurodecode.models.answers import below
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import check_trials
from neurodecode.models.low_level_heads import as_target
from neurodecode.models.mindeye1_low import low_level_networks
from neurodecode.models.published import Shapes, numbered, shape_of

LAYOUT = "MindEye's brain network"
SUBJECT = "sub-01"  # how the one subject of a published checkpoint is called here


class MindEye1(nn.Module):
    """Map one subject's voxels to image tokens and to their contrastive projection [1]_.

    Parameters
    ----------
    in_dim : int
        Voxels.
    out_dim : int
        Values of all tokens together; a multiple of `clip_size`.
    clip_size : int
        Values per token.
    h : int
        Width of the residual blocks.
    n_blocks : int
        Residual blocks.
    projector_hidden : int
        Width of the projector's hidden layers.
    input_dropout, dropout : float
        Share of features hidden in training after the first layer, and in each block.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int = 257 * 768,
        clip_size: int = 768,
        h: int = 4096,
        n_blocks: int = 4,
        projector_hidden: int = 2048,
        input_dropout: float = 0.5,
        dropout: float = 0.15,
    ):
        super().__init__()
        if out_dim % clip_size:
            raise ValueError(f"out_dim {out_dim} is not a multiple of clip_size {clip_size}")
        self.clip_size = clip_size
        self.lin0 = _block(in_dim, h, input_dropout)
        self.mlp = nn.ModuleList(_block(h, h, dropout) for _ in range(n_blocks))
        self.lin1 = nn.Linear(h, out_dim)
        widths = (clip_size, projector_hidden, projector_hidden, clip_size)
        self.projector = nn.Sequential(
            *(
                layer
                for n_in, n_out in zip(widths, widths[1:], strict=False)
                for layer in (nn.LayerNorm(n_in), nn.GELU(), nn.Linear(n_in, n_out))
            )
        )

    def forward(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        """Decode trials, (n_trials, in_dim).

        Returns
        -------
        backbone : Tensor, shape (n_trials, out_dim)
            The condition of the diffusion prior.
        projected : Tensor, shape (n_trials, n_tokens, clip_size)
            What the contrastive loss and retrieval read.
        """
        x = self.lin0(voxels)
        for block in self.mlp:
            x = x + block(x)
        backbone = self.lin1(x)
        return backbone, self.projector(backbone.unflatten(1, (-1, self.clip_size)))


def _block(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.GELU(), nn.Dropout(dropout)
    )


class MindEye1PerSubject(nn.Module):
    """Decode trials of any known subject, each by a `MindEye1` of its own, as published [1]_.

    Where the pooled embedding is all tokens, flat (`embed.pooled=tokens`), it is the projector's
    answer, as published. Another one is read linearly from the mean of the projected tokens. A
    target without tokens is decoded as one token, which is MindEye's variant for retrieval.

    Parameters
    ----------
    sizes : Sizes
        What the data decide.
    hidden, n_blocks, projector_hidden, input_dropout, dropout
        Of `MindEye1`.
    low_hidden : int or None
        Width of the low-level network of each subject; None: there is none, and no low-level
        picture is decoded.
    low_width : int
        Filters of its decoder's last block.
    """

    def __init__(
        self,
        sizes: Sizes,
        hidden: Count = 4096,
        n_blocks: CountOrNone = 4,
        projector_hidden: Count = 2048,
        input_dropout: PartShare = 0.5,
        dropout: PartShare = 0.15,
        low_hidden: Count | None = 4096,
        low_width: Count = 64,
    ):
        super().__init__()
        self.sizes = sizes
        clip_size = sizes.token_dim or sizes.dim
        n_values = (sizes.n_tokens or 1) * clip_size
        how = (n_values, clip_size, hidden, n_blocks, projector_hidden, input_dropout, dropout)
        self.networks = nn.ModuleDict(
            {s: MindEye1(n * (sizes.n_times or 1), *how) for s, n in sizes.channels.items()}
        )
        flat = n_values == sizes.dim
        self.pooled = nn.ModuleDict(
            {} if flat else {s: nn.Linear(clip_size, sizes.dim) for s in sizes.channels}
        )
        has_low = sizes.blurry is not None and low_hidden is not None
        self.low_level = (
            low_level_networks(sizes, low_hidden, n_blocks, low_width) if has_low else None
        )

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject, (n_trials, n_channels of this subject[, n_times])."""
        check_trials(responses, subject, self.sizes)
        voxels = responses.flatten(1)
        backbone, projected = self.networks[subject](voxels)
        tokens = backbone.view_as(projected) if self.sizes.n_tokens else None
        pooled = projected.flatten(1)
        if self.pooled:
            pooled = self.pooled[subject](projected.mean(dim=1))
        blurry = None
        if self.low_level is not None:
            blurry = as_target(self.low_level[subject](voxels), self.sizes.blurry)
        return BrainOutput(tokens, pooled, blurry)


def published(state: Shapes) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint, and say where each of its weights belongs.

    Parameters
    ----------
    state : dict of tuple
        Shapes by key, ``voxel2clip.lin0.0.weight`` and so on, with or without ``voxel2clip.``.

    Returns
    -------
    network : MindEye1PerSubject
        On the meta device: of one subject, without the low-level network, which has a checkpoint of
        its own (`mindeye1_low`).
    names : dict of str
        Our key for each published one. Those of the prior (``net.…``) have none.

    Raises
    ------
    ValueError
        If a key of the layout is missing.
    """
    start = "voxel2clip." if any(key.startswith("voxel2clip.") for key in state) else ""
    own = below(state, start)
    hidden, n_voxels = shape_of(own, "lin0.0.weight", LAYOUT)
    out_dim = shape_of(own, "lin1.weight", LAYOUT)[0]
    clip_size = shape_of(own, "projector.0.weight", LAYOUT)[0]
    sizes = Sizes({SUBJECT: n_voxels}, out_dim, out_dim // clip_size, clip_size)
    projector_hidden = shape_of(own, "projector.3.weight", LAYOUT)[0]
    with torch.device("meta"):
        network = MindEye1PerSubject(
            sizes, hidden, numbered(own, "mlp.", ".0.weight"), projector_hidden
        )
    known = network.networks[SUBJECT].state_dict()
    return network, {f"{start}{key}": f"networks.{SUBJECT}.{key}" for key in own if key in known}
