"""A short linear code of image tokens: first what words say of a picture, then how else it varies.

    code = (standardised tokens) . readout,       of mean 0 and covariance 1 over natural pictures

Of thousands of token values a brain tells a few dozen combinations. Principal components are the
wrong ones to ask for: they follow variance, and what a picture shows may vary little (the shape of
an object moves few pixels). The first components here are therefore the combinations of values that
tell best which words fit the picture, by ridge regression; the others are principal components of
what is left. All are linear, so that whatever decodes tokens decodes the code.
"""

import numpy as np


def fit_code(
    tokens: np.ndarray, words: np.ndarray, n_rest: int, shrinkage: float = 0.01
) -> np.ndarray:
    """Find the code of a set of pictures.

    Parameters
    ----------
    tokens : ndarray, shape (n_pictures, n_values)
        Flat tokens, mean 0 and variance 1 per value.
    words : ndarray, shape (n_pictures, n_words)
        1 where a word fits the picture, 0 elsewhere (or any other description in numbers).
    n_rest : int
        Principal components of what words do not tell.
    shrinkage : float
        Penalty of the regression, in units of the mean variance of the values.

    Returns
    -------
    readout : ndarray of float32, shape (n_values, n_told + n_rest)
        n_told is the number of independent directions in `words`.

    Raises
    ------
    ValueError
        If there are fewer pictures than values: their covariance would have holes.
    """
    n, n_values = tokens.shape
    if n <= n_values:
        raise ValueError(f"{n} pictures for tokens of {n_values} values: give more pictures")
    tokens, words = np.asarray(tokens, np.float64), np.asarray(words, np.float64)
    covariance = tokens.T @ tokens / n
    penalty = shrinkage * np.trace(covariance) / n_values * np.eye(n_values)
    weights = np.linalg.solve(covariance + penalty, tokens.T @ (words - words.mean(axis=0)) / n)
    told = whitened(weights, covariance)
    shared = covariance @ told  # covariance of every value with the told components
    directions = _leading(covariance - shared @ shared.T, n_rest)
    rest = directions - told @ (shared.T @ directions)  # what is told is taken out first
    return np.hstack([told, whitened(rest, covariance)]).astype(np.float32)


def whitened(weights: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Combine columns (n_values, k) into uncorrelated ones of variance 1, as many as there are."""
    if not weights.shape[1]:
        return weights
    variance, mix = np.linalg.eigh(weights.T @ covariance @ weights)
    there = variance > 1e-6 * variance[-1]
    return (weights @ mix[:, there] / np.sqrt(variance[there]))[:, ::-1]


def _leading(covariance, k):
    from scipy.linalg import eigh

    n = len(covariance)
    if not 0 <= k <= n:
        raise ValueError(f"n_rest is {k}; give 0 to {n}")
    return eigh(covariance, subset_by_index=[n - k, n - 1])[1] if k else np.empty((n, 0))
