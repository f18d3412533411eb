"""Two-way identification: published numbers, brute force, the category oracle."""

import numpy as np
import pytest

from neurodecode.metrics.identification import (
    TwoWay,
    TwoWayLayers,
    own_two_way,
    strict_two_way,
    two_way,
)
from neurodecode.metrics.score import pearson
from neurodecode.rigour.controls import category_oracle, oracle_two_way
from tests.golden.rule import data, golden, probe

own = np.diagonal


def test_the_published_numbers_and_their_orientation():
    case = golden("image_metrics")["two_way_identification"]
    real = data("real", (8, 12))
    similarity = pearson(real, real + 2 * data("recon", (8, 12)))
    assert probe(similarity) == pytest.approx(case["R"]["probe"], rel=1e-6)
    np.testing.assert_allclose(own(strict_two_way(similarity)) * 7, case["counts"], atol=1e-12)
    assert own(two_way(similarity)).mean() == pytest.approx(case["score"], rel=1e-9)
    transposed = own(two_way(similarity.T)).mean()
    assert transposed == pytest.approx(case["score_if_transposed"], rel=1e-9)


def test_a_double_loop_counts_the_same():
    similarity = np.random.default_rng(0).integers(0, 4, size=(6, 9)).astype(float)
    ours = two_way(similarity)
    for (i, j), mine in np.ndenumerate(similarity):
        others = np.delete(similarity[:, j], i)
        assert ours[i, j] == pytest.approx(np.mean((others < mine) + 0.5 * (others == mine)))


def test_fair_and_published_counts_differ_by_the_ties_alone():
    rng = np.random.default_rng(1)
    distinct = rng.normal(size=(10, 10))
    np.testing.assert_allclose(own(two_way(distinct)), own(strict_two_way(distinct)))
    assert own(two_way(np.zeros((10, 10)))).mean() == 0.5
    assert own(strict_two_way(np.zeros((10, 10)))).mean() == 0


def test_the_category_oracle_scores_its_finite_sample_expectation():
    onehot = category_oracle(np.repeat(np.arange(10), 10))
    similarity = pearson(onehot, onehot)
    assert own(two_way(similarity)).mean() == pytest.approx(oracle_two_way(100, 10))
    assert oracle_two_way(100, 10) == pytest.approx(0.9545, abs=5e-5)
    fair, compat = TwoWay()(onehot, onehot)
    assert (fair.name, compat.name) == ("two_way_embedding", "two_way_embedding_compat")
    assert own(fair.values).mean() == pytest.approx(1 - 0.5 * 9 / 99, abs=1e-12)  # .9545
    assert own(compat.values).mean() == pytest.approx(1 - 9 / 99, abs=1e-12)  # .909


def test_any_guess_of_the_truth_averages_to_one_half():
    values = two_way(np.random.default_rng(2).normal(size=(30, 7)))
    np.testing.assert_allclose(values.mean(axis=0), 0.5)


def test_layers_are_scored_by_name():
    rng = np.random.default_rng(3)
    truth = {"block_1": rng.normal(size=(9, 20)), "pooled": rng.normal(size=(9, 5))}
    scores = TwoWayLayers()(truth, {name: -features for name, features in truth.items()})
    assert [s.name for s in scores] == ["two_way_block_1", "two_way_pooled"]
    assert own(scores[0].values).mean() == 0, "the opposite picture is less like it than any other"
    assert [s.name for s in TwoWayLayers(("pooled",))(truth, truth)] == ["two_way_pooled"]
    with pytest.raises(ValueError, match="block_7"):
        TwoWayLayers(("block_7",))(truth, truth)


def test_one_truth_is_no_choice():
    with pytest.raises(ValueError, match="at least 2"):
        two_way(np.ones((1, 3)))


def test_the_score_has_the_name_given():
    assert TwoWay("two_way_text")(np.eye(3), np.eye(3))[0].name == "two_way_text"


def test_the_own_pairs_alone_are_the_diagonal_of_all_pairs_ties_included():
    rng = np.random.default_rng(0)
    tables = np.round(rng.standard_normal((3, 12, 12)), 1)  # rounded: many ties
    own = own_two_way(tables)
    assert own.shape == (3, 12)
    for table, row in zip(tables, own, strict=True):
        np.testing.assert_allclose(row, np.diagonal(two_way(table)), atol=1e-12)
    assert (own_two_way(np.zeros((4, 4))) == 0.5).all()
