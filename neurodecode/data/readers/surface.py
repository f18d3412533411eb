"""Channels on the cortical surface, read from GIFTI or CIFTI: which take part, and where they lie.

A file has every vertex of the mesh, also those of the medial wall, where there is no cortex. A
vertex takes part if its signal varies in every run: the medial wall is written as NaN or as one
value throughout. Nothing else is asked of the signal, so no run says anything about another's
responses.
"""

import numpy as np

from neurodecode.data.readers.grid import check_values, space_of

HEMISPHERES = {"L": "left", "R": "right"}
MESHES = ("fsaverage5",)  # those that nilearn ships: no download
MESH_SIZE = 10242


class Surface:
    """Vertices, or grayordinates, that vary in every run; see `data.readers.grid.Grid`.

    Parameters
    ----------
    channels : str
        What a channel is called.
    runs : list of dict
        Hemisphere (or "") -> signal file, of every run of one subject.
    describe : callable (paths) -> DataFrame
        Columns ``hemisphere`` and ``vertex`` (-1: none), a row for each channel of the file.
    read : callable (paths) -> ndarray
        All channels of a run, (n_volumes, n_all) float32.
    region : callable (path) -> ndarray
        All channels a region's file speaks of, bool.

    Raises
    ------
    ValueError
        If runs have other vertices than the first, or no vertex varies.
    """

    def __init__(self, channels, runs, describe, read, region):
        self.channels, self._read_all, self._region_all = channels, read, region
        self.first = next(iter(runs[0].values()))
        self.described = describe(runs[0])
        kept = np.ones(len(self.described), bool)
        for paths in runs:
            self._check_same(paths, describe(paths))
            kept &= varying(read(paths))
        if not kept.any():
            raise ValueError(
                f"no vertex of {self.first} varies over time in each of {len(runs)} runs: this is "
                "no functional signal; check recipe.bold_entities"
            )
        self.kept = np.flatnonzero(kept)
        self.where = self.described.iloc[self.kept].reset_index(drop=True)
        self.n_channels = len(self.kept)

    def read(self, paths):
        """Read the signal of one run, (n_volumes, n_channels)."""
        values = np.ascontiguousarray(self._read_all(paths)[:, self.kept])
        names = " and ".join(str(p) for p in paths.values())
        check_values(names, values, self.channels, "leave the run out")
        return values

    def region(self, path, part=""):
        """Return the channels that a region's file holds; `part`: the hemisphere it is of."""
        inside = self._region_all(path)
        of = np.ones(len(self.described), bool)
        if part:
            of = self.described["hemisphere"].eq(part).to_numpy()
        if len(inside) != of.sum():
            raise ValueError(
                f"{path} has {len(inside)} vertices, {self.first} {of.sum()}: choose a region of "
                "the same space in recipe.rois"
            )
        whole = np.zeros(len(of), bool)
        whole[of] = inside
        return np.flatnonzero(whole[self.kept])

    def space(self):
        """Which vertex each channel is, of which mesh, and where it lies if that is known."""
        on = self.described[self.described["hemisphere"] != ""]
        about = {
            "space": space_of(self.first),
            "n_vertices": {h: int(n) for h, n in on["hemisphere"].value_counts().items()},
            "n_left_out": int(len(self.described) - self.n_channels),
        }
        where_mm = positions_mm(about["space"], self.where)
        known = {} if where_mm is None else {"positions_mm.npy": where_mm}
        table = self.where.drop(columns=["x_mm", "y_mm", "z_mm"], errors="ignore")
        return known | {"surface.json": about, "vertices.tsv": table}

    def _check_same(self, paths, described):
        if described.equals(self.described):
            return
        here, first = counts(described), counts(self.described)
        raise ValueError(
            f"{next(iter(paths.values()))} has {here}, the subject's first run {first}: its runs "
            "must be of one space and have the same hemispheres and vertices"
        )


def varying(values):
    """Say which channels of a run have a signal: not NaN throughout, and not one value."""
    silent = np.isnan(values).all(axis=0)
    return ~silent & ~(values == values[0]).all(axis=0)


def counts(described):
    """Count channels by hemisphere, in words: ``L 10242, R 10242``."""
    sizes = described["hemisphere"].replace("", "below the cortex").value_counts(sort=False)
    text = ", ".join(f"{name} {n}" for name, n in sizes.items())
    return f"{text} vertices" if text else "no vertex"


def positions_mm(space, where):
    """Return where channels lie, (n_channels, 3) in mm, or None where the mesh is not at hand.

    A vertex lies half-way between white matter and pia; what is no vertex at its own ``x_mm y_mm
    z_mm``.
    """
    is_vertex = (where["hemisphere"] != "").to_numpy()
    vertices = where["vertex"].to_numpy(int)
    if is_vertex.any() and (space not in MESHES or vertices.max() >= MESH_SIZE):
        return None
    found = np.zeros((len(where), 3), np.float32)
    if not is_vertex.all():
        found[~is_vertex] = where.loc[~is_vertex, ["x_mm", "y_mm", "z_mm"]]
    for hemisphere in set(where.loc[is_vertex, "hemisphere"]):
        rows = where["hemisphere"].eq(hemisphere).to_numpy()
        found[rows] = _midway_mm(space, hemisphere)[vertices[rows]]
    return found if np.isfinite(found).all() else None


def runs_of(files):
    """List the signal files of each run, by hemisphere: from a table run kind name file."""
    signals = files[files["kind"] == "signal"]
    return [paths_of(rows) for _, rows in signals.groupby("run", sort=False)]


def paths_of(signals):
    """Return the files of one run's signal by what they are of: a hemisphere, or ""."""
    return dict(zip(signals["name"].fillna("").astype(str), signals["file"], strict=True))


def refuse_smoothing(smoothing_fwhm_mm, path):
    """Refuse to smooth along a surface: it needs the subject's mesh."""
    if smoothing_fwhm_mm:
        raise ValueError(
            f"preprocess.method.smoothing_fwhm_mm={smoothing_fwhm_mm:g} smooths volumes, and "
            f"{path} lies on a surface: set it to null, and smooth the files beforehand "
            "(wb_command -cifti-smoothing, mris_fwhm) if you want to"
        )


def _midway_mm(space, hemisphere):
    from nilearn.datasets import load_fsaverage

    meshes, side = load_fsaverage(space), HEMISPHERES[hemisphere]
    both = (meshes[name].parts[side].coordinates for name in ("white_matter", "pial"))
    return np.mean(list(both), axis=0)
