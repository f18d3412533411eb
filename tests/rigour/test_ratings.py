"""Ratings: accuracy of simulated raters is recovered, intervals cover, chance is not mistaken."""

import numpy as np
import pytest

from neurodecode.rigour.ratings import (
    holm,
    krippendorff,
    pairwise_agreement,
    share_interval,
    sign_flip_p,
)
from tests.scripts import load_script

bench = load_script("bench/rating.py")
STUDIES = 200


def test_the_interval_covers_the_share_of_other_raters_and_stimuli():
    truth, held = bench.expected(0.75), 0
    for k in range(STUDIES):
        answers = bench.simulate(np.random.default_rng(k), 0.75, n_raters=8, n_stimuli=40)
        share, low, high = share_interval(*answers)
        assert low <= share <= high
        held += low <= truth <= high
    assert 0.90 <= held / STUDIES <= 0.995


def test_raters_at_chance_are_not_found_better_than_it():
    p = []
    for k in range(STUDIES):
        rng = np.random.default_rng(k)
        hits, _, stimuli = bench.simulate(rng, 0.5, n_raters=8, n_stimuli=40, stimulus_sd=2.0)
        p.append(sign_flip_p(hits, stimuli, rng, n_draws=499))
    assert np.mean(np.array(p) < 0.05) <= 0.09  # .05 + 2.6 standard errors
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.1)


def test_treating_answers_as_independent_would_be_wrong():
    """The reason why stimuli flip together: a binomial test is falsely sure."""
    from scipy.stats import binomtest

    alarms = 0
    for k in range(STUDIES):
        hits, *_ = bench.simulate(np.random.default_rng(k), 0.5, 8, 40, stimulus_sd=2.0)
        alarms += binomtest(int(hits.sum()), len(hits), alternative="greater").pvalue < 0.05
    assert alarms / STUDIES > 0.1


def test_an_interval_stays_within_0_and_1_and_needs_raters_and_stimuli():
    rater, stimulus = np.indices((3, 10)).reshape(2, -1)
    share, low, high = share_interval(np.ones(30), rater, stimulus)
    assert share == 1 and 0.5 < low < 1 and high == 1
    assert np.isnan(share_interval(np.ones(10), np.zeros(10), np.arange(10))[1])
    assert np.isnan(share_interval(np.ones(14), *np.indices((2, 7)).reshape(2, -1))[1])


def test_the_order_and_the_names_of_answers_do_not_matter():
    hits, rater, stimulus = bench.simulate(np.random.default_rng(0), 0.7, 5, 20)
    order = np.random.default_rng(1).permutation(len(hits))
    named = np.array([f"r{k}" for k in rater])
    again = share_interval(hits[order], named[order], stimulus[order])
    assert share_interval(hits, rater, stimulus) == pytest.approx(again)


def test_a_preference_either_way_is_found():
    hits, _, stimuli = bench.simulate(np.random.default_rng(0), 0.2, 8, 40)
    rng = np.random.default_rng(0)
    assert sign_flip_p(hits, stimuli, rng, two_sided=True) < 0.01
    assert sign_flip_p(hits, stimuli, rng) > 0.9


def test_holm_is_that_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.array([0.01, 0.04, 0.03, 0.5])
    assert np.allclose(holm(p), multitest.multipletests(p, method="holm")[1])
    assert np.isnan(holm([0.01, np.nan])[1]) and holm([0.01, np.nan])[0] == 0.01


def test_alpha_of_krippendorffs_own_example():
    """Nominal data of 12 units and 4 observers with missing answers: .743."""
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    answers = [(v, u) for one in observers for u, v in enumerate(one) if v is not None]
    labels, units = zip(*answers, strict=True)
    assert krippendorff(labels, units) == pytest.approx(0.743, abs=0.0006)


def test_agreement_of_pairs_is_counted():
    assert pairwise_agreement(["l", "l", "r", "r", "r"], [0, 0, 0, 1, 1]) == pytest.approx(2 / 4)
    assert np.isnan(pairwise_agreement(["l", "r"], [0, 1]))
    assert np.isnan(krippendorff(["l", "l"], [0, 0]))
