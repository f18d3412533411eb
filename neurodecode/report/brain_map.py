"""Where in the brain the signal lies: one value per voxel, drawn slice by slice with nilearn."""

import numpy as np

MOST_SLICES = 8
TINY = 1e-6  # stands for an exact zero inside the mask


def brain_map(mask, values, cmap="viridis"):
    """Draw values of mask voxels as a row of axial slices over the mask's outline.

    Slices rather than a glass brain: the volume may be a slab, a single slice or a simulated sheet
    that lies in no standard space.

    Parameters
    ----------
    mask : Nifti1Image
        Non-zero voxels, in C order, are the channels.
    values : ndarray, shape (n_channels,)
        NaN where a voxel has none.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are not as many values as mask voxels.
    """
    import nibabel
    from matplotlib.figure import Figure
    from nilearn import plotting

    inside = np.asarray(mask.dataobj).reshape(mask.shape[:3]) != 0
    if inside.sum() != len(values):
        raise ValueError(
            f"{len(values)} values for a mask of {inside.sum()} voxels: "
            "draw with the mask that preprocess wrote"
        )
    cuts = _cuts_mm(inside, mask.affine)
    low, high = colour_range(values)
    panel = 0.95 if len(cuts) > 2 else 1.9
    width = panel * len(cuts) + 0.75
    figure = Figure(figsize=(width, 1.4))
    display = plotting.plot_img(
        nibabel.Nifti1Image(_volume(inside, values), mask.affine),
        bg_img=None,
        display_mode="z",
        cut_coords=cuts,
        figure=figure,
        axes=(0.0, 0.14, panel * len(cuts) / width, 0.84),
        threshold=TINY / 2,  # hides what lies outside the mask
        cmap=cmap,
        vmin=low,
        vmax=high,
        colorbar=False,
        annotate=False,
        black_bg=False,
        interpolation="nearest",
    )
    outline = nibabel.Nifti1Image(inside.astype(np.uint8), mask.affine)
    display.add_contours(outline, levels=[0.5], colors="0.5", linewidths=0.4)
    _write_heights(figure, display, cuts)
    draw_scale(figure, low, high, cmap)
    return figure


def _volume(inside, values):
    """Values in the mask's volume: 0 outside (nilearn knows no NaN), never 0 inside."""
    volume = np.zeros(inside.shape, dtype=np.float32)
    volume[inside] = np.where(np.isfinite(values), np.where(values == 0, TINY, values), 0)
    return volume


def colour_range(values):
    """The colour scale: 1st to 99th percentile, so that one voxel does not bleach the others."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [1, 99]) if len(finite) else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def _write_heights(figure, display, cuts):
    for i, (cut, axes) in enumerate(zip(cuts, display.axes.values(), strict=True)):
        text = f"z = {cut:.0f} mm" if i == 0 else f"{cut:.0f}"
        box = axes.ax.get_position()
        middle = (box.x0 + box.x1) / 2
        figure.text(middle, 0.02, text.replace("-", "−"), fontsize=9, color="0.3", ha="center")


def end_labels(low, high):
    """The ends of a colour scale in print: nearly nothing is 0."""
    near_zero = 0.005 * max(abs(low), abs(high))
    return ["0" if abs(v) < near_zero else f"{v:.2g}".replace("-", "−") for v in (low, high)]


def draw_scale(figure, low, high, cmap):
    """Draw a narrow colour scale at the right edge of a figure."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    width = figure.get_figwidth()
    axes = figure.add_axes((1 - 0.6 / width, 0.2, 0.09 / width, 0.7))
    bar = figure.colorbar(ScalarMappable(Normalize(low, high), cmap), cax=axes)
    bar.set_ticks([low, high], labels=end_labels(low, high))
    axes.tick_params(length=0, labelsize=9, labelcolor="0.3")
    bar.outline.set_visible(False)


def _cuts_mm(inside, affine):
    """Heights in mm of the slices that hold voxels, thinned evenly to the most that fit."""
    filled = np.flatnonzero(inside.any(axis=(0, 1)))
    if len(filled) > MOST_SLICES:
        filled = filled[np.linspace(0, len(filled) - 1, MOST_SLICES).round().astype(int)]
    centre = (np.array(inside.shape) - 1) / 2
    corners = np.column_stack([np.tile(centre[:2], (len(filled), 1)), filled, np.ones(len(filled))])
    return (affine @ corners.T)[2].tolist()
