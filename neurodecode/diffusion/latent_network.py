"""The two networks of the latent prior: one denoises codes given a belief, one spells out tokens.

Both are residual perceptrons. Codes are short vectors, for which these learn on two processor cores
in minutes what a transformer over all tokens does not learn in an hour.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CodeDenoiser(nn.Module):
    """Predict the clean code z from x_t = sqrt(a) z + sqrt(1 - a) e, given a belief about z.

    For a Gaussian code the answer is known, and the network adds to it what is not Gaussian (that a
    shape is this one or that one, and nothing between):

        E[z] = mean + sqrt(a) variance / (a variance + 1 - a) (x_t - sqrt(a) mean)

    Parameters
    ----------
    n_code : int
        Components of the code.
    width, hidden, n_blocks : int
        Size of the residual stream, of the blocks' inner layers, and their number.
    """

    N_FREQUENCIES, CONDITION = 32, 256

    def __init__(self, n_code: int, width: int = 384, hidden: int = 768, n_blocks: int = 3):
        super().__init__()
        size = self.CONDITION
        self.condition = nn.Sequential(
            nn.Linear(2 * self.N_FREQUENCIES + 2 * n_code, size),
            nn.SiLU(),
            nn.Linear(size, size),
            nn.SiLU(),
        )
        self.enter = nn.Linear(3 * n_code, width)
        self.blocks = nn.ModuleList(Block(width, hidden, size) for _ in range(n_blocks))
        self.leave = _zero(nn.Linear(width, n_code))

    def forward(self, x_t: Tensor, t: Tensor, alpha_bar: Tensor, belief: Tensor) -> Tensor:
        """Return E[z], shape (n, n_code).

        Parameters
        ----------
        x_t : Tensor, shape (n, n_code)
        t, alpha_bar : Tensor, shape (n,)
            Step of the schedule, and a at that step.
        belief : Tensor, shape (n, 2, n_code)
            Means and variances.
        """
        a, (mean, variance) = alpha_bar[:, None], belief.unbind(dim=1)
        gain = a.sqrt() * variance / (a * variance + 1 - a)
        linear = mean + gain * (x_t - a.sqrt() * mean)
        condition = self.condition(torch.cat([self._waves(t), mean, variance.sqrt()], dim=1))
        h = self.enter(torch.cat([x_t, mean, linear], dim=1))
        for block in self.blocks:
            h = block(h, condition)
        return linear + self.leave(F.silu(F.layer_norm(h, h.shape[-1:])))

    def _waves(self, t):
        k = torch.arange(self.N_FREQUENCIES, device=t.device)
        angle = t[:, None] * torch.exp(-math.log(1000) * k / self.N_FREQUENCIES)
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class CodeDecoder(nn.Module):
    """Spell out the tokens of a code: a linear guess, and a perceptron's correction.

    Parameters
    ----------
    n_code, n_values : int
        Components of the code; values of flat tokens.
    width, hidden, n_blocks : int
        As of `CodeDenoiser`.
    """

    def __init__(
        self, n_code: int, n_values: int, width: int = 512, hidden: int = 768, n_blocks: int = 2
    ):
        super().__init__()
        self.linear = nn.Linear(n_code, n_values)
        self.enter = nn.Linear(n_code, width)
        self.blocks = nn.ModuleList(Block(width, hidden) for _ in range(n_blocks))
        self.leave = _zero(nn.Linear(width, n_values))

    def forward(self, code: Tensor) -> Tensor:
        """Return standardised tokens, shape (n, n_values)."""
        h = self.enter(code)
        for block in self.blocks:
            h = block(h)
        return self.linear(code) + self.leave(F.silu(F.layer_norm(h, h.shape[-1:])))


class Block(nn.Module):
    """A residual step x + (1 + gate) W2 silu(W1 (norm(x) (1 + scale) + shift)).

    scale, shift and gate are linear in the condition; 0 at first, and without a condition.
    """

    def __init__(self, width: int, hidden: int, condition: int = 0):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), _zero(nn.Linear(hidden, width))
        self.modulate = _zero(nn.Linear(condition, 3 * width)) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Transform x of shape (n, width)."""
        normal = F.layer_norm(x, x.shape[-1:])
        if self.modulate is None:
            return x + self.down(F.silu(self.up(normal)))
        scale, shift, gate = self.modulate(condition).chunk(3, dim=1)
        return x + (1 + gate) * self.down(F.silu(self.up(normal * (1 + scale) + shift)))


def _zero(layer: nn.Linear) -> nn.Linear:
    """A layer that says nothing at first."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
