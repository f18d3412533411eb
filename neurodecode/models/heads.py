"""The three linear heads that read a shared code z: tokens, pooled embedding, blurry picture."""

import math

import torch
from torch import Tensor, nn

from neurodecode.models.base import BrainOutput, Sizes


class Heads(nn.Module):
    """Read z, (n_trials, hidden), as a `BrainOutput`.

    Parameters
    ----------
    sizes : Sizes
    hidden : int
        Width of z.
    projector_hidden : int
        Width of the contrastive head's nonlinear part.
    dropout : float
        In that part.
    """

    def __init__(self, sizes: Sizes, hidden: int, projector_hidden: int, dropout: float):
        super().__init__()
        self.sizes = sizes
        self.pooled = nn.Linear(hidden, sizes.dim)
        self.projector = nn.Sequential(
            nn.Linear(hidden, projector_hidden),
            *activation(projector_hidden, dropout),
            nn.Linear(projector_hidden, sizes.dim),
        )
        n_values = sizes.n_tokens * sizes.token_dim
        self.tokens = nn.Linear(hidden, n_values) if n_values else None
        self.blurry = nn.Linear(hidden, math.prod(sizes.blurry)) if sizes.blurry else None
        if self.blurry is not None:  # it starts grey: what it draws was learnt
            nn.init.zeros_(self.blurry.weight)
            nn.init.zeros_(self.blurry.bias)

    def forward(self, z: Tensor) -> BrainOutput:
        """Read the code of trials, (n_trials, hidden)."""
        sizes, tokens, blurry = self.sizes, None, None
        if self.tokens is not None:
            tokens = self.tokens(z).unflatten(1, (sizes.n_tokens, sizes.token_dim))
        if self.blurry is not None:
            blurry = self.blurry(z).unflatten(1, sizes.blurry) + 0.5  # mid-grey is the start
        return BrainOutput(tokens, self.pooled(z) + self.projector(z), blurry)

    def spell(
        self,
        inputs: nn.ModuleDict,
        linear: dict[str, tuple[Tensor, Tensor]],
        back: Tensor,
        scale: float,
    ) -> None:
        """Let the first units of z be linear decoders' answers, and spell tokens from these alone.

        The first n_code units become `scale` times the answers, the same for all subjects; the
        token head undoes the scale. The larger it is, the less other layers, which are random at
        first and add to the same units, disturb the answers, and the less the first steps of
        training move them.

        Parameters
        ----------
        inputs : ModuleDict of Linear
            Each subject's layer from features to z.
        linear : dict of (weights, intercepts)
            For each subject: (n_features, n_code) and (n_code,).
        back : Tensor, shape (n_code, n_tokens * token_dim)
            Tokens of a code.
        scale : float
        """
        n_code, hidden = len(back), self.tokens.in_features
        if n_code > hidden:
            raise ValueError(
                f"to start as linear decoders of {n_code} numbers, the network needs "
                f"hidden={n_code} or more; or set train.linear_start=null"
            )
        with torch.no_grad():
            for subject, (weights, intercepts) in linear.items():
                inputs[subject].weight[:n_code] = scale * weights.T
                inputs[subject].bias[:n_code] = scale * intercepts
            self.tokens.weight.zero_()
            self.tokens.bias.zero_()
            self.tokens.weight[:, :n_code] = back.T / scale


def activation(width: int, dropout: float) -> nn.Sequential:
    """LayerNorm, GELU, dropout."""
    return nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout))


def check_trials(responses: Tensor, subject: str, sizes: Sizes) -> None:
    """Refuse trials of a subject, channels or times that a network was not made for.

    Raises
    ------
    ValueError
    """
    if subject not in sizes.channels:
        raise ValueError(
            f"the network knows {', '.join(sizes.channels)}, not {subject!r}: train it with them"
        )
    expected = (sizes.channels[subject], *([sizes.n_times] if sizes.n_times else []))
    if tuple(responses.shape[1:]) != expected:
        word = lambda shape: " × ".join(map(str, shape))
        raise ValueError(
            f"{subject} has {word(responses.shape[1:])} channels but the network was made for "
            f"{word(expected)}: use the same mask, sensors and channel selection, or retrain"
        )
