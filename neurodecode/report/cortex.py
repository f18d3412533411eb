"""The cortex to turn: values at the vertices of fsaverage5, packed for the page's own viewer."""

import base64
import json

import numpy as np

from neurodecode.report.brain_map import colour_range, end_labels
from neurodecode.report.surface_map import MESHES, SIDES, on_mesh

LEAST_SHARE = 0.2
MESH = "fsaverage5"
REACH = 32000  # of the int16 that coordinates are rounded to: far below a pixel
NONE = 0  # the step of the scale that stands for no value; 1 to 255 are the colours


def packed(maps):
    """Everything the viewer needs, as JSON: two inflated hemispheres, their sulci, and the maps.

    Parameters
    ----------
    maps : list of (title, cmap, values)
        values : {"L": ndarray, "R": ndarray}, each (10242,), NaN where a vertex has none.

    Returns
    -------
    text : str
    """
    from nilearn.datasets import load_fsaverage, load_fsaverage_data

    mesh = load_fsaverage(MESH)["inflated"]
    sulci = load_fsaverage_data(MESH, data_type="sulcal", mesh_type="inflated")
    furthest = max(np.abs(part.coordinates).max() for part in mesh.parts.values())
    sides = {}
    for side, name in SIDES.items():
        part = mesh.parts[name]
        sulcus = np.asarray(sulci.data.parts[name]).ravel() > 0
        sides[side] = {
            "xyz": _base64(np.rint(part.coordinates / furthest * REACH).astype("<i2")),
            "faces": _base64(part.faces.astype("<u2")),
            "sulci": _base64(sulcus.astype("u1")),
        }
    drawn = [_map(title, cmap, values) for title, cmap, values in maps]
    text = json.dumps({"sides": sides, "maps": drawn}, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # no title may end the script


def of_vertices(where, values):
    """Values of channels that are vertices of fsaverage5, spread over both hemispheres."""
    return {side: on_mesh(MESH, where, values, side) for side in SIDES}


def of_volume(mask, values):
    """Values of voxels in MNI space, averaged between the white and the pial surface.

    NaN where less than `LEAST_SHARE` of what lies between them is in the mask.

    Parameters
    ----------
    mask : Nifti1Image
        Non-zero voxels, in C order, are the channels.
    values : ndarray, shape (n_channels,)
    """
    import nibabel
    from nilearn.datasets import load_fsaverage
    from nilearn.surface import vol_to_surf

    inside = np.asarray(mask.dataobj).reshape(mask.shape[:3]) != 0
    volume = np.zeros(inside.shape, dtype=np.float32)
    volume[inside] = values
    meshes, found = load_fsaverage(MESH), {}
    for side, name in SIDES.items():
        inner, outer = (meshes[kind].parts[name] for kind in ("white_matter", "pial"))
        images = (nibabel.Nifti1Image(v.astype(np.float32), mask.affine) for v in (volume, inside))
        sampled, share = (vol_to_surf(i, outer, inner_mesh=inner) for i in images)
        known = np.nan_to_num(share) > LEAST_SHARE
        at = np.where(known, sampled / np.where(known, share, 1), np.nan)
        found[side] = at.astype(float).reshape(MESHES[MESH])
    return found


def _map(title, cmap, values):
    """One map: steps 1 to 255 of its colours, its ends in print, and the colours."""
    from matplotlib import colormaps

    every = np.concatenate([values[side] for side in SIDES])
    low, high = colour_range(every)
    colours = (np.asarray(colormaps[cmap](np.linspace(0, 1, 256)))[:, :3] * 255).round()
    steps = {side: _base64(_steps(values[side], low, high)) for side in SIDES}
    about = {"title": title, "ends": end_labels(low, high)}
    return about | {"colours": _base64(colours.astype("u1"))} | steps


def _steps(values, low, high):
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.where(np.isfinite(values), 1 + np.rint(254 * np.nan_to_num(share)), NONE).astype("u1")


def _base64(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
