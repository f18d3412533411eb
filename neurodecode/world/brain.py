"""A simulated subject: where its voxels lie, what each prefers, how it answers a picture.

The brain is an ellipsoid of voxels. Its posterior half is the early-visual sheet: a receptive field
per voxel, contralateral, the fovea at the pole, the upper field ventral, magnified near the fovea
[1]_, driven by the channels of `gabor`. Its anterior third is the high-level sheet, driven by the
attributes of the scene: for each attribute a voxel is tuned to one value, and neighbours prefer
similar values. What lies between answers nothing. Every subject has its own size, magnification,
distortion, preferences and hemodynamic response; they share only the two rules.

References
----------
.. [1] Engel, S. A., Glover, G. H. & Wandell, B. A. (1997). Retinotopic organization in human visual
   cortex and the spatial precision of functional MRI. Cereb. Cortex 7.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neurodecode.core.seeds import child_rng
from neurodecode.world import gabor
from neurodecode.world.scenes import ATTRIBUTES, WIDTH_PX

VOXEL_MM = 3.0
SHARE = {"early": 0.5, "high": 0.35}  # of the voxels; the rest is silent
WANDERING = 0.7  # of another picture's response in every single response
SIGNALS = ("full", "category_only", "low_level_only", "none")

TUNING_MM = 4.5  # distance over which preferences, and ongoing activity, change

# How much of the high-level sheet's variance each attribute takes, relative to shape.
ATTRIBUTE_WEIGHTS = {
    "shape": 1.0,
    "colour": 0.7,
    "material": 0.6,
    "size": 0.6,
    "x": 0.4,
    "y": 0.4,
    "background": 0.5,
    "light": 0.5,
}

_AXES = (0.9, 1.3, 0.85)  # of the ellipsoid: right, anterior, superior
_SALT = 0.5  # how much preferences also vary from voxel to voxel


@dataclass(frozen=True)
class Subject:
    """One brain; arrays have one row per voxel, in the order of `ijk`."""

    name: str
    ijk: np.ndarray  # (n_voxels, 3) int: indices into the volume, in C order
    shape: tuple[int, int, int]  # of the volume
    affine: np.ndarray  # (4, 4): indices to mm, RAS
    roi: np.ndarray  # (n_voxels,) "early", "high" or "silent"
    rf_centre_px: np.ndarray  # (n_early, 2) x right, y down
    rf_size_px: np.ndarray  # (n_early,) standard deviation
    channel_weights: np.ndarray  # (n_early, n_channels), of the channels of `gabor`
    tuning: dict[str, np.ndarray]  # attribute -> (n_values, n_high): mean 0 over values
    evoked_percent: np.ndarray  # (n_voxels,) response to any picture, % signal change
    gain: np.ndarray  # (n_voxels,) strength of the picture-specific response, about 1
    hrf: np.ndarray  # (n_voxels, 3) peak_s, undershoot_s, undershoot ratio
    baseline: np.ndarray  # (n_voxels,) mean signal, scanner units
    noise_percent: np.ndarray  # (n_voxels,) standard deviation of the noise, % signal change

    @property
    def n_voxels(self) -> int:
        """Number of voxels in the brain."""
        return len(self.ijk)

    @property
    def positions_mm(self) -> np.ndarray:
        """Voxel centres, (n_voxels, 3), RAS."""
        return self.ijk @ self.affine[:3, :3].T + self.affine[:3, 3]


def make_subject(name: str, n_voxels: int, rng: np.random.Generator) -> Subject:
    """Grow a brain of exactly `n_voxels` voxels."""
    ijk, shape, affine, unit = _ellipsoid(n_voxels, rng)
    mm = ijk * VOXEL_MM
    roi = _regions(unit[:, 1])
    early, high, answers = roi == "early", roi == "high", roi != "silent"
    centre_px, size_px = _retinotopy(unit[early], mm[early], rng)
    return Subject(
        name=name,
        ijk=ijk,
        shape=shape,
        affine=affine,
        roi=roi,
        rf_centre_px=centre_px,
        rf_size_px=size_px,
        channel_weights=_channel_weights(mm[early], size_px, rng),
        tuning={
            attribute: np.sqrt(ATTRIBUTE_WEIGHTS[attribute]) * _tuning(mm[high], len(values), rng)
            for attribute, values in ATTRIBUTES.items()
        },
        evoked_percent=answers * rng.normal(1.5, 0.4, n_voxels),
        gain=answers * np.exp(rng.normal(0, 0.35, n_voxels)),
        hrf=_hemodynamics(n_voxels, rng),
        baseline=900 + 60 * smooth_fields(mm, 1, 9.0, rng)[:, 0] + rng.normal(0, 25, n_voxels),
        noise_percent=0.7 * np.exp(rng.normal(0, 0.2, n_voxels)),
    )


def grow_subject(name: str, n_voxels: int, seed: int) -> Subject:
    """Grow the brain that this name has under this seed, of `n_voxels` voxels give or take 20 %."""
    rng = child_rng(seed, "brain", name)
    return make_subject(name, round(n_voxels * rng.uniform(0.8, 1.2)), rng)


def stimulus_responses(
    subject: Subject, maps: np.ndarray, scenes: pd.DataFrame, signal: str = "full"
) -> np.ndarray:
    """What is specific to each picture in every voxel's answer, in units of its own spread.

    Parameters
    ----------
    subject : Subject
    maps : ndarray, shape (n, n_channels, n_cells)
        From `gabor.feature_maps`.
    scenes : DataFrame, n rows
        The attributes of the same pictures.
    signal : {"full", "category_only", "low_level_only", "none"}
        What the brain carries. Whatever is left keeps the size it has in `full`.

    Returns
    -------
    responses : ndarray of float32, shape (n, n_voxels)
        Where the brain carries everything, mean 0 and standard deviation 1 in every voxel: over
        these pictures in the early sheet, over all scenes in the high one. 0 in silent voxels.

    Raises
    ------
    ValueError
        When `signal` is not one of `SIGNALS`.
    """
    if signal not in SIGNALS:
        raise ValueError(f"signal is {signal!r}: expected one of {list(SIGNALS)}")
    responses = np.zeros((len(scenes), subject.n_voxels), dtype=np.float32)
    if signal in ("full", "low_level_only"):
        drive = early_drive(subject, maps)
        responses[:, subject.roi == "early"] = (drive - drive.mean(axis=0)) / drive.std(axis=0)
    if signal in ("full", "category_only"):
        carried = list(ATTRIBUTES) if signal == "full" else ["shape"]
        responses[:, subject.roi == "high"] = high_drive(subject, scenes, carried)
    return responses


def single_trials(
    heights_percent: np.ndarray,
    evoked_percent: np.ndarray,
    rows: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Height of the response to each presentation, (n_trials, n_voxels).

    Thoughts wander: `WANDERING` times what is specific to some other picture, drawn anew for every
    presentation, comes on top. Noise that looks like signal is not averaged away over voxels,
    which is what bounds decoding from many cells or voxels [1]_.

    Parameters
    ----------
    heights_percent : ndarray, shape (n_stimuli, n_voxels)
        Noise-free heights of all pictures.
    evoked_percent : ndarray, shape (n_voxels,)
        What all of them have in common.
    rows : ndarray of int, shape (n_trials,)
        Which picture is shown.
    rng : numpy.random.Generator

    References
    ----------
    .. [1] Moreno-Bote, R. et al. (2014). Information-limiting correlations. Nat. Neurosci. 17.
    """
    elsewhere = rng.integers(len(heights_percent), size=len(rows))
    return heights_percent[rows] + WANDERING * (heights_percent[elsewhere] - evoked_percent)


