"""Equivalence: Student's two one-sided tests, its error at the margin, and its words."""

import numpy as np
import pytest
from scipy.stats import t

from neurodecode.rigour.bootstrap import resample_counts
from neurodecode.rigour.equivalence import equivalent


def drawn(values, rng, n_draws=4000):
    return resample_counts(len(values), n_draws, rng) @ values / len(values)


def test_interval_and_p_are_nearly_those_of_students_t():
    rng = np.random.default_rng(0)
    values = 0.01 + 0.1 * rng.standard_normal(40)
    found = equivalent(values.mean(), drawn(values, rng), 40, 0.05)
    error = values.std(ddof=1) / np.sqrt(40)
    half = t.ppf(0.95, 39) * error
    assert [found.low, found.high] == pytest.approx(values.mean() + [-half, half], abs=0.1 * half)
    known = max(t.sf((0.05 - values.mean()) / error, 39), t.sf((values.mean() + 0.05) / error, 39))
    assert found.p == pytest.approx(known, abs=0.01)


@pytest.mark.parametrize("margin", [0.05, -0.05])
def test_a_difference_as_large_as_the_margin_is_called_equivalent_as_often_as_said(margin):
    rng, n_studies = np.random.default_rng(1), 1200
    counts, shown = resample_counts(30, 500, rng), 0
    for _ in range(n_studies):
        values = margin + 0.1 * rng.standard_normal(30)
        shown += equivalent(values.mean(), counts @ values / 30, 30, 0.05).shown
    assert abs(shown / n_studies - 0.05) < 3 * np.sqrt(0.05 * 0.95 / n_studies)


def test_a_small_study_shows_nothing_and_a_large_one_does():
    rng = np.random.default_rng(2)
    small, large = (0.1 * rng.standard_normal(n) for n in (8, 800))
    few, many = (equivalent(v.mean(), drawn(v, rng), len(v), 0.02) for v in (small, large))
    assert not few.shown and few.words == "equivalence within ± .02 not shown"
    assert many.shown and many.words == "equivalent within ± .02"


def test_margins_and_samples_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="margin is 0"):
        equivalent(0.0, np.zeros(10), 10, 0)
    with pytest.raises(ValueError, match="at least 2"):
        equivalent(0.0, np.zeros(10), 1, 0.1)
