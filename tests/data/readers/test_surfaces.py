"""GIFTI and CIFTI runs, written by nibabel: what is read, and what is refused."""

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ParcelsAxis, ScalarAxis, SeriesAxis
from nilearn.datasets import load_fsaverage

from neurodecode.data.readers import cifti, gifti, reader_of
from tests.data.fmriprep_study import (
    MESH,
    models_of,
    on_mesh,
    vertices_of,
    write_cifti,
    write_gifti,
)


def files(*runs):
    """A files table: of each run {hemisphere or "": path}."""
    rows = [(f"run-{i}", "signal", h, str(p)) for i, r in enumerate(runs) for h, p in r.items()]
    return pd.DataFrame(rows, columns=["run", "kind", "name", "file"])


@pytest.fixture
def signal():
    return np.random.default_rng(0).normal(1000, 10, (20, 12)).astype(np.float32)


@pytest.fixture
def surface(tmp_path, signal):
    paths = {h: tmp_path / f"x_hemi-{h}_space-fsaverage5_bold.func.gii" for h in "LR"}
    write_gifti(paths["L"], on_mesh(signal[:, :6]), 2.0)
    write_gifti(paths["R"], on_mesh(signal[:, 6:]), 2.0)
    return paths


@pytest.fixture
def dense(tmp_path, signal):
    path = tmp_path / "x_space-fsLR_den-91k_bold.dtseries.nii"
    write_cifti(path, signal, models_of(12))
    return {"": path}


def test_the_vertices_that_vary_are_the_channels_left_before_right(surface, signal):
    grid = gifti.open_grid(files(surface))
    assert (grid.channels, grid.n_channels) == ("vertices", 12)
    assert (grid.read(surface) == signal).all()
    space = grid.space()
    where = space["vertices.tsv"]
    assert where["hemisphere"].tolist() == ["L"] * 6 + ["R"] * 6
    assert where["vertex"].tolist() == [*vertices_of(6)] * 2
    assert space["surface.json"] == {
        "space": "fsaverage5",
        "n_vertices": {"L": MESH, "R": MESH},
        "n_left_out": 2 * MESH - 12,
    }


def test_a_vertex_must_vary_in_every_run(surface, signal, tmp_path):
    other = {**surface, "L": tmp_path / "other_hemi-L_space-fsaverage5_bold.func.gii"}
    still = signal[:, :6].copy()
    still[:, 2] = 5.0
    write_gifti(other["L"], on_mesh(still), 2.0)
    grid = gifti.open_grid(files(surface, other))
    assert grid.n_channels == 11 and (grid.read(surface) == np.delete(signal, 2, axis=1)).all()


def test_vertices_of_fsaverage5_lie_between_white_matter_and_pia(surface):
    where_mm = gifti.open_grid(files(surface)).space()["positions_mm.npy"]
    white, pia = (load_fsaverage("fsaverage5")[m] for m in ("white_matter", "pial"))
    for rows, side in ((slice(6), "left"), (slice(6, 12), "right")):
        ends = [m.parts[side].coordinates[vertices_of(6)] for m in (white, pia)]
        assert np.allclose(where_mm[rows], (ends[0] + ends[1]) / 2, atol=1e-4)
    assert (where_mm[:6, 0] < where_mm[6:, 0]).all()  # left is left


def test_vertices_of_a_mesh_that_is_not_at_hand_have_no_place(surface, dense):
    moved = {h: p.rename(p.with_name(p.name.replace("5_", "6_"))) for h, p in surface.items()}
    assert "positions_mm.npy" not in gifti.open_grid(files(moved)).space()
    assert "positions_mm.npy" not in cifti.open_grid(files(dense)).space()


def test_grayordinates_are_read_with_their_structures(dense, signal):
    grid = reader_of(dense[""]).open_grid(files(dense))
    assert (grid.channels, grid.n_channels) == ("grayordinates", 12)
    assert (grid.read(dense) == signal).all()
    where = grid.space()["vertices.tsv"]
    assert where["hemisphere"].tolist() == ["L"] * 4 + ["R"] * 4 + [""] * 4
    assert where["vertex"].tolist() == [*vertices_of(4)] * 2 + [-1] * 4
    assert where["structure"].tolist()[-1] == "thalamus_left"
    assert grid.space()["surface.json"]["n_vertices"] == {"L": 4, "R": 4}


