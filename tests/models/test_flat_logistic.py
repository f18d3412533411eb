"""The linear baseline of classified trials."""

import numpy as np
import pytest

from neurodecode.models.flat_logistic import FlatLogistic, flattened


def planted(n=60, late=False, seed=0):
    """Two classes that differ in one channel, late in the trial or all along."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.standard_normal((n, 3, 16))
    x[:, 1, 12 if late else 0 :] += 1.5 * (y[:, None] * 2 - 1)
    return x.astype(np.float32), y, np.arange(n) // 4


def right(classifier, x, y, groups, **more):
    predict = classifier.fit(x[:40], y[:40], groups[:40], 2, 50.0, 0, "cpu", **more)
    return (predict(x[40:]).argmax(axis=1) == y[40:]).mean()


@pytest.mark.parametrize("late", [False, True])
def test_planted_classes_are_told(late):
    assert right(FlatLogistic(), *planted(late=late)) > 0.9


def test_it_agrees_with_sklearn():
    from sklearn.linear_model import LogisticRegression

    x, y, groups = planted()
    predict = FlatLogistic(strengths=[0.01], n_stretches=[None]).fit(
        x[:40], y[:40], groups[:40], 2, 50.0, 0, "cpu"
    )
    flat = x.reshape(60, -1).astype(float)
    flat = (flat - flat[:40].mean(axis=0)) / flat[:40].std(axis=0)
    model = LogisticRegression(C=0.01, max_iter=1000, tol=1e-8).fit(flat[:40], y[:40])
    margin = predict(x[40:])[:, 1]
    np.testing.assert_allclose(margin, model.decision_function(flat[40:]), atol=1e-3)


def test_stretches_average_time():
    x = np.arange(24.0).reshape(1, 2, 12)
    np.testing.assert_allclose(flattened(x, 3), [[1.5, 5.5, 9.5, 13.5, 17.5, 21.5]])
    assert flattened(x, None).shape == (1, 24)


def test_what_inner_folds_choose_from_changes_the_answer():
    x, y, groups = planted(late=True)
    x[:, 1, :4] -= 1.5 * (y[:, None] * 2 - 1)  # the mean over all of the trial tells nothing
    ask = lambda **options: FlatLogistic(**options).fit(
        x[:40], y[:40], groups[:40], 2, 50.0, 0, "cpu"
    )(x[40:])
    weak = ask(strengths=[1e-6], n_stretches=[1])
    assert not np.allclose(weak, ask(strengths=[1.0], n_stretches=[1]))
    assert not np.allclose(weak, ask(strengths=[1e-6], n_stretches=[8]))
    chosen = ask(strengths=[0.01], n_stretches=[1, 4], n_inner=2)
    np.testing.assert_allclose(chosen, ask(strengths=[0.01], n_stretches=[4]))


def test_test_rows_choose_where_a_published_protocol_let_them():
    x, y, groups = planted()
    wrong = 1 - y[40:]
    kept = FlatLogistic(strengths=[1e-6, 1.0], n_stretches=[1])
    shown = right(kept, x, y, groups, peek=(x[40:], y[40:]))
    assert shown >= right(kept, x, y, groups, peek=(x[40:], wrong))


def test_one_group_leaves_nothing_to_choose_on():
    x, y, _ = planted()
    assert right(FlatLogistic(), x, y, np.zeros(60)) > 0.5
