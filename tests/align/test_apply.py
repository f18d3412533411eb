"""Applying an alignment: scaled by training rows, selected, mapped; wrong data are refused."""

import numpy as np
import pytest

from neurodecode.align.apply import Fitted, map_channels, transform
from neurodecode.align.identity import Identity, nearest_channels
from neurodecode.align.procrustes import Procrustes
from neurodecode.align.shared import mean_correlation, shared_responses
from neurodecode.signal.scaling import Standard

SCALING = {"sub-01/mean": np.array([1.0, 2.0, 3.0]), "sub-01/std": np.array([2.0, 1.0, 0.0])}
CHANNELS = {"sub-01": np.array([1, 0]), "sub-01/reliability": np.zeros(3)}
CHANNELS |= {"sub-01/shape": np.array([3])}


def fitted(aligner=None, **maps):
    return Fitted(Standard(), aligner or Identity(), SCALING, CHANNELS, maps)


def test_without_a_map_channels_are_scaled_and_selected():
    x = np.array([[1.0, 2.0, 9.0], [3.0, 0.0, 9.0]])
    aligned = transform(x, "sub-01", fitted())
    np.testing.assert_array_equal(aligned, [[0.0, 0.0], [-2.0, 1.0]])
    assert aligned.dtype == np.float32


def test_a_subject_gets_its_own_map_and_no_other():
    x = np.array([[1.0, 2.0, 9.0], [3.0, 0.0, 9.0]])
    swap = {"map": np.array([[0.0, 1.0], [1.0, 0.0]]), "offset": np.array([10.0, 0.0])}
    own = {f"sub-01/{k}": v for k, v in swap.items()}
    others = {f"sub-010/{k}": v for k, v in swap.items()}
    mapped = transform(x, "sub-01", fitted(Procrustes(), **own))
    np.testing.assert_array_equal(mapped, [[10.0, 0.0], [11.0, -2.0]])
    untouched = transform(x, "sub-01", fitted(Procrustes(), **others))
    np.testing.assert_array_equal(untouched, [[0.0, 0.0], [-2.0, 1.0]])


def test_unknown_subjects_and_other_masks_are_refused():
    with pytest.raises(ValueError, match="sub-02 was not aligned; sub-01 were"):
        transform(np.zeros((1, 3)), "sub-02", fitted())
    with pytest.raises(ValueError, match="4 channels but was aligned with 3"):
        transform(np.zeros((1, 4)), "sub-01", fitted())


def test_where_there_are_times_each_is_mapped_by_itself():
    rng = np.random.default_rng(0)
    x, mapping = rng.standard_normal((5, 3, 7)), rng.standard_normal((3, 2))
    state = {"map": mapping, "offset": np.array([1.0, -1.0])}
    mapped = map_channels(Procrustes(), x, state)
    expected = np.einsum("nct,cd->ndt", x, mapping) + state["offset"][:, None]
    np.testing.assert_allclose(mapped, expected, atol=1e-5)


def test_nearest_channels_agree_with_a_search_tree():
    from scipy.spatial import cKDTree

    a, b = np.random.default_rng(0).uniform(-60, 60, (2, 50, 3))
    np.testing.assert_array_equal(nearest_channels(a, b[:30]), cKDTree(a).query(b[:30])[1])


def test_shared_stimuli_are_averaged_over_repeats_and_matched_by_name():
    a, ids_a = np.array([[1.0], [3.0], [5.0], [99.0]]), ["pic-2", "pic-2", "pic-1", ""]
    b, ids_b = np.array([[7.0, 0.0], [8.0, 0.0], [9.0, 0.0]]), ["pic-3", "pic-1", "pic-2"]
    source, reference = shared_responses(a, ids_a, b, ids_b)
    np.testing.assert_array_equal(source, [[5.0], [2.0]])
    np.testing.assert_array_equal(reference, [[8.0, 0.0], [9.0, 0.0]])
    timed, _ = shared_responses(np.stack([a, 2 * a], axis=2), ids_a, b, ids_b)
    np.testing.assert_array_equal(timed, np.stack([source, 2 * source], axis=2))


def test_mean_correlation_agrees_with_numpy_and_calls_constants_zero():
    a, b = np.random.default_rng(0).standard_normal((2, 20, 3))
    a[:, 2] = 4.0
    expected = sum(np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(2)) / 3
    assert mean_correlation(a, b) == pytest.approx(expected)
    assert np.isnan(mean_correlation(a[:2], b[:2]))