def test_voxels_below_the_cortex_have_a_place_of_their_own(tmp_path, signal):
    inside = np.zeros((5, 5, 5), bool)
    inside.flat[30:42] = True
    models = BrainModelAxis.from_mask(inside, "thalamus_left", np.diag([2.0, 2, 2, 1]))
    path = tmp_path / "x_space-fsLR_bold.dtseries.nii"
    write_cifti(path, signal, models)
    where_mm = cifti.open_grid(files({"": path})).space()["positions_mm.npy"]
    assert np.allclose(where_mm, 2.0 * np.argwhere(inside))


@pytest.mark.parametrize("written", ["2000.0", "2.0"])
def test_the_tr_of_gifti_is_in_milliseconds_or_seconds(tmp_path, signal, written):
    path = tmp_path / "x_hemi-L_bold.func.gii"
    write_gifti(path, signal, float(written) / 1000)
    expected = {"tr_s": 2.0, "n_volumes": 20, "start_s": 0.0, "duration_s": 40.0}
    assert gifti.facts(path, {}) == expected
    with pytest.raises(ValueError, match="TR 2 s in its header, its JSON sidecar 1.5 s"):
        gifti.facts(path, {"RepetitionTime": 1.5})


def test_one_array_with_all_volumes_is_a_run_too(tmp_path, signal):
    path = tmp_path / "x_hemi-L_bold.func.gii"
    array = nibabel.gifti.GiftiDataArray(signal.T, "NIFTI_INTENT_TIME_SERIES", "NIFTI_TYPE_FLOAT32")
    nibabel.save(nibabel.GiftiImage(darrays=[array]), path)
    assert gifti.facts(path, {"RepetitionTime": 2.0})["n_volumes"] == 20
    assert (gifti.read_run({"L": path}) == signal).all()


def test_the_tr_of_cifti_is_that_of_its_series(dense):
    expected = {"tr_s": 2.0, "n_volumes": 20, "start_s": 0.0, "duration_s": 40.0}
    assert cifti.facts(dense[""], {}) == expected
    assert cifti.facts(dense[""], {"StartTime": 0.9})["start_s"] == 0.9
    with pytest.raises(ValueError, match="TR 2 s in its header, its JSON sidecar 1 s"):
        cifti.facts(dense[""], {"RepetitionTime": 1.0})


def test_a_study_without_its_signals_still_tells_its_timing(tmp_path):
    for name, reader in (("x.func.gii", gifti), ("x.dtseries.nii", cifti)):
        (tmp_path / name).touch()
        assert reader.facts(tmp_path / name, {"RepetitionTime": 2})["n_volumes"] == 0
        with pytest.raises(ValueError, match="came without its signal files"):
            reader.open_grid(files({"L" if reader is gifti else "": tmp_path / name}))


def test_a_region_is_given_in_channels(surface, dense, tmp_path):
    region = tmp_path / "v1_hemi-R.label.gii"
    key = np.isin(np.arange(MESH), [vertices_of(6)[2], 3]).astype(np.int32)  # 3 is medial wall
    array = nibabel.gifti.GiftiDataArray(key, "NIFTI_INTENT_LABEL", "NIFTI_TYPE_INT32")
    nibabel.save(nibabel.GiftiImage(darrays=[array]), region)
    grid = gifti.open_grid(files(surface))
    assert grid.region(region, "R").tolist() == [8] and grid.region(region, "L").tolist() == [2]
    scalars = tmp_path / "v1.dscalar.nii"
    write_cifti(scalars, np.eye(12)[[9]], models_of(12), axis=ScalarAxis(["v1"]))
    assert cifti.open_grid(files(dense)).region(scalars).tolist() == [9]
    write_cifti(scalars, np.ones((1, 9)), models_of(9), axis=ScalarAxis(["v1"]))
    with pytest.raises(ValueError, match="9 vertices, .* 12: choose a region of the same space"):
        cifti.open_grid(files(dense)).region(scalars)


def _half(values):
    return np.where(np.arange(20)[:, None] == 4, np.nan, values)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_half, "not finite in 6 vertices and 1 of 20 volumes: leave the run out"),
        (lambda s: s[:15], "different numbers of volumes: .*hemi-L.* has 15, .*hemi-R.* has 20"),
    ],
)
def test_a_spoilt_hemisphere_is_refused(surface, signal, spoil, message):
    write_gifti(surface["L"], on_mesh(spoil(signal[:, :6])), 2.0)
    with pytest.raises(ValueError, match=message):
        gifti.open_grid(files(surface)).read(surface)


