"""Augmented covariances: golden delays, and classes that differ in their spectrum alone."""

import sys

import numpy as np
import pytest

from neurodecode.models.augmented_covariance import AugmentedCovariance, augmented
from tests.golden.rule import data, golden, probe

GOLDEN = golden("augmented_dataset")


def check(output, expected):
    assert list(output.shape) == expected["shape"]
    assert output.sum() == pytest.approx(expected["sum"], rel=1e-8)
    assert np.sqrt((output**2).sum()) == pytest.approx(expected["l2"], rel=1e-8)
    assert probe(output) == pytest.approx(expected["probe"], rel=1e-8)
    np.testing.assert_allclose(output.ravel()[:4], expected["first"], rtol=1e-8)
    assert output.ravel()[-1] == pytest.approx(expected["last"], rel=1e-8)
    return True


def test_delays_and_covariances_agree_with_the_golden_numbers():
    x = data("aug", (2, 3, 20))
    assert check(augmented(x, 3, 2), GOLDEN["output"])
    assert check(AugmentedCovariance().covariances(x, 3, 2), GOLDEN["cov"])


def test_order_one_is_the_signal():
    x = data("aug", (2, 3, 20))
    assert augmented(x, 1, 7) is x


def test_blocks_hold_the_autocorrelation_of_a_first_order_process():
    rng = np.random.default_rng(0)
    a, x = 0.8, np.zeros(200_000)
    noise = rng.standard_normal(len(x))
    for t in range(1, len(x)):
        x[t] = a * x[t - 1] + noise[t]
    found = AugmentedCovariance().covariances(x[None, None], 3, 2)[0]
    lags = 2 * np.abs(np.subtract.outer(range(3), range(3)))
    np.testing.assert_allclose(found, a**lags / (1 - a**2), rtol=0.05, atol=0.03)


def rhythms(n, seed):
    """Trials whose class is a frequency; channels have the same covariance in both classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    phase = rng.uniform(0, 2 * np.pi, (n, 4, 1))
    wave = np.sin(2 * np.pi * np.where(y, 20, 10)[:, None, None] * np.arange(80) / 100 + phase)
    return (wave + rng.standard_normal((n, 4, 80))).astype(np.float32), y


def accuracy(options, peek=None, x=None):
    x, y = rhythms(60, 0)
    asked, truth = rhythms(60, 1)
    model = AugmentedCovariance(**{"strengths": [1.0], "kernels": ["rbf"], **options})
    predict = model.fit(x, y, np.arange(60) // 4, 2, 100.0, 0, "cpu", peek=peek)
    scores = predict(asked)
    assert scores.shape == (60, 2)
    return (scores.argmax(1) == truth).mean()


def test_delays_tell_a_spectrum_that_plain_covariances_cannot():
    assert accuracy({"orders": [1], "lags": [1]}) < 0.7
    assert accuracy({"orders": [4], "lags": [2]}) > 0.85


def test_the_order_is_chosen_on_held_out_groups():
    assert accuracy({"orders": [1, 4], "lags": [2], "n_folds": 3}) > 0.85


def chosen(options, y=None, peek=None):
    """The candidate that wins among those of `options`."""
    x, labels = rhythms(40, 0)
    model = AugmentedCovariance(**options)
    machines = [(k, c) for k in model.kernels for c in model.strengths]
    groups, labels = np.arange(40) // 4, labels if y is None else y
    return model._best(x, labels, groups, 0, peek, model.pairs(4, 80), machines)


def test_every_candidate_may_win():
    one = {"orders": [1], "lags": [1], "strengths": [1.0], "kernels": ["rbf"]}
    assert chosen(one) == (1, 1, "rbf", 1.0)
    assert chosen(one | {"orders": [1, 4], "lags": [2]})[0] == 4
    assert chosen(one | {"orders": [3], "lags": [10, 2]})[1] == 2  # at 10 both rhythms are alike
    assert chosen(one | {"orders": [3], "lags": [2], "kernels": ["linear"]})[2] == "linear"
    weak = {"orders": [3], "lags": [2], "strengths": [1e-9, 1.0]}
    assert chosen(one | weak, y=(np.arange(40) % 4 < 1).astype(int))[3] == 1e-9


def test_with_peek_the_candidate_is_chosen_on_those_rows():
    x, y = rhythms(40, 2)
    backwards = (x, 1 - y)  # with labels turned, the worst candidate looks best
    one = {"lags": [2], "strengths": [1.0], "kernels": ["rbf"]}
    assert chosen(one | {"orders": [1, 4]}, peek=(x, y))[0] == 4
    assert chosen(one | {"orders": [4, 1]}, peek=backwards)[0] == 1


def test_folds_decide_how_many_rows_are_fitted():
    x, y = rhythms(40, 0)
    sizes = []

    class Counted(AugmentedCovariance):
        def _tangent(self, covariances):
            sizes.append(len(covariances))
            return super()._tangent(covariances)

    for n in (2, 5):
        Counted([1, 2], [1], [1.0], ["rbf"], n_folds=n).fit(x, y, np.arange(40), 2, 1.0, 0, "cpu")
    assert sizes == [20] * 4 + [40] + [32] * 10 + [40]


def test_what_does_not_fit_a_trial_is_left_out():
    model = AugmentedCovariance([1, 2, 4], [1, 30])
    assert model.pairs(4, 80) == [(1, 1), (2, 1), (2, 30), (4, 1)]
    assert AugmentedCovariance([1, 2, 4], [1], max_size=8).pairs(4, 80) == [(1, 1), (2, 1)]
    assert AugmentedCovariance([4], [1], estimator="oas").pairs(4, 12) == [(4, 1)]
    with pytest.raises(ValueError, match="estimator=oas"):
        AugmentedCovariance([4], [1]).pairs(4, 12)


def test_estimators_differ_and_shrinkage_keeps_few_samples_positive():
    x = np.random.default_rng(0).standard_normal((3, 6, 8))
    found = {
        e: AugmentedCovariance(estimator=e).covariances(x, 2, 1) for e in ("cov", "oas", "lwf")
    }
    smallest = {e: np.linalg.eigvalsh(c).min() for e, c in found.items()}
    assert smallest["cov"] < 1e-9 < min(smallest["oas"], smallest["lwf"])
    assert not np.allclose(found["oas"], found["lwf"])


def test_a_class_that_was_never_seen_is_never_chosen():
    x, y = rhythms(20, 0)
    model = AugmentedCovariance([2], [2], [1.0], ["linear"])
    scores = model.fit(x, y, np.arange(20), 4, 100.0, 0, "cpu")(x)
    assert np.isneginf(scores[:, 2:]).all() and np.isfinite(scores[:, :2]).all()


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyriemann.utils.covariance", None)
    with pytest.raises(ValueError, match=r"pyriemann.*\[classifiers\]"):
        AugmentedCovariance().covariances(np.zeros((1, 2, 10)), 1, 1)
