"""What low-level features foretell of embeddings, however bent the relation: kernel ridge.

The kernel is the sum of a linear and a Gaussian one of the standardised features, written as an
explicit map on at most a thousand landmarks (Nyström [1]_), so that cost grows with the number of
pictures, not with its cube. Penalties are those with the least error over rows left out one by
one, which ridge regression yields without fitting again. Each principal axis of the outputs has a
penalty of its own, so that what is well foretold is not shrunk with what is not.

References
----------
.. [1] Williams, C. & Seeger, M. (2000). Using the Nyström method to speed up kernel machines. NIPS.
"""

from dataclasses import dataclass

import numpy as np

N_LANDMARKS = 1000
PENALTIES = 10.0 ** np.arange(-4, 5)  # relative to the mean square of the coordinates


@dataclass(frozen=True)
class FeatureMaps:
    """Turn features into the coordinates of several kernels.

    Parameters
    ----------
    mean, scale : ndarray, shape (n_features,)
        Standardise the features; a constant one is left out (scale infinity).
    landmarks : ndarray, shape (n_landmarks, n_features)
        Standardised rows.
    squeezes : list of ndarray, shape (n_landmarks, rank)
        Turn kernels with the landmarks into coordinates.
    widths2 : list of float
        Twice the squared deviation of each Gaussian.
    """

    mean: np.ndarray
    scale: np.ndarray
    landmarks: np.ndarray
    squeezes: list
    widths2: list

    @classmethod
    def fit(cls, features, widths, rng):
        """Choose landmarks among rows (n, n_features); `widths` in median distances of them."""
        features = np.asarray(features, dtype=np.float64)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.where(scale > 1e-9 * (1 + np.abs(mean)), scale, np.inf)
        chosen = rng.permutation(len(features))[:N_LANDMARKS]
        landmarks = (features[chosen] - mean) / scale
        linear, apart = _products(landmarks, landmarks)
        middle = np.median(apart[np.triu_indices(len(apart), 1)]) if len(apart) > 1 else 0.0
        widths2 = [2 * width**2 * (middle if middle > 0 else 1.0) for width in widths]
        squeezes = [_inverse_root(linear + np.exp(-apart / width2)) for width2 in widths2]
        return cls(mean, scale, landmarks, squeezes, widths2)

    def __call__(self, features):
        """Coordinates of rows in each kernel, (n, n_features) -> list of (n, rank)."""
        rows = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        linear, apart = _products(rows, self.landmarks)
        both = zip(self.widths2, self.squeezes, strict=True)
        return [(linear + np.exp(-apart / width2)) @ squeeze for width2, squeeze in both]


@dataclass(frozen=True)
class Ridge:
    """Ridge regression, fitted.

    Parameters
    ----------
    weights : ndarray, shape (rank, dim)
    intercept : ndarray, shape (dim,)
    left_out : ndarray, shape (n, dim)
        What remains of each row when the others foretell it.
    error : float
        Mean over rows of the sum of squares of `left_out`.
    """

    weights: np.ndarray
    intercept: np.ndarray
    left_out: np.ndarray
    error: float

    @classmethod
    def fit(cls, coordinates, outputs, groups=None):
        """Regress outputs (n, dim) on coordinates (n, rank).

        `groups` (n,), numbers from 0 on, each have a mean of their own: slopes are those inside
        groups. None: one group.
        """
        groups = np.zeros(len(outputs), dtype=int) if groups is None else groups
        x, y = centred(coordinates, groups), centred(outputs, groups)
        axes = _axes(y)
        u, s, v = _thin(x)
        turned = y @ axes
        answers = u.T @ turned
        in_own_mean = 1 / np.bincount(groups)[groups]
        error = np.full(turned.shape[1], np.inf)
        left_out, weights = np.zeros_like(turned), np.zeros((len(s), turned.shape[1]))
        for penalty in PENALTIES * (np.mean(s**2) if len(s) else 1.0):
            shrink = s**2 / (s**2 + penalty)
            free = np.maximum(1 - in_own_mean - u**2 @ shrink, 1e-9)  # one less the leverage
            rest = (turned - u @ (shrink[:, None] * answers)) / free[:, None]
            found = (rest**2).mean(axis=0)
            better = found < error
            error[better], left_out[:, better] = found[better], rest[:, better]
            weights[:, better] = ((shrink / s)[:, None] * answers)[:, better]
        weights = v @ weights @ axes.T
        intercept = outputs.mean(axis=0) - coordinates.mean(axis=0) @ weights
        return cls(weights, intercept, left_out @ axes.T, float(error.sum()))

    def __call__(self, coordinates):
        """Foretell outputs, (n, rank) -> (n, dim)."""
        return coordinates @ self.weights + self.intercept


def centred(rows, groups):
    """Take the mean of its group from every row (n, dim); `groups` are numbers from 0 on."""
    sums = np.zeros((groups.max() + 1, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return rows - (sums / np.maximum(np.bincount(groups), 1)[:, None])[groups]


def _thin(x):
    """Singular vectors and values by the smaller Gram matrix: x = u diag(s) v.T, rank columns."""
    wide = x.shape[0] < x.shape[1]
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = values > 1e-10 * max(values[-1], 1e-300)
    s, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return (vectors, s, x.T @ vectors / s) if wide else (x @ vectors / s, s, vectors)


def _axes(y):
    """Principal axes of rows (n, dim), as columns: all, or those in which rows differ at all."""
    return _thin(y)[2] if y.shape[1] > len(y) else np.linalg.eigh(y.T @ y)[1]


def _inverse_root(kernel):
    values, vectors = np.linalg.eigh(kernel)
    kept = values > 1e-8 * values[-1]
    return vectors[:, kept] / np.sqrt(values[kept])


def _products(a, b):
    """Mean products and squared distances of rows, both (n_a, n_b)."""
    inner = a @ b.T
    apart = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * inner
    return inner / a.shape[1], np.maximum(apart, 0)
