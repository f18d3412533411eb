"""Stimuli whose embeddings are closer across sides than the study's own stimuli ever are."""

import numpy as np

N_SDS = 6.0  # below the median log distance; robust, so that copies do not hide one another


def unusual_neighbours(embeddings, sides):
    """Find stimuli that lie far closer to a training stimulus than training stimuli to each other.

    The logarithm of the distance to the nearest training stimulus is held against that of training
    stimuli among themselves: below the median by six standard deviations (1.48 times the median
    absolute deviation) is unusual. Where all pictures resemble each other, none is.

    Parameters
    ----------
    embeddings : ndarray, shape (n_stimuli, dim)
    sides : array of str, shape (n_stimuli,)
        ``train`` and others; a stimulus whose side is ``""`` counts with none.

    Returns
    -------
    pairs : ndarray of int, shape (n_pairs, 2)
        Row numbers: a stimulus of another side, and the nearest of training.
    """
    from sklearn.neighbors import NearestNeighbors

    sides = np.asarray(sides)
    train, others = np.flatnonzero(sides == "train"), np.flatnonzero(~np.isin(sides, ["train", ""]))
    if len(train) < 3 or not len(others):
        return np.zeros((0, 2), int)
    known = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(embeddings[train])
    own = known.kneighbors()[0][:, 0]
    usual = np.log(own[own > 0])
    if not len(usual):
        return np.zeros((0, 2), int)
    middle = np.median(usual)
    spread = 1.4826 * np.median(np.abs(usual - middle))
    distance, nearest = (x[:, 0] for x in known.kneighbors(embeddings[others]))
    near = np.log(np.maximum(distance, 1e-12)) < middle - N_SDS * max(spread, 0.05)
    return np.stack([others[near], train[nearest[near]]], axis=1)


def equal_captions(captions, sides):
    """Find captions that stand on several sides: row numbers of one pair for each, (n_pairs, 2)."""
    import pandas as pd

    table = pd.DataFrame({"caption": list(captions), "side": list(sides)})
    table = table[table["caption"].ne("") & table["side"].ne("")]
    pairs = []
    for _, rows in table.groupby("caption", sort=False):
        first = rows.index[0]
        other = rows.index[rows["side"] != rows["side"].iloc[0]]
        pairs += [(first, other[0])] if len(other) else []
    return np.array(pairs, int).reshape(-1, 2)
