"""Two unseen classes are told apart where responses are alike as names are, and only there."""

import numpy as np
import pytest

from neurodecode.models.prepared import Prepared
from neurodecode.models.text_ridge import TextRidge
from neurodecode.rigour.zero_shot import (
    PairWeights,
    all_pairs,
    choices,
    matched,
    pair_weights,
    right,
)

N_CLASSES, N_RUNS = 6, 5
LABELS = np.tile(np.arange(N_CLASSES), N_RUNS)
RUNS = np.repeat(np.arange(N_RUNS), N_CLASSES)


def study(noise, seed=0):
    """Responses that are a linear image of three-dimensional names."""
    rng = np.random.default_rng(seed)
    names = rng.standard_normal((N_CLASSES, 3))
    x = names[LABELS] @ rng.standard_normal((3, 40)) + noise * rng.standard_normal((30, 40))
    decoder = TextRidge(alphas=[0.01, 1.0], whiten=[False])
    prepared = [Prepared("all", x)]
    weigh = lambda train, test: decoder.weights(prepared, train, test, LABELS, N_CLASSES)
    return names, weigh


def accuracies(names, weigh, orders):
    margins = [
        choices(pair_weights(weigh, LABELS, RUNS, p), LABELS, names, orders)
        for p in all_pairs(N_CLASSES)
    ]
    return right(np.stack(margins)).mean(axis=(0, 2))


def test_pairs_are_counted():
    assert len(all_pairs(8)) == 28


def test_planted_likeness_is_found_and_wrong_names_are_at_chance():
    names, weigh = study(noise=0.5)
    rng = np.random.default_rng(1)
    orders = np.stack([np.arange(N_CLASSES), *(rng.permutation(N_CLASSES) for _ in range(300))])
    found = accuracies(names, weigh, orders)
    assert found[0] > 0.9
    assert abs(found[1:].mean() - 0.5) < 0.04
    assert (found[1:] < found[0]).mean() > 0.95


def test_neither_the_pair_nor_the_run_is_trained_on():
    seen = []

    def weigh(train, test):
        seen.append((train, test))
        return np.random.default_rng(0).random((1, len(test), N_CLASSES))

    pair_weights(weigh, LABELS, RUNS, (1, 4))
    for train, test in seen:
        assert not np.isin(LABELS[train], (1, 4)).any()
        assert not set(RUNS[train]) & set(RUNS[test])


def test_swapping_the_two_names_turns_right_into_wrong():
    names, weigh = study(noise=1.0)
    found = pair_weights(weigh, LABELS, RUNS, (0, 3))
    swapped = np.arange(N_CLASSES)
    swapped[[0, 3]] = 3, 0
    margins = choices(found, LABELS, names, np.stack([np.arange(N_CLASSES), swapped]))
    assert np.allclose(margins[0], -margins[1])


def test_margins_are_differences_of_cosines_to_names_around_the_seen_mean():
    names, _ = study(noise=0)
    weights = np.array([[0, 0.5, 0.2, 0, 0.2, 0.1]])
    found = PairWeights((0, 3), np.array([0]), weights)
    mean = names[[1, 2, 4, 5]].mean(axis=0)
    cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    predicted = weights[0] @ names - mean
    expected = cosine(predicted, names[0] - mean) - cosine(predicted, names[3] - mean)
    (margins,) = choices(found, LABELS, names, np.arange(N_CLASSES)[None])
    assert margins[0] == pytest.approx(expected)


def test_a_decoder_that_knows_nothing_gets_half():
    names, _ = study(noise=0)
    weights = np.array([[0, 0.25, 0.25, 0, 0.25, 0.25]])
    found = PairWeights((0, 3), np.array([0]), weights)
    assert right(choices(found, LABELS, names, np.arange(N_CLASSES)[None]))[0, 0] == 0.5


def test_a_joint_choice_weighs_both_rows_of_a_run():
    margins = np.array([[0.3, -0.1, -0.4, 0.1]])
    assert matched(margins, ["a", "a", "b", "b"]).tolist() == [[1.0, 0.0]]
