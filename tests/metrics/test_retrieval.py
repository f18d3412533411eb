"""Retrieval: published numbers, scikit-learn, brute force, and exact chance when blind."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from neurodecode.metrics.retrieval import (
    Retrieval,
    brain_to_image,
    expected_hits,
    image_to_brain,
    match_rank,
    published_top1,
)
from neurodecode.metrics.score import cosine
from tests.golden.rule import data, golden, probe

own = np.diagonal


def test_both_directions_give_the_published_numbers():
    case = golden("image_metrics")["retrieval_top1"]
    image = data("image", (9, 7))
    brain = image + 1.6 * data("brain", (9, 7))
    similarity = cosine(image, brain)
    assert probe(similarity.T) == pytest.approx(case["S"]["probe"], rel=1e-8)
    forth, back = own(brain_to_image(similarity)).mean(), own(image_to_brain(similarity)).mean()
    assert forth == pytest.approx(case["brain_query_pick_image"])
    assert back == pytest.approx(case["image_query_pick_brain"])
    assert published_top1(similarity).mean() == pytest.approx(case["released_bwd"], rel=1e-6)
    assert published_top1(similarity.T).mean() == pytest.approx(case["released_fwd"], rel=1e-6)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_full_set_agrees_with_scikit_learn(k):
    similarity = np.random.default_rng(k).normal(size=(20, 20)) + np.eye(20)
    ours = own(brain_to_image(similarity, k)).mean()
    assert ours == pytest.approx(top_k_accuracy_score(np.arange(20), similarity.T, k=k))
    back = own(image_to_brain(similarity, k)).mean()
    assert back == pytest.approx(top_k_accuracy_score(np.arange(20), similarity, k=k))


@pytest.mark.parametrize("k", [1, 2])
def test_smaller_sets_are_the_mean_over_all_sets_of_that_size(k):
    similarity = np.random.default_rng(4).integers(0, 5, size=(8, 8)).astype(float)
    ours = own(brain_to_image(similarity, k, set_size=4))
    for j in range(8):
        sets = combinations(np.delete(similarity[:, j], j), 3)
        hits = [shared_hit(np.array(rivals), similarity[j, j], k) for rivals in sets]
        assert ours[j] == pytest.approx(np.mean(hits))


def shared_hit(rivals, mine, k):
    above, tied = (rivals > mine).sum(), (rivals == mine).sum()
    return np.mean([place < k for place in range(above, above + tied + 1)])


@given(st.integers(2, 30), st.data())
@settings(max_examples=50, deadline=None)
def test_a_guess_scores_k_of_the_set_size(n, draw):
    size = draw.draw(st.integers(2, n))
    k = draw.draw(st.integers(1, size - 1))
    places = np.arange(n)
    assert expected_hits(places, 0 * places, n, k, size).mean() == pytest.approx(k / size)
    assert expected_hits(np.array(0), np.array(n - 1), n, k, size) == pytest.approx(k / size)


@pytest.mark.parametrize("collapsed", ["same for all", "zero"])
def test_a_collapsed_model_scores_exactly_chance(collapsed):
    rng = np.random.default_rng(5)
    truth = rng.normal(size=(60, 8)).astype(np.float32)
    predicted = np.repeat(rng.normal(size=(1, 8)), 60, axis=0) * (collapsed != "zero")
    for score in Retrieval(top=(1, 5), set_sizes=(10, 50))(truth, predicted):
        assert getattr(np, score.summary)(own(score.values)) == pytest.approx(score.chance), score


def test_the_truth_scores_everything():
    truth = np.random.default_rng(6).normal(size=(30, 8))
    for score in Retrieval()(truth, truth):
        assert own(score.values).mean() == (0 if score.better == "lower" else 1)


def test_scores_follow_the_rows_when_stimuli_are_renumbered():
    rng = np.random.default_rng(7)
    truth = rng.normal(size=(12, 8))
    predicted = truth + rng.normal(size=(12, 8))
    order = rng.permutation(12)
    for a, b in zip(
        Retrieval(set_sizes=(5,))(truth, predicted),
        Retrieval(set_sizes=(5,))(truth[order], predicted[order]),
        strict=True,
    ):
        np.testing.assert_allclose(own(a.values)[order], own(b.values))


def test_harder_sets_and_stricter_hits_never_score_more():
    rng = np.random.default_rng(8)
    similarity = rng.normal(size=(40, 40)) + np.eye(40)
    by_size = [own(brain_to_image(similarity, 1, size)) for size in (2, 5, 10, 40)]
    by_k = [own(brain_to_image(similarity, k, 40)) for k in (10, 5, 1)]
    for easier, harder in [*pairwise(by_size), *pairwise(by_k)]:
        assert (easier >= harder - 1e-12).all()


def test_rank_counts_a_tie_as_half():
    similarity = np.array([[0.5, 0.9], [0.5, 0.1], [0.7, 0.1]])
    np.testing.assert_array_equal(match_rank(similarity), [[1.5, 0], [1.5, 1.5], [0, 1.5]])


def test_a_picture_with_several_rows_is_retrieved_one_way_only():
    rng = np.random.default_rng(9)
    names = {s.name for s in Retrieval()(rng.normal(size=(8, 4)), rng.normal(size=(24, 4)))}
    assert names == {"brain_to_image_top1", "brain_to_image_top5", "median_rank"}


def test_impossible_sets_are_refused():
    with pytest.raises(ValueError, match="top 5 of 5 out of 9"):
        brain_to_image(np.eye(9), k=5, set_size=5)


def test_hits_and_sets_are_those_asked_for():
    rows = np.random.default_rng(10).normal(size=(12, 4))
    asked = lambda **how: {(s.name, s.set_size) for s in Retrieval(**how)(rows, rows)}
    assert {("brain_to_image_top2", 12), ("image_to_brain_top2", 6)} <= asked(
        top=(2,), set_sizes=(6,)
    )
    assert asked(top=(2,), set_sizes=(6,)) - asked(top=(2,), set_sizes=()) == {
        (f"{way}_top2", 6) for way in ("brain_to_image", "image_to_brain")
    }
