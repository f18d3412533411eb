"""The flag of a hallucinated picture: uniform without a brain, small p where samples agree."""

import numpy as np
import pytest

from neurodecode.rigour.abstention import agreement, indistinguishable

SCALE = (1.0 + np.arange(32)) ** -0.5


def prior(rng, *shape):
    """Draws of a prior with correlated dimensions and a mean."""
    mixing = np.random.default_rng(99).normal(size=(32, 32))
    return 1.0 + (SCALE * rng.normal(size=(*shape, 32))) @ mixing


def test_p_is_uniform_for_draws_of_the_prior():
    from scipy.stats import kstest

    rng = np.random.default_rng(0)
    p = np.concatenate(
        [indistinguishable(prior(rng, 10, 4), prior(rng, 60), rng, 199) for _ in range(60)]
    )
    assert abs((p <= 0.05).mean() - 0.05) <= 3 * np.sqrt(0.05 * 0.95 / 600)
    assert kstest(p, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("n_samples", "least"), [(2, 0.75), (4, 0.9)])
def test_rows_with_signal_are_told_from_rows_without(n_samples, least):
    rng = np.random.default_rng(1)
    none, signal = prior(rng, 60, n_samples), prior(rng, 60, n_samples)
    signal = np.sqrt(0.3) * prior(rng, 60, 1) + np.sqrt(0.7) * signal
    p = indistinguishable([*signal, *none], prior(rng, 100), rng)
    auc = (p[:60, None] < p[60:]).mean() + (p[:60, None] == p[60:]).mean() / 2
    assert auc >= least


def test_a_single_sample_says_nothing_and_rows_may_differ_in_number():
    rng = np.random.default_rng(2)
    rows = [prior(rng, 1), np.repeat(prior(rng, 1), 3, axis=0), prior(rng, 5)]
    p = indistinguishable(rows, prior(rng, 50), rng, 99)
    assert np.isnan(p[0]) and p[1] == 0.01 and 0.01 < p[2] <= 1


def test_units_and_offsets_of_the_dimensions_do_not_matter():
    rows, pool = prior(np.random.default_rng(3), 6, 4), prior(np.random.default_rng(4), 40)
    scale = np.random.default_rng(5).uniform(0.1, 50, 32)
    p = indistinguishable(rows, pool, np.random.default_rng(6), 199)
    moved = indistinguishable(rows * scale - 7, pool * scale - 7, np.random.default_rng(6), 199)
    assert np.array_equal(p, moved)
    constant = np.pad(rows, [(0, 0), (0, 0), (0, 3)]), np.pad(pool, [(0, 0), (0, 3)])
    assert np.array_equal(p, indistinguishable(*constant, np.random.default_rng(6), 199))


def test_a_prior_that_always_says_the_same_is_never_left():
    rng = np.random.default_rng(7)
    p = indistinguishable(np.ones((2, 4, 8)), np.ones((30, 8)), rng, 99)
    assert (p == 1).all()


def test_agreement_is_the_mean_cosine_of_pairs():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(9, 5))
    z = (x - x.mean(0)) / x.std(0)
    pairs = [np.corrcoef(np.c_[z[i], -z[i]].ravel(), np.c_[z[j], -z[j]].ravel())[0, 1]
             for i, j in ((1, 4), (1, 7), (4, 7))]  # fmt: skip
    assert agreement(x, np.array([[1, 4, 7]]))[0] == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(
    ("samples", "pool", "words"),
    [
        (np.zeros((2, 4, 8)), np.zeros((30, 7)), "have dimensions"),
        (np.full((2, 4, 8), np.nan), np.zeros((30, 8)), "samples of 2 rows"),
        (np.zeros((2, 2, 8)), np.zeros((3, 8)), "give more prior draws"),
        ([np.zeros((0, 8))], np.zeros((30, 8)), "at least one sample"),
    ],
)
def test_what_cannot_be_tested_is_said(samples, pool, words):
    with pytest.raises(ValueError, match=words):
        indistinguishable(samples, pool, np.random.default_rng(0))
