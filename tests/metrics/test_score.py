"""Similarities and ranks agree with textbook loops, and degenerate inputs are decided."""

import numpy as np
import pytest
from scipy.stats import pearsonr

from neurodecode.metrics.score import cosine, count_rivals, pearson


def test_pearson_agrees_with_scipy_pair_by_pair():
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(size=(4, 30)), rng.normal(size=(5, 30))
    expected = [[pearsonr(t, p).statistic for p in predicted] for t in truth]
    np.testing.assert_allclose(pearson(truth, predicted), expected, atol=1e-12)


@pytest.mark.parametrize("similarity", [cosine, pearson])
def test_scale_and_order_of_features_do_not_matter(similarity):
    rng = np.random.default_rng(1)
    truth, predicted = rng.normal(size=(4, 30)), rng.normal(size=(5, 30))
    order = rng.permutation(30)
    same = similarity(7 * truth[:, order], 0.2 * predicted[:, order])
    np.testing.assert_allclose(same, similarity(truth, predicted), atol=1e-12)


def test_what_does_not_vary_correlates_with_nothing():
    varying = np.random.default_rng(2).normal(size=(2, 9))
    assert (pearson(varying, np.full((3, 9), 0.1)) == 0).all()
    assert (cosine(varying, np.zeros((3, 9))) == 0).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_rivals_are_counted_as_a_double_loop_counts_them(axis):
    similarity = np.random.default_rng(3).integers(0, 4, size=(7, 6)) / 3
    above, tied = count_rivals(similarity, axis)
    for (i, j), own in np.ndenumerate(similarity):
        others = np.delete(similarity[:, j], i) if axis == 0 else np.delete(similarity[i], j)
        assert above[i, j] == (others > own).sum()
        assert tied[i, j] == (others == own).sum()


def test_rounding_of_equal_products_is_a_tie():
    similarity = np.full((5, 5), 0.1) + np.spacing(0.1) * np.arange(25).reshape(5, 5)
    assert (count_rivals(similarity)[1] == 4).all()
