"""Subjects: what is planted in a brain can be found in its answers."""

import numpy as np
import pytest

from neurodecode.world import brain, gabor, scenes


@pytest.fixture(scope="module")
def subject():
    return brain.make_subject("sub-01", 400, np.random.default_rng(0))


@pytest.fixture(scope="module")
def table():
    return scenes.sample_scenes(60, np.random.default_rng(1))


@pytest.fixture(scope="module")
def maps(table):
    return gabor.feature_maps(scenes.render(table))


def test_receptive_fields_are_found_by_flashing_squares(subject):
    places = [(x, y) for x in range(2, 62, 4) for y in range(2, 62, 4)]
    flashes = np.full((len(places), 64, 64, 3), 128, dtype=np.uint8)
    for flash, (x, y) in zip(flashes, places, strict=True):
        flash[y - 2 : y + 2, x - 2 : x + 2] = 255
    drive = brain.early_drive(subject, gabor.feature_maps(flashes))
    drive = np.maximum(drive - 0.5 * drive.max(axis=0), 0)  # the half nearest the peak
    found = (drive / drive.sum(axis=0)).T @ np.array(places)
    inner = (np.abs(subject.rf_centre_px - 32) < 20).all(axis=1)  # whole fields on the screen
    error_px = np.linalg.norm(found - subject.rf_centre_px, axis=1)[inner]
    assert inner.sum() > 80
    assert np.median(error_px) < 1.0  # a quarter of the distance between two squares
    assert error_px.max() < 4.0


def test_each_hemisphere_sees_the_other_side_and_dorsal_voxels_the_lower_half(subject):
    position = subject.positions_mm[subject.roi == "early"]
    x, y = (subject.rf_centre_px - 32).T
    assert np.corrcoef(position[:, 0], x)[0, 1] < -0.6  # x of the head runs to the right
    assert np.corrcoef(position[:, 2], y)[0, 1] > 0.6  # y of a picture runs down
    eccentricity = np.hypot(x, y)
    assert np.corrcoef(position[:, 1], eccentricity)[0, 1] > 0.8  # the fovea at the pole
    assert np.corrcoef(eccentricity, subject.rf_size_px)[0, 1] > 0.5


def test_a_brain_has_exactly_the_voxels_it_was_asked_for(subject):
    assert subject.n_voxels == 400
    assert len(np.unique(subject.ijk, axis=0)) == 400
    flat = np.ravel_multi_index(subject.ijk.T, subject.shape)
    assert (np.diff(flat) > 0).all()  # C order: that of a masker
    assert {name: (subject.roi == name).sum() for name in brain.SHARE} == {
        "early": 200,
        "high": 140,
    }


def test_subjects_differ_in_size_topography_and_hemodynamics(subject):
    other = brain.make_subject("sub-02", 400, np.random.default_rng(5))
    assert not np.array_equal(subject.ijk, other.ijk)
    assert np.abs(subject.rf_centre_px - other.rf_centre_px).mean() > 1
    assert (
        abs(np.corrcoef(subject.tuning["shape"].ravel(), other.tuning["shape"].ravel())[0, 1]) < 0.2
    )
    assert not np.allclose(subject.hrf, other.hrf)


def test_neighbours_have_similar_tuning(subject):
    position = subject.positions_mm[subject.roi == "high"]
    distance = np.linalg.norm(position[:, None] - position, axis=-1)
    likeness = np.corrcoef(subject.tuning["shape"].T)
    near, far = (distance > 0) & (distance < 3.1), distance > 15
    assert likeness[near].mean() > likeness[far].mean() + 0.2


def test_smooth_fields_have_unit_variance_and_the_length_asked_for():
    line = np.zeros((60, 3))
    line[:, 0] = np.arange(60)
    fields = brain.smooth_fields(line, 4000, 3.0, np.random.default_rng(0))
    assert fields.var() == pytest.approx(1, rel=0.03)
    at_3_mm = (fields[15:42] * fields[18:45]).mean()
    assert at_3_mm == pytest.approx(np.exp(-1 / 4), abs=0.02)  # of a Gaussian smoothed by itself


