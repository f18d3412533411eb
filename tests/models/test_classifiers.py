"""The baselines are sklearn's own, found faster."""

import numpy as np
import pytest

from neurodecode.models import classifiers
from neurodecode.models.classifiers import LinearSvm, Logistic, ShrinkageLda, rotated, standardised
from neurodecode.models.prepared import Prepared

TRAIN, TEST = np.arange(48), np.arange(48, 60)
LABELS = np.tile(np.arange(4), 15)


def blocks(n_channels=120):
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, n_channels))[LABELS] + 2 * rng.standard_normal((60, n_channels))


def plain(model, x):
    fitted, asked = standardised(x, TRAIN, TEST)
    return model.fit(fitted, LABELS[TRAIN]).decision_function(asked)


def test_rotation_keeps_all_inner_products():
    fitted, asked = standardised(blocks(), TRAIN, TEST)
    a, b = rotated(fitted, asked)
    assert a.shape[1] < 48 and np.allclose(b @ a.T, asked @ fitted.T)


def test_a_rotated_logistic_regression_is_the_plain_one():
    from sklearn.linear_model import LogisticRegression

    x = blocks()
    (found,) = Logistic([0.1]).score([Prepared("all", x)], TRAIN, TEST, LABELS, 4)
    expected = plain(LogisticRegression(C=0.1, tol=1e-8, max_iter=5000), x)
    assert np.allclose(found, expected, atol=1e-2)


def test_a_rotated_svm_is_the_plain_one():
    from sklearn.svm import LinearSVC

    x = blocks()
    (found,) = LinearSvm([0.001]).score([Prepared("all", x)], TRAIN, TEST, LABELS, 4)
    assert np.allclose(found, plain(LinearSVC(C=0.001, tol=1e-8, max_iter=50000), x), atol=1e-2)


def test_lda_is_the_plain_one_while_its_covariance_fits(monkeypatch):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    x = blocks()
    expected = plain(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), x)
    score = lambda: ShrinkageLda().score([Prepared("all", x)], TRAIN, TEST, LABELS, 4)[0]
    assert np.allclose(score(), expected)
    monkeypatch.setattr(classifiers, "MAX_COVARIANCE", 100)
    assert not np.allclose(score(), expected)


@pytest.mark.parametrize("baseline", [Logistic(), LinearSvm(), ShrinkageLda()])
def test_planted_classes_are_named_and_every_candidate_has_a_name(baseline):
    x = blocks()
    prepared = [Prepared("all", x), Prepared("best 60", x, 60)]
    scores = baseline.score(prepared, TRAIN, TEST, LABELS, 4)
    assert (scores.argmax(axis=2) == LABELS[TEST]).mean() > 0.6
    names = baseline.names(prepared)
    assert len(names) == len(set(names)) == len(scores)


@pytest.mark.parametrize("baseline", [Logistic([1.0]), LinearSvm([1.0]), ShrinkageLda()])
def test_a_class_that_was_never_trained_is_never_named(baseline):
    train = TRAIN[LABELS[TRAIN] < 2]  # two classes only: sklearn gives one score for both
    (scores,) = baseline.score([Prepared("all", blocks())], train, TEST, LABELS, 4)
    asked = LABELS[TEST] < 2
    assert set(scores.argmax(axis=1)) <= {0, 1}
    assert (scores.argmax(axis=1)[asked] == LABELS[TEST][asked]).mean() > 0.6
