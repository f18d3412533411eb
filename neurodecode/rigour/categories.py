"""Kinds of stimuli where nobody named any: clusters of their embeddings."""

import numpy as np

CLUSTERS = "clusters of embeddings"
MOST, FEWEST_EACH = 10, 10  # clusters, and stimuli in each on average


def clusters(embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
    """Sort stimuli into k-means clusters of their embeddings.

    Ten, as in published demonstrations of spurious reconstruction [1]_, and fewer where a cluster
    would hold less than ten stimuli on average.

    Parameters
    ----------
    embeddings : ndarray, shape (n, dim)
    seed : int
        Of the first centres.

    Returns
    -------
    names : ndarray of str, shape (n,)
        ``cluster 1`` is the largest.

    References
    ----------
    .. [1] Shirakawa et al., Spurious reconstruction from brain activity, arXiv 2405.10078.
    """
    from sklearn.cluster import MiniBatchKMeans

    n_clusters = min(MOST, max(1, len(embeddings) // FEWEST_EACH))
    found = MiniBatchKMeans(n_clusters, random_state=seed, n_init=10, batch_size=4096)
    labels = found.fit_predict(np.asarray(embeddings, np.float64))
    order = np.argsort(-np.bincount(labels, minlength=n_clusters), kind="stable")
    return np.array([f"cluster {np.flatnonzero(order == k)[0] + 1}" for k in labels])