def test_responses_have_mean_zero_and_deviation_one_where_there_are_any(subject, maps, table):
    responses = brain.stimulus_responses(subject, maps, table)
    answers, early = subject.roi != "silent", subject.roi == "early"
    np.testing.assert_allclose(responses[:, early].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(responses[:, early].std(axis=0), 1, atol=1e-4)
    many = scenes.sample_scenes(20000, np.random.default_rng(2))
    high = brain.high_drive(subject, many, list(scenes.ATTRIBUTES))
    np.testing.assert_allclose(high.mean(axis=0), 0, atol=0.04)  # 5 standard errors
    np.testing.assert_allclose(high.std(axis=0), 1, atol=0.04)
    assert not responses[:, ~answers].any()
    assert not subject.gain[~answers].any() and not subject.evoked_percent[~answers].any()


def test_category_only_depends_on_the_shape_and_on_nothing_else(subject, maps, table):
    responses = brain.stimulus_responses(subject, maps, table, "category_only")
    for shape in scenes.ATTRIBUTES["shape"]:
        same = responses[(table["shape"] == shape).to_numpy()]
        np.testing.assert_array_equal(same, np.broadcast_to(same[0], same.shape))
    assert np.ptp(responses, axis=0).max() > 0
    other = scenes.sample_scenes(60, np.random.default_rng(9)).assign(shape=table["shape"])
    other_maps = gabor.feature_maps(scenes.render(other))
    np.testing.assert_array_equal(
        brain.stimulus_responses(subject, other_maps, other, "category_only"), responses
    )


def test_low_level_only_is_the_early_sheet_of_full(subject, maps, table):
    low = brain.stimulus_responses(subject, maps, table, "low_level_only")
    full = brain.stimulus_responses(subject, maps, table, "full")
    early = subject.roi == "early"
    np.testing.assert_array_equal(low[:, early], full[:, early])
    assert not low[:, ~early].any()


def test_none_answers_every_picture_alike(subject, maps, table):
    assert not brain.stimulus_responses(subject, maps, table, "none").any()


def test_shape_keeps_in_category_only_the_size_it_has_in_full(subject, maps, table):
    high = subject.roi == "high"
    shape = brain.stimulus_responses(subject, maps, table, "category_only")[:, high]
    full = brain.stimulus_responses(subject, maps, table, "full")[:, high]
    assert 0 < shape.std(axis=0).mean() < 0.8 * full.std(axis=0).mean()


def test_every_attribute_moves_the_high_level_sheet(subject, table):
    assert set(brain.ATTRIBUTE_WEIGHTS) == set(scenes.ATTRIBUTES)
    one = table.head(1)
    for attribute, values in scenes.ATTRIBUTES.items():
        drives = [
            brain.high_drive(subject, one.assign(**{attribute: v}), list(scenes.ATTRIBUTES))
            for v in values
        ]
        assert np.ptp(drives, axis=0).mean() > 0.5


def test_an_unknown_signal_lists_the_known_ones(subject, maps, table):
    with pytest.raises(ValueError, match="category_only"):
        brain.stimulus_responses(subject, maps, table, "everything")


def test_single_trials_add_part_of_another_picture_and_nothing_where_nothing_is_carried():
    rng = np.random.default_rng(3)
    evoked, specific = np.array([1.0, 2.0]), rng.normal(0, 1, (50, 2))
    trials = brain.single_trials(evoked + specific, evoked, np.zeros(4000, int), rng)
    added = trials - (evoked + specific[0])
    np.testing.assert_allclose(added.std(axis=0), brain.WANDERING * specific.std(axis=0), rtol=0.1)
    both = np.corrcoef(added.T)[0, 1]
    assert both == pytest.approx(np.corrcoef(specific.T)[0, 1], abs=0.06)  # it looks like signal
    silent = brain.single_trials(np.tile(evoked, (50, 1)), evoked, np.arange(50), rng)
    np.testing.assert_array_equal(silent, np.tile(evoked, (50, 1)))
