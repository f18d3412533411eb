"""Attention over places: from any set of sensors to virtual channels that all subjects share [1]_.

    score(j, c) = heads_j . phi(place_c)            phi: a Fourier basis of the unit square
    out_j       = sum_c softmax_c(score(j, c)) x_c

Sensors are known by where they lie alone, so that layouts of any number of sensors share weights. A
sensor of unknown place has weight 0. In training, all sensors within a radius of a random point are
hidden, that no place becomes indispensable.

References
----------
.. [1] Défossez et al. (2023). Decoding speech perception from non-invasive brain recordings.
   Nature Machine Intelligence 5.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.models.base import Sizes

UNKNOWN = -0.1  # both coordinates of a sensor whose place is not known: outside the square
MARGIN = 0.2  # of the Fourier basis around the unit square


def fourier_basis(places: Tensor, dim: int) -> Tensor:
    """Cosines and sines of all pairs of frequencies (k, l), k the slow index.

        phase(k, l) = 2 pi (k (x + 0.2) + l (y + 0.2)) / 1.4        k, l = 0 … sqrt(dim / 2) - 1

    Parameters
    ----------
    places : Tensor, shape (..., 2)
        In the unit square.
    dim : int
        Twice a square number.

    Returns
    -------
    basis : Tensor, shape (..., dim)
        The cosines first.

    Raises
    ------
    ValueError
        If `dim` is not twice a square number.
    """
    n = math.isqrt(dim // 2)
    if 2 * n * n != dim:
        raise ValueError(f"the Fourier basis has {dim} functions: give twice a square, as 2048")
    k = torch.arange(n, dtype=places.dtype, device=places.device)
    x, y = (2 * math.pi / (1 + 2 * MARGIN) * (places + MARGIN)).unbind(-1)
    phase = x[..., None, None] * k[:, None] + y[..., None, None] * k  # (..., k, l)
    return torch.cat([phase.flatten(-2).cos(), phase.flatten(-2).sin()], dim=-1)


class ChannelMerger(nn.Module):
    """Weigh sensors by where they lie; published name of the parameter: ``heads``.

    Parameters
    ----------
    n_out : int
        Virtual channels.
    basis : int
        Functions of the Fourier basis; twice a square number.
    radius : float
        Of the disc in which sensors are hidden in training, in units of the layout's sides; 0:
        none are.
    """

    def __init__(self, n_out: int = 270, basis: int = 2048, radius: float = 0.2):
        super().__init__()
        fourier_basis(torch.zeros(1, 2), basis)  # refuses a size that is none
        self.heads = nn.Parameter(torch.randn(n_out, basis) / math.sqrt(basis))
        self.radius = radius

    def forward(self, x: Tensor, places: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Merge channels.

        Parameters
        ----------
        x : Tensor, shape (n, n_sensors, n_times)
        places : Tensor, shape (n or 1, n_sensors, 2)
            In the unit square; a sensor outside it, (-0.1, -0.1), is not known.
        hidden : Tensor, shape (2,), optional
            Centre of the disc that is hidden, from `draw`; None: one is drawn.

        Returns
        -------
        merged : Tensor, shape (n, n_out, n_times)
        """
        known = (places >= 0).all(dim=-1)  # (n, n_sensors)
        if self.training and self.radius > 0:
            known = self._less_a_disc(known, places, self.draw() if hidden is None else hidden)
        scores = fourier_basis(places, self.heads.shape[1]) @ self.heads.T
        scores = scores.masked_fill(~known[..., None], -torch.inf)
        weights = scores.softmax(dim=1)  # (n, n_sensors, n_out): over sensors
        return torch.einsum("nct,ncd->ndt", x, weights.expand(len(x), -1, -1))

    def draw(self) -> Tensor:
        """A point of the unit square."""
        return torch.rand(2)

    def _less_a_disc(self, known, places, centre):
        """Hide what lies in one disc of the layout, for all trials; all of a trial's never."""
        left = known & ((places - centre.to(places)).norm(dim=-1) > self.radius)
        return torch.where(left.any(dim=-1, keepdim=True), left, known)


class SubjectLayers(nn.Module):
    """One matrix for each subject, without a bias: out_d = sum_c x_c W[s, c, d].

    Parameters
    ----------
    n_in, n_out, n_subjects : int
    """

    def __init__(self, n_in: int, n_out: int, n_subjects: int):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(n_subjects, n_in, n_out) / math.sqrt(n_in))

    def forward(self, x: Tensor, subjects: Tensor) -> Tensor:
        """Map trials (n, n_in, n_times), each by the matrix of its subject (Tensor of int, n)."""
        return torch.einsum("nct,ncd->ndt", x, self.weights[subjects])


def layout(positions_mm: np.ndarray) -> np.ndarray:
    """Lay sensors of a head out flat, in the unit square.

    The head is seen from above, from the centre of the sphere that fits the sensors: a sensor's
    distance from the middle is its angle from the vertical (azimuthal equidistant projection), and
    then each axis is brought to 0 … 1.

    Parameters
    ----------
    positions_mm : ndarray, shape (n_sensors, 3)
        Right, front, up; NaN where it is not known.

    Returns
    -------
    places : ndarray of float32, shape (n_sensors, 2)
        (-0.1, -0.1) where the position is not known; 0.5 on an axis along which none differ.

    Raises
    ------
    ValueError
        If no position is known.
    """
    positions_mm = np.asarray(positions_mm, float)
    known = np.isfinite(positions_mm).all(axis=1)
    if not known.any():
        raise ValueError(
            f"none of {len(known)} channels has a known position, and spatial attention reads "
            "nothing else of them: give positions (preprocess.method.montage for EEG), or choose "
            "model=conv_encoder"
        )
    right, front, up = (positions_mm[known] - _centre(positions_mm[known])).T
    away = np.hypot(right, front)
    angle = np.arctan2(away, up)
    scale = np.divide(angle, away, out=np.zeros_like(away), where=away > 0)
    flat = np.stack([right * scale, front * scale], axis=1)
    low, span = flat.min(axis=0), np.ptp(flat, axis=0)
    places = np.full((len(known), 2), UNKNOWN, np.float32)
    places[known] = np.where(span > 0, (flat - low) / np.where(span > 0, span, 1), 0.5)
    return places


def _centre(points):
    """Centre of the least-squares sphere: |p|² = 2 c·p + (r² - |c|²); the mean of few points."""
    middle = points.mean(axis=0)
    apart = points - middle
    system = np.c_[2 * apart, np.ones(len(apart))]
    if np.linalg.matrix_rank(system) < 4:  # fewer than four sensors, or all in a plane
        return middle
    return middle + np.linalg.lstsq(system, (apart**2).sum(axis=1), rcond=None)[0][:3]


def layouts(sizes: Sizes, model: str) -> dict[str, np.ndarray]:
    """Lay out the sensors of every subject; see `layout`.

    Raises
    ------
    ValueError
        If a subject's positions are not known, or not those of its channels.
    """
    found = {}
    for subject, n_channels in sizes.channels.items():
        positions_mm = (sizes.positions or {}).get(subject)
        if positions_mm is None:
            raise ValueError(
                f"model={model} knows sensors by where they lie, and {subject} has no positions: "
                "give them (preprocess.method.montage for EEG), or choose model=conv_encoder"
            )
        if len(positions_mm) != n_channels:
            raise ValueError(
                f"{subject} has {n_channels} channels and {len(positions_mm)} positions: "
                "preprocess and align it again"
            )
        found[subject] = layout(positions_mm)
    return found
