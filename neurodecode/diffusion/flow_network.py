"""The velocity of a flow of tokens: a transformer steered by time and belief.

Blocks are those of diffusion transformers [1]_: attention and a perceptron, each scaled, shifted
and gated by the condition (adaLN). What they leave is silent at first; the gates are open, since
with both shut nothing that is not linear would be found for hundreds of steps. Queries and keys are
normalised, which keeps attention from saturating at high learning rates [2]_.

References
----------
.. [1] Peebles, Xie (2023). Scalable diffusion models with transformers. ICCV.
.. [2] Esser et al. (2024). Scaling rectified flow transformers. ICML.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FlowNetwork(nn.Module):
    """Velocity of tokens x_t at time t, given what is believed of them.

    Parameters
    ----------
    n_tokens, dim : int
        Of the tokens.
    n_components : int
        Of the belief.
    width, depth, heads : int
        Features of a token within, a multiple of twice `heads`; blocks; attention heads.
    ff_mult : int
        Width of the perceptrons, in units of `width`.
    dropout : float
        Share of the perceptrons' features hidden in training.
    """

    N_FREQUENCIES = 32

    def __init__(
        self,
        n_tokens: int,
        dim: int,
        n_components: int,
        width: int,
        depth: int,
        heads: int,
        ff_mult: int,
        dropout: float,
    ):
        super().__init__()
        self.enter = nn.Linear(3 * dim, width)
        self.position = nn.Parameter(0.02 * torch.randn(n_tokens, width))
        self.time = nn.Sequential(
            nn.Linear(2 * self.N_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.belief = nn.Linear(2 * n_components, width)
        self.blocks = nn.ModuleList(Block(width, heads, ff_mult, dropout) for _ in range(depth))
        self.modulate = _silent(nn.Linear(width, 2 * width))
        self.leave = _silent(nn.Linear(width, dim))

    def forward(self, x_t: Tensor, t: Tensor, mean: Tensor, spread: Tensor, belief: Tensor):
        """Return the velocity, shape (n, n_tokens, dim).

        Parameters
        ----------
        x_t, mean, spread : Tensor, shape (n, n_tokens, dim)
            Tokens on their way; believed means and standard deviations.
        t : Tensor, shape (n,)
            From 0 (tokens) to 1 (noise).
        belief : Tensor, shape (n, 2, n_components)
        """
        condition = self.time(self._waves(t)) + self.belief(belief.flatten(1))
        condition = F.silu(condition)[:, None]
        h = self.enter(torch.cat([x_t, mean, spread], dim=-1)) + self.position
        for block in self.blocks:
            h = block(h, condition)
        scale, shift = self.modulate(condition).chunk(2, dim=-1)
        return self.leave(_normal(h) * (1 + scale) + shift)

    def _waves(self, t: Tensor) -> Tensor:
        k = torch.arange(self.N_FREQUENCIES, device=t.device, dtype=t.dtype) / self.N_FREQUENCIES
        angle = t[:, None] * math.pi * torch.exp(math.log(100) * k)
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class Block(nn.Module):
    """Attention among tokens, then a perceptron of each, both gated by the condition."""

    def __init__(self, width: int, heads: int, ff_mult: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, ff_mult * width)
        self.down = nn.Linear(ff_mult * width, width)
        self.dropout = nn.Dropout(dropout)
        self.modulate = _silent(nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Transform x (n, n_tokens, width) under a condition (n, 1, width)."""
        modulation = self.modulate(condition).chunk(6, dim=-1)
        scale, shift, gate, scale_2, shift_2, gate_2 = modulation
        x = x + (1 + gate) * self._attend(_normal(x) * (1 + scale) + shift)
        hidden = self.dropout(F.silu(self.up(_normal(x) * (1 + scale_2) + shift_2)))
        return x + (1 + gate_2) * self.down(hidden)

    def _attend(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = (F.rms_norm(a, a.shape[-1:]) for a in (q, k))
        together = F.scaled_dot_product_attention(q, k, v)
        return self.out(together.transpose(1, 2).reshape(n, length, width))


def _normal(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def _silent(layer: nn.Linear) -> nn.Linear:
    """A layer that says nothing at first."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
