"""The scanner: responses add up as planted, noise is what it claims to be."""

import numpy as np
import pandas as pd
import pytest

from neurodecode.signal import confounds, glm, hrf
from neurodecode.world import brain, scanner


@pytest.fixture(scope="module")
def subject():
    return brain.make_subject("sub-01", 200, np.random.default_rng(0))


def test_a_response_peaks_where_it_was_planted():
    planted = np.array([[4.0, 14.0, 0.1], [5.0, 15.0, 0.2], [7.0, 16.0, 0.0]])
    table = scanner.hrf_table(planted, picture_s=0.05)  # an impulse
    np.testing.assert_allclose(table.max(axis=0), 1)
    np.testing.assert_allclose(table.argmax(axis=0) * 0.05, planted[:, 0], atol=0.15)
    undershoot = table[200:].min(axis=0)  # after 10 s
    assert undershoot[1] < undershoot[0] < undershoot[2] + 1e-9


def test_a_longer_picture_delays_the_peak():
    planted = np.array([[5.0, 15.0, 0.17]])
    short, long = (scanner.hrf_table(planted, s).argmax() * 0.05 for s in (0.05, 3.0))
    assert long - short == pytest.approx(1.5, abs=0.3)  # half the time it is on


def test_evoked_signal_is_the_convolution_of_pictures_and_responses(subject):
    table = scanner.hrf_table(subject.hrf, picture_s=3.0)
    onsets, heights = np.array([2.0, 9.35, 13.4]), np.random.default_rng(1).random((3, 200))
    events = np.zeros((1200, 200))  # 60 s in steps of 0.05 s
    events[np.rint(onsets / 0.05).astype(int)] = heights
    by_hand = np.stack([np.convolve(e, h)[:1200] for e, h in zip(events.T, table.T, strict=True)])
    signal = scanner.evoked(table, onsets, heights, n_volumes=30, tr_s=2.0)
    np.testing.assert_allclose(signal, by_hand.T[::40], atol=1e-9)


def test_times_between_two_steps_are_interpolated(subject):
    table = scanner.hrf_table(subject.hrf, picture_s=3.0)
    heights = np.ones((1, 200))
    early, late, between = (
        scanner.evoked(table, np.array([onset]), heights, 20, 1.0) for onset in (2.0, 2.05, 2.02)
    )
    np.testing.assert_allclose(between, 0.6 * early + 0.4 * late, atol=2e-3)


def test_planted_heights_come_back_from_a_run_with_little_noise(subject):
    rng = np.random.default_rng(2)
    machine = scanner.Scanner(subject, picture_s=3.0, tr_s=2.0, rng=rng)
    onsets = 6 + 12.0 * np.arange(40)
    heights = rng.normal(50, 20, (40, 200))  # far above the noise of about 1 %
    signal, motion = machine.run(onsets, heights, 250, rng)
    regressors = hrf.trial_regressors(onsets, np.full(40, 3.0), 2.0 * np.arange(250))
    betas = glm.lsa(signal, regressors, glm.nuisance_matrix(250, 2.0, confounds=motion))
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(betas.T, heights.T, strict=True)]
    assert np.median(r) > 0.95  # the canonical response is not the voxel's own


def test_noise_has_variance_one_and_remembers_the_last_volume(subject):
    rng = np.random.default_rng(3)
    noise = scanner.Scanner(subject, 3.0, 2.0, rng)._noise(4000, rng)
    assert noise.var(axis=0).mean() == pytest.approx(1, rel=0.05)
    lag_one = (noise[1:] * noise[:-1]).mean()
    assert 0.3 < lag_one < 0.7
    lag_five = (noise[5:] * noise[:-5]).mean()
    assert 0.02 < lag_five < lag_one / 2  # longer than an autoregression would remember


def test_pink_noise_has_power_one_over_f():
    noise = scanner.pink(4096, 300, np.random.default_rng(4))
    power = (np.abs(np.fft.rfft(noise, axis=0)) ** 2).mean(axis=1)[1:-1]
    slope = np.polyfit(np.log(np.arange(1, len(power) + 1)), np.log(power), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)
    assert noise.var() == pytest.approx(1, rel=0.05)


def test_drift_is_slower_than_a_high_pass_of_a_hundredth_hertz():
    slow = scanner.drift(140, 50, tr_s=2.0, rng=np.random.default_rng(5))
    nuisance = glm.nuisance_matrix(140, 2.0, high_pass_hz=0.01)
    left = slow - nuisance @ np.linalg.lstsq(nuisance, slow, rcond=None)[0]
    assert slow.std() > 0.5
    assert np.abs(left).max() < 1e-10


def test_the_head_starts_at_rest_and_its_displacement_is_that_of_the_confounds():
    motion = scanner.head_motion(200, np.random.default_rng(6))
    displacement = scanner.framewise_displacement(motion)
    assert not motion[0].any()
    assert np.isnan(displacement[0]) and displacement[1:].max() < 2
    table = pd.DataFrame(motion, columns=scanner.MOTION_COLUMNS)
    np.testing.assert_allclose(displacement[1:], confounds.framewise_displacement(table)[1:])


def test_ongoing_activity_makes_equal_pictures_differ(subject, monkeypatch):
    def spread(ongoing):
        monkeypatch.setattr(scanner, "ONGOING", ongoing)
        rng = np.random.default_rng(7)
        machine = scanner.Scanner(subject, 3.0, 2.0, rng)
        return machine.run(6 + 4.0 * np.arange(30), np.ones((30, 200)), 80, rng)[0].std(axis=0)

    assert spread(1.5).mean() > spread(0.0).mean()
