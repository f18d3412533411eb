"""Files: what is written comes back, and comes out the same twice."""

import gzip

import nibabel
import numpy as np
import pandas as pd
import pytest

from neurodecode.world import files

IJK = np.array([[0, 1, 2], [1, 0, 0], [2, 3, 1]])
AFFINE = np.array([[3, 0, 0, -5], [0, 3, 0, -90], [0, 0, 3, 7], [0, 0, 0, 1.0]])


def write(path, signal):
    files.write_bold(path, signal, IJK, (3, 4, 5), AFFINE, tr_s=1.5)
    return path


def test_a_run_comes_back_to_half_a_step(tmp_path):
    signal = np.random.default_rng(0).normal(900, 20, (7, 3))
    image = nibabel.load(write(tmp_path / "bold.nii.gz", signal))
    volume = image.get_fdata()
    assert volume.shape == (3, 4, 5, 7)
    np.testing.assert_allclose(volume[tuple(IJK.T)].T, signal, atol=files.SLOPE / 2 + 1e-4)
    volume[tuple(IJK.T)] = 0
    assert not volume.any()
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.affine, AFFINE)
    assert image.header.get_zooms()[3] == pytest.approx(1.5)
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_the_same_run_has_the_same_bytes_and_no_time_in_them(tmp_path):
    signal = np.full((2, 3), 900.0)
    first, second = (write(tmp_path / f"{n}.nii.gz", signal).read_bytes() for n in "ab")
    assert first == second
    assert first[4:8] == bytes(4)  # the time stamp of a gzip header
    assert gzip.decompress(first)[:4] == (348).to_bytes(4, "little")


def test_a_signal_beyond_the_range_of_the_integers_saturates(tmp_path):
    image = nibabel.load(write(tmp_path / "bold.nii.gz", np.full((1, 3), 1e9)))
    assert image.get_fdata().max() == pytest.approx(32767 * files.SLOPE)


def test_a_mask_holds_the_voxels_inside(tmp_path):
    files.write_mask(tmp_path / "m.nii.gz", np.array([True, False, True]), IJK, (3, 4, 5), AFFINE)
    volume = np.asarray(nibabel.load(tmp_path / "m.nii.gz").dataobj)
    assert volume[tuple(IJK.T)].tolist() == [1, 0, 1]
    assert volume.sum() == 2


def test_tables_write_what_is_missing_as_bids_does(tmp_path):
    files.write_table(tmp_path / "t.tsv", pd.DataFrame({"a": [np.nan, 0.25], "b": ["x", "y"]}))
    assert (tmp_path / "t.tsv").read_bytes() == b"a\tb\nn/a\tx\n0.25\ty\n"


def test_pictures_come_back_exactly(tmp_path):
    from PIL import Image

    pictures = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    files.write_pictures(paths, pictures)
    np.testing.assert_array_equal([np.asarray(Image.open(p)) for p in paths], pictures)
