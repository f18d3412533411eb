"""Decode categories through the embeddings of their names: noise-whitened kernel ridge.

A ridge from responses to the embedding of each training row's class is linear in the embeddings:
the prediction for a test row is a weighted sum of class embeddings, and the weights S (n_test,
n_classes) do not depend on what the embeddings are. So S is computed once, and any targets (text,
random vectors, permuted names, unseen classes) are tried on it for the price of a product.

Everything is done on Gram matrices, (n_rows, n_rows), since rows are few and channels are many.
Symbols: K = X X' over all rows; C removes class means from training rows; Sigma, the covariance of
what is left, is noise.
"""

from dataclasses import dataclass, field
from itertools import product

import numpy as np


@dataclass(frozen=True)
class TextRidge:
    """Ridge from responses to the embeddings of class names; the nearest name wins.

    A candidate is a way to prepare the responses, with or without noise whitening, a penalty and a
    way to place the names; the caller chooses among them by folds.

    Parameters
    ----------
    alphas : list of float
        Penalties, in units of the mean eigenvalue of the centred training Gram matrix.
    whiten : list of bool
        Whether to divide the covariance of the responses around their class means out.
    targets : list of str
        ``centred`` and ``whitened``: see :func:`centred_targets` and :func:`whitened_targets`.
    """

    alphas: list[float] = field(default_factory=lambda: [0.01, 0.1, 1.0, 10.0, 100.0])
    whiten: list[bool] = field(default_factory=lambda: [True])
    targets: list[str] = field(default_factory=lambda: ["centred", "whitened"])

    def __post_init__(self):
        unknown = sorted(set(self.targets) - set(TARGETS))
        if unknown or not (self.alphas and self.whiten and self.targets):
            raise ValueError(
                f"targets are {list(self.targets)}: each one of {', '.join(TARGETS)}; alphas, "
                "whiten and targets need at least one value each"
            )

    def names(self, prepared):
        """Say what each candidate of :meth:`score` is."""
        weights = self.weight_names(prepared)
        return [f"{w}, {target} names" for target in self.targets for w in weights]

    def weight_names(self, prepared):
        """Say what each candidate of :meth:`weights` is."""
        noise = {True: "noise whitened", False: "noise as it is"}
        steps = product((p.name for p in prepared), self.whiten, self.alphas)
        return [f"{name}, {noise[w]}, alpha {alpha:g}" for name, w, alpha in steps]

    def score(self, prepared, train, test, labels, embeddings):
        """Fit all candidates and score all classes; (n_candidates, n_test, n_classes)."""
        weights = self.weights(prepared, train, test, labels, len(embeddings))
        return np.concatenate([nearest(weights, TARGETS[t](embeddings)) for t in self.targets])

    def weights(self, prepared, train, test, labels, n_classes):
        """Weights of the classes for all candidates but the targets; see :func:`class_weights`."""
        found = []
        for way in prepared:
            gram, n_channels = way.gram(train, labels)
            for whiten in self.whiten:
                channels = n_channels if whiten else None
                found.append(
                    class_weights(gram, train, test, labels, n_classes, self.alphas, channels)
                )
        return np.concatenate(found)


def class_weights(gram, train, test, labels, n_classes, alphas, whiten: int | None = None):
    """Weigh the classes for each test row: kernel ridge onto the classes' indicator vectors.

    Parameters
    ----------
    gram : ndarray, shape (n_rows, n_rows)
        Inner products of the rows' responses.
    train, test : ndarray of int
        Row numbers.
    labels : ndarray of int, shape (n_rows,)
        Class of each row; those of `test` are never looked at.
    n_classes : int
    alphas : sequence of float
        Ridge penalties, in units of the mean eigenvalue of the centred training Gram matrix.
    whiten : int or None
        Number of channels behind `gram`, to divide the noise covariance out; None leaves it in.

    Returns
    -------
    weights : ndarray, shape (n_alphas, n_test, n_classes)
        Rows sum to 1. A class without training rows has weight 0.
    """
    if whiten is not None:
        gram = without_noise(gram, train, labels[train], whiten)
    inner = gram[np.ix_(train, train)]
    column_mean = inner.mean(axis=0)
    centred = inner - column_mean - column_mean[:, None] + inner.mean()
    outer = gram[np.ix_(test, train)]
    outer = outer - outer.mean(axis=1, keepdims=True) - column_mean + inner.mean()
    onehot = np.eye(n_classes)[labels[train]]
    prior = onehot.mean(axis=0)
    unit = max(np.trace(centred) / len(train), np.finfo(float).tiny)
    solved = [
        np.linalg.solve(centred + alpha * unit * np.eye(len(train)), onehot - prior)
        for alpha in alphas
    ]
    return outer @ np.stack(solved) + prior


