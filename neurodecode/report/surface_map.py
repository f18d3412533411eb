"""Where on the cortex the signal lies: one value per vertex, four views drawn with nilearn."""

import numpy as np

from neurodecode.report.brain_map import colour_range, draw_scale

MESHES = {"fsaverage5": 10242}  # meshes that nilearn ships, and their vertices in each hemisphere
SIDES = {"L": "left", "R": "right"}
VIEWS = (("L", "lateral"), ("L", "medial"), ("R", "medial"), ("R", "lateral"))


def surface_map(space, where, values, cmap="viridis"):
    """Draw values of vertices on the inflated cortex, from outside and from the middle.

    Parameters
    ----------
    space : str
        Name of the mesh, one of `MESHES`.
    where : DataFrame
        Columns ``hemisphere`` (L, R, or "" for what is no vertex and is not drawn) and ``vertex``;
        a row for each value.
    values : ndarray, shape (n_channels,)
        NaN where a vertex has none; such vertices, and those without a row, show the bare cortex.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the mesh is not at hand, or rows and values differ in number.
    """
    from matplotlib.figure import Figure
    from nilearn import plotting
    from nilearn.datasets import load_fsaverage, load_fsaverage_data

    if not is_drawable(space, where):
        raise ValueError(f"the mesh of {space!r} is not at hand; known: {', '.join(MESHES)}")
    if len(where) != len(values):
        raise ValueError(
            f"{len(values)} values for {len(where)} channels: draw with the vertices.tsv that "
            "preprocess wrote"
        )
    mesh = load_fsaverage(space)["inflated"]
    sulci = load_fsaverage_data(space, data_type="sulcal", mesh_type="inflated")
    low, high = colour_range(values)
    views = [v for v in VIEWS if v[0] in set(where["hemisphere"])]
    width = 1.6 * len(views) + 0.75
    figure = Figure(figsize=(width, 1.4))
    for i, (hemisphere, view) in enumerate(views):
        place = (1.6 * i / width, 0.1, 1.6 / width, 0.95)
        axes = figure.add_axes(place, projection="3d")
        plotting.plot_surf(
            mesh.parts[SIDES[hemisphere]],
            on_mesh(space, where, values, hemisphere),
            bg_map=sulci.data.parts[SIDES[hemisphere]],
            hemi=SIDES[hemisphere],
            view=view,
            cmap=cmap,
            vmin=low,
            vmax=high,
            axes=axes,
            figure=figure,
            colorbar=False,
            engine="matplotlib",
            avg_method=mean_of_known,
        )
        text = f"{SIDES[hemisphere]}, {view}"
        figure.text(place[0] + place[2] / 2, 0.02, text, fontsize=9, color="0.3", ha="center")
    draw_scale(figure, low, high, cmap)
    return figure


def is_drawable(space, where):
    """Say whether the mesh of these vertices is at hand."""
    on = where[where["hemisphere"].isin(list(SIDES))]
    return space in MESHES and len(on) > 0 and on["vertex"].max() < MESHES[space]


def mean_of_known(corners):
    """Mean of a triangle's corners that have a value: a lone vertex colours all it touches."""
    known = corners[np.isfinite(corners)]
    return known.mean() if len(known) else np.nan


def on_mesh(space, where, values, hemisphere):
    """Spread values over all vertices of a hemisphere, (n_vertices,); NaN where there is none."""
    spread = np.full(MESHES[space], np.nan)
    mine = where["hemisphere"].eq(hemisphere).to_numpy()
    spread[where.loc[mine, "vertex"].to_numpy(int)] = np.asarray(values)[mine]
    return spread
