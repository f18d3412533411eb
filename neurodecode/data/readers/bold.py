"""Read BOLD runs within a mask, refusing what would silently spoil a study."""

import zlib
from pathlib import Path

import numpy as np

SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


def facts(path, sidecar):
    """Return how a run was sampled, from its header and JSON sidecar.

    Parameters
    ----------
    path : path
        NIfTI, 4-D; an empty file (a data set without its signals) has no header to compare with.
    sidecar : dict

    Returns
    -------
    facts : dict
        ``tr_s``; ``n_volumes`` (0 for an empty file); ``start_s``, when a volume counts as taken
        after the clock's zero: the sidecar's StartTime (slice timing corrected), or 0;
        ``duration_s``, the length of the run, not for an empty file.

    Raises
    ------
    ValueError
        If header and sidecar disagree, neither tells the TR, or the image is not 4-D.
    """
    stated_s = sidecar.get("RepetitionTime")
    measured_s, n_volumes = (None, 0) if not Path(path).stat().st_size else _header(path)
    if stated_s and measured_s and abs(stated_s - measured_s) > 1e-3 * stated_s:
        raise ValueError(
            f"{path} says TR {measured_s:g} s in its header, its JSON sidecar {stated_s:g} s: find "
            "out which is right and correct the other"
        )
    tr_s = stated_s or measured_s
    if not tr_s:
        raise ValueError(f"{path} has no TR: add RepetitionTime (s) to its JSON sidecar")
    found = {"tr_s": float(tr_s), "n_volumes": n_volumes}
    found["start_s"] = float(sidecar.get("StartTime", 0.0))
    return found | ({"duration_s": n_volumes * float(tr_s)} if n_volumes else {})


def read_mask(paths):
    """Read a brain mask: the voxels common to all files (of the runs of one subject).

    Returns
    -------
    mask : Nifti1Image of uint8

    Raises
    ------
    ValueError
        If files differ in grid, or no voxel is left.
    """
    import nibabel

    first, inside = None, True
    for path in paths:
        image = _open(path)
        first = image if first is None else first
        _same_grid(image, path, first, paths[0])
        inside = inside & (_data(image, path) > 0)
    if not inside.any():
        raise ValueError(f"the mask {paths[0]} holds no voxel (over {len(paths)} files)")
    return nibabel.Nifti1Image(inside.astype(np.uint8), first.affine)


def guess_mask(path):
    """Make a brain mask of a run where the study has none: nilearn's, from the mean volume."""
    from nilearn.masking import compute_epi_mask

    _data(_open(path), path)  # a damaged file is better refused here
    return compute_epi_mask(str(path))


def read_run(path, mask, smoothing_fwhm_mm=None):
    """Read the signal of one run within a mask, as nilearn's NiftiMasker orders it.

    Parameters
    ----------
    path : path
        NIfTI, 4-D.
    mask : Nifti1Image
        On the same grid.
    smoothing_fwhm_mm : float, optional
        Gaussian smoothing in space, in mm.

    Returns
    -------
    bold : ndarray of float32, shape (n_volumes, n_voxels)

    Raises
    ------
    ValueError
        For an empty or truncated file, another grid than the mask's, values that are not finite,
        or volumes without any contrast.
    """
    from nilearn.maskers import NiftiMasker

    image = _open(path)
    if image.ndim != 4:
        raise ValueError(f"{path} has {image.ndim} dimensions: a BOLD run has 4")
    _same_grid(image, path, mask, "the mask")
    values = _data(image, path)[np.asarray(mask.dataobj) > 0].T  # (n_volumes, n_voxels)
    _check_values(path, values)
    if not smoothing_fwhm_mm:
        return np.ascontiguousarray(values)
    masker = NiftiMasker(mask, smoothing_fwhm=smoothing_fwhm_mm, standardize=None, reports=False)
    return masker.fit().transform(image).astype(np.float32)


def positions_mm(mask):
    """Return where the voxels of a mask lie, in mm of the scanner, (n_voxels, 3), in its order."""
    from nibabel.affines import apply_affine

    return apply_affine(mask.affine, np.argwhere(np.asarray(mask.dataobj) > 0)).astype(np.float32)


def region_channels(path, mask):
    """Return which channels of a mask lie in a region's mask, as indices."""
    image = _open(path)
    _same_grid(image, path, mask, "the brain mask")
    return np.flatnonzero(_data(image, path)[np.asarray(mask.dataobj) > 0] > 0)


def _header(path):
    image = _open(path)
    if image.ndim != 4:
        raise ValueError(f"{path} has {image.ndim} dimensions: a BOLD run has 4")
    unit = SECONDS.get(image.header.get_xyzt_units()[1], 1.0)
    return float(image.header.get_zooms()[3]) * unit, image.shape[3]


def _open(path):
    import nibabel

    if not Path(path).stat().st_size:
        raise ValueError(
            f"{path} is empty: the data set came without its signal files "
            "(fetch them, for instance by datalad get)"
        )
    try:
        return nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is not a readable NIfTI file ({error}): fetch it again") from None


def _data(image, path):
    try:
        return np.asarray(image.dataobj, np.float32)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} ends too early or is damaged ({error}): fetch it again") from None


def _same_grid(image, path, other, other_name):
    if image.shape[:3] != other.shape[:3]:
        raise ValueError(
            f"{path} has {image.shape[:3]} voxels, {other_name} {other.shape[:3]}: resample one to "
            "the other, or choose files of one space in the recipe"
        )
    if not np.allclose(image.affine, other.affine, atol=1e-3):
        raise ValueError(
            f"{path} lies elsewhere than {other_name} (their affines differ by up to "
            f"{np.abs(image.affine - other.affine).max():.3g} mm): choose files of one space"
        )


def _check_values(path, values):
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(
            f"{path} holds values that are not finite in {int((~finite).any(axis=0).sum())} voxels "
            f"of the mask and {int((~finite).any(axis=1).sum())} of {len(values)} volumes: shrink "
            "the mask or repair the run"
        )
    flat = np.flatnonzero(np.ptp(values, axis=1) == 0) if values.shape[1] > 1 else []
    if len(flat):
        raise ValueError(
            f"{path}: {len(flat)} of {len(values)} volumes have one value everywhere (the first "
            f"is volume {flat[0]}): they were never recorded; cut them off, with their events"
        )
