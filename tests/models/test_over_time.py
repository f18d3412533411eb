"""Ridge in sliding windows agrees with mne's estimators, and in each window with the plain one."""

import numpy as np
import pytest

from neurodecode.models.over_time import (
    activation_patterns,
    fit_over_time,
    predict_over_time,
    sliding_windows,
    window_means,
)
from neurodecode.models.ridge import fit_ridge

TIMES_S = np.arange(-10, 20) / 100


@pytest.fixture(scope="module")
def study():
    """Responses (90, 7, 30), targets (90, 4), runs, and the windows' means."""
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((90, 4)) + 2.0
    responses = rng.standard_normal((90, 7, len(TIMES_S))) + 3.0
    course = np.exp(-(((TIMES_S - 0.1) / 0.03) ** 2))
    responses += (targets @ rng.standard_normal((4, 7)))[:, :, None] * course
    windows = sliding_windows(TIMES_S, 0.05, 0.02)
    x = window_means(responses, windows)
    return responses, targets, np.repeat(np.arange(6), 15), windows, x


def test_predictions_are_those_of_mnes_sliding_and_generalizing_estimators(study):
    from mne.decoding import GeneralizingEstimator, SlidingEstimator
    from sklearn.linear_model import Ridge

    _, targets, runs, _, x = study
    fraction = 0.1
    fit = fit_over_time(x, targets, runs, fractions=[fraction])
    np.testing.assert_allclose(fit["alphas"], fraction * x.var(axis=1).sum(axis=1))
    by_time, alpha = x.transpose(1, 2, 0), fit["alphas"][3]  # mne: trials, channels, times
    trained = {name: np.stack([fit[name][3]] * len(x)) for name in fit}
    for j, target in enumerate(targets.T):  # and one target at a time
        sliding = SlidingEstimator(Ridge(alpha), verbose="error").fit(by_time, target)
        said = predict_over_time(x, fit)[3, :, j]
        np.testing.assert_allclose(said, sliding.predict(by_time)[:, 3], atol=1e-9)
        general = GeneralizingEstimator(Ridge(alpha), verbose="error").fit(by_time, target)
        said = predict_over_time(x, trained)[:, :, j]  # tested windows, trials
        np.testing.assert_allclose(said.T, general.predict(by_time)[:, 3], atol=1e-9)


def test_the_penalty_is_the_one_that_ridge_finds_by_predicting_left_out_runs(study):
    _, targets, runs, _, x = study
    fit = fit_over_time(x, targets, runs)
    assert len(set(np.round(fit["alphas"] / x.var(axis=1).sum(axis=1), 6))) > 2
    for k, window in enumerate(x):
        plain = fit_ridge(window, targets, runs, alpha_per_target=False)
        assert fit["alphas"][k] == pytest.approx(plain["alphas"][0], rel=1e-5)
        np.testing.assert_allclose(fit["weights"][k], plain["weights"], atol=1e-4)
        np.testing.assert_allclose(fit["intercepts"][k], plain["intercepts"], atol=1e-3)


def test_a_window_is_as_early_as_it_is_late():
    course = np.exp(-(((TIMES_S - 0.06) / 0.03) ** 2))
    for window_s in (0.01, 0.03, 0.05, 0.07):
        windows = sliding_windows(TIMES_S, window_s, 0.01)
        means = window_means(course[None, None], windows)[:, 0, 0]
        assert windows.times_s[means.argmax()] == pytest.approx(0.06)


def test_windows_are_whole_samples_within_the_epoch():
    windows = sliding_windows(TIMES_S, 0.052, 0.018)
    assert windows.n_samples == 5 and windows.length_s == pytest.approx(0.05)
    assert windows.step_s == pytest.approx(0.02)
    np.testing.assert_allclose(windows.times_s, -0.08 + 0.02 * np.arange(13))
    responses = np.arange(30.0).reshape(1, 1, 30)
    np.testing.assert_allclose(window_means(responses, windows)[:, 0, 0], windows.starts + 2)
    whole = sliding_windows(TIMES_S, 0.3, 0.01)
    assert list(whole.starts) == [0] and whole.n_samples == 30


def test_windows_before_the_onset_hold_no_sample_of_it():
    windows = sliding_windows(TIMES_S, 0.05, 0.01)
    last_s = TIMES_S[windows.starts + windows.n_samples - 1]
    np.testing.assert_array_equal(windows.before_onset, last_s < -1e-9)
    assert windows.before_onset.sum() == 6


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ((0.31, 0.01), "window_s is 0.31 s, but the epochs are 0.3 s long"),
        ((0.0, 0.01), "window_s is 0.0"),
        ((0.05, -0.01), "step_s is -0.01"),
    ],
)
def test_windows_that_do_not_fit_are_refused(how, message):
    with pytest.raises(ValueError, match=message):
        sliding_windows(TIMES_S, *how)


def test_epochs_of_one_sample_are_one_window():
    windows = sliding_windows([0.1], 0.05, 0.01)
    assert list(windows.times_s) == [0.1] and windows.n_samples == 1


def test_channels_that_never_vary_predict_the_mean(study):
    _, targets, runs, _, x = study
    fit = fit_over_time(np.zeros_like(x), targets, runs)
    assert (fit["weights"] == 0).all() and (fit["alphas"] == 0).all()
    np.testing.assert_allclose(fit["intercepts"], np.tile(targets.mean(axis=0), (len(x), 1)))


def test_the_pattern_shows_the_signal_and_not_the_channel_that_cancels_noise():
    rng = np.random.default_rng(0)
    target, noise = rng.standard_normal((2, 500, 1))
    x = np.hstack([target + 3 * noise, noise])[None]  # the second channel carries noise alone
    fit = fit_over_time(x, target, np.arange(500) % 5)
    weights = np.abs(fit["weights"][0, :, 0])
    pattern = activation_patterns(x, x, fit)[0]
    assert weights[1] > 2 * weights[0]
    assert pattern[0] == pytest.approx(1, abs=0.1) and pattern[1] < 0.15


def test_trials_that_do_not_match_are_refused(study):
    _, targets, runs, _, x = study
    with pytest.raises(ValueError, match="90 trials, 89 targets and 90 groups"):
        fit_over_time(x, targets[1:], runs)
