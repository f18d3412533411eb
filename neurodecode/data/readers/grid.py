"""What every BOLD format has: a grid of channels, a timing, and ways to be spoilt."""

import re
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np

from neurodecode.data.readers import headers

LONGEST_S = 1e6  # no run, volume or delay lasts so long


class Grid(Protocol):
    """The channels of one subject's BOLD runs, whatever the format of the files.

    The reader of a format makes one by ``open_grid(files, smoothing_fwhm_mm)``.

    Attributes
    ----------
    channels : str
        What a channel is called: voxels, vertices, grayordinates.
    n_channels : int
    """

    channels: str
    n_channels: int

    def read(self, paths: dict[str, Path]) -> np.ndarray:
        """Read the signal of one run, (n_volumes, n_channels) float32; `paths` as in `Run`."""

    def region(self, path, part="") -> np.ndarray:
        """Return the channels, as indices, that a region's file holds; `part`: its hemisphere."""

    def space(self) -> dict:
        """Describe the channels: file name below ``space/`` -> array, table, image or dict."""


def timing(path, measured_s, n_volumes, sidecar, start_s=0.0):
    """Return how a run was sampled, from what its file measured and its JSON sidecar says.

    Parameters
    ----------
    path : path
    measured_s : float or None
        TR of the file itself, in seconds.
    n_volumes : int
        0: the file is empty.
    sidecar : dict
    start_s : float
        When the first volume was taken, unless the sidecar has a StartTime.

    Returns
    -------
    facts : dict
        ``tr_s``; ``n_volumes``; ``start_s``, when a volume counts as taken after the clock's zero
        (the sidecar's StartTime, where slice timing was corrected); ``duration_s``, the length of
        the run, not for an empty file.

    Raises
    ------
    ValueError
        If file and sidecar disagree, or neither tells the TR.
    """
    stated_s = _stated(path, sidecar, "RepetitionTime")
    start_s = _stated(path, sidecar, "StartTime", start_s)
    if stated_s and measured_s and abs(stated_s - measured_s) > 1e-3 * stated_s:
        raise ValueError(
            f"{path} says TR {measured_s:g} s in its header, its JSON sidecar {stated_s:g} s: find "
            "out which is right and correct the other"
        )
    tr_s = stated_s or measured_s
    if not tr_s:
        raise ValueError(f"{path} has no TR: add RepetitionTime (s) to its JSON sidecar")
    found = {"tr_s": float(tr_s), "n_volumes": n_volumes}
    found["start_s"] = float(start_s)
    return found | ({"duration_s": n_volumes * float(tr_s)} if n_volumes else {})


def _stated(path, sidecar, key, default=None):
    """A number of the sidecar, in s; ValueError where it is none that can be."""
    value = sidecar.get(key)
    value = default if value is None else value
    if value is None or (isinstance(value, int | float) and abs(value) < LONGEST_S):
        return value
    raise ValueError(f"the JSON sidecar of {path} says {key} {value!r:.60}: expected seconds")


def is_absent(path):
    """Say whether a file is empty, as in a data set that comes without its signals."""
    return not Path(path).stat().st_size


def open_image(path, what="NIfTI"):
    """Open an image with nibabel; ValueError for an empty or unreadable file."""
    from xml.parsers.expat import ExpatError

    import nibabel

    if is_absent(path):
        raise ValueError(
            f"{path} is empty: the data set came without its signal files "
            "(fetch them, for instance by datalad get)"
        )
    formats = (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError)
    formats += (nibabel.cifti2.Cifti2HeaderError, LookupError)  # XML of no sense
    try:
        headers.check(path)
        return nibabel.load(path)
    except (*formats, ExpatError, EOFError, OSError, ValueError, zlib.error) as error:
        told = str(error).removeprefix(f"{path} ")
        raise ValueError(f"{path} is no readable {what} file ({told}): fetch it again") from None


def data_of(image, path):
    """Read an image's values as float32; ValueError for a truncated or damaged file."""
    try:
        return np.asarray(image.dataobj, np.float32)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} ends too early or is damaged ({error}): fetch it again") from None


def check_values(path, values, channels="voxels of the mask", remedy="shrink the mask"):
    """Refuse a run, (n_volumes, n_channels), with values that are not finite, or flat volumes."""
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(
            f"{path} holds values that are not finite in {int((~finite).any(axis=0).sum())} "
            f"{channels} and {int((~finite).any(axis=1).sum())} of {len(values)} volumes: {remedy} "
            "or repair the run"
        )
    flat = np.flatnonzero(np.ptp(values, axis=1) == 0) if values.shape[1] > 1 else []
    if len(flat):
        raise ValueError(
            f"{path}: {len(flat)} of {len(values)} volumes have one value everywhere (the first "
            f"is volume {flat[0]}): they were never recorded; cut them off, with their events"
        )


def space_of(path):
    """Return the ``space-`` entity of a file name, such as fsaverage5; "" if it has none."""
    found = re.search(r"_space-([A-Za-z0-9]+)", Path(path).name)
    return found.group(1) if found else ""
