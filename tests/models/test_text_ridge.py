"""Kernel ridge towards names: against explicit formulas, sklearn, and planted categories."""

import numpy as np
import pytest

from neurodecode.models.prepared import Prepared
from neurodecode.models.text_ridge import (
    TextRidge,
    centred_targets,
    class_weights,
    ledoit_wolf,
    nearest,
    whitened_targets,
    without_noise,
)

TRAIN, TEST = np.arange(60), np.arange(60, 72)


def blocks(seed=0, n_channels=90, signal=1.0):
    """Rows of four classes in coloured noise."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(4), 18)
    colour = rng.standard_normal((n_channels, n_channels)) / 5
    patterns = signal * rng.standard_normal((4, n_channels))
    return patterns[labels] + rng.standard_normal((72, n_channels)) @ colour, labels


def test_weights_times_embeddings_are_the_predictions_of_sklearns_ridge():
    from sklearn.linear_model import Ridge

    x, labels = blocks()
    embeddings = np.random.default_rng(1).standard_normal((4, 7))
    centred = x[TRAIN] - x[TRAIN].mean(axis=0)
    unit = (centred**2).sum() / len(TRAIN)
    expected = Ridge(alpha=3 * unit).fit(x[TRAIN], embeddings[labels[TRAIN]]).predict(x[TEST])
    (weights,) = class_weights(x @ x.T, TRAIN, TEST, labels, 4, [3.0])
    assert np.allclose(weights @ embeddings, expected)
    assert np.allclose(weights.sum(axis=1), 1)


def test_test_labels_are_never_looked_at():
    x, labels = blocks()
    other = labels.copy()
    other[TEST] = 0
    args = (x @ x.T, TRAIN, TEST)
    same = class_weights(*args, labels, 4, [1.0], 90) == class_weights(*args, other, 4, [1.0], 90)
    assert same.all()


def test_shrinkage_from_the_gram_matrix_is_sklearns():
    from sklearn.covariance import ledoit_wolf_shrinkage

    rows = np.random.default_rng(2).standard_normal((40, 90)) @ np.diag(np.linspace(0.2, 2, 90))
    rows -= rows.mean(axis=0)
    shrinkage, variance = ledoit_wolf(rows @ rows.T, 90)
    assert np.isclose(shrinkage, ledoit_wolf_shrinkage(rows, assume_centered=True))
    assert np.isclose(variance, rows.var(axis=0).mean())


def test_noise_is_divided_out_as_by_the_explicit_covariance():
    from sklearn.covariance import LedoitWolf

    x, labels = blocks()
    means = np.stack([x[TRAIN][labels[TRAIN] == k].mean(axis=0) for k in range(4)])
    residuals = x[TRAIN] - means[labels[TRAIN]]
    sigma = LedoitWolf(assume_centered=True).fit(residuals).covariance_
    expected = x @ np.linalg.solve(sigma, x.T)
    assert np.allclose(without_noise(x @ x.T, TRAIN, labels[TRAIN], 90), expected)


def test_rows_that_are_their_class_means_have_no_noise_to_divide_out():
    x = np.eye(4)[np.tile(np.arange(4), 18)]
    gram = x @ x.T
    assert (without_noise(gram, TRAIN, np.tile(np.arange(4), 15), 4) == gram).all()


def test_cosines_by_gram_matrix_are_cosines():
    rng = np.random.default_rng(3)
    weights, targets = rng.standard_normal((2, 5, 4)), rng.standard_normal((4, 9))
    p = weights @ targets
    unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)
    assert np.allclose(nearest(weights, targets), unit(p) @ unit(targets).T)
    assert (nearest(weights, np.zeros((4, 9))) == 0).all()


def test_names_in_a_narrow_cone_come_apart():
    rng = np.random.default_rng(4)
    cone = 10 + rng.standard_normal((8, 32)) @ np.diag(np.linspace(0.01, 1, 32))
    assert np.corrcoef(cone).min() > 0.9 or (cone @ cone.T).min() > 0
    spread = whitened_targets(cone) @ whitened_targets(cone).T
    assert np.allclose(spread, np.full((8, 8), -1 / 7) + np.eye(8) * 8 / 7)
    assert np.allclose(np.linalg.norm(centred_targets(cone), axis=1), 1)


@pytest.mark.parametrize("whiten", [False, True])
def test_planted_categories_are_named(whiten):
    x, labels = blocks(signal=1.0)
    decoder = TextRidge(alphas=[1.0], whiten=[whiten], targets=["centred"])
    names = np.random.default_rng(5).standard_normal((4, 6))
    (scores,) = decoder.score([Prepared("all", x)], TRAIN, TEST, labels, names)
    assert (scores.argmax(axis=1) == labels[TEST]).all()


def test_dividing_the_noise_out_helps_where_it_is_strong_in_few_directions():
    rng = np.random.default_rng(6)
    labels = np.tile(np.arange(4), 18)
    loud = rng.standard_normal((72, 3)) @ rng.standard_normal((3, 90)) * 4
    x = 0.5 * rng.standard_normal((4, 90))[labels] + loud + 0.5 * rng.standard_normal((72, 90))
    right = {}
    for whiten in (False, True):
        decoder = TextRidge(alphas=[10.0], whiten=[whiten], targets=["whitened"])
        (scores,) = decoder.score([Prepared("all", x)], TRAIN, TEST, labels, np.eye(4))
        right[whiten] = (scores.argmax(axis=1) == labels[TEST]).mean()
    assert right[True] > right[False]


def test_every_candidate_has_a_name():
    x, labels = blocks()
    prepared = [Prepared("all", x), Prepared("best 20", x, 20)]
    decoder = TextRidge(alphas=[0.1, 1.0], whiten=[True, False])
    embeddings = np.random.default_rng(7).standard_normal((4, 6))
    scores = decoder.score(prepared, TRAIN, TEST, labels, embeddings)
    names = decoder.names(prepared)
    assert len(scores) == len(names) == len(set(names)) == 16
    assert len(np.unique(scores.reshape(16, -1).round(9), axis=0)) == 16  # each does something


def test_an_unknown_way_to_place_names_lists_the_known_ones():
    with pytest.raises(ValueError, match="centred, whitened"):
        TextRidge(targets=["centered"])
