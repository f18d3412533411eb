"""Voxels that answer to the same are found in the same cluster, whoever has them."""

import numpy as np
import pytest

from neurodecode.models.voxel_clusters import (
    mixture_clusters,
    nearest,
    principal_axes,
    tuning_vectors,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_tuning_recovers_planted_directions(rng):
    features, planted = rng.normal(size=(200, 6)), rng.normal(size=(6, 30))
    planted /= np.linalg.norm(planted, axis=0)
    responses = features @ planted + 0.5 * rng.normal(size=(200, 30)) + 3
    tuning = tuning_vectors(responses, features)
    assert np.einsum("vk,kv->v", tuning, planted).min() > 0.98
    np.testing.assert_allclose(np.linalg.norm(tuning, axis=1), 1, rtol=1e-5)


def test_a_voxel_that_never_varies_is_tuned_to_nothing(rng):
    responses = np.zeros((40, 2))
    responses[:, 1] = rng.normal(size=40)
    tuning = tuning_vectors(responses, rng.normal(size=(40, 3)))
    assert not tuning[0].any() and tuning[1].any()


def test_the_mixture_finds_planted_clusters(rng):
    centres, own = np.eye(4), rng.integers(4, size=200)
    tuning = centres[own] + 0.05 * rng.normal(size=(200, 4))
    for covariance in ("full", "tied", "diag", "spherical"):
        found = mixture_clusters(tuning, 4, covariance, seed=1)
        pairs = {(a, b) for a, b in zip(own, found, strict=True)}
        assert len(pairs) == 4


def test_fewer_voxels_than_clusters_are_refused(rng):
    with pytest.raises(ValueError, match="lower train.model.centres"):
        mixture_clusters(rng.normal(size=(3, 2)), 4, "full", seed=0)


def test_more_axes_than_trials_are_refused(rng):
    with pytest.raises(ValueError, match="lower train.model.tuning_dim"):
        principal_axes(rng.normal(size=(5, 9)), 5, seed=0)


def test_the_nearest_voxel_is_the_one_tuned_alike(rng):
    known = rng.normal(size=(50, 3))
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    chosen = rng.integers(50, size=20)
    assert (nearest(known[chosen] + 1e-4, known) == chosen).all()
