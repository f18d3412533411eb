"""What a trial's code says beside the pooled embedding: image tokens and a low-level picture."""

import math

from torch import Tensor, nn

from neurodecode.models.base import Sizes


class SideHeads(nn.Module):
    """Read a code, (n, width), linearly as tokens and blurry picture; None without a target.

    Parameters
    ----------
    sizes : Sizes
    width : int
        Of the code.
    tokens : bool
        Whether tokens are read here.
    detached : bool
        Leave the code alone: the network beside which these heads stand trains as published.
    """

    def __init__(self, sizes: Sizes, width: int, tokens: bool = True, detached: bool = False):
        super().__init__()
        self.sizes, self.detached = sizes, detached
        n_values = sizes.n_tokens * sizes.token_dim if tokens else 0
        self.tokens = nn.Linear(width, n_values) if n_values else None
        self.blurry = nn.Linear(width, math.prod(sizes.blurry)) if sizes.blurry else None
        if self.blurry is not None:  # it starts grey: what it draws was learnt
            nn.init.zeros_(self.blurry.weight)
            nn.init.constant_(self.blurry.bias, 0.5)

    def forward(self, code: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Read codes: tokens (n, n_tokens, token_dim), and blurry pictures (n, *blurry)."""
        sizes, tokens, blurry = self.sizes, None, None
        code = code.detach() if self.detached else code
        if self.tokens is not None:
            tokens = self.tokens(code).unflatten(1, (sizes.n_tokens, sizes.token_dim))
        if self.blurry is not None:
            blurry = self.blurry(code).unflatten(1, sizes.blurry)
        return tokens, blurry
