import numpy as np
import pytest

from neurodecode.signal.scaling import apply_scaling, fit_scaling


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
