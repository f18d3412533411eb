"""Brain maps of volumes and of single slices."""

import nibabel
import numpy as np
import pytest

from neurodecode.report.brain_map import _cuts_mm, _volume, brain_map, span

AFFINE = np.array([[3.0, 0, 0, -30], [0, 3, 0, -40], [0, 0, 4, -10], [0, 0, 0, 1]])


def mask(shape):
    inside = np.zeros(shape, np.uint8)
    inside[2:-2, 2:-2] = 1
    return nibabel.Nifti1Image(inside, AFFINE)


@pytest.mark.parametrize(
    ("shape", "panels"), [((20, 20, 8), 8), ((40, 20, 1), 1), ((12, 12, 30), 8)]
)
def test_every_shape_of_volume_is_drawn_slice_by_slice(shape, panels):
    image = mask(shape)
    values = np.random.default_rng(0).random(int(np.asarray(image.dataobj).sum()))
    figure = brain_map(image, values)
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == panels


def test_values_stand_at_their_voxels_and_zero_is_not_lost():
    inside = np.zeros((3, 3, 2), bool)
    inside[0, 1, 0] = inside[2, 2, 1] = True
    volume = _volume(inside, np.array([0.0, 5.0]))
    assert volume[2, 2, 1] == 5 and volume[0, 1, 0] != 0 and np.count_nonzero(volume) == 2


def test_slices_are_named_by_their_height_in_mm():
    inside = np.zeros((4, 4, 6), bool)
    inside[1, 1, [2, 4]] = True
    assert _cuts_mm(inside, AFFINE) == [-2.0, 6.0]


def test_one_voxel_does_not_bleach_the_others():
    values = np.r_[np.linspace(0, 1, 500), 100.0, np.nan]
    assert span(values)[1] < 2


def test_another_mask_is_refused():
    with pytest.raises(ValueError, match="the mask that preprocess wrote"):
        brain_map(mask((20, 20, 8)), np.zeros(5))
