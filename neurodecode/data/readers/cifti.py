"""Read BOLD runs from CIFTI: cortex by vertices, the rest by voxels, in one ``.dtseries.nii``."""

import numpy as np

from neurodecode.data.readers.grid import data_of, is_absent, open_image, timing
from neurodecode.data.readers.surface import Surface, refuse_smoothing, runs_of

CORTEX = {"CIFTI_STRUCTURE_CORTEX_LEFT": "L", "CIFTI_STRUCTURE_CORTEX_RIGHT": "R"}
PREFIX = "CIFTI_STRUCTURE_"


def facts(path, sidecar):
    """Return how a run was sampled, from its series axis and JSON sidecar.

    See `neurodecode.data.readers.grid.timing`. Raises ValueError if the file is no dense time
    series (dtseries), or TRs disagree.
    """
    if is_absent(path):
        return timing(path, None, 0, sidecar)
    series, _ = _axes(_open(path), path)
    if series.unit != "SECOND":
        raise ValueError(
            f"{path} counts its volumes in {series.unit.lower()}, not in seconds: it is no time "
            "series of BOLD"
        )
    return timing(path, float(series.step), len(series), sidecar, float(series.start))


def open_grid(files, smoothing_fwhm_mm=None):
    """Open one subject's runs: the grayordinates that vary in all of them.

    Parameters
    ----------
    files : DataFrame
        Of one subject: run kind name file.
    smoothing_fwhm_mm : None
        A surface is not smoothed here.
    """
    runs = runs_of(files)
    refuse_smoothing(smoothing_fwhm_mm, next(iter(runs[0].values())))
    return Surface("grayordinates", runs, _describe, read_run, _region)


def read_run(paths):
    """Read all grayordinates of one run, (n_volumes, n_grayordinates) float32.

    Parameters
    ----------
    paths : dict
        ``{"": dtseries file}``.
    """
    (path,) = paths.values()
    image = _open(path)
    _axes(image, path)
    return data_of(image, path)


def _describe(paths):
    """Tabulate the grayordinates of a run: hemisphere vertex structure, and voxels in mm."""
    import pandas as pd
    from nibabel.affines import apply_affine

    (path,) = paths.values()
    _, models = _axes(_open(path), path)
    names = [str(n) for n in models.name]
    table = {"hemisphere": [CORTEX.get(n, "") for n in names], "vertex": models.vertex}
    table["structure"] = [n.removeprefix(PREFIX).lower() for n in names]
    found = pd.DataFrame(table)
    if models.affine is not None:  # the cortex has no voxel
        where_mm = apply_affine(models.affine, models.voxel)
        for i, axis in enumerate("ijk"):
            found[axis] = models.voxel[:, i]
            found[f"{'xyz'[i]}_mm"] = np.where(models.vertex < 0, where_mm[:, i], np.nan)
    return found


def _region(path):
    """Say which grayordinates a dscalar or dlabel names: those above 0 in its first map."""
    image = _open(path)
    return data_of(image, path)[0] > 0


def _open(path):
    import nibabel

    image = open_image(path, "CIFTI")
    if not isinstance(image, nibabel.Cifti2Image):
        raise ValueError(
            f"{path} is a plain {type(image).__name__}, not CIFTI-2, as its ending says: fetch it "
            "again, or rename it"
        )
    return image


def _axes(image, path):
    """Return the axes of a dense time series: volumes, then grayordinates."""
    from nibabel.cifti2 import BrainModelAxis, SeriesAxis

    axes = [image.header.get_axis(i) for i in range(image.ndim)]
    wanted = (SeriesAxis, BrainModelAxis)
    kinds = [type(a).__name__.removesuffix("Axis") for a in axes]
    if len(axes) != 2 or not all(isinstance(a, w) for a, w in zip(axes, wanted, strict=True)):
        raise ValueError(
            f"{path} has the axes {' × '.join(kinds)}: a BOLD run is a dense time series "
            "(dtseries: Series × BrainModel); dscalar, dlabel and ptseries hold maps or parcels"
        )
    return axes
