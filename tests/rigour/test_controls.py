"""Controls: derangements are uniform and leave nothing in place; chance levels by brute force."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from neurodecode.rigour.controls import (
    category_oracle,
    derangement,
    mismatched_mean,
    oracle_two_way,
)


def test_every_derangement_is_as_likely_as_any_other():
    rng = np.random.default_rng(0)
    drawn = Counter(tuple(derangement(4, rng)) for _ in range(1800))
    possible = [p for p in permutations(range(4)) if all(i != x for i, x in enumerate(p))]
    assert set(drawn) == set(possible)
    assert chisquare([drawn[p] for p in possible]).pvalue > 0.001


@pytest.mark.parametrize("n", [2, 3, 100])
def test_nothing_stays_in_place(n):
    order = derangement(n, np.random.default_rng(n))
    assert sorted(order) == list(range(n)) and (order != np.arange(n)).all()


def test_one_row_cannot_be_shuffled():
    with pytest.raises(ValueError, match="at least 2"):
        derangement(1, np.random.default_rng(0))


def test_chance_is_the_mean_of_pairs_that_do_not_belong_together():
    values, own = np.random.default_rng(1).random((4, 6)), np.array([0, 1, 2, 3, 0, 1])
    pairs = [values[i, j] for i in range(4) for j in range(6) if own[j] != i]
    assert mismatched_mean(values, own) == pytest.approx(np.mean(pairs))


def test_the_oracle_of_one_category_knows_nothing():
    assert oracle_two_way(50, 1) == 0.5
    assert oracle_two_way(50, 50) == 1.0
    with pytest.raises(ValueError, match="equal categories"):
        oracle_two_way(50, 7)
    assert category_oracle(["b", "a", "b"]).tolist() == [[0, 1], [1, 0], [0, 1]]