def early_drive(subject: Subject, maps: np.ndarray) -> np.ndarray:
    """Answer of the early sheet, (n, n_early): weighted channels pooled in receptive fields.

    `drive = sum_c w_c (sum_p field_p map_cp)^0.6 / s_c`, with `s_c` the spread of a channel over
    these pictures, so that frequent and rare colours, fine and coarse edges weigh alike.
    """
    fields = gabor.receptive_fields(subject.rf_centre_px, subject.rf_size_px, WIDTH_PX)
    drive = np.zeros((len(maps), len(fields)), dtype=np.float32)
    for channel, weights in enumerate(subject.channel_weights.T):
        pooled = gabor.pool(maps[:, channel], fields)
        spread = pooled.std(axis=0).mean()
        if spread > 0:  # a channel that these pictures never excite says nothing
            drive += pooled * (weights / spread).astype(np.float32)
    return drive


def high_drive(subject: Subject, scenes: pd.DataFrame, attributes: list[str]) -> np.ndarray:
    """Answer of the high-level sheet, (n, n_high): the sum of its tuning to each attribute.

    In units of its spread over all scenes and all attributes, whichever are summed here.
    """
    drive = np.zeros((len(scenes), int((subject.roi == "high").sum())))
    for attribute in attributes:
        value = pd.Categorical(scenes[attribute], ATTRIBUTES[attribute]).codes
        drive += subject.tuning[attribute][value]
    variance = sum((tuning**2).mean(axis=0) for tuning in subject.tuning.values())
    return drive / np.sqrt(variance)


