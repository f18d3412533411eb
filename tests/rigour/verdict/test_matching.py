"""Two-way matching: counted by hand, permuted inside groups, honest under the null."""

import numpy as np
import pytest

from neurodecode.rigour.verdict.matching import (
    among_all,
    among_others,
    among_own,
    judged,
    orders,
    similarity,
)

GROUPS = np.array([0, 0, 0, 1, 1, 2, 2, 2])


def by_hand(similar, rivals_of):
    """Entry [i, j]: share of the rivals of picture j that j beats for prediction i, ties half."""
    n = len(similar)
    table = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            wins = [
                float(similar[i, j] > similar[i, k]) + 0.5 * (similar[i, j] == similar[i, k])
                for k in rivals_of(j)
            ]
            table[i, j] = np.mean(wins)
    return table


def similar(seed=0):
    """With ties."""
    return np.round(np.random.default_rng(seed).normal(size=(8, 8)), 1)


def test_shares_are_those_counted_by_hand():
    s, everybody = similar(), range(8)
    others = lambda j: [k for k in everybody if GROUPS[k] != GROUPS[j]]
    own = lambda j: [k for k in everybody if GROUPS[k] == GROUPS[j] and k != j]
    np.testing.assert_allclose(among_all(s), by_hand(s, lambda j: [k for k in everybody if k != j]))
    np.testing.assert_allclose(among_others(s, GROUPS), by_hand(s, others))
    np.testing.assert_allclose(among_own(s, GROUPS), by_hand(s, own))


def test_a_prediction_that_is_always_the_same_scores_chance():
    flat = similarity(np.ones((8, 3)) * 0, np.random.default_rng(1).normal(size=(8, 3)))
    for table in (among_all(flat), among_others(flat, GROUPS), among_own(flat, GROUPS)):
        np.testing.assert_array_equal(np.diagonal(table), 0.5)


def test_a_hub_gains_nothing():
    """All predictions are near picture 0; on average over permutations the score is chance."""
    s = np.zeros((8, 8))
    s[:, 0] = 1
    line = judged("x", among_all(s), np.zeros(8, int), 99, np.random.default_rng(0))
    assert line["value"] == pytest.approx(0.5) and 0.01 < line["p"] < 1


def test_pictures_are_dealt_inside_their_groups():
    groups = np.array([2, 0, 1, 0, 2, 2, 1])
    dealt = orders(groups, 500, np.random.default_rng(2))
    assert (groups[dealt] == groups).all()
    assert (np.sort(dealt, axis=1) == np.arange(7)).all()
    assert len(np.unique(dealt, axis=0)) == 24  # 3! 2! 2!: all of them come


def test_a_line_says_value_interval_chance_and_n():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(100, 20))
    predicted = truth + 5 * rng.normal(size=truth.shape)
    table = among_all(similarity(predicted, truth))
    line = judged("decoded", table, np.zeros(100, int), 500, rng)
    assert line["value"] == np.diagonal(table).mean()
    assert 0.5 < line["lo"] < line["value"] < line["hi"] and line["p"] < 0.01
    assert (line["name"], line["n"], line["chance"]) == ("decoded", 100, 0.5)


def test_under_the_null_p_is_below_its_level_as_often_as_it_says():
    rng = np.random.default_rng(4)
    p = []
    for _ in range(400):
        predicted, truth = rng.normal(size=(2, 30, 4)) * rng.exponential(size=(2, 30, 1))
        groups = np.repeat(np.arange(6), 5)
        table = among_own(similarity(predicted, truth), groups)
        p.append(judged("x", table, groups, 99, rng)["p"])
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 400)
