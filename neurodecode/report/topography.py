"""Where on the head the signal lies: one value per sensor, drawn with mne from above."""

import numpy as np

from neurodecode.report.brain_map import colour_range, draw_scale

DRAWN = {"eeg": "electrodes", "mag": "magnetometers", "grad": "gradiometers"}
SAME_MM = 1.0  # sensors closer than this share a place: planar gradiometers come in pairs
PANEL_IN = 2.8
FEWEST = 4  # places below which there is nothing to interpolate


def topography(sensors, values, cmap="YlGnBu"):
    """Draw values of sensors as one map per type of sensor, nose up, left is left.

    Parameters
    ----------
    sensors : DataFrame, n_channels rows
        Columns name, type, x_mm, y_mm, z_mm: as preprocess writes `space/sensors.tsv`.
    values : ndarray, shape (n_channels,)
        NaN where a sensor has none. Sensors at one place are averaged.
    cmap : str
        Light at its lower end: the head's outline is black.

    Returns
    -------
    figure : matplotlib.figure.Figure or None
        None where no type of sensor has enough positions that are known.

    Raises
    ------
    ValueError
        If there are not as many values as sensors.
    """
    from matplotlib.figure import Figure

    if len(sensors) != len(values):
        raise ValueError(
            f"{len(values)} values for {len(sensors)} sensors: draw with the sensors.tsv that "
            "preprocess wrote"
        )
    found = {kind: _places(sensors, np.asarray(values, float), kind) for kind in DRAWN}
    maps = {kind: pair for kind, pair in found.items() if len(pair[0]) >= FEWEST}
    if not maps:
        return None
    low, high = colour_range(np.concatenate([shown for _, shown in maps.values()]))
    panel, width, several = PANEL_IN, PANEL_IN * len(maps) + 0.75, len(maps) > 1
    figure = Figure(figsize=(width, PANEL_IN + 0.2 * several))
    for place, (kind, pair) in enumerate(maps.items()):
        axes = figure.add_axes((panel * place / width, 0, panel / width, 0.92 if several else 1))
        _draw(axes, kind, *pair, cmap, (low, high))
        if several:
            axes.set_title(DRAWN[kind], fontsize=9, color="0.3", pad=3)
    draw_scale(figure, low, high, cmap)
    return figure


def _places(sensors, values, kind):
    """Positions in mm, (n_places, 3), and their mean values, of the sensors of one type."""
    positions = sensors[["x_mm", "y_mm", "z_mm"]].apply(lambda c: c.astype(float)).to_numpy()
    known = np.isfinite(positions).all(axis=1) & np.isfinite(values)
    mine = known & (sensors["type"].str.lower() == kind).to_numpy()
    grid = np.round(positions[mine] / SAME_MM)
    _, first, place = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    means = np.bincount(place.ravel(), values[mine]) / np.bincount(place.ravel())
    return positions[mine][first], means


def _draw(axes, kind, positions_mm, values, cmap, limits):
    import mne

    # Pairs of gradiometers are merged by now: to mne they are sensors with a place.
    names, kind = [str(i) for i in range(len(values))], "eeg" if kind == "eeg" else "mag"
    info = mne.create_info(names, sfreq=1.0, ch_types=kind, verbose="error")
    for channel, position_mm in zip(info["chs"], positions_mm, strict=True):
        channel["loc"][:3] = position_mm / 1000
    # Only colours between sensors are interpolated; contours would suggest more than there is.
    mne.viz.plot_topomap(
        values, info, axes=axes, cmap=cmap, vlim=limits, contours=0, sensors="k.", show=False
    )
