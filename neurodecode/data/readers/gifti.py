"""Read BOLD runs on a surface from GIFTI: one file for each hemisphere."""

import numpy as np

from neurodecode.data.readers.grid import is_absent, open_image, timing
from neurodecode.data.readers.surface import Surface, refuse_smoothing, runs_of

LONGEST_TR_S = 20.0  # a TimeStep above this is in ms: nobody waits 20 s for a volume


def facts(path, sidecar):
    """Return how a run was sampled; see `neurodecode.data.readers.grid.timing`.

    The TR stands in the sidecar or in the file's metadata (``TimeStep``, which FreeSurfer writes in
    milliseconds and others in seconds: a value above 20 is taken as milliseconds).

    Raises
    ------
    ValueError
        If the file is no GIFTI, has no volume or no vertex, or TRs disagree.
    """
    if is_absent(path):
        return timing(path, None, 0, sidecar)
    step, _, n_volumes = _header(path)
    return timing(path, step / 1000 if step and step > LONGEST_TR_S else step, n_volumes, sidecar)


def open_grid(files, smoothing_fwhm_mm=None):
    """Open one subject's runs: the vertices that vary in all of them.

    Parameters
    ----------
    files : DataFrame
        Of one subject: run kind name file; a signal's name is its hemisphere.
    smoothing_fwhm_mm : None
        A surface is not smoothed here.
    """
    runs = runs_of(files)
    refuse_smoothing(smoothing_fwhm_mm, next(iter(runs[0].values())))
    return Surface("vertices", runs, _describe, read_run, _region)


def read_run(paths):
    """Read all vertices of one run, the left hemisphere first.

    Parameters
    ----------
    paths : dict
        Hemisphere -> GIFTI file.

    Returns
    -------
    bold : ndarray of float32, shape (n_volumes, n_vertices)

    Raises
    ------
    ValueError
        For a damaged file, or hemispheres with different numbers of volumes.
    """
    parts = {h: _series(paths[h]) for h in sorted(paths)}
    lengths = {h: len(p) for h, p in parts.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{paths[h]} has {n}" for h, n in lengths.items())
        raise ValueError(
            f"the hemispheres of a run have different numbers of volumes: {said}; make them again "
            "from the same run"
        )
    return np.hstack(list(parts.values()))


def _describe(paths):
    """Tabulate the vertices of a run: hemisphere vertex, the left hemisphere first."""
    import pandas as pd

    sizes = {h: _header(_present(paths[h]))[1] for h in sorted(paths)}
    parts = [pd.DataFrame({"hemisphere": h, "vertex": np.arange(n)}) for h, n in sizes.items()]
    return pd.concat(parts, ignore_index=True)


def _series(path):
    """Read a time series, (n_volumes, n_vertices): an array for each volume, or one for all."""
    image = open_image(path, "GIFTI")
    arrays = [np.atleast_2d(np.asarray(a.data, np.float32).T) for a in image.darrays]
    if not arrays or not arrays[0].size:
        raise ValueError(f"{path} holds no volume: {_SERIES}")
    if len({a.shape[1] for a in arrays}) > 1:
        raise ValueError(f"{path} has volumes with different numbers of vertices: {_SERIES}")
    return np.vstack(arrays)


def _region(path):
    """Say which vertices a label, shape or func file names: those with a value above 0."""
    return _series(path)[0] > 0


def _present(path):
    return path if not is_absent(path) else open_image(path)  # which says what to do


def _header(path):
    """Return TimeStep (or None), n_vertices and n_volumes without reading the signal."""
    from xml.etree.ElementTree import ParseError, iterparse

    meta, n_arrays, shape = {}, 0, ()
    try:
        for event, node in iterparse(str(path), ("start", "end")):
            if (event, node.tag) == ("start", "GIFTI"):
                n_arrays = int(node.get("NumberOfDataArrays", 0))
            elif (event, node.tag) == ("end", "MD"):
                meta[(node.findtext("Name") or "").strip()] = (node.findtext("Value") or "").strip()
            elif (event, node.tag) == ("start", "DataArray"):
                shape = [int(node.get(f"Dim{i}")) for i in range(int(node.get("Dimensionality")))]
            elif (event, node.tag) == ("start", "Data"):
                break
    except (ParseError, TypeError) as error:
        raise ValueError(f"{path} is no readable GIFTI file ({error}): fetch it again") from None
    n_vertices, n_volumes = (*shape, n_arrays)[:2] if shape else (0, 0)
    if not n_vertices or not n_volumes:
        raise ValueError(f"{path} holds {n_volumes} volumes of {n_vertices} vertices: {_SERIES}")
    return _number(meta.get("TimeStep")), n_vertices, n_volumes


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


_SERIES = "a run is a *_bold.func.gii with a time series; make it again"
