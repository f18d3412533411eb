from functools import partial

import numpy as np
import pandas as pd
import pytest

from neurodecode.core import lazy
from neurodecode.core.build import check_targets
from neurodecode.core.lazy import Lazy, Mapped
from neurodecode.signal import whitening
from neurodecode.signal.scaling import Standard
from neurodecode.signal.whitening import NoiseWhitening, noise_of, robust_scale
from tests.golden.rule import data, golden

N_CHANNELS, N_TIMES = 6, 8


def trials_of(n_stimuli=60, n_repeats=4):
    ids = np.repeat([f"s{i:02d}" for i in range(n_stimuli)], n_repeats)
    runs = np.tile([f"run-{i}" for i in range(n_repeats)], n_stimuli)
    return pd.DataFrame({"stimulus_id": ids, "run": runs, "session": "ses-01"})


@pytest.fixture
def made():
    """Responses with planted signal and correlated noise, their trials, and the noise alone."""
    rng, trials = np.random.default_rng(0), trials_of()
    mixing = rng.standard_normal((N_CHANNELS, N_CHANNELS)) + 2 * np.eye(N_CHANNELS)
    noise = np.einsum("dc,nct->ndt", mixing, rng.standard_normal((240, N_CHANNELS, N_TIMES)))
    signal = 5 * rng.standard_normal((60, N_CHANNELS, N_TIMES))
    return np.repeat(signal, 4, axis=0) + noise, trials, noise


def whitened_covariance(scaler, state, noise):
    nothing = np.zeros_like(noise)
    out = scaler.transform(noise, state) - scaler.transform(nothing, state)
    return np.cov(np.moveaxis(out, 1, 0).reshape(N_CHANNELS, -1))


@pytest.mark.parametrize(
    ("options", "tolerance"),
    # 1440 free values a pair of channels: a standard error of .03; shrinkage leaves more
    [({"shrinkage": 0.0}, 0.1), ({"shrinkage": 0.0, "robust": True}, 0.1), ({}, 0.4)],
)
def test_whitened_noise_has_variance_one_and_no_correlation(made, options, tolerance):
    responses, trials, noise = made
    scaler = NoiseWhitening(clamp=None, **options)
    covariance = whitened_covariance(scaler, scaler.fit(responses, trials), noise)
    assert np.abs(covariance - np.eye(N_CHANNELS)).max() < tolerance
    plain = NoiseWhitening(clamp=None, whiten=False)
    before = whitened_covariance(plain, plain.fit(responses, trials), noise)
    sd = np.sqrt(np.diag(before))
    assert np.abs(before / sd / sd[:, None] - np.eye(N_CHANNELS)).max() > 0.6


def test_the_covariance_is_the_mean_over_times_of_sklearns(made):
    from scipy.linalg import fractional_matrix_power
    from sklearn.covariance import ledoit_wolf

    responses, trials, _ = made
    scaler = NoiseWhitening(clamp=None)
    z = (responses - responses.mean((0, 2))[:, None]) / responses.std((0, 2))[:, None]
    z = z.reshape(60, 4, N_CHANNELS, N_TIMES)
    apart = (z - z.mean(axis=1, keepdims=True)).reshape(240, N_CHANNELS, N_TIMES) * np.sqrt(4 / 3)
    at = [ledoit_wolf(apart[..., t], assume_centered=True)[0] for t in range(N_TIMES)]
    expected = fractional_matrix_power(np.mean(at, axis=0), -0.5)
    assert np.allclose(scaler.fit(responses, trials)["whitener"], expected, rtol=1e-3)


def test_where_nothing_repeats_noise_is_what_differs_from_the_mean_of_the_run(made):
    responses, trials, _ = made
    once = trials.assign(stimulus_id=[f"s{i}" for i in range(len(trials))])
    scaler = NoiseWhitening(clamp=None, shrinkage=0.0)
    out = scaler.transform(responses, scaler.fit(responses, once))
    centred = out - out.mean(axis=0)
    covariance = np.cov(np.moveaxis(centred, 1, 0).reshape(N_CHANNELS, -1))
    assert np.abs(covariance - np.eye(N_CHANNELS)).max() < 0.12


