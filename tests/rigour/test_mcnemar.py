"""McNemar's exact test against statsmodels."""

import numpy as np
import pytest

from neurodecode.rigour.mcnemar import mcnemar


@pytest.mark.parametrize("seed", range(5))
def test_p_is_that_of_statsmodels(seed):
    contingency_tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    rng = np.random.default_rng(seed)
    a, b = rng.random(96) < 0.8, rng.random(96) < 0.65
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    p, only_a, only_b = mcnemar(a, b)
    assert np.isclose(p, contingency_tables.mcnemar(table, exact=True).pvalue)
    assert (only_a, only_b) == (table[0][1], table[1][0])


def test_equal_classifiers_do_not_differ():
    right = np.array([True, False, True])
    assert mcnemar(right, right) == (1.0, 0, 0)
