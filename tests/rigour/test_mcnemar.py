"""McNemar's test: statsmodels' exact one less half of what was seen, and wrong as often as said."""

import numpy as np
import pytest
from scipy.stats import binom

from neurodecode.rigour.mcnemar import mcnemar


@pytest.mark.parametrize("seed", range(5))
def test_p_is_the_exact_one_less_half_the_probability_of_the_split(seed):
    contingency_tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    rng = np.random.default_rng(seed)
    a, b = rng.random(96) < 0.8, rng.random(96) < 0.65
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    p, only_a, only_b = mcnemar(a, b)
    exact = contingency_tables.mcnemar(table, exact=True).pvalue
    assert p == pytest.approx(exact - binom.pmf(only_a, only_a + only_b, 0.5))
    assert (only_a, only_b) == (table[0][1], table[1][0])


def test_an_even_split_is_no_difference():
    a, b = np.array([1, 1, 0, 0, 1], bool), np.array([0, 0, 1, 1, 1], bool)
    assert mcnemar(a, b)[0] > 0.5


def test_equal_classifiers_do_not_differ():
    right = np.array([True, False, True])
    assert mcnemar(right, right) == (1.0, 0, 0)


@pytest.mark.parametrize("n", [30, 60, 200])
def test_it_is_wrong_as_often_as_it_says(n):
    splits = np.arange(n + 1)  # of n rows that tell two equal classifiers apart
    p = np.array([mcnemar(np.arange(n) < k, np.arange(n) >= k)[0] for k in splits])
    assert 0.035 <= binom.pmf(splits, n, 0.5)[p <= 0.05].sum() <= 0.06
