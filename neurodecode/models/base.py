"""What every brain network is told about the data, and what it returns."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Sizes:
    """What the data decide; the configuration decides the rest.

    Attributes
    ----------
    channels : dict of int
        Number of channels of each subject, e.g. ``{"sub-01": 900, "sub-02": 871}``.
    dim : int
        Length of the pooled embedding.
    n_tokens, token_dim : int
        Shape of the token grid; ``n_tokens=0``: the target has none (class names, for example).
    blurry : tuple of int, or None
        Shape (height, width, 3) of the low-level picture; None: the study shows no pictures.
    n_times : int, or None
        Samples of each trial; None: responses have no time axis.
    positions : dict of list, or None
        Where the channels of each subject lie, (n_channels, 3) in mm, not a number where that is
        unknown; None: nowhere known.
    regions : dict of dict of list, or None
        Of each subject, the channels (indices) in each region it has masks of; None: of nobody.
    """

    channels: dict[str, int]
    dim: int
    n_tokens: int = 0
    token_dim: int = 0
    blurry: tuple[int, int, int] | None = None
    n_times: int | None = None
    positions: dict[str, list[list[float]]] | None = None
    regions: dict[str, dict[str, list[int]]] | None = None


class BrainOutput(NamedTuple):
    """What a brain network says about n trials."""

    tokens: Tensor | None  # (n, n_tokens, token_dim): the condition of the diffusion prior
    pooled: Tensor  # (n, dim), not normalised
    blurry: Tensor | None  # (n, height, width, 3), about 0 to 1
