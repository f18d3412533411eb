"""How far test stimuli lie from training in embedding space: MMD and nearest neighbours.

The kernel is Gaussian, exp(-d² / 2 w²), and its width w the median distance between two stimuli of
the study. The MMD (maximum mean discrepancy, Gretton et al. 2012) is the distance between the two
sides' mean kernel features,

    MMD² = mean k(test, test) + mean k(train, train) - 2 mean k(test, train),

each mean over all pairs, a stimulus with itself included: it is never negative, and 0 for equal
sides. A random draw of m test stimuli against r others of one pool of n has a mean square of
(1 - mean k) n / (n - 1) (1/m + 1/r): what sampling alone does.
"""

import numpy as np

BLOCK = 2048  # rows of a block of kernel values
LARGEST = 20_000  # stimuli of a side that enter an MMD: beyond that, evenly spaced ones
FOR_WIDTH = 2000  # stimuli whose distances give the width of the kernel


def kernel_width(embeddings):
    """Return the median distance between two stimuli, over at most 2,000 evenly spaced ones.

    Parameters
    ----------
    embeddings : ndarray, shape (n_stimuli, dim)

    Raises
    ------
    ValueError
        If more than half of the pairs are the same.
    """
    from scipy.spatial.distance import pdist

    width = float(np.median(pdist(np.asarray(_spaced(embeddings, FOR_WIDTH), np.float64))))
    if not width > 0:
        raise ValueError(
            f"most of the {len(embeddings)} stimuli have the same embedding: distances between "
            "them tell nothing; choose another embed.target, or a split that reads none"
        )
    return width


def mean_kernel(a, b, width):
    """Return each row's mean kernel with all of `b`; shapes (n_a, dim), (n_b, dim) -> (n_a,)."""
    a, b = (np.asarray(x, np.float32) for x in (a, b))
    norms, means = (b**2).sum(axis=1), np.zeros(len(a))
    for first in range(0, len(a), BLOCK):
        rows = a[first : first + BLOCK]
        squared = (rows**2).sum(axis=1)[:, None] + norms - 2 * rows @ b.T
        kernel = np.exp(np.maximum(squared, 0) / np.float32(-2 * width**2))
        means[first : first + BLOCK] = kernel.mean(axis=1, dtype=np.float64)
    return means


def mmd(test, train, width):
    """Return the MMD of two sets of stimuli, shapes (n, dim): 0 to the square root of 2."""
    test, train = _spaced(test, LARGEST), _spaced(train, LARGEST)
    mean = lambda a, b: mean_kernel(a, b, width).mean()
    squared = mean(test, test) + mean(train, train) - 2 * mean(test, train)
    return float(np.sqrt(max(squared, 0.0)))


def mmd_of_a_random_draw(pool, n_test, n_train, width):
    """Return the root mean square MMD of `n_test` and `n_train` stimuli drawn from one pool."""
    pool = _spaced(pool, LARGEST)
    spread = (1 - mean_kernel(pool, pool, width).mean()) * len(pool) / (len(pool) - 1)
    return float(np.sqrt(max(spread, 0.0) * (1 / n_test + 1 / n_train)))


def nearest(embeddings, others=None):
    """Return each stimulus' distance to its nearest in `others`, or among the rest of its own."""
    from sklearn.neighbors import NearestNeighbors

    known = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(
        embeddings if others is None else others
    )
    return known.kneighbors(None if others is None else embeddings)[0][:, 0]


def diagnostics(embeddings, labels):
    """Say how far the test stimuli lie from training.

    Parameters
    ----------
    embeddings : ndarray, shape (n_stimuli, dim)
    labels : array of str, shape (n_stimuli,)
        Side of each stimulus, of all subjects.

    Returns
    -------
    about : dict
        ``mmd`` of test and training, ``mmd_random`` that of a random draw (its root mean square),
        ``nearest_test`` and ``nearest_train`` (median distance of a test, and of a training
        stimulus to the nearest other training stimulus), ``kernel_width``, ``n_test``, ``n_train``.
        Six digits: last bits of embeddings differ between machines. Empty where a side has fewer
        than two stimuli.
    """
    test, train = embeddings[labels == "test"], embeddings[labels == "train"]
    if min(len(test), len(train)) < 2:
        return {}
    width, pool = kernel_width(embeddings), embeddings[np.isin(labels, ["test", "train"])]
    found = {
        "mmd": mmd(test, train, width),
        "mmd_random": mmd_of_a_random_draw(pool, len(test), len(train), width),
        "nearest_test": float(np.median(nearest(test, train))),
        "nearest_train": float(np.median(nearest(train))),
        "kernel_width": width,
    }
    rounded = {name: float(f"{value:.6g}") for name, value in found.items()}
    return rounded | {"n_test": len(test), "n_train": len(train)}


def stimulus_labels(trials, stimuli, labels):
    """Return the side of each stimulus, ``""`` where it has none or several: (n_stimuli,)."""
    sides = trials.assign(split=labels).groupby("stimulus_id")["split"].agg(["first", "nunique"])
    one = sides["first"].where(sides["nunique"] == 1, "")
    return stimuli["stimulus_id"].map(one).fillna("").to_numpy(str)


def check_embeddings(embeddings, stimuli, rule):
    """Return embeddings as float32 (n_stimuli, dim); ValueError where they lack or do not fit."""
    if embeddings is None:
        raise ValueError(
            f"{rule} reads embeddings of the stimuli's pictures, and there are none: list the "
            "stage embed before split, in a study with pictures, or choose split=by_stimulus"
        )
    if len(embeddings) != len(stimuli):
        raise ValueError(
            f"{len(embeddings)} embeddings are not one for each of {len(stimuli)} stimuli"
        )
    return np.asarray(embeddings, np.float32)


def _spaced(rows, most):
    """At most so many rows, evenly spaced."""
    if len(rows) <= most:
        return np.asarray(rows)
    return np.asarray(rows)[np.linspace(0, len(rows) - 1, most).astype(int)]
