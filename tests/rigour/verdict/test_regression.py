"""Kernel ridge: scikit-learn's kernels, and fitting again without each row."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel

from neurodecode.rigour.verdict import regression
from neurodecode.rigour.verdict.regression import FeatureMaps, Ridge, centred

WIDTH = 0.7


def rows(seed, n=40, k=5):
    return np.random.default_rng(seed).normal(size=(n, k))


def test_coordinates_have_the_kernel_as_inner_product():
    features = rows(0) * [1, 10, 100, 1, 1] + 3
    (x,) = FeatureMaps.fit(features, [WIDTH], np.random.default_rng(0))(features)
    z = (features - features.mean(axis=0)) / features.std(axis=0)
    apart = ((z[:, None] - z) ** 2).sum(axis=2)
    width2 = 2 * WIDTH**2 * np.median(apart[np.triu_indices(len(z), 1)])
    expected = linear_kernel(z) / z.shape[1] + rbf_kernel(z, gamma=1 / width2)
    np.testing.assert_allclose(x @ x.T, expected, atol=1e-6)


def test_a_feature_that_never_changes_does_nothing():
    features = rows(1)
    with_constant = np.hstack([features, np.full((len(features), 1), 7.0)])
    make = lambda f: FeatureMaps.fit(f, [1.0], np.random.default_rng(0))
    new = np.hstack([features, np.full((len(features), 1), 1e6)])
    (x,), (moved,) = make(with_constant)(with_constant), make(with_constant)(new)
    np.testing.assert_allclose(x, moved)


@pytest.mark.parametrize("shape", [(40, 5), (20, 30)])
def test_rows_left_out_are_foretold_as_by_a_fit_without_them(shape, monkeypatch):
    monkeypatch.setattr(regression, "PENALTIES", np.array([0.3]))
    x, y = rows(2, *shape), rows(3, shape[0], 4)
    fitted = Ridge.fit(x, y)
    s = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    alpha = 0.3 * (s[s > 1e-6] ** 2).mean()
    for i in (0, 7, 19):
        others = np.arange(shape[0]) != i
        reference = Reference(alpha).fit(x[others], y[others])
        np.testing.assert_allclose(fitted.left_out[i], y[i] - reference.predict(x[i : i + 1])[0])
    reference = Reference(alpha).fit(x, y)
    np.testing.assert_allclose(fitted(x), reference.predict(x))


def test_with_groups_each_has_a_mean_of_its_own(monkeypatch):
    monkeypatch.setattr(regression, "PENALTIES", np.array([0.3]))
    x, y, groups = rows(4), rows(5, 40, 3), np.arange(40) % 4
    fitted = Ridge.fit(x, y, groups)
    inside = centred(x, groups)
    alpha = 0.3 * (np.linalg.svd(inside, compute_uv=False) ** 2).mean()
    design = np.hstack([x, np.eye(4)[groups]])
    penalty = np.diag([alpha] * 5 + [0] * 4)
    for i in (0, 13):
        others = np.arange(40) != i
        d = design[others]
        weights = np.linalg.solve(d.T @ d + penalty, d.T @ y[others])
        np.testing.assert_allclose(fitted.left_out[i], y[i] - design[i] @ weights)


def test_each_axis_of_the_outputs_gets_the_penalty_it_needs():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(60, 20))
    y = np.stack([x[:, 0] + 0.01 * rng.normal(size=60), 0.3 * rng.normal(size=60)], axis=1)
    error = (Ridge.fit(x, y).left_out ** 2).mean(axis=0)
    assert error[0] < 0.01 and error[1] < 0.12  # .09 is noise, which no fit may blow up


def test_a_bent_relation_is_found():
    rng = np.random.default_rng(7)
    features = rng.normal(size=(400, 3))
    y = np.abs(features[:, :1]) + 0.1 * rng.normal(size=(400, 1))
    maps = FeatureMaps.fit(features[:300], [1.0], rng)
    (x,), (new,) = maps(features[:300]), maps(features[300:])
    rest = y[300:] - Ridge.fit(x, y[:300])(new)
    assert rest.var() < 0.1 * y.var()


def test_outputs_without_any_feature_left_are_foretold_by_their_mean():
    y = rows(8, 20, 2)
    fitted = Ridge.fit(np.zeros((20, 3)), y)
    np.testing.assert_allclose(fitted(np.zeros((1, 3)))[0], y.mean(axis=0))
