"""The cortex to turn holds each value at its vertex, and volumes come to where they lie."""

import base64
import json

import nibabel
import numpy as np
import pandas as pd
import pytest

from neurodecode.report.cortex import of_vertices, of_volume, packed
from neurodecode.report.page import TEMPLATES, script

N = 10242


def unpacked(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


@pytest.fixture(scope="module")
def data():
    where = pd.DataFrame({"hemisphere": [*"LLR"], "vertex": [5, 7, 9]})
    values = of_vertices(where, np.array([0.0, 1.0, 2.0]))
    return json.loads(packed([("a <map>", "viridis", values)]))


def test_the_mesh_is_fsaverage5_to_a_hundredth_of_a_millimetre(data):
    from nilearn.datasets import load_fsaverage

    parts = load_fsaverage("fsaverage5")["inflated"].parts
    furthest = max(np.abs(p.coordinates).max() for p in parts.values())
    for side, name in (("L", "left"), ("R", "right")):
        xyz = unpacked(data["sides"][side]["xyz"], "<i2").reshape(N, 3) / 32000 * furthest
        assert np.abs(xyz - parts[name].coordinates).max() < 0.01
        faces = unpacked(data["sides"][side]["faces"], "<u2").reshape(-1, 3)
        assert np.array_equal(faces, parts[name].faces)


def test_each_value_stands_at_its_vertex_and_others_are_bare(data):
    (drawn,) = data["maps"]
    left, right = (unpacked(drawn[side], "u1") for side in "LR")
    assert np.flatnonzero(left).tolist() == [5, 7] and np.flatnonzero(right).tolist() == [9]
    assert left[5] == 1 and right[9] == 255 and 100 < left[7] < 156
    colours = unpacked(drawn["colours"], "u1").reshape(256, 3)
    assert colours[1].tolist() != colours[255].tolist()


def test_a_blob_in_the_left_occipital_lobe_lands_on_the_left_pole():
    from nilearn.datasets import load_fsaverage

    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = (-90, -126, -72)
    mask = nibabel.Nifti1Image(np.ones((46, 55, 46), np.uint8), affine)
    places = nibabel.affines.apply_affine(affine, np.argwhere(np.ones(mask.shape)))
    blob = np.exp(-((places - (-20, -98, 0)) ** 2).sum(1) / 200)
    found = of_volume(mask, blob)
    highest = (
        load_fsaverage("fsaverage5")["pial"].parts["left"].coordinates[np.nanargmax(found["L"])]
    )
    assert np.linalg.norm(highest - (-20, -98, 0)) < 10
    assert np.nanmax(found["L"]) > 5 * np.nanmax(found["R"])


def test_text_cannot_end_the_script(data):
    values = of_vertices(pd.DataFrame({"hemisphere": ["L"], "vertex": [1]}), np.ones(1))
    assert "<" not in packed([("</script>", "magma", values)])


def test_all_scripts_together_stay_small():
    assert len(script().encode()) + (TEMPLATES / "cortex.js").stat().st_size < 20_000
