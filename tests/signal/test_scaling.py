from functools import partial

import numpy as np
import pytest

from neurodecode.core import lazy
from neurodecode.core.lazy import Lazy, Mapped
from neurodecode.signal.scaling import Standard, apply_scaling, fit_scaling, varying


def test_training_rows_become_standard_and_others_keep_their_distance():
    rng = np.random.default_rng(0)
    train = rng.normal(40, 3, (200, 5))
    mean, std = fit_scaling(train)
    scaled = apply_scaling(train, mean, std)
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-5) and np.allclose(scaled.std(axis=0), 1)
    assert np.allclose(apply_scaling(train + 6, mean, std) - scaled, 6 / std, atol=1e-4)


def test_a_channel_constant_in_training_is_silent_ever_after():
    train = np.random.default_rng(0).normal(size=(20, 3))
    train[:, 1] = 7
    assert (apply_scaling(train + 5, *fit_scaling(train))[:, 1] == 0).all()


def test_missing_values_are_refused():
    with pytest.raises(ValueError, match="2 channels"):
        fit_scaling(np.array([[1.0, np.nan, np.inf], [1.0, 2.0, 3.0]]))
    with pytest.raises(ValueError, match="no training rows"):
        fit_scaling(np.zeros((0, 4)))


def loaded(path):
    return np.load(path, mmap_mode="r")


def on_disk(array, folder, monkeypatch):
    """The rows of an array, lazily, in blocks of five."""
    monkeypatch.setattr(lazy, "BLOCK", 4 * 5 * array[0].size)
    np.save(folder / "rows.npy", array)
    return Lazy(Mapped(partial(loaded, folder / "rows.npy")))


@pytest.mark.parametrize("shape", [(43, 7), (43, 7, 3)])
def test_rows_read_in_blocks_give_the_same_scale(tmp_path, monkeypatch, shape):
    responses = np.random.default_rng(0).normal(300, 2, shape).astype(np.float32)
    responses[:, 2] = 7.3  # constant, and so silent
    rows = on_disk(responses, tmp_path, monkeypatch)
    plain, found = Standard().fit(responses, None), Standard().fit_rows(rows, None)
    for name, array in plain.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6)
        assert found[name].dtype == np.float32
    assert (found["std"][2] == 0).all() and (found["std"][[0, 1, 3]] > 0).all()
    np.testing.assert_array_equal(varying(rows), np.ptp(responses, axis=0) > 0)


def test_what_is_not_finite_is_refused_in_blocks_too(tmp_path, monkeypatch):
    responses = np.ones((20, 3), np.float32)
    responses[13, 1] = np.inf
    rows = on_disk(responses, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="1 channels hold values that are not finite"):
        Standard().fit_rows(rows, None)
    with pytest.raises(ValueError, match="no training rows"):
        Standard().fit_rows(rows.take(np.array([], int)), None)
