"""Intervals: scipy's, textbook medians, and as much coverage as they promise."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, bootstrap

from neurodecode.rigour.bootstrap import (
    bca_interval,
    leave_one_out_counts,
    mean_interval,
    percentile_interval,
    resample_counts,
    weighted_mean,
    weighted_median,
    wilson_interval,
)


def test_counts_are_resamples_of_the_same_size():
    counts = resample_counts(30, 2000, np.random.default_rng(0))
    assert (counts.sum(axis=1) == 30).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(counts.var(axis=0), 29 / 30, atol=0.15)


@pytest.mark.parametrize(
    ("weighted", "plain"), [(weighted_mean, np.mean), (weighted_median, np.median)]
)
def test_weighting_by_counts_is_repeating_rows(weighted, plain):
    rng = np.random.default_rng(1)
    values, counts = rng.integers(0, 5, (9, 3)).astype(float), rng.integers(0, 3, (20, 9))
    expected = [[plain(np.repeat(v, c)) for v in values.T] for c in counts]
    np.testing.assert_allclose(weighted(values, counts.astype(float)), expected)


@pytest.mark.parametrize("weighted", [weighted_mean, weighted_median])
def test_a_draw_without_any_row_has_no_score(weighted):
    assert np.isnan(weighted(np.ones((2, 1)), np.zeros((1, 2)))).all()


def test_both_intervals_agree_with_scipy():
    skewed = np.random.default_rng(2).exponential(size=60)
    counts = resample_counts(60, 20000, np.random.default_rng(3))
    draws = weighted_mean(skewed[:, None], counts)[:, 0]
    left_out = weighted_mean(skewed[:, None], leave_one_out_counts(60))[:, 0]
    theirs = lambda method: (
        bootstrap(
            (skewed,), np.mean, n_resamples=20000, method=method, rng=np.random.default_rng(4)
        ).confidence_interval
    )
    np.testing.assert_allclose(percentile_interval(draws), theirs("percentile"), atol=0.02)
    np.testing.assert_allclose(
        bca_interval(draws, skewed.mean(), left_out), theirs("BCa"), atol=0.02
    )


def test_a_score_without_spread_has_an_interval_without_width():
    assert bca_interval(np.ones(50), 1.0, np.ones(10)) == (1, 1)
    assert mean_interval(np.full(9, 0.3), np.arange(9), 100, np.random.default_rng(0)) == (
        pytest.approx(0.3),
        pytest.approx(0.3),
    )


def test_higher_level_and_fewer_stimuli_give_wider_intervals():
    rng = np.random.default_rng(5)
    values = rng.normal(size=200)
    width = lambda v, **how: np.diff(mean_interval(v, np.arange(len(v)), 2000, rng, **how))[0]
    assert width(values, level=0.99) > width(values, level=0.9)
    assert width(values[:30]) > 1.5 * width(values)


def test_repeats_of_a_stimulus_are_resampled_together():
    rng = np.random.default_rng(6)
    values = np.repeat(rng.normal(size=40), 5)  # five equal rows add no information
    together = np.diff(mean_interval(values, np.repeat(np.arange(40), 5), 2000, rng))
    apart = np.diff(mean_interval(values, np.arange(200), 2000, rng))
    assert together / apart == pytest.approx(np.sqrt(5), rel=0.1)


@pytest.mark.slow
def test_intervals_cover_a_planted_mean_as_often_as_they_say():
    rng, covered = np.random.default_rng(7), {"percentile": 0, "bca": 0}
    n_studies, n = 1000, 100
    left_out_counts = leave_one_out_counts(n)
    for _ in range(n_studies):
        values = rng.binomial(1, 0.3, size=(n, 1)).astype(float)
        draws = weighted_mean(values, resample_counts(n, 1000, rng))[:, 0]
        left_out = weighted_mean(values, left_out_counts)[:, 0]
        intervals = {
            "percentile": percentile_interval(draws),
            "bca": bca_interval(draws, values.mean(), left_out),
        }
        for name, (low, high) in intervals.items():
            covered[name] += low <= 0.3 <= high
    for name, count in covered.items():
        assert 0.92 <= count / n_studies <= 0.975, (name, count)  # .95 +- 4.4 binomial SE at most


@pytest.mark.parametrize("hits", [0, 1, 7, 50, 100])
def test_wilsons_interval_of_plain_hits_is_scipys(hits):
    n, share = 100, hits / 100
    spread = np.sqrt(share * (1 - share) / (n - 1))  # what endless draws would show
    draws = share + spread * np.array([-1, 1]) * np.sqrt((n - 1) / n)
    known = binomtest(hits, n).proportion_ci(method="wilson")
    found = wilson_interval(draws, share, n)
    scale = np.sqrt(n / (n - 1))  # of the unbiased variance
    assert found == pytest.approx((known.low, known.high), abs=0.001 * scale)


def test_wilsons_interval_holds_rare_hits_as_often_as_it_says():
    n, rng = 200, np.random.default_rng(8)
    counts = resample_counts(n, 500, rng)
    for share in (0.02, 0.1, 0.98):
        hits = np.arange(n + 1)
        held = np.zeros(n + 1)
        for k in hits[binom.pmf(hits, n, share) > 1e-6]:
            draws = counts[:, :k].sum(axis=1) / n
            low, high = wilson_interval(draws, k / n, n)
            held[k] = low <= share <= high
        assert 0.93 <= binom.pmf(hits, n, share) @ held <= 0.975, share


def test_scores_that_never_vary_have_no_width_unless_all_hit():
    assert wilson_interval(np.full(50, 0.5), 0.5, 30) == (0.5, 0.5)
    low, high = wilson_interval(np.ones(50), 1.0, 30)
    assert high == pytest.approx(1) and low == pytest.approx(30 / (30 + 1.96**2), abs=1e-3)
