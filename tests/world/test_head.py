"""The head: sources in the cortex, neighbours kept, and potentials as physics has them."""

import numpy as np
import pytest

from neurodecode.world import head
from neurodecode.world.brain import grow_subject


@pytest.fixture(scope="module")
def subject():
    return grow_subject("sub-01", 400, 0)


@pytest.fixture(scope="module")
def cap():
    return head.montage(64)


@pytest.fixture(scope="module")
def laid(subject):
    return head.sources(subject, np.random.default_rng(0))


def electrodes(cap):
    return np.array(list(cap.get_positions()["ch_pos"].values())) + (0, 0, head.CENTRE_M[2])


def test_the_head_is_where_mne_puts_the_electrodes(cap):
    info = head._info(cap)
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    np.testing.assert_allclose(
        np.linalg.norm(places - head.CENTRE_M, axis=1), head.HEAD_M, atol=2e-4
    )


@pytest.mark.parametrize("n_voxels", [60, 400, 3000])
def test_all_sources_lie_in_the_cortex(n_voxels):
    places, normals = head.sources(grow_subject("a", n_voxels, 1), np.random.default_rng(1))
    radius = np.linalg.norm(places - head.CENTRE_M, axis=1)
    assert radius.max() <= head.CORTEX_M + 1e-9 and radius.min() > 0.06
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)


def test_neighbours_stay_neighbours_and_sides_stay_sides(subject, laid):
    before, after = subject.positions_mm - subject.positions_mm.mean(axis=0), laid[0]
    clear = np.abs(before) > 3
    assert (np.sign(before[:, 0]) == np.sign(after[:, 0]))[clear[:, 0]].all()
    early, high = (after[subject.roi == name, 1] for name in ("early", "high"))
    assert np.percentile(early, 95) < np.percentile(high, 5)  # the early sheet lies behind
    assert early.min() < -0.065  # and reaches the occipital pole


def test_normals_point_out_on_gyri_and_along_the_skull_in_sulci(laid):
    places, normals = laid
    outward = (places - head.CENTRE_M) / np.linalg.norm(places - head.CENTRE_M, axis=1)[:, None]
    radial = (outward * normals).sum(axis=1)
    assert 0.2 < np.abs(radial).mean() < 0.8 and radial.mean() > 0


def test_a_radial_dipole_is_seen_best_by_the_electrode_above_it(cap):
    places = electrodes(cap)
    outward = places - head.CENTRE_M
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    field = head.lead_field(0.07 * outward + head.CENTRE_M, outward, cap)
    assert (field.argmax(axis=0) == np.arange(64)).all()


def test_mirrored_dipoles_have_mirrored_potentials(cap):
    place, direction, mirror = np.array([0.03, -0.05, 0.07]), np.array([0.6, 0, 0.8]), [-1, 1, 1]
    field = head.lead_field(np.stack([place, place * mirror]),
                            np.stack([direction, direction * mirror]), cap)  # fmt: skip
    field -= field.mean(axis=0)  # the mastoid is on one side
    at = electrodes(cap)
    other = np.linalg.norm(at[:, None] * mirror - at[None], axis=-1).argmin(axis=1)
    np.testing.assert_allclose(field[:, 0], field[other, 1], atol=1e-3 * np.abs(field).max())


def test_potentials_of_a_dipole_have_the_size_that_they_have_in_heads(cap):
    field = head.lead_field(np.array([[0, 0, 0.11]]), np.array([[0, 0, 1.0]]), cap)
    assert 0.03 < np.ptp(field) < 1.0  # µV per nAm: tens of nAm give microvolts


def test_a_dipole_in_the_skull_is_refused(cap):
    with pytest.raises(ValueError, match="90 mm from the centre"):
        head.lead_field(np.array([[0, 0, 0.13]]), np.array([[0, 0, 1.0]]), cap)


def test_a_cap_that_nobody_makes_is_refused():
    with pytest.raises(ValueError, match="n_channels is 60: expected one of"):
        head.montage(60)