def test_noise_is_free_of_what_repeats_and_unbiased(made):
    responses, trials, noise = made
    found = noise_of(responses, trials)
    apart = noise_of(noise, trials)
    assert np.allclose(found, apart)
    assert found.var() == pytest.approx(noise.var(), rel=0.05)


def test_a_shift_between_sessions_is_no_noise(made):
    responses, trials, _ = made
    late = trials["run"].isin(["run-2", "run-3"])
    shifted = responses + 50 * late.to_numpy()[:, None, None]
    trials = trials.assign(session=np.where(late, "ses-02", "ses-01"))
    assert np.allclose(noise_of(shifted, trials), noise_of(responses, trials))


@pytest.mark.parametrize(
    "options",
    [{}, {"shrinkage": 0.0}, {"robust": True}, {"whiten": False}, {"covariance": "epochs"}],
)
def test_the_unit_and_offset_of_a_channel_do_not_matter(made, options):
    responses, trials, _ = made
    scaler = NoiseWhitening(clamp=None, **options)
    gain, offset = np.geomspace(1e-3, 1e3, N_CHANNELS)[:, None], 7 * np.arange(6.0)[:, None]
    other = gain * responses + offset
    out = [scaler.transform(r, scaler.fit(r, trials)) for r in (responses, other)]
    assert np.allclose(*out, atol=2e-3)


def test_without_whitening_and_clamp_it_is_the_standard_scale(made):
    responses, trials, _ = made
    plain = NoiseWhitening(whiten=False, clamp=None)
    flat = responses[..., 0]
    expected = Standard().transform(flat, Standard().fit(flat, trials))
    assert np.allclose(plain.transform(flat, plain.fit(flat, trials)), expected, atol=1e-5)
    samples = np.moveaxis(responses, 2, 1).reshape(-1, N_CHANNELS)
    expected = Standard().transform(samples, Standard().fit(samples, None))
    out = plain.transform(responses, plain.fit(responses, trials))
    assert np.allclose(np.moveaxis(out, 2, 1).reshape(-1, N_CHANNELS), expected, atol=1e-4)


def test_the_robust_scale_is_sklearns(made):
    from sklearn.preprocessing import RobustScaler

    responses, trials, _ = made
    flat = responses[..., 0]
    scaler = NoiseWhitening(robust=True, whiten=False, clamp=None)
    expected = RobustScaler().fit_transform(flat)
    assert np.allclose(scaler.transform(flat, scaler.fit(flat, trials)), expected, atol=1e-5)


def test_an_outlier_is_limited_before_it_reaches_other_channels(made):
    responses, trials, _ = made
    limited = NoiseWhitening(whiten=False, clamp=2.0)
    out = limited.transform(responses, limited.fit(responses, trials))
    assert np.abs(out).max() == 2.0
    scaler = NoiseWhitening(clamp=3.0)
    state = scaler.fit(responses, trials)
    broken = responses.copy()
    broken[0, 0] = 1e6
    apart = np.abs(scaler.transform(broken, state) - scaler.transform(responses, state))[0, 1:]
    unlimited = NoiseWhitening(clamp=None)
    far = np.abs(unlimited.transform(broken, state) - unlimited.transform(responses, state))[0, 1:]
    assert apart.max() < 10 < far.max() / 100


def test_a_constant_channel_comes_out_as_zero_and_spoils_no_other(made):
    responses, trials, _ = made
    flat = responses.copy()
    flat[:, 2] = 5.0
    scaler = NoiseWhitening(clamp=None)
    out = scaler.transform(flat, scaler.fit(flat, trials))
    others = [0, 1, 3, 4, 5]
    alone = scaler.transform(responses[:, others], scaler.fit(responses[:, others], trials))
    assert (out[:, 2] == 0).all() and np.allclose(out[:, others], alone, atol=1e-5)


