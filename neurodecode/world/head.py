"""A head around a simulated brain: where its voxels lie in the cortex, what electrodes see.

The head is three concentric spheres (brain, skull, scalp) [1]_; electrodes lie on the outermost.
A brain of `brain` is a compact ellipsoid; here it is spread, without tearing, under the skull:
what was at its posterior pole comes to the occipital pole, what was in front to the crown, the
temples and below, left stays left and up stays up. Each voxel is a dipole along the normal of a
folded sheet.

Coordinates are mne's head coordinates, in metres: x to the right, y to the front, z up, the origin
between the ears.

References
----------
.. [1] Berg, P. & Scherg, M. (1994). A fast method for forward computation of multiple-shell
   spherical head models. Electroencephalogr. Clin. Neurophysiol. 90.
"""

import numpy as np

from neurodecode.world.brain import VOXEL_MM, Subject, smooth_fields

N_ELECTRODES = (16, 32, 64, 128, 160, 256)  # of the caps that mne knows as biosemi16, …
HEAD_M = 0.095  # outer radius
CENTRE_M = (0.0, 0.0, 0.040)  # of the spheres, for the caps above
CORTEX_M = 0.076  # radius of the outer surface of the cortex; the skull begins at .0855
FOLD_MM = 10.0  # distance over which the sheet bends
REFERENCE = (-0.82, -0.28, -0.50)  # direction of the left mastoid

_REACH_RAD = 1.75  # from the occipital pole to the front of the sheet
_PITCH_RAD = 0.15  # the occipital pole lies below the horizontal
_THICKNESS_M = 0.012  # between the outermost and the innermost voxels
_FOLDING = 1.2  # how far normals turn away from the radius


def montage(n_channels: int):
    """Return the mne montage of a cap.

    Raises ValueError, listing the caps, where none has `n_channels` electrodes.
    """
    import mne

    if n_channels not in N_ELECTRODES:
        raise ValueError(f"n_channels is {n_channels}: expected one of {list(N_ELECTRODES)}")
    return mne.channels.make_standard_montage(f"biosemi{n_channels}", head_size=HEAD_M)


def sources(subject: Subject, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Spread a brain under the skull.

    Returns
    -------
    positions_m, normals : ndarray, shape (n_voxels, 3)
        Head coordinates, and unit vectors: the outward radius, turned by a random field that is
        smooth over `FOLD_MM`, as the normals of gyri and sulci are.
    """
    mm = subject.positions_mm + rng.uniform(-VOXEL_MM / 2, VOXEL_MM / 2, (subject.n_voxels, 3))
    mm -= mm.mean(axis=0)
    anterior = (np.argsort(np.argsort(mm[:, 1])) + 0.5) / len(mm)
    across = np.hypot(mm[:, 0], mm[:, 2])
    polar = np.arccos(1 - anterior * (1 - np.cos(_REACH_RAD)))  # equal areas for equal numbers
    around = np.arctan2(mm[:, 2], mm[:, 0])
    outward = np.column_stack(
        [np.sin(polar) * np.cos(around), -np.cos(polar), np.sin(polar) * np.sin(around)]
    )
    outward = outward @ _pitch().T
    depth_m = _THICKNESS_M * (1 - across / across.max())
    positions_m = (CORTEX_M - depth_m)[:, None] * outward + CENTRE_M
    return positions_m, fold(positions_m, outward, rng)


def fold(positions_m: np.ndarray, outward: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit normals of a folded sheet at positions whose outward radius is given, (n, 3)."""
    normals = outward + _FOLDING * smooth_fields(1000 * positions_m, 3, FOLD_MM, rng)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def cortex(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places all over the cortex, and its normals there, each (n, 3)."""
    outward = rng.standard_normal((n, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    positions_m = CORTEX_M * outward + CENTRE_M
    return positions_m, fold(positions_m, outward, rng)


def lead_field(positions_m: np.ndarray, directions: np.ndarray, cap) -> np.ndarray:
    """Potentials of unit dipoles against the left mastoid, (n_channels, n_dipoles), µV per nAm.

    Parameters
    ----------
    positions_m, directions : ndarray, shape (n_dipoles, 3)
        Head coordinates and unit vectors.
    cap : mne.channels.DigMontage
        From `montage`.

    Raises
    ------
    ValueError
        When a dipole does not lie inside the innermost sphere.
    """
    import mne

    info = _info(cap)
    sphere = mne.make_sphere_model(CENTRE_M, HEAD_M, info, verbose="ERROR")
    radius_m = np.linalg.norm(positions_m - CENTRE_M, axis=1).max()
    if radius_m >= sphere["layers"][0]["rad"]:
        raise ValueError(
            f"a dipole lies {1000 * radius_m:.0f} mm from the centre of the head: the brain ends "
            f"at {1000 * sphere['layers'][0]['rad']:.1f} mm"
        )
    ones = np.ones(len(positions_m))
    dipoles = mne.Dipole(np.arange(len(ones)), positions_m, 1e-9 * ones, directions, 100 * ones)
    forward, _ = mne.make_forward_dipole(dipoles, sphere, info, verbose="ERROR")
    field = 1e-3 * forward["sol"]["data"]  # V per A m are a thousand µV per nA m
    return field[:-1] - field[-1:]


def _info(cap):
    """Describe the sensors: the cap, then the reference electrode."""
    import mne

    known = cap.get_positions()
    reference = np.array(REFERENCE) / np.linalg.norm(REFERENCE) * HEAD_M
    landmarks = {name: known[name] for name in ("nasion", "lpa", "rpa")}
    with_reference = mne.channels.make_dig_montage(
        known["ch_pos"] | {"mastoid": reference}, **landmarks, coord_frame="unknown"
    )
    info = mne.create_info([*cap.ch_names, "mastoid"], 1.0, "eeg")
    return info.set_montage(with_reference, verbose="ERROR")


def _pitch() -> np.ndarray:
    """Rotation about the left-right axis that lowers the occipital pole, (3, 3)."""
    cos, sin = np.cos(_PITCH_RAD), np.sin(_PITCH_RAD)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
