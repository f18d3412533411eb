"""The CNN-LSTM and broadband power: sizes, filters written out, and a planted burst."""

import numpy as np
import pytest
import torch
from scipy.signal import butter, filtfilt

from neurodecode.models.broadband_power import broadband_power, relative_power
from neurodecode.models.cnn_lstm import CnnLstm, CnnLstmNetwork
from neurodecode.models.trial_classifier import Training

SMALL = {"filters": [4, 4], "kernels": [3, 3], "lstm": 8, "dense": [8, 6]}


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_cnn_alone_has_as_many_parameters_as_published():
    with torch.device("meta"):
        network = CnnLstmNetwork(46, 3000, 3, [64, 48], [3, 5], 0, [96, 48])
    assert count(network) == 31_061_971 and round(count(network) / 1e6, 2) == 31.06


def test_the_cnn_lstm_reads_channels_and_maps_at_each_time():
    with torch.device("meta"):
        network = CnnLstmNetwork(46, 3000, 3)
    maps = 32 * 9 + 32 + 16 * 32 * 25 + 16
    lstm = 4 * 150 * (16 * 9 + 150 + 2)  # two biases for each gate
    dense = 150 * 96 + 96 + 96 * 24 + 24 + 24 * 3 + 3
    assert count(network) == maps + lstm + dense


def test_trials_too_small_are_refused():
    with pytest.raises(ValueError, match="set smaller kernels"):
        CnnLstmNetwork(8, 100, 2)


def test_power_is_that_of_filters_written_out():
    x = np.random.default_rng(0).standard_normal((2, 3, 2000))
    b, a = butter(3, 50 / 500, "high")
    fast = filtfilt(b, a, x, axis=2) ** 2
    b, a = butter(3, 10 / 500, "low")
    expected = filtfilt(b, a, fast, axis=2)
    found = broadband_power(x, 1000, 50, 10)
    inside = slice(300, -300)  # the ends are padded differently
    np.testing.assert_allclose(found[..., inside], expected[..., inside], rtol=1e-3, atol=1e-4)


def test_power_is_in_units_of_the_training_mean_and_a_silent_channel_has_none():
    x = np.random.default_rng(0).standard_normal((4, 3, 500))
    x[:, 1] *= 10
    x[:, 2] = 0
    scale = relative_power(x, 1000, 50.0, 10.0)
    np.testing.assert_allclose(scale(x).mean(axis=(0, 2)), [1, 1, 0], rtol=1e-4)
    np.testing.assert_allclose(scale(2 * x), 4 * scale(x), rtol=1e-4)
    np.testing.assert_array_equal(relative_power(x, 1000, None, 10.0)(x), x.astype(np.float32))


def test_cutoffs_beyond_half_the_sampling_rate_are_refused():
    with pytest.raises(ValueError, match="highpass_hz=null"):
        broadband_power(np.zeros((1, 1, 50)), 90, 50, 10)


def bursts(n, seed):
    """Trials whose class says which half of the channels carries fast noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    loud = (np.arange(12) < 6) == (y == 0)[:, None]
    x = rng.standard_normal((n, 12, 40)) * np.where(loud, 3, 1)[..., None]
    return x.astype(np.float32), y


def test_a_burst_of_some_channels_is_found():
    x, y = bursts(60, 0)
    asked, truth = bursts(60, 1)
    plan = Training(n_epochs=30, batch_size=15, learning_rate=5e-3, optimizer="adam", select="best")
    model = CnnLstm(plan, highpass_hz=20.0, lowpass_hz=5.0, **SMALL)
    scores = model.fit(x, y, np.arange(60) // 3, 2, 100.0, 0, "cpu")(asked)
    assert scores.shape == (60, 2)
    assert (scores.argmax(1) == truth).mean() > 0.9


def test_every_option_changes_the_scores():
    x, y = bursts(16, 0)
    base = {"training": Training(n_epochs=1), "highpass_hz": 20.0, "lowpass_hz": 5.0, **SMALL}
    score = lambda **other: CnnLstm(**(base | other)).fit(x, y, np.arange(16), 2, 100.0, 0, "cpu")(
        x
    )
    plain = score()
    others = {
        "training": Training(n_epochs=2),
        "highpass_hz": None,
        "lowpass_hz": 10.0,
        "filters": [4, 6],
        "kernels": [3, 2],
        "lstm": 0,
        "dense": [8, 8],
    }
    for name, value in others.items():
        assert np.abs(score(**{name: value}) - plain).max() > 1e-6, name


def test_fits_on_all_divides_by_the_power_of_test_rows_too():
    x, y = bursts(16, 0)
    base = {"training": Training(n_epochs=1), "highpass_hz": 20.0, "lowpass_hz": 5.0, **SMALL}
    quirky = CnnLstm(fits_on_all=True, **base)
    assert not CnnLstm().fits_on_all
    fit = lambda also: quirky.fit(x, y, np.arange(16), 2, 100.0, 0, "cpu", also=also)(x)
    assert np.abs(fit(None) - fit(5 * x)).max() > 1e-6


def test_a_rare_class_weighs_as_much_as_others():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 12, 40)).astype(np.float32), (np.arange(40) < 4).astype(int)
    plan = Training(n_epochs=8, batch_size=40, learning_rate=1e-2)
    model = CnnLstm(plan, highpass_hz=None, **SMALL)
    scores = model.fit(x, y, np.arange(40), 2, 100.0, 0, "cpu")(x)
    assert abs(np.diff(scores, axis=1).mean()) < 1  # unweighted, log(9) = 2.2 against the rare one
