"""The peak of a curve is the middle of its top."""

import numpy as np
import pytest

from neurodecode.rigour.latency import peak_latency

TIMES_S = np.arange(-10, 40) / 100


def bump(peak_s, width_s=0.1):
    return 0.5 + 0.4 * np.exp(-(((TIMES_S - peak_s) / width_s) ** 2))


@pytest.mark.parametrize("peak_s", [0.05, 0.123, 0.2])
def test_the_peak_of_a_bump_is_found_between_samples_too(peak_s):
    assert peak_latency(bump(peak_s), TIMES_S, 0.5) == pytest.approx(peak_s, abs=0.002)


def test_a_flat_top_peaks_in_its_middle():
    flat = np.minimum(bump(0.15), 0.85)
    assert peak_latency(flat, TIMES_S, 0.5) == pytest.approx(0.15, abs=0.001)
    assert TIMES_S[flat.argmax()] < 0.13


def test_another_bump_farther_off_does_not_count():
    both = np.maximum(bump(0.05, 0.02), 0.5 + 0.99 * (bump(0.3, 0.02) - 0.5))
    assert peak_latency(both, TIMES_S, 0.5) == pytest.approx(0.05, abs=0.001)


def test_noise_spreads_the_middle_of_the_top_less_than_the_largest_value():
    rng = np.random.default_rng(0)
    curves = np.minimum(bump(0.15), 0.89) + 0.01 * rng.standard_normal((400, len(TIMES_S)))
    middles = peak_latency(curves, TIMES_S, 0.5)
    assert abs(middles.mean() - 0.15) < 0.003
    assert middles.std() < 0.8 * TIMES_S[curves.argmax(axis=1)].std()


def test_many_curves_are_many_peaks():
    curves = np.stack([[bump(0.1), bump(0.2)]] * 3)
    assert peak_latency(curves, TIMES_S, 0.5).shape == (3, 2)


@pytest.mark.parametrize("value", [0.3, 0.5, np.nan])
def test_a_curve_that_is_never_above_chance_has_no_peak(value):
    assert np.isnan(peak_latency(np.full(len(TIMES_S), value), TIMES_S, 0.5))
