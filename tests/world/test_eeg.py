"""The recording: transients that peak where they should, and a background that is not locked."""

import numpy as np
import pytest

from neurodecode.world import eeg
from neurodecode.world.brain import grow_subject

RATE = 250.0


def make_cap(latency_s=0.17, snr=0.5, n_pictures=50):
    rng = np.random.default_rng(0)
    subject = grow_subject("sub-01", 200, 0)
    specific = rng.standard_normal((n_pictures, subject.n_voxels))
    return specific, eeg.Cap(
        subject, specific, snr=snr, latency_s=latency_s, n_channels=32, sfreq_hz=RATE, rng=rng
    )


@pytest.fixture(scope="module")
def made():
    return make_cap()


def quiet(monkeypatch, *names):
    for name in names:
        monkeypatch.setattr(eeg, name, 0.0)


def specific_potentials(cap, specific, time_s):
    course = eeg.transient(np.array([time_s]), cap.peaks_s)
    return eeg.average_reference(cap.field) @ (cap.responses(specific) * course).T


@pytest.mark.parametrize("time_s", [0.12, 0.17, 0.25])
def test_the_information_is_that_of_the_potentials(made, time_s):
    specific, cap = made
    noise = np.linalg.pinv(cap.background.covariance, rcond=1e-6, hermitian=True)
    signal = np.cov(specific_potentials(cap, specific, time_s), bias=True)
    assert cap.information(np.array([time_s]))[0] == pytest.approx(np.trace(noise @ signal))


@pytest.mark.parametrize("latency_s", [0.14, 0.17, 0.3])
def test_the_information_peaks_at_the_latency_and_is_absent_before_onset(latency_s):
    _, cap = make_cap(latency_s)
    table = cap.course_table()
    assert table["time_s"][table["information"].idxmax()] == pytest.approx(latency_s, abs=6e-4)
    assert not table.loc[table["time_s"] <= 0, ["information", "evoked_uv"]].to_numpy().any()
    peak = {name: table["time_s"][table[name].idxmax()] for name in ("early", "high")}
    assert peak["early"] < latency_s < peak["high"]


@pytest.mark.parametrize("snr", [0.0, 0.5])
def test_the_snr_is_that_of_the_potentials_at_the_latency(snr):
    specific, cap = make_cap(snr=snr)
    signal = specific_potentials(cap, specific - specific.mean(axis=0), 0.17)
    noise = np.trace(cap.background.covariance) / 32
    assert np.sqrt((signal**2).mean() / noise) == pytest.approx(snr)


def test_what_is_recorded_beside_artefacts_has_the_covariance_told(made, monkeypatch):
    cap = made[1]
    quiet(monkeypatch, "DRIFT_UV", "BAD_UV")
    source = cap.background
    potentials = cap._background(60000, np.random.default_rng(1))
    times = np.arange(60000) / RATE
    for wave in (np.sin, np.cos):  # take the hum out
        hum = wave(2 * np.pi * eeg.LINE_HZ * times)
        potentials -= np.outer(potentials @ hum / (hum @ hum), hum)
    blink = eeg.average_reference(source.blink)
    found = eeg.average_reference(potentials)
    blind = np.eye(32) - np.outer(blink, blink) / (blink @ blink)
    told = blind @ source.covariance @ blind
    assert np.trace(blind @ np.cov(found) @ blind) == pytest.approx(np.trace(told), rel=0.15)
    r = np.corrcoef((blind @ np.cov(found) @ blind).ravel(), told.ravel())[0, 1]
    assert r > 0.95


def test_responses_add_up_and_nothing_comes_before_onset(made):
    specific, cap = made
    onsets = np.array([300, 600])
    moments = cap.responses(specific[:2])
    with_pictures, without = (
        cap.run(onsets, m, 1000, np.random.default_rng(2)) for m in (moments, 0 * moments)
    )
    difference = with_pictures - without
    assert not difference[:, :300].any() and not difference[:, 300 + 175 : 600].any()
    course = eeg.transient(np.array([40 / RATE]), cap.peaks_s)[0]
    expected = cap.field @ (moments * course).T
    np.testing.assert_allclose(difference[:, onsets + 40], expected, atol=1e-3)


def test_a_transient_is_one_at_its_peak_and_gone_after_its_rise_and_fall():
    times = 0.2 + np.array([-eeg.RISE_S, 0, eeg.FALL_S, -eeg.RISE_S / 2])
    np.testing.assert_allclose(
        eeg.transient(times, np.array([0.2]))[:, 0], [0, 1, 0, 0.5], atol=1e-9
    )


def test_alpha_comes_in_bursts_at_its_frequency():
    waves = eeg.alpha_waves(50000, 4, 10.0, RATE, np.random.default_rng(3))
    power = (np.abs(np.fft.rfft(waves, axis=0)) ** 2).sum(axis=1)
    hertz = np.fft.rfftfreq(50000, 1 / RATE)
    assert power[(hertz > 7) & (hertz < 13)].sum() > 0.98 * power.sum()
    assert ((waves**4).mean(axis=0) > 4).all()  # 1.5 for a steady wave, 3 for Gaussian noise


def test_blinks_are_frontal_and_come_every_few_seconds(made):
    cap = made[1]
    names = np.array(cap.montage.ch_names)
    assert set(names[np.argsort(-cap.background.blink)[:2]]) == {"Fp1", "Fp2"}
    train = eeg.blinks(int(600 * RATE), RATE, np.random.default_rng(4))
    starts = ((train[1:] > 0) & (train[:-1] == 0)).sum()
    assert 90 < starts < 200  # in ten minutes


def test_the_channel_with_a_bad_contact_is_the_noisiest(made, monkeypatch):
    quiet(monkeypatch, "BLINK_UV")
    cap = made[1]
    rough = np.diff(cap._background(5000, np.random.default_rng(5)), axis=1).std(axis=1)
    assert rough.argmax() == cap.background.bad
    assert rough.max() > 5 * np.median(rough)
