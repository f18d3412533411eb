"""Read BOLD volumes within a mask, refusing what would silently spoil a study."""

import numpy as np

from neurodecode.data.readers.grid import check_values, data_of, is_absent, open_image, timing

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
    measured_s, n_volumes = (None, 0) if is_absent(path) else _header(path)
    return timing(path, measured_s, n_volumes, sidecar)


class Voxels:
    """The voxels of a brain mask; see `neurodecode.data.readers.grid.Grid`.

    Parameters
    ----------
    mask : Nifti1Image
    smoothing_fwhm_mm : float, optional
        Gaussian smoothing in space, in mm.
    mask_name : str
        What messages call the mask.
    """

    channels = "voxels"

    def __init__(self, mask, smoothing_fwhm_mm=None, mask_name="the mask"):
        self.mask, self.mask_name, self.smoothing_fwhm_mm = mask, mask_name, smoothing_fwhm_mm
        self.n_channels = int((np.asarray(mask.dataobj) > 0).sum())

    def read(self, paths):
        """Read the signal of one run; see `read_run`."""
        (path,) = paths.values()
        return read_run(path, self.mask, self.smoothing_fwhm_mm, self.mask_name)

    def region(self, path, part=""):
        """Return the voxels of a region's mask; see `region_channels`."""
        return region_channels(path, self.mask)

    def space(self):
        """The mask, and where its voxels lie."""
        return {"positions_mm.npy": positions_mm(self.mask), "mask.nii.gz": self.mask}


def open_grid(files, smoothing_fwhm_mm=None):
    """Take the mask all runs share; make one from the first run where the study has none.

    Parameters
    ----------
    files : DataFrame
        Of one subject: run kind name file.
    smoothing_fwhm_mm : float, optional
    """
    paths = list(dict.fromkeys(files.loc[files["kind"] == "mask", "file"]))
    signals = files.loc[files["kind"] == "signal", "file"]
    if paths:
        return Voxels(read_mask(paths), smoothing_fwhm_mm, f"the mask {paths[0]}")
    made = f"the mask made from {signals.iloc[0]}"
    return Voxels(guess_mask(signals.iloc[0]), smoothing_fwhm_mm, made)


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
        image = open_image(path)
        if image.ndim != 3:
            raise ValueError(f"{path} has {image.ndim} dimensions: a mask has 3 (x, y, z)")
        first = image if first is None else first
        _same_grid(image, path, first, paths[0])
        inside = inside & (data_of(image, path) > 0)
    if not inside.any():
        raise ValueError(
            f"the mask {paths[0]} holds no voxel (common to {len(paths)} files): name another in "
            "recipe.mask, or leave out the run that has none in common with the others"
        )
    return nibabel.Nifti1Image(inside.astype(np.uint8), first.affine)


def guess_mask(path):
    """Make a brain mask of a run where the study has none: nilearn's, from the mean volume."""
    from nilearn.masking import compute_epi_mask

    data_of(open_image(path), path)  # a damaged file is better refused here
    return compute_epi_mask(str(path))


def read_run(path, mask, smoothing_fwhm_mm=None, mask_name="the mask"):
    """Read the signal of one run within a mask, as nilearn's NiftiMasker orders it.

    Parameters
    ----------
    path : path
        NIfTI, 4-D.
    mask : Nifti1Image
        On the same grid.
    smoothing_fwhm_mm : float, optional
        Gaussian smoothing in space, in mm.
    mask_name : str
        What messages call the mask.

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

    image = open_image(path)
    if image.ndim != 4:
        raise ValueError(f"{path} has {image.ndim} dimensions: a BOLD run has 4 (x, y, z, volume)")
    _same_grid(image, path, mask, mask_name)
    values = data_of(image, path)[np.asarray(mask.dataobj) > 0].T  # (n_volumes, n_voxels)
    check_values(path, values)
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
    image = open_image(path)
    _same_grid(image, path, mask, "the brain mask")
    return np.flatnonzero(data_of(image, path)[np.asarray(mask.dataobj) > 0] > 0)


def _header(path):
    image = open_image(path)
    if image.ndim != 4:
        raise ValueError(f"{path} has {image.ndim} dimensions: a BOLD run has 4 (x, y, z, volume)")
    unit = SECONDS.get(image.header.get_xyzt_units()[1], 1.0)
    return float(image.header.get_zooms()[3]) * unit, image.shape[3]


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
