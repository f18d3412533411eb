"""Channels laid out as a picture: each voxel or sensor in its place on a plane, nothing outside.

A plane is laid through the places of all subjects' channels: the one along which they spread most.
Positions on it are stretched to a square of cells. A cell says the mean of the channels that fall
into it; an empty one says what the nearest filled cell says, as far as `reach` allows; all else
is 0.
"""

import numpy as np
import torch
from torch import Tensor, nn


class FlatMap(nn.Module):
    """Turn one subject's responses into a map.

    Parameters
    ----------
    n_channels : int
        Channels of the subject.
    side : int
        Height and width of the map, in cells.
    layout : dict of ndarray, or None
        As `layouts` returns one; None: it is loaded with the network's weights.
    """

    def __init__(self, n_channels: int, side: int, layout: dict[str, np.ndarray] | None = None):
        super().__init__()
        self.side = side
        empty = {
            "cell": np.zeros(n_channels, np.int64),
            "share": np.zeros(n_channels, np.float32),
            "source": np.zeros(side * side, np.int64),
            "inside": np.zeros(side * side, np.float32),
        }
        for name, values in (layout or empty).items():
            self.register_buffer(name, torch.as_tensor(values))

    def forward(self, responses: Tensor) -> Tensor:
        """Lay out (n_trials, n_channels[, n_times]) as (n_trials, n_times or 1, side, side)."""
        times = responses.transpose(1, 2) if responses.ndim == 3 else responses[:, None]
        weighted = times * self.share.to(times)
        cells = weighted.new_zeros(*times.shape[:2], self.side**2)
        cells = cells.index_add(2, self.cell, weighted)  # the mean of each cell's channels
        return (cells[..., self.source] * self.inside.to(times)).unflatten(
            2, (self.side, self.side)
        )


def layouts(
    positions: dict[str, np.ndarray], side: int, reach: float
) -> dict[str, dict[str, np.ndarray]]:
    """Where the channels of each subject lie on a map of `side` x `side` cells.

    Parameters
    ----------
    positions : dict of ndarray, shape (n_channels, 3)
        In mm, by subject; NaN rows: unknown places, whose channels are left out.
    side : int
    reach : float
        How far the value of a filled cell spreads into empty ones, in cells.

    Returns
    -------
    layouts : dict of dict of ndarray
        By subject: ``cell`` (n_channels,) the flat index of each channel's cell, ``share``
        (n_channels,) its weight in the mean there (0: left out), ``source`` (side * side,) the
        cell whose value each cell shows and ``inside`` (side * side,) 1 or 0.

    Raises
    ------
    ValueError
        If no place of a subject is known.
    """
    positions = {s: np.asarray(places, float) for s, places in positions.items()}
    known = {s: np.isfinite(places).all(axis=1) for s, places in positions.items()}
    if unknown := [s for s, there in known.items() if not there.any()]:
        raise ValueError(
            f"{', '.join(unknown)}: no channel's place is known, and this network reads a map of "
            "them; give sensor positions or a mask to preprocess, or choose another model"
        )
    flat = plane(np.concatenate([positions[s][known[s]] for s in positions]))
    firsts = np.cumsum([0] + [known[s].sum() for s in positions])
    low, span = flat.min(axis=0), np.ptp(flat, axis=0)
    unit = (flat - low) / np.where(span > 0, span, 1)
    return {
        s: _layout(unit[first : first + known[s].sum()], known[s], side, reach)
        for s, first in zip(positions, firsts, strict=False)
    }


def plane(places: np.ndarray) -> np.ndarray:
    """Places (n, 3) on the plane along which they spread most, (n, 2).

    The signs of the axes are fixed: each points to where its largest coordinate grows.
    """
    axes = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)[2][:2]
    largest = np.abs(axes).argmax(axis=1)
    signs = np.sign(axes[np.arange(len(axes)), largest])
    found = (places - places.mean(axis=0)) @ (axes * signs[:, None]).T
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))  # of a single place there is one axis


def _layout(unit, known, side, reach):
    from scipy.ndimage import distance_transform_edt

    at = np.rint(unit * (side - 1)).astype(np.int64)
    cell = np.zeros(len(known), np.int64)
    cell[known] = at[:, 1] * side + at[:, 0]
    counts = np.bincount(cell[known], minlength=side * side)
    empty = (counts == 0).reshape(side, side)
    distance, nearest = distance_transform_edt(empty, return_indices=True)
    return {
        "cell": cell,
        "share": np.where(known, 1 / np.maximum(counts[cell], 1), 0).astype(np.float32),
        "source": (nearest[0] * side + nearest[1]).ravel(),
        "inside": (distance <= reach).ravel().astype(np.float32),
    }