def test_volumes_without_contrast_are_refused(dense, signal):
    signal[18:] = 0
    write_cifti(dense[""], signal, models_of(12))
    with pytest.raises(ValueError, match="2 of 20 volumes.*volume 18"):
        cifti.open_grid(files(dense)).read(dense)


def test_a_run_where_nothing_varies_is_refused(dense, signal):
    write_cifti(dense[""], np.ones_like(signal), models_of(12))
    with pytest.raises(ValueError, match="no vertex of .*bold.dtseries.nii varies"):
        cifti.open_grid(files(dense))


def test_runs_of_other_vertices_are_refused(surface, dense, tmp_path, signal):
    small = tmp_path / "small_hemi-L_bold.func.gii"
    write_gifti(small, signal, 2.0)
    with pytest.raises(ValueError, match="has L 12, R 10242 vertices, .* L 10242, R 10242"):
        gifti.open_grid(files(surface, {**surface, "L": small}))
    with pytest.raises(ValueError, match="has L 10242 vertices, .* L 10242, R 10242"):
        gifti.open_grid(files(surface, {"L": surface["L"]}))
    other = tmp_path / "other.dtseries.nii"
    write_cifti(other, signal[:, :9], models_of(9))
    with pytest.raises(ValueError, match="L 3, R 3, below the cortex 3"):
        cifti.open_grid(files(dense, {"": other}))


@pytest.mark.parametrize("keep", [0.3, 0.98])
def test_a_truncated_surface_is_named(surface, dense, keep):
    for path in (surface["L"], dense[""]):
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"func.gii (is no readable GIFTI|ends too early)"):
        gifti.open_grid(files(surface))
    with pytest.raises(ValueError, match=r"dtseries.nii (is no readable CIFTI|ends too early)"):
        cifti.open_grid(files(dense))


def test_a_gifti_without_a_volume_is_refused(tmp_path):
    empty, flat = tmp_path / "a_hemi-L.func.gii", tmp_path / "b_hemi-L.func.gii"
    nibabel.save(nibabel.GiftiImage(), empty)
    write_gifti(flat, np.zeros((3, 0)), 2.0)
    with pytest.raises(ValueError, match=r"a_hemi-L.func.gii holds 0 volumes of 0 vertices"):
        gifti.facts(empty, {"RepetitionTime": 2})
    with pytest.raises(ValueError, match=r"b_hemi-L.func.gii holds . volumes of 0 vertices"):
        gifti.open_grid(files({"L": flat}))
    (tmp_path / "c.func.gii").write_text("this is no XML")
    with pytest.raises(ValueError, match=r"c.func.gii is no readable GIFTI file"):
        gifti.facts(tmp_path / "c.func.gii", {"RepetitionTime": 2})


def test_maps_and_parcels_are_no_time_series(tmp_path, signal):
    path = tmp_path / "x.dtseries.nii"
    write_cifti(path, signal[:1], models_of(12), axis=ScalarAxis(["beta"]))
    with pytest.raises(ValueError, match=r"axes Scalar × BrainModel: .* \(dtseries"):
        cifti.facts(path, {"RepetitionTime": 2})
    parcels = ParcelsAxis.from_brain_models([("a", models_of(12))])
    nibabel.save(Cifti2Image(signal[:, :1], (SeriesAxis(0, 2, 20), parcels)), path)
    with pytest.raises(ValueError, match="axes Series × Parcels"):
        cifti.facts(path, {"RepetitionTime": 2})
    write_cifti(path, signal, models_of(12), axis=SeriesAxis(0, 2, 20, "HERTZ"))
    with pytest.raises(ValueError, match="in hertz, not in seconds"):
        cifti.facts(path, {"RepetitionTime": 2})


def test_a_volume_called_cifti_is_told_apart(tmp_path):
    path = tmp_path / "x.dtseries.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2, 3), np.float32), np.eye(4)), path)
    with pytest.raises(ValueError, match="not CIFTI-2"):
        cifti.facts(path, {"RepetitionTime": 2})


def test_a_surface_is_not_smoothed_like_a_volume(surface, dense):
    for reader, paths in ((gifti, surface), (cifti, dense)):
        with pytest.raises(ValueError, match="smoothing_fwhm_mm=6 smooths volumes"):
            reader.open_grid(files(paths), 6.0)