def test_responses_without_times_are_whitened_too(made):
    responses, trials, noise = made
    scaler = NoiseWhitening(clamp=None, shrinkage=0.0)
    state = scaler.fit(responses[..., 0], trials)
    out = scaler.transform(noise[..., 0], state) - scaler.transform(0 * noise[..., 0], state)
    assert out.shape == (240, N_CHANNELS) and out.dtype == np.float32
    assert np.abs(np.cov(out.T) - np.eye(N_CHANNELS)).max() < 0.4


def test_a_direction_without_noise_is_left_out(made):
    responses, trials, _ = made
    referenced = responses - responses.mean(axis=1, keepdims=True)  # rank 5 of 6
    scaler = NoiseWhitening(clamp=None, shrinkage=0.0)
    out = scaler.transform(referenced, scaler.fit(referenced, trials))
    assert np.isfinite(out).all() and np.abs(out).max() < 50


def test_more_shrinkage_leaves_more_of_the_correlation(made):
    responses, trials, noise = made
    left = []
    for shrinkage in (0.0, 0.5, 1.0):
        scaler = NoiseWhitening(clamp=None, shrinkage=shrinkage)
        covariance = whitened_covariance(scaler, scaler.fit(responses, trials), noise)
        left.append(np.abs(covariance - np.diag(np.diag(covariance))).sum())
    assert left[0] < left[1] < left[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"clamp": 0.0}, "clamp: expected more than 0"), ({"shrinkage": 2.0}, "shrinkage: .*0 to 1")],
)
def test_options_out_of_range_are_refused_before_anything_is_read(options, message):
    node = {"_target_": "neurodecode.signal.whitening.NoiseWhitening"} | options
    with pytest.raises(ValueError, match=message):
        check_targets(node, "align.scaling")


def test_rows_that_cannot_tell_noise_are_refused(made):
    responses, trials, _ = made
    scaler = NoiseWhitening()
    with pytest.raises(ValueError, match="no training rows"):
        scaler.fit(responses[:0], trials[:0])
    with pytest.raises(ValueError, match="noise cannot be told from 1 training rows"):
        scaler.fit(responses[:1], trials[:1])
    broken = responses.copy()
    broken[3, 1, 2] = np.nan
    with pytest.raises(ValueError, match="1 channels hold values that are not finite"):
        scaler.fit(broken, trials)


def loaded(path):
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("options", [{}, {"robust": True}, {"whiten": False, "clamp": None}])
@pytest.mark.parametrize("with_times", [True, False])
def test_channels_and_times_one_by_one_give_the_same_numbers(
    made, tmp_path, monkeypatch, options, with_times
):
    responses, trials, _ = made
    responses = responses.astype(np.float32)[..., slice(None) if with_times else 0]
    np.save(tmp_path / "rows.npy", responses)
    rows = Lazy(Mapped(partial(loaded, tmp_path / "rows.npy")))
    for module in (lazy, whitening):
        monkeypatch.setattr(module, "BLOCK", responses.nbytes // 12)  # three shares of each axis
    scaler = NoiseWhitening(**options)
    plain, found = scaler.fit(responses, trials), scaler.fit_rows(rows, trials)
    assert set(plain) == set(found)
    for name, array in plain.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-7)


