"""The baseline predicts every target at once, large ones by their principal components."""

import numpy as np
import pytest

from neurodecode.models.baseline import components, fit_baseline, linear_map, predict_baseline


def test_planted_linear_targets_are_recovered_in_their_own_shapes():
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((200, 4))
    x = latent @ rng.standard_normal((4, 12)) + 0.05 * rng.standard_normal((200, 12))
    targets = {
        "tokens": (latent @ rng.standard_normal((4, 30)) + 2.0).reshape(200, 5, 6),
        "pooled": latent @ rng.standard_normal((4, 3)),
    }
    train, test = slice(0, 150), slice(150, 200)
    fit = fit_baseline(x[train], {k: t[train] for k, t in targets.items()}, np.arange(150) // 30, 6)
    for name, said in predict_baseline(x[test], fit).items():
        truth = targets[name][test]
        assert said.shape == truth.shape
        assert np.square(said - truth).mean() < 0.02 * truth.var()


def test_the_linear_map_of_a_target_predicts_what_ridge_does():
    rng = np.random.default_rng(0)
    x, groups = rng.standard_normal((60, 8)), np.repeat(np.arange(6), 10)
    targets = {"code": rng.standard_normal((60, 3)), "blurry": rng.random((60, 2, 2, 3))}
    fit = fit_baseline(x, targets, groups, n_components=4)
    predicted = predict_baseline(x, fit)
    for name in targets:
        weights, intercepts = linear_map(fit, name)
        expected = predicted[name].reshape(60, -1)
        np.testing.assert_allclose(x @ weights + intercepts, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(KeyError, match="tokens"):
        linear_map(fit, "tokens")


def test_components_are_orthonormal_and_keep_the_most_variance():
    y = np.random.default_rng(0).standard_normal((50, 10)) * np.linspace(3, 0.1, 10)
    scores, mean, basis = components(y.reshape(50, 2, 5), 4)
    np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-5)
    lost = np.square(y - mean - scores @ basis).sum()
    singular = np.linalg.svd(y - y.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(lost, (singular[4:] ** 2).sum(), rtol=1e-4)


@pytest.mark.parametrize("shape", [(50, 30), (50, 1, 3)])
def test_vectors_and_small_targets_are_kept_as_they_are(shape):
    y = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    scores, mean, basis = components(y, 4)
    np.testing.assert_allclose(mean + scores @ basis, y.reshape(50, -1), rtol=1e-5, atol=1e-6)
