"""A network with a published layout, as models/ has them: small, for two subjects."""

import torch
from torch import nn

from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import check_trials


class TinyNetwork(nn.Module):
    """One linear layer for each subject, heads that all share (blurry: not published), a table.

    References
    ----------
    .. [1] Nobody (2026). A network for tests.
    """

    def __init__(self, sizes: Sizes, hidden: int = 3, heads: int = 1):
        super().__init__()
        self.sizes, self.heads = sizes, heads
        self.inputs = nn.ModuleDict({s: nn.Linear(n, hidden) for s, n in sizes.channels.items()})
        self.shared = nn.Sequential(nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, sizes.dim))
        n_values = sizes.n_tokens * sizes.token_dim
        self.tokens = nn.Linear(hidden, n_values) if n_values else None
        n_blurry = sizes.blurry and sizes.blurry[0] * sizes.blurry[1] * sizes.blurry[2]
        self.blurry = nn.Linear(hidden, n_blurry) if n_blurry else None
        self.register_buffer("table", torch.ones(hidden))

    def forward(self, responses, subject):
        """Decode trials of one subject."""
        check_trials(responses, subject, self.sizes)
        code = self.table * self.inputs[subject](responses)
        tokens = None
        if self.tokens is not None:
            grid = self.sizes.n_tokens, self.sizes.token_dim
            tokens = self.tokens(code).unflatten(1, grid)
        blurry = self.blurry and self.blurry(code).unflatten(1, self.sizes.blurry)
        return BrainOutput(tokens, self.shared(code), blurry)


class Silent(nn.Module):
    """A network whose checkpoints nobody has published a layout of."""


def published(state: dict[str, tuple[int, ...]], heads: int = 1):
    """The layout: ``ridge.{i}.*`` of each subject, ``core.*``, ``to_tokens.*`` and ``table``."""
    numbers = sorted({k.split(".")[1] for k in state if k.startswith("ridge.")}, key=int)
    if not numbers or "core.2.weight" not in state:
        raise ValueError("TinyNetwork has ridge.0.weight and core.2.weight, which are not there")
    channels = {f"sub-{int(n) + 1:02d}": state[f"ridge.{n}.weight"][1] for n in numbers}
    dim, hidden = state["core.2.weight"]
    n_values = state.get("to_tokens.weight", (0,))[0]
    sizes = Sizes(channels, dim, 4 if n_values else 0, n_values // 4)
    with torch.device("meta"):
        network = TinyNetwork(sizes, hidden, heads)
    names = {"table": "table"}
    for number, subject in zip(numbers, channels, strict=True):
        names |= {f"ridge.{number}.{p}": f"inputs.{subject}.{p}" for p in ("weight", "bias")}
    names |= {f"core.{i}.{p}": f"shared.{i}.{p}" for i in (0, 2) for p in ("weight", "bias")}
    if n_values:
        names |= {f"to_tokens.{p}": f"tokens.{p}" for p in ("weight", "bias")}
    return network, names


def random_state(channels=(5, 4), hidden=3, dim=6, n_values=32, seed=0):
    """A checkpoint in that layout, of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {f"ridge.{i}.weight": (hidden, n) for i, n in enumerate(channels)}
    shapes |= {f"ridge.{i}.bias": (hidden,) for i in range(len(channels))}
    shapes |= {"core.0.weight": (hidden,), "core.0.bias": (hidden,)}
    shapes |= {"core.2.weight": (dim, hidden), "core.2.bias": (dim,), "table": (hidden,)}
    if n_values:
        shapes |= {"to_tokens.weight": (n_values, hidden), "to_tokens.bias": (n_values,)}
    return {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
