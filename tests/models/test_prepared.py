"""Channels are chosen by their F over training rows, as sklearn's f_classif ranks them."""

import numpy as np

from neurodecode.models.prepared import Prepared, class_f

LABELS = np.tile(np.arange(3), 12)


def test_f_is_sklearns_and_zero_for_a_constant_channel():
    from sklearn.feature_selection import f_classif

    x = np.random.default_rng(0).standard_normal((36, 5)) + LABELS[:, None] * np.arange(5) / 5
    x = np.column_stack([x, np.full(36, 0.1)])
    f = class_f(x, LABELS)
    assert np.allclose(f[:5], f_classif(x[:, :5], LABELS)[0]) and f[5] == 0


def test_the_channels_that_carry_the_classes_are_chosen_from_training_rows_alone():
    x = np.random.default_rng(1).standard_normal((36, 50))
    x[:24, 7] += 5 * LABELS[:24]  # told by training rows
    x[24:, 9] += 9 * LABELS[24:]  # told by test rows
    chosen = Prepared("one", x, 1).rows(np.arange(24), LABELS)
    assert (chosen[:, 0] == x[:, 7]).all()


def test_the_gram_matrix_is_that_of_the_chosen_channels():
    x = np.random.default_rng(2).standard_normal((36, 50))
    way = Prepared("ten", x, 10)
    gram, n_channels = way.gram(np.arange(24), LABELS)
    rows = way.rows(np.arange(24), LABELS)
    assert n_channels == 10 and np.allclose(gram, rows @ rows.T)


def test_more_channels_than_there_are_means_all():
    x = np.zeros((36, 5))
    assert Prepared("all", x, 9).rows(np.arange(24), LABELS) is x
