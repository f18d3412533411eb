"""Scores of classified trials against sklearn, counting by hand, and simulated chance."""

import numpy as np
import pytest

from neurodecode.rigour.trial_scores import (
    binomial_interval,
    chance_levels,
    interval,
    measures,
    scores_of,
    sequential_hits,
    top_two,
)


def answers(n=200, n_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    return rng.standard_normal((n, n_classes)) + 0.8 * np.eye(n_classes)[labels], labels


def judged(scores, labels, seed=1, **changes):
    rng = np.random.default_rng(seed)
    dealt = np.stack([rng.permutation(labels) for _ in range(50)])
    options = {"groups": np.arange(len(labels)) // 4, "dealt": dealt, "n_bootstrap": 100}
    return scores_of(scores, labels, rng=rng, **(options | changes))


def test_scores_agree_with_sklearn():
    from sklearn import metrics

    scores, labels = answers()
    named, found = scores.argmax(axis=1), judged(scores, labels, ordered=True)
    for name, truth in {
        "accuracy": metrics.accuracy_score(labels, named),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, named),
        "macro_f1": metrics.f1_score(labels, named, average="macro"),
        "top2": metrics.top_k_accuracy_score(labels, scores, k=2),
    }.items():
        assert found[name].value == pytest.approx(truth, abs=1e-12), name


def test_sequential_hits_by_hand():
    scores = np.array([[3, 2, 1, 0.0], [3, 1, 2, 0], [0, 1, 3, 2], [1, 1, 1, 1]])
    hits = sequential_hits(scores, np.array([1, 0, 2, 0]))
    np.testing.assert_allclose(hits, [1, 0, 1, 1 / 6])  # ties: one of six pairs holds class 0
    tied_second = np.array([[3.0, 1, 1, 0]])
    np.testing.assert_allclose(sequential_hits(tied_second, np.array([0])), [0.5])


def test_chance_is_that_of_random_rankings():
    rng = np.random.default_rng(0)
    labels = np.arange(20_000) % 5
    scores = rng.standard_normal((20_000, 5))
    chance = chance_levels(labels, 5, ordered=True)
    assert chance["seq2hr"] == pytest.approx(0.16)
    assert sequential_hits(scores, labels).mean() == pytest.approx(0.16, abs=0.01)
    assert top_two(scores, labels).mean() == pytest.approx(chance["top2"], abs=0.01)
    uneven = np.array([0] * 80 + [1] * 20)
    level = chance_levels(uneven, 2)
    assert level["accuracy"] == level["balanced_accuracy"] == 0.5
    assert level["macro_f1"] == pytest.approx((0.8 / 1.3 + 0.2 / 0.7) / 2)


def test_constant_answers_are_at_chance_in_every_score():
    _, labels = answers()
    found = judged(np.zeros((200, 5)), labels, ordered=True)
    assert found["accuracy"].value == pytest.approx(0.2)
    assert found["balanced_accuracy"].value == pytest.approx(0.2)
    assert found["top2"].value == pytest.approx(0.4)


def test_labels_dealt_anew_give_the_null():
    scores, labels = answers()
    found = judged(scores, labels, ordered=True)
    for name, score in found.items():
        assert score.null.shape == (50,) and score.draws.shape == (100,), name
        assert score.value > score.null.max(), name
    chance = chance_levels(labels, 5, ordered=True)
    for name in ("accuracy", "top2", "seq2hr"):
        assert found[name].null.mean() == pytest.approx(chance[name], abs=0.03)


def test_rows_of_one_group_are_no_more_than_one():
    scores, labels = answers(n=50)
    single = judged(scores, labels, groups=np.arange(50))["accuracy"]
    many = np.repeat(np.arange(50), 4)
    repeated = judged(scores[many], labels[many], groups=many)["accuracy"]
    width = lambda score: np.subtract(*interval("accuracy", score, 50, 0.95)[::-1])
    assert width(repeated) == pytest.approx(width(single), rel=0.3)


def test_binomial_interval_of_the_spec():
    low, high = binomial_interval(22 / 30, 30, 0.95)
    assert (high - low) / 2 == pytest.approx(0.16, abs=0.02)  # 22 of 30: ±16 points


def test_classes_that_never_occur_are_not_averaged():
    counts = np.array([[3.0, 1, 0], [0, 4, 0], [0, 0, 0]])
    found = measures(counts)
    assert found["balanced_accuracy"] == pytest.approx((0.75 + 1) / 2)
    assert found["accuracy"] == pytest.approx(7 / 8)
