"""TSConv: filters along time, an average, a filter over electrodes (NICE, ATM, CognitionCapturer).

    x (n_channels, n_times)  ->  conv 1 x 25  ->  mean of 51, every 5th  ->  conv n_channels x 1
                             ->  conv 1 x 1   ->  (n_steps, filters), flat

and the projection that follows it: Linear, plus Linear of its GELU, LayerNorm. Parameters have the
names and shapes of the published checkpoints.

References
----------
.. [1] Song et al. (2024). Decoding natural images from EEG for object recognition. ICLR.
"""

from torch import Tensor, nn

from neurodecode.models.published import Shapes, shape_of


class TSConv(nn.Module):
    """Read trials (n_trials, n_channels, n_times) as (n_trials, n_steps, filters) [1]_.

    Parameters
    ----------
    n_channels : int
    filters : int
        Of every convolution.
    kernel : int
        Samples that a filter along time spans.
    pool : int
        Samples that are averaged.
    stride : int
        Samples from one average to the next.
    dropout : float
    """

    def __init__(
        self,
        n_channels: int = 63,
        filters: int = 40,
        kernel: int = 25,
        pool: int = 51,
        stride: int = 5,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.tsconv = nn.Sequential(
            nn.Conv2d(1, filters, (1, kernel)),
            nn.AvgPool2d((1, pool), (1, stride)),
            nn.BatchNorm2d(filters),
            nn.ELU(),
            nn.Conv2d(filters, filters, (n_channels, 1)),
            nn.BatchNorm2d(filters),
            nn.ELU(),
            nn.Dropout(dropout),
        )
        self.projection = nn.Sequential(nn.Conv2d(filters, filters, 1))

    def forward(self, trials: Tensor) -> Tensor:
        """Read trials with or without an axis of one map: (n[, 1], n_channels, n_times)."""
        maps = trials if trials.ndim == 4 else trials.unsqueeze(1)
        steps = self.projection(self.tsconv(maps))  # (n, filters, 1, n_steps)
        return steps.flatten(2).transpose(1, 2)


class ResidualAdd(nn.Module):
    """What a module says, added to what it was told."""

    def __init__(self, fn: nn.Module):
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        """x + fn(x)."""
        return x + self.fn(x)


def n_steps(n_times: int, kernel: int, pool: int, stride: int) -> int:
    """How many averages TSConv makes of so many samples.

    Raises
    ------
    ValueError
        If there are too few samples for one.
    """
    if n_times < kernel + pool - 1:
        raise ValueError(
            f"filters of {kernel} samples and averages of {pool} need {kernel + pool - 1} samples "
            f"and the trials have {n_times}: shorten model.kernel and model.pool, lengthen "
            "align.window_s, or sample more often"
        )
    return (n_times - kernel - pool + 1) // stride + 1


def n_times_of(steps: int, kernel: int = 25, pool: int = 51, stride: int = 5) -> int:
    """The fewest samples of which TSConv makes so many averages."""
    return (steps - 1) * stride + kernel + pool - 1


def projection(n_in: int, dim: int, dropout: float) -> nn.Sequential:
    """Features (n, n_in) as an embedding (n, dim) of mean 0 and variance 1 before its own gain."""
    deeper = nn.Sequential(nn.GELU(), nn.Linear(dim, dim), nn.Dropout(dropout))
    return nn.Sequential(nn.Linear(n_in, dim), ResidualAdd(deeper), nn.LayerNorm(dim))


def convolutions_of(
    state: Shapes,
    convolutions: str,
    projection: str,
    system: str,
    without_projection: tuple[int, int] | None = None,
) -> tuple[dict[str, int], int, int]:
    """Sizes of a published TSConv and of the projection that follows it.

    Parameters
    ----------
    state : dict of tuple
    convolutions, projection : str
        What stands before ``tsconv.0.weight``, and before ``0.weight`` of the projection.
    system : str
        For messages.
    without_projection : tuple of int, optional
        Its shape where it may be missing.

    Returns
    -------
    options : dict of int
        n_channels, filters and kernel. Averages are in no shape: they are the published ones.
    dim : int
        Of the embedding.
    n_times : int
        The fewest samples that give so many features.

    Raises
    ------
    ValueError
        If a key is missing.
    """
    filters, _, _, kernel = shape_of(state, f"{convolutions}tsconv.0.weight", system)
    n_channels = shape_of(state, f"{convolutions}tsconv.4.weight", system)[2]
    last = f"{projection}0.weight"
    found = last in state or without_projection is None
    dim, features = shape_of(state, last, system) if found else without_projection
    options = {"n_channels": n_channels, "filters": filters, "kernel": kernel}
    return options, dim, n_times_of(features // filters, kernel)