def test_noise_of_more_than_memory_holds_at_one_time_is_refused(made, tmp_path, monkeypatch):
    responses, trials, _ = made
    np.save(tmp_path / "rows.npy", responses.astype(np.float32))
    rows = Lazy(Mapped(partial(loaded, tmp_path / "rows.npy")))
    monkeypatch.setattr(whitening, "IN_MEMORY", 1000)
    with pytest.raises(ValueError, match="cannot be whitened: one time of all takes"):
        NoiseWhitening().fit_rows(rows, trials)
    responses[3, 2, 1] = np.nan
    np.save(tmp_path / "holed.npy", responses.astype(np.float32))
    holed = Lazy(Mapped(partial(loaded, tmp_path / "holed.npy")))
    with pytest.raises(ValueError, match="1 channels hold values that are not finite"):
        NoiseWhitening().fit_rows(holed, trials)
    with pytest.raises(ValueError, match="no training rows"):
        NoiseWhitening().fit_rows(rows.take(np.array([], int)), trials)


def published_epochs_covariance(z, trials):
    """Of each trial over its times; mean over trials of a picture, then over pictures."""
    from sklearn.covariance import ledoit_wolf
    from sklearn.preprocessing import StandardScaler

    by_picture = []
    for _, rows in trials.groupby("stimulus_id", sort=False).indices.items():
        of_trials = []
        for trial in z[rows]:
            scaler = StandardScaler()
            correlation = ledoit_wolf(scaler.fit_transform(trial.T))[0]
            of_trials.append(scaler.scale_[:, None] * correlation * scaler.scale_)
        by_picture.append(np.mean(of_trials, axis=0))
    return np.mean(by_picture, axis=0)


def test_covariance_over_epochs_is_the_published_one_written_out(made):
    from scipy.linalg import fractional_matrix_power

    responses, trials = made[0][:-2], made[1][:-2]  # one picture has fewer trials than the others
    scaler = NoiseWhitening(clamp=None, covariance="epochs")
    z = (responses - responses.mean((0, 2))[:, None]) / responses.std((0, 2))[:, None]
    expected = fractional_matrix_power(published_epochs_covariance(z, trials), -0.5)
    state = scaler.fit(responses, trials)
    np.testing.assert_allclose(state["whitener"], expected, rtol=1e-3, atol=1e-5)
    between_trials = NoiseWhitening(clamp=None).fit(responses, trials)["whitener"]
    assert not np.allclose(between_trials, state["whitener"], rtol=0.05)


def test_covariance_over_epochs_needs_times(made):
    responses, trials, _ = made
    with pytest.raises(ValueError, match="needs responses with a time axis"):
        NoiseWhitening(covariance="epochs").fit(responses[..., 0], trials)


def test_covariance_over_epochs_of_rows_on_disk_is_the_same(made, tmp_path, monkeypatch):
    responses, trials, _ = made
    np.save(tmp_path / "rows.npy", responses.astype(np.float32))
    rows = Lazy(Mapped(partial(loaded, tmp_path / "rows.npy")))
    monkeypatch.setattr(lazy, "BLOCK", responses.nbytes // 12)
    scaler = NoiseWhitening(covariance="epochs")
    expected = scaler.fit(responses, trials)["whitener"]
    np.testing.assert_allclose(scaler.fit_rows(rows, trials)["whitener"], expected, rtol=1e-5)


def test_the_published_robust_scale_agrees_with_the_golden_numbers():
    case = golden("brainmagick_robust_scaler")
    values = data("scaler", (37, 3)).astype(np.float32)
    values[:, 2] = 0
    centre, scale = robust_scale(values.T, "sorted")
    np.testing.assert_allclose(centre, case["center"], rtol=1e-6)
    np.testing.assert_allclose(scale, case["scale"], rtol=1e-6)
    assert (np.sort(values, axis=0)[case["index"][1]] == centre).all()


def test_published_quartiles_are_values_that_occurred():
    responses = data("quartiles", (6, 2, 3)).astype(np.float32)
    states = {
        quartiles: NoiseWhitening(robust=True, whiten=False, quartiles=quartiles).fit(
            responses, trials_of(6, 1)
        )
        for quartiles in ("interpolated", "sorted")
    }
    assert np.isin(states["sorted"]["centre"], responses).all()
    assert not np.allclose(states["sorted"]["scale"], states["interpolated"]["scale"], rtol=1e-3)
