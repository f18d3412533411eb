from functools import partial

import numpy as np
import pytest

from neurodecode.core import lazy
from neurodecode.core.lazy import Lazy, Mapped
from neurodecode.signal.reliability import (
    ncsnr,
    noise_ceiling,
    repeat_correlation,
    split_half_correlation,
)


def planted(rng, signal_sd, n_stimuli=400, n_repeats=3, n_channels=40):
    """Responses with independent noise of variance 1 around stimulus effects of a known size."""
    effects = signal_sd * rng.standard_normal((n_stimuli, n_channels))
    ids = np.tile([f"s{i}" for i in range(n_stimuli)], n_repeats)
    responses = np.tile(effects, (n_repeats, 1)) + rng.standard_normal((len(ids), n_channels))
    shuffled = rng.permutation(len(ids))
    return responses[shuffled], ids[shuffled], effects


@pytest.mark.parametrize("signal_sd", [0.0, 0.5, 1.0])
def test_single_trials_correlate_as_planted(signal_sd):
    responses, ids, _ = planted(np.random.default_rng(1), signal_sd)
    expected = signal_sd**2 / (signal_sd**2 + 1)
    assert abs(repeat_correlation(responses, ids).mean() - expected) < 0.01


@pytest.mark.parametrize("signal_sd", [0.3, 0.7, 2.0])
def test_the_planted_signal_to_noise_is_recovered_whatever_the_number_of_repeats(signal_sd):
    rng = np.random.default_rng(2)
    responses, ids, _ = planted(rng, signal_sd)
    uneven = rng.random(len(ids)) < 0.8  # one, two or three repeats
    for rows in (slice(None), uneven):
        power = np.square(ncsnr(responses[rows], ids[rows])).mean()
        assert abs(power - signal_sd**2) < 0.06 * max(signal_sd**2, 0.5)


def test_the_ceiling_is_what_the_true_model_reaches():
    responses, ids, effects = planted(np.random.default_rng(3), 0.6, n_stimuli=1000)
    names = [f"s{i}" for i in range(1000)]
    mean = np.array([responses[ids == n].mean(axis=0) for n in names])
    reached = [np.corrcoef(effects[:, c], mean[:, c])[0, 1] for c in range(effects.shape[1])]
    assert abs(noise_ceiling(ncsnr(responses, ids), 3).mean() - np.mean(reached)) < 0.01


def test_split_halves_of_two_repeats_are_the_repeat_correlation():
    rng = np.random.default_rng(4)
    responses, ids, _ = planted(rng, 0.8, n_repeats=2)
    halves = split_half_correlation(responses, ids, np.random.default_rng(0))
    assert np.abs(halves - repeat_correlation(responses, ids)).mean() < 0.01


def test_split_halves_follow_spearman_and_brown():
    responses, ids, _ = planted(np.random.default_rng(5), 0.6, n_repeats=4)
    single = 0.36 / 1.36
    halves = split_half_correlation(responses, ids, np.random.default_rng(0)).mean()
    assert abs(halves - 2 * single / (1 + single)) < 0.02


def test_scale_and_offset_of_a_channel_do_not_matter():
    responses, ids, _ = planted(np.random.default_rng(6), 0.6, n_stimuli=50)
    moved = 300 + 1e-3 * responses
    assert np.allclose(repeat_correlation(responses, ids), repeat_correlation(moved, ids))
    assert np.allclose(ncsnr(responses, ids), ncsnr(moved, ids))


def test_without_repeats_reliability_is_unknown():
    responses = np.random.default_rng(0).normal(size=(10, 3))
    ids = np.arange(10).astype(str)
    assert (
        np.isnan(repeat_correlation(responses, ids)).all() and np.isnan(ncsnr(responses, ids)).all()
    )


def test_a_constant_channel_has_no_reliability():
    responses, ids, _ = planted(np.random.default_rng(7), 1.0, n_stimuli=20)
    responses[:, 0] = 4.2
    assert repeat_correlation(responses, ids)[0] == 0 and ncsnr(responses, ids)[0] == 0


def loaded(path):
    return np.load(path, mmap_mode="r")


def test_rows_read_in_blocks_repeat_as_well(tmp_path, monkeypatch):
    responses, ids, _ = planted(np.random.default_rng(0), 1.0, n_stimuli=50)
    responses[:, 3] = 5.1  # constant
    responses = responses[:-20].astype(np.float32)  # not all are shown equally often
    np.save(tmp_path / "rows.npy", responses)
    monkeypatch.setattr(lazy, "BLOCK", 4 * 40 * 7)
    rows = Lazy(Mapped(partial(loaded, tmp_path / "rows.npy")))
    plain, found = repeat_correlation(responses, ids[:-20]), repeat_correlation(rows, ids[:-20])
    np.testing.assert_allclose(found, plain, atol=1e-9)
    assert found[3] == 0 and found[4] > 0.3
    assert np.isnan(repeat_correlation(rows, np.arange(len(rows)))).all()