def smooth_fields(
    positions_mm: np.ndarray, n_fields: int, length_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Random fields over voxels, (n_voxels, n_fields): mean 0, variance 1, smooth over a length."""
    return smoother(positions_mm, length_mm) @ rng.standard_normal((len(positions_mm), n_fields))


def smoother(positions_mm: np.ndarray, length_mm: float) -> np.ndarray:
    """Matrix (n_voxels, n_voxels) that turns white noise into smooth noise of the same variance."""
    squares = (positions_mm**2).sum(axis=1)
    distance2 = squares[:, None] + squares - 2 * positions_mm @ positions_mm.T
    kernel = np.exp(-distance2 / (2 * length_mm**2))
    return kernel / np.sqrt((kernel**2).sum(axis=1, keepdims=True))


def _ellipsoid(n_voxels: int, rng: np.random.Generator):
    """The `n_voxels` innermost voxels of an ellipsoid, with coordinates from -1 to 1 inside it."""
    axes = np.array(_AXES) * np.exp(rng.normal(0, 0.06, 3))
    axes *= (3 * n_voxels / (4 * np.pi * axes.prod())) ** (1 / 3)  # in voxels
    half = np.ceil(axes).astype(int) + 2
    indices = np.stack(np.meshgrid(*(np.arange(2 * h) for h in half), indexing="ij"), axis=-1)
    indices = indices.reshape(-1, 3)
    unit = (indices - half + 0.5) / axes  # the midline lies between two voxels
    inner = np.sort(np.argsort((unit**2).sum(axis=1), kind="stable")[:n_voxels])
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = np.array([0.0, -78.0, 2.0]) - VOXEL_MM * (half - 0.5)
    return indices[inner], tuple(int(2 * h) for h in half), affine, unit[inner]


def _regions(anterior: np.ndarray) -> np.ndarray:
    """Name the region of each voxel by its rank from back to front."""
    rank = np.argsort(np.argsort(anterior, kind="stable"), kind="stable") / len(anterior)
    return np.where(
        rank < SHARE["early"], "early", np.where(rank < 1 - SHARE["high"], "silent", "high")
    )


def _retinotopy(unit: np.ndarray, mm: np.ndarray, rng: np.random.Generator):
    """Receptive fields of the early sheet: centres (n, 2) and sizes (n,), in pixels."""
    warp = smooth_fields(mm, 2, 9.0, rng)
    order = np.argsort(np.argsort(unit[:, 1] + 0.05 * warp[:, 0], kind="stable"), kind="stable")
    depth = (order + 0.5) / len(order)  # 0 at the posterior pole, 1 in front
    magnification = rng.uniform(0.4, 1.0)
    eccentricity = 34 * np.expm1(magnification * depth) / np.expm1(magnification)
    height = np.sqrt(np.maximum(1 - unit[:, 0] ** 2 - unit[:, 1] ** 2, 0.05))
    angle = np.clip(np.pi / 2 * unit[:, 2] / height + 0.2 * warp[:, 1], -np.pi / 2, np.pi / 2)
    side = np.where(unit[:, 0] < 0, 1, -1)  # the left hemisphere sees the right half
    middle = WIDTH_PX / 2
    x = middle + side * eccentricity * np.cos(angle)
    y = middle + eccentricity * np.sin(angle)  # dorsal voxels see the lower half
    centre = np.stack([x, y], axis=1) + rng.normal(0, 1.0, (len(unit), 2))
    size = (2.2 + 0.09 * eccentricity) * np.exp(rng.normal(0, 0.15, len(unit)))
    return np.clip(centre, 2, WIDTH_PX - 2), size


def _channel_weights(mm: np.ndarray, size_px: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weights of the channels, (n, n_channels): each voxel prefers an edge, a sign and a hue."""
    orientation, sign, hue = (_preferred_angle(mm, rng)[:, None] for _ in range(3))
    families = (
        _edge_weights(orientation / 2, size_px),
        np.exp(1.5 * np.cos(sign - (0, np.pi))),
        np.exp(3 * np.cos(hue - gabor.HUES_RAD)),
    )
    shares = rng.dirichlet((2.0, 1.5, 2.0), len(mm)).T[..., None]  # (3, n, 1): of the families
    parts = [s * f / f.sum(axis=1, keepdims=True) for s, f in zip(shares, families, strict=True)]
    return np.concatenate(parts, axis=1)


def _preferred_angle(mm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An angle per voxel, smooth along the cortex but for pinwheels and salt, (n,)."""
    vector = smooth_fields(mm, 2, TUNING_MM, rng) + rng.normal(0, _SALT, (len(mm), 2))
    return np.arctan2(*vector.T)


def _edge_weights(orientation: np.ndarray, size_px: np.ndarray) -> np.ndarray:
    """Tuning to orientation and to wavelengths of about 2.5 field sizes, (n, n_energy)."""
    octaves = np.log2(np.array(gabor.WAVELENGTHS_PX) / (2.5 * size_px[:, None]))
    angle = np.exp(2 * np.cos(2 * (orientation - gabor.ORIENTATIONS_RAD)))
    return np.einsum("nw,no->nwo", np.exp(-(octaves**2) / 2), angle).reshape(len(size_px), -1)


def _tuning(mm: np.ndarray, n_values: int, rng: np.random.Generator) -> np.ndarray:
    """Tuning to one attribute, (n_values, n_high): a soft choice of one value, of variance one."""
    preference = smooth_fields(mm, n_values, TUNING_MM, rng)
    preference = np.exp(2 * (preference + rng.normal(0, _SALT, preference.shape)))
    tuning = preference / preference.sum(axis=1, keepdims=True)
    tuning -= tuning.mean(axis=1, keepdims=True)
    return (tuning / tuning.std()).T


def _hemodynamics(n_voxels: int, rng: np.random.Generator) -> np.ndarray:
    """Peak (s), undershoot (s) and undershoot ratio of each voxel's impulse response."""
    subject_peak = rng.normal(5.2, 0.35)
    peak = np.clip(rng.normal(subject_peak, 0.5, n_voxels), 3.5, 7.5)
    undershoot = peak + np.clip(rng.normal(10, 1, n_voxels), 6, 14)
    return np.stack([peak, undershoot, np.clip(rng.normal(0.17, 0.05, n_voxels), 0, 0.4)], axis=1)
