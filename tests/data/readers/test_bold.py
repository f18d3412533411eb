import nibabel
import numpy as np
import pytest
from nilearn.maskers import NiftiMasker

from neurodecode.data.readers.bold import (
    facts,
    guess_mask,
    positions_mm,
    read_mask,
    read_run,
    region_channels,
)
from tests.data.small_study import AFFINE, SHAPE, mask_of_study, write_nifti


@pytest.fixture
def mask():
    return nibabel.Nifti1Image(mask_of_study().astype(np.uint8), AFFINE)


@pytest.fixture
def bold():
    return np.random.default_rng(0).normal(1000, 10, (*SHAPE, 30)).astype(np.float32)


@pytest.mark.parametrize("fwhm_mm", [None, 5.0])
def test_a_run_reads_as_by_nilearns_masker(tmp_path, mask, bold, fwhm_mm):
    path = tmp_path / "bold.nii.gz"
    write_nifti(path, bold, 2.0)
    masker = NiftiMasker(mask, smoothing_fwhm=fwhm_mm, standardize=None).fit()
    assert np.allclose(read_run(path, mask, fwhm_mm), masker.transform(str(path)), rtol=1e-6)


def test_scaled_integers_are_read_in_their_unit(tmp_path, mask, bold):
    image = nibabel.Nifti1Image(bold.round().astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 3.0)
    nibabel.save(image, tmp_path / "bold.nii.gz")
    read = read_run(tmp_path / "bold.nii.gz", mask)
    stored = nibabel.load(tmp_path / "bold.nii.gz").get_fdata()[mask_of_study()].T
    assert np.allclose(read, stored) and read.dtype == np.float32


def test_positions_follow_the_order_of_channels(mask):
    where = positions_mm(mask)
    index = np.argwhere(mask_of_study())
    assert np.allclose(where, 3.0 * index)


def test_a_single_slice_is_a_run_like_others(tmp_path):
    bold = np.random.default_rng(0).normal(1000, 10, (5, 4, 1, 20)).astype(np.float32)
    write_nifti(tmp_path / "bold.nii.gz", bold, 2.5)
    write_nifti(tmp_path / "mask.nii.gz", np.ones((5, 4, 1), np.uint8))
    mask = read_mask([tmp_path / "mask.nii.gz"])
    assert read_run(tmp_path / "bold.nii.gz", mask).shape == (20, 20)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: np.where(np.arange(30) == 4, np.nan, b), "not finite in 12 voxels.*1 of 30"),
        (lambda b: np.where(np.arange(30) >= 28, 0, b), "2 of 30 volumes.*volume 28"),
        (lambda b: b[:3], r"\(3, 3, 2\) voxels"),
        (lambda b: b[..., 0], "3 dimensions"),
    ],
)
def test_a_spoilt_run_is_refused(tmp_path, mask, bold, spoil, message):
    write_nifti(tmp_path / "bold.nii.gz", spoil(bold).astype(np.float32))
    with pytest.raises(ValueError, match=message):
        read_run(tmp_path / "bold.nii.gz", mask)


@pytest.mark.parametrize("name", ["bold.nii.gz", "bold.nii"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.98])
def test_a_truncated_file_is_named(tmp_path, mask, bold, name, keep):
    path = tmp_path / name
    write_nifti(path, bold, 2.0)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(ValueError, match=f"{name} (is empty|ends too early|is no readable)"):
        read_run(path, mask)


def test_a_run_lying_elsewhere_than_the_mask_is_refused(tmp_path, bold, mask):
    moved = AFFINE.copy()
    moved[0, 3] = 12
    nibabel.save(nibabel.Nifti1Image(bold, moved), tmp_path / "bold.nii.gz")
    with pytest.raises(ValueError, match="differ by up to 12 mm"):
        read_run(tmp_path / "bold.nii.gz", mask)


def test_masks_of_runs_are_intersected_and_an_empty_one_refused(tmp_path):
    halves = np.zeros((2, *SHAPE), np.uint8)
    halves[0, :3], halves[1, 2:] = 1, 1
    for i in range(2):
        write_nifti(tmp_path / f"{i}.nii.gz", halves[i])
    both = read_mask([tmp_path / "0.nii.gz", tmp_path / "1.nii.gz"])
    assert (np.asarray(both.dataobj) == halves[0] * halves[1]).all()
    write_nifti(tmp_path / "1.nii.gz", 1 - halves[0])
    with pytest.raises(ValueError, match="no voxel"):
        read_mask([tmp_path / "0.nii.gz", tmp_path / "1.nii.gz"])


def test_a_region_is_given_in_channels(tmp_path, mask):
    region = np.zeros(SHAPE, np.uint8)
    region[1] = 1
    write_nifti(tmp_path / "roi.nii.gz", region)
    expected = np.flatnonzero(region[mask_of_study()])
    assert (region_channels(tmp_path / "roi.nii.gz", mask) == expected).all() and len(expected) == 3


def test_header_and_sidecar_must_agree_on_the_tr(tmp_path, bold):
    path = tmp_path / "bold.nii.gz"
    write_nifti(path, bold, 2.0)
    assert facts(path, {"RepetitionTime": 2.0, "StartTime": 0.9}) == {
        "tr_s": 2.0,
        "n_volumes": 30,
        "start_s": 0.9,
        "duration_s": 60.0,
    }
    assert facts(path, {})["tr_s"] == 2.0
    with pytest.raises(ValueError, match="TR 2 s in its header.*2.5 s"):
        facts(path, {"RepetitionTime": 2.5})


def test_milliseconds_in_the_header_are_understood(tmp_path, bold):
    image = nibabel.Nifti1Image(bold, AFFINE)
    image.header.set_zooms((3, 3, 3, 2500))
    image.header.set_xyzt_units("mm", "msec")
    nibabel.save(image, tmp_path / "bold.nii.gz")
    assert facts(tmp_path / "bold.nii.gz", {"RepetitionTime": 2.5})["tr_s"] == 2.5


def test_a_study_without_its_signals_still_tells_its_timing(tmp_path):
    (tmp_path / "bold.nii.gz").touch()
    assert facts(tmp_path / "bold.nii.gz", {"RepetitionTime": 2.5})["n_volumes"] == 0
    with pytest.raises(ValueError, match="no TR"):
        facts(tmp_path / "bold.nii.gz", {})


def test_a_mask_is_made_where_there_is_none(tmp_path):
    grid = np.indices((16, 16, 16)) - 7.5
    head = (np.square(grid).sum(axis=0) < 36)[..., None]
    noise = np.random.default_rng(0).normal(0, 5, (16, 16, 16, 10))
    write_nifti(tmp_path / "bold.nii.gz", (1000 * head + noise + 20).astype(np.float32), 2.0)
    found = np.asarray(guess_mask(tmp_path / "bold.nii.gz").dataobj) > 0
    assert found.sum() > 0.5 * head.sum() and not found[~head[..., 0]].any()
