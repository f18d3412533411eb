"""Functional clusters of voxels that all subjects share [1]_.

What a voxel answers to is a direction in the space of picture embeddings: the weights of a ridge
regression from the embeddings to the voxel. It is the linear form of an image-to-fMRI encoder whose
voxels each have an embedding of their own [2]_. Directions of all subjects lie in one space, since
the pictures' embeddings do, and a mixture of Gaussians sorts them.

References
----------
.. [1] Beliy et al. (2026). Brain-IT: image reconstruction from fMRI via brain-interaction
   transformer. ICLR.
.. [2] Beliy et al. (2024). The wisdom of a crowd of brains: a universal brain encoder. arXiv
   2406.12179.
"""

from typing import Literal

import numpy as np

ALPHAS = np.logspace(-2, 4, 7)  # in units of the features' mean variance times the trials
VOXELS = 4096  # that are fitted, or compared, at once

Covariance = Literal["full", "tied", "diag", "spherical"]


def principal_axes(targets: np.ndarray, n_axes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (dim,) and principal axes (n_axes, dim) of the embeddings of trials, (n_trials, dim).

    Raises
    ------
    ValueError
        If there are not more trials than axes.
    """
    from sklearn.decomposition import PCA

    if len(targets) <= n_axes:
        raise ValueError(
            f"{len(targets)} training trials cannot tell {n_axes} axes of voxels' tuning: lower "
            "train.model.tuning_dim"
        )
    fitted = PCA(n_axes, random_state=seed).fit(targets)
    return fitted.mean_.astype(np.float32), fitted.components_.astype(np.float32)


def tuning_vectors(responses: np.ndarray, features: np.ndarray) -> np.ndarray:
    """What each voxel answers to: ridge weights at unit length.

    A voxel's penalty is chosen by leaving out each trial.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_voxels)
        Of training trials.
    features : ndarray, shape (n_trials, n_features)
        Of their pictures.

    Returns
    -------
    tuning : ndarray of float32, shape (n_voxels, n_features)
        0 for a voxel that answers to nothing.
    """
    from sklearn.linear_model import RidgeCV

    unit = features.var(axis=0).mean() * len(features)
    ridge = RidgeCV(ALPHAS * unit, alpha_per_target=True)
    parts = [
        ridge.fit(features, responses[:, first : first + VOXELS]).coef_.reshape(
            -1, features.shape[1]
        )
        for first in range(0, responses.shape[1], VOXELS)
    ]
    weights = np.concatenate(parts)
    length = np.linalg.norm(weights, axis=1, keepdims=True)
    return (weights / np.where(length > 0, length, 1)).astype(np.float32)


def mixture_clusters(
    tuning: np.ndarray, n_clusters: int, covariance: Covariance, seed: int
) -> np.ndarray:
    """Sort voxels by a mixture of Gaussians: the likeliest component of each, (n_voxels,) of int.

    Parameters
    ----------
    tuning : ndarray, shape (n_voxels, n_features)
        Of the voxels of all subjects.
    n_clusters : int
    covariance : {"full", "tied", "diag", "spherical"}
        Of a component.
    seed : int

    Raises
    ------
    ValueError
        If there are fewer voxels than clusters.
    """
    from sklearn.mixture import GaussianMixture

    if len(tuning) < n_clusters:
        raise ValueError(
            f"{len(tuning)} voxels cannot fill {n_clusters} clusters: lower train.model.centres"
        )
    seed = seed % 2**32  # as large as numpy takes it
    mixture = GaussianMixture(n_clusters, covariance_type=covariance, random_state=seed)
    return mixture.fit_predict(tuning.astype(float))


def nearest(tuning: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of the known voxels is tuned most like each voxel: (n_voxels,) of int.

    Parameters
    ----------
    tuning : ndarray, shape (n_voxels, n_features)
    known : ndarray, shape (n_known, n_features)
        Both of unit rows.
    """
    parts = [
        (tuning[first : first + VOXELS] @ known.T).argmax(axis=1)
        for first in range(0, len(tuning), VOXELS)
    ]
    return np.concatenate(parts)
