"""Certainty: a planted relation of uncertainty and error is found, its interval and p hold."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from neurodecode.rigour.certainty import certainty, spearman
from neurodecode.rigour.judge import Draws, Panel, Rows, interval_of, p_of


def judged(uncertainty, error, seed=0):
    n = len(error)
    draws = Draws.make(n, 400, 399, np.random.default_rng(seed))
    return certainty(uncertainty, error, Panel.of(Rows(np.arange(n), np.arange(n)), draws), draws)


def test_it_is_spearmans_correlation_ties_and_all():
    a, b = np.random.default_rng(0).integers(0, 5, (2, 40)).astype(float)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_the_planted_relation_is_found_and_none_is_not():
    rng = np.random.default_rng(1)
    spread = rng.random(150)
    related = judged(spread, spread + 0.3 * rng.normal(size=150))
    low, high = interval_of(related, "wilson", 0.95)
    assert 0.3 < low < related.value < high and p_of(related, rng) < 0.01
    p = [p_of(judged(rng.random(40), rng.random(40), k), rng) for k in range(60)]
    assert np.mean(np.array(p) < 0.1) < 0.25


def test_what_does_not_vary_foretells_nothing():
    found = judged(np.ones(20), np.arange(20.0))
    assert found.value == 0 and p_of(found, np.random.default_rng(0)) > 0


def test_any_increasing_change_of_the_numbers_changes_nothing():
    a, b = np.random.default_rng(0).random((2, 30))
    assert judged(a, b).value == judged(np.exp(3 * a), b**3).value
