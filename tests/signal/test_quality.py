import numpy as np

from neurodecode.signal import quality
from neurodecode.signal.quality import average_over_trials, repeat_quality, tsnr
from neurodecode.signal.reliability import repeat_correlation


def test_tsnr_is_mean_over_fluctuation():
    bold = np.random.default_rng(0).normal([100, 50], [2, 1], (5000, 2))
    assert np.allclose(tsnr(bold), [50, 50], rtol=0.05)
    assert tsnr(np.full((9, 1), 3.0)) == 0


def test_a_trial_sees_the_volumes_between_its_onset_and_end():
    series = np.arange(10.0)[:, None]
    means = average_over_trials(series, 2.0 * np.arange(10), [0, 7, 40], [4, 11, 50])
    assert np.allclose(means[:, 0], [1, 4.5, np.nan], equal_nan=True)


def test_quality_looks_only_at_the_rows_it_may_see():
    rng = np.random.default_rng(0)
    ids = np.tile([f"s{i}" for i in range(30)], 2)
    responses = np.tile(rng.normal(size=(30, 8)), (2, 1)) + 0.5 * rng.normal(size=(60, 8))
    rows = np.flatnonzero([int(i[1:]) < 20 for i in ids])
    before = repeat_quality(responses, rows, ids)
    responses[np.setdiff1d(np.arange(60), rows)] = np.nan
    assert repeat_quality(responses, rows, ids) == before and before["n_repeated"] == 20


def test_blocks_of_channels_give_what_all_together_give(monkeypatch):
    monkeypatch.setattr(quality, "BLOCK", 3)
    rng = np.random.default_rng(0)
    responses, ids = rng.normal(size=(40, 8)), np.arange(40) % 20
    expected = repeat_correlation(responses, ids).mean()
    assert np.isclose(repeat_quality(responses, np.arange(40), ids)["repeat_correlation"], expected)


def test_nothing_repeated_is_said_as_none():
    figures = repeat_quality(np.eye(5), np.arange(5), list("abcde"))
    assert figures == {"repeat_correlation": None, "ncsnr": None, "n_repeated": 0}
