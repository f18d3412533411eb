"""Heads beside a published network that has none: tokens and low-level picture of its embedding."""

import math

from torch import Tensor, nn

from neurodecode.models.base import Sizes


class Beside(nn.Module):
    """Read tokens and a low-level picture linearly from an embedding, where there are targets.

    They leave the embedding alone: the network beside which they stand trains as published.

    Parameters
    ----------
    sizes : Sizes
    width : int
        Of the embedding.
    """

    def __init__(self, sizes: Sizes, width: int):
        super().__init__()
        self.sizes = sizes
        n_values = sizes.n_tokens * sizes.token_dim
        self.tokens = nn.Linear(width, n_values) if n_values else None
        self.blurry = nn.Linear(width, math.prod(sizes.blurry)) if sizes.blurry else None
        if self.blurry is not None:  # it starts grey: what it draws was learnt
            nn.init.zeros_(self.blurry.weight)
            nn.init.zeros_(self.blurry.bias)

    def forward(self, embedding: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Tokens (n, n_tokens, token_dim) and picture (n, h, w, c), None where there is none."""
        embedding = embedding.detach()
        tokens = blurry = None
        if self.tokens is not None:
            grid = (self.sizes.n_tokens, self.sizes.token_dim)
            tokens = self.tokens(embedding).unflatten(1, grid)
        if self.blurry is not None:
            blurry = self.blurry(embedding).unflatten(1, self.sizes.blurry) + 0.5
        return tokens, blurry


def of_subjects(sizes: Sizes, shared: bool, make) -> nn.ModuleDict:
    """One network for each subject, or one for all, named ``shared``.

    Parameters
    ----------
    sizes : Sizes
    shared : bool
    make : callable (number of channels) -> nn.Module

    Raises
    ------
    ValueError
        If the trials have no time axis, or one network is to read different numbers of channels.
    """
    if sizes.n_times is None:
        raise ValueError(
            "this network reads trials with a time axis (channels × times), and these have none: "
            "choose model=residual_mlp, or preprocess=epochs"
        )
    if not shared:
        return nn.ModuleDict({s: make(n) for s, n in sizes.channels.items()})
    if len(set(sizes.channels.values())) > 1:
        told = ", ".join(f"{s} {n}" for s, n in sizes.channels.items())
        raise ValueError(
            f"one network for all subjects needs equal channels, and there are {told}: set "
            "model.shared=false, or select the same sensors"
        )
    return nn.ModuleDict({"shared": make(next(iter(sizes.channels.values())))})


def network_of(networks: nn.ModuleDict, subject: str) -> nn.Module:
    """The network that reads this subject."""
    return networks["shared" if "shared" in networks else subject]