def without_noise(gram, train, labels, n_channels):
    """Gram matrix of the responses whitened by their noise: ``X inv(Sigma) X'``.

    Sigma is the covariance of training rows around their class means, shrunk towards a multiple of
    the identity by the intensity of Ledoit and Wolf [1]_. With shrinkage s and mean variance m,
    Woodbury's identity needs only the Gram matrix:
    ``(K - K_t C inv(C K_tt C + c I) C K_t') / (s m)``, ``c = n s m / (1 - s)``.

    Parameters
    ----------
    gram : ndarray, shape (n_rows, n_rows)
    train : ndarray of int
    labels : ndarray of int, shape (n_train,)
        Classes of the training rows.
    n_channels : int

    Returns
    -------
    whitened : ndarray, shape (n_rows, n_rows)
        `gram` itself where the training rows do not vary around their class means.

    References
    ----------
    .. [1] Ledoit & Wolf (2004), J. Multivariate Analysis 88:365.
    """
    centring = np.eye(len(train)) - (labels[:, None] == labels) / np.bincount(labels)[labels]
    residual = centring @ gram[np.ix_(train, train)] @ centring
    if np.trace(residual) <= 1e-12 * np.trace(gram):  # rounding errors
        return gram
    shrinkage, variance = ledoit_wolf(residual, n_channels)
    if shrinkage >= 1:
        return gram / variance
    constant = len(train) * shrinkage * variance / (1 - shrinkage)
    across = gram[:, train] @ centring
    noise = across @ np.linalg.solve(residual + constant * np.eye(len(train)), across.T)
    return (gram - noise) / (shrinkage * variance)


def ledoit_wolf(residual_gram, n_channels):
    """Shrinkage intensity and mean variance, from the Gram matrix of centred rows.

    Equal to :func:`sklearn.covariance.ledoit_wolf_shrinkage` of the rows themselves; at least
    1e-3, so that the shrunk covariance can be inverted.

    Parameters
    ----------
    residual_gram : ndarray, shape (n_rows, n_rows)
    n_channels : int

    Returns
    -------
    shrinkage : float in [1e-3, 1]
    variance : float
        Mean variance of a channel.
    """
    n_rows = len(residual_gram)
    variance = np.trace(residual_gram) / n_rows / n_channels
    squared = (residual_gram**2).sum() / n_rows**2
    distance = squared - n_channels * variance**2
    if distance <= 0:
        return 1.0, variance
    error = ((np.diag(residual_gram) ** 2).sum() / n_rows - squared) / n_rows
    return float(np.clip(error / distance, 1e-3, 1)), variance


def centred_targets(embeddings):
    """Remove what all classes have in common: unit rows around the classes' mean.

    Names of things lie in a narrow cone of a text encoder's space; without centring every class is
    nearly every other.
    """
    return _unit(embeddings - embeddings.mean(axis=0))


def whitened_targets(embeddings):
    """Spread the classes evenly: centred embeddings with all singular values equal.

    All classes are equally far apart, as corners of a simplex: what the encoder says about which
    are alike is gone, and no pair is confused for being alike in words.
    """
    left, values, right = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)
    kept = values > 1e-6 * values[0]
    return _unit(left[:, kept] @ right[kept])


TARGETS = {"centred": centred_targets, "whitened": whitened_targets}


def nearest(weights, targets):
    """Cosine of each predicted embedding, ``weights @ targets``, to each class embedding.

    Parameters
    ----------
    weights : ndarray, shape (..., n_test, n_classes)
        From `class_weights`.
    targets : ndarray, shape (n_classes, dim)

    Returns
    -------
    cosines : ndarray, shape (..., n_test, n_classes)
        0 for a prediction or a target of length 0.
    """
    gram = targets @ targets.T  # (n_classes, n_classes): dim is no longer needed
    dots = weights @ gram
    squares = np.einsum("...c,...c->...", dots, weights)[..., None] * np.diag(gram)
    return dots / np.sqrt(np.where(squares > 0, squares, np.inf))


def _unit(rows):
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(length > 0, length, 1)
