"""Families of tests: step-down max-T as by hand, error rates as promised, ties as in one test."""

import numpy as np
import pytest

from neurodecode.rigour.correction import fdr, max_t
from neurodecode.rigour.permutation import permutation_p

RNG = np.random.default_rng(0)


def by_hand(values, null):
    """Westfall & Young's step-down, written out; standardised by observed and draws together."""
    whole = np.vstack([values, null])
    z = (whole - whole.mean(axis=0)) / whole.std(axis=0)
    order, p, last = np.argsort(-z[0]), np.empty(len(values)), 0.0
    for place, k in enumerate(order):
        rest = z[:, order[place:]].max(axis=1)
        last = max(last, (rest >= z[0, k]).mean())
        p[k] = last
    return p


def test_p_is_that_of_the_step_down_procedure():
    values, null = RNG.standard_normal(6) + [0, 1, 3, 0, 2, 0], RNG.standard_normal((499, 6))
    null += RNG.standard_normal((499, 1))
    p = max_t({k: (values[k], null[:, k], "higher") for k in range(6)}, RNG)
    np.testing.assert_allclose([p[k] for k in range(6)], by_hand(values, null))


def test_a_family_of_one_is_its_own_p():
    value, null = 2.0, RNG.standard_normal(200)
    for better, sign in (("higher", 1), ("lower", -1)):
        alone = permutation_p(sign * value, sign * null, RNG, better)
        assert max_t({"x": (sign * value, sign * null, better)}, RNG)["x"] == alone


def test_scale_and_copies_of_a_test_change_nothing():
    null = RNG.standard_normal((199, 2))
    plain = max_t({k: (2.5, null[:, k], "higher") for k in range(2)}, RNG)
    scaled = {"a": (2500, 1000 * null[:, 0], "higher"), "b": (-2.5, -null[:, 1], "lower")}
    again = {k: scaled["a"] for k in range(20)}
    found = max_t(scaled | again, RNG)
    assert [found["a"], found["b"]] == [plain[0], plain[1]]


def test_the_family_is_wrong_no_more_often_than_promised():
    rng, wrong, n_studies = np.random.default_rng(1), 0, 800
    for _ in range(n_studies):  # 50 tests that correlate by .5
        values = rng.standard_normal((20, 1)) + rng.standard_normal((20, 50))
        null = rng.choice([-1, 1], (99, 20)) @ values
        family = {k: (values[:, k].sum(), null[:, k], "either") for k in range(50)}
        wrong += min(max_t(family, rng).values()) <= 0.05
    assert wrong / n_studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n_studies)
    assert wrong / n_studies >= 0.02  # and it is no stricter than it needs to be


def test_equal_scores_are_as_likely_better_as_worse():
    p = [max_t({"x": (0.5, np.full(99, 0.5), "higher")}, RNG)["x"] for _ in range(400)]
    assert abs(np.mean(p) - 0.5) < 0.06 and min(p) < 0.05


def test_what_is_not_known_is_left_out():
    null = RNG.standard_normal(99)
    found = max_t({"a": (3.0, null, "higher"), "b": (np.nan, null, "higher")}, RNG)
    assert np.isnan(found["b"]) and found["a"] == permutation_p(3.0, null, RNG)
    assert max_t({}, RNG) == {}


def test_nulls_of_different_permutations_are_refused():
    with pytest.raises(ValueError, match="share their permutations"):
        max_t({"a": (0, np.zeros(9), "higher"), "b": (0, np.zeros(8), "higher")}, RNG)
    with pytest.raises(ValueError, match="better is 'up'"):
        max_t({"a": (0, np.zeros(9), "up")}, RNG)


@pytest.mark.parametrize("method", ["bh", "by"])
def test_q_values_are_those_of_statsmodels(method):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = RNG.random(40) ** 3
    known = multitest.multipletests(p, method=f"fdr_{method}")[1]
    np.testing.assert_allclose(fdr(p, method), known)
    holes = fdr(np.append(p, np.nan), method)
    np.testing.assert_allclose(holes[:-1], known)
    assert np.isnan(holes[-1])
