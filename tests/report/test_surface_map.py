"""Maps on the cortex: values stand at their vertices, and a mesh that is unknown is not drawn."""

import json
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest

from neurodecode.core.views import read_table
from neurodecode.report.page import Study
from neurodecode.report.sections import quality
from neurodecode.report.surface_map import is_drawable, on_mesh, surface_map
from neurodecode.report.where import brain

WHERE = pd.DataFrame({"hemisphere": [*"LLR", ""], "vertex": [5, 7, 5, -1]})


def test_values_stand_at_their_vertices():
    left = on_mesh("fsaverage5", WHERE, np.array([1.0, 2, 3, 4]), "L")
    assert left.shape == (10242,) and (left[5], left[7]) == (1, 2)
    assert np.isfinite(left).sum() == 2 and on_mesh("fsaverage5", WHERE, np.ones(4), "R")[5] == 1


def test_a_patch_is_painted_where_it_lies():
    """The front of a left hemisphere seen from outside is left, its occipital pole right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from nilearn.datasets import load_fsaverage

    y_mm = load_fsaverage("fsaverage5")["inflated"].parts["left"].coordinates[:, 1]
    where = pd.DataFrame({"hemisphere": "L", "vertex": np.arange(10242)})
    values = np.where(y_mm < np.quantile(y_mm, 0.2), 1.0, np.nan)
    figure = surface_map("fsaverage5", where, values + 0.01 * np.arange(10242) / 10242)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float)
    half = pixels[:, : int(1.6 * figure.dpi)]
    coloured = np.ptp(half, axis=2) > 40
    columns = np.flatnonzero(coloured.any(axis=0))
    assert len(columns) and columns.mean() > half.shape[1] / 2
    assert len([a for a in figure.axes if a.name == "3d"]) == 2  # one hemisphere, two views


def test_only_meshes_at_hand_are_drawn():
    assert is_drawable("fsaverage5", WHERE)
    assert not is_drawable("fsLR", WHERE) and not is_drawable("fsaverage5", WHERE[3:])
    assert not is_drawable("fsaverage5", WHERE.assign(vertex=20000))
    with pytest.raises(ValueError, match="mesh of 'fsLR' is not at hand; known: fsaverage5"):
        surface_map("fsLR", WHERE, np.ones(4))
    with pytest.raises(ValueError, match=r"2 values for 4 channels: .* vertices.tsv"):
        surface_map("fsaverage5", WHERE, np.ones(2))


def study_of(folder, space, channels="vertices", reliability=(0.1, 0.2, 0.3, 0.4)):
    """A study of one subject whose preprocess and align lie in `folder`, as sections see it."""
    folder.mkdir()
    documents = {
        ("index", "subjects.json"): ["sub-01"],
        ("preprocess", "qc.json"): {"n_channels": 4, "channels": channels, "tsnr": 50.0},
    }
    if space is None:
        mask = np.zeros((4, 4, 3), np.uint8)
        mask[1:3, 1:3, 1] = 1
        nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), folder / "mask.nii.gz")
    else:
        documents["preprocess", "space/surface.json"] = {"space": space}
        WHERE.to_csv(folder / "vertices.tsv", sep="\t", index=False, na_rep="n/a")

    def find(known):
        def read(stage, name, each=None):
            return known[stage, name]

        return read

    def path(stage, name, each=None):
        return folder / name.rpartition("/")[2]

    arrays = {"sub-01/reliability": np.array(reliability)}
    inputs = SimpleNamespace(
        has=lambda stage: stage in ("index", "preprocess", "align"),
        json=find(documents),
        path=path,
        table=lambda stage, name, each=None: read_table(path(stage, name)),
        tensors=find({("align", "channels.safetensors"): arrays}),
    )
    return Study(inputs=inputs, title="", facts={}, read_picture=lambda path: None)


def test_the_section_draws_each_subjects_cortex(tmp_path):
    made = study_of(tmp_path / "s", "fsaverage5")
    html = brain(made)
    assert "inflated cortex" in html and "standardised vertex" in html
    name = "brain_sub-01_repeat_correlation"
    assert list(made.figures) == [f"{name}.png", f"{name}.svg"]
    assert len(made.figures[f"{name}.svg"]) < 1e6, "thousands of triangles are one picture"


def test_the_section_says_why_nothing_is_drawn(tmp_path):
    made = study_of(tmp_path / "s", "fsLR")
    assert "the mesh of the surface space fsLR is not at hand" in brain(made)
    assert not made.figures


def test_volumes_are_drawn_as_before(tmp_path):
    html = brain(study_of(tmp_path / "s", None, "voxels"))
    assert "Axial slices" in html and "white voxels were not selected" in html


def test_a_map_without_a_value_is_not_drawn(tmp_path):
    made = study_of(tmp_path / "s", None, "voxels", reliability=[np.nan] * 4)
    assert brain(made) is None and not made.figures


@pytest.mark.parametrize("channels", ["vertices", "grayordinates", "voxels"])
def test_quality_calls_channels_what_they_are(tmp_path, channels):
    html = quality(study_of(tmp_path / "s", "fsLR", channels))
    assert f"averaged over {channels}. tSNR: median over {channels}" in html
    assert json.dumps(html).count("grayordinates") == 3 * (channels == "grayordinates")
