"""Leave two classes out: can the decoder tell two classes it was never trained on by their names?

For each pair of classes and each run, a decoder is fitted to the other classes in the other runs,
and the pair's rows of that run are judged: neither the classes nor the run were seen. What the
fit gives is weights of the seen classes (the prediction is their weighted mean embedding), which do
not depend on the embeddings; so permuting which class carries which name costs no refit, and is an
exact test of whether the likeness of names says anything of the likeness of responses.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from neurodecode.rigour.nested import choose


@dataclass(frozen=True)
class PairWeights:
    """What is known of the rows of one pair of unseen classes.

    Parameters
    ----------
    pair : (int, int)
    rows : ndarray of int, shape (n_cases,)
        Row numbers, all runs.
    weights : ndarray, shape (n_cases, n_classes)
        Weights of the seen classes; those of the pair are 0.
    """

    pair: tuple[int, int]
    rows: np.ndarray
    weights: np.ndarray


def pair_weights(weigh, labels, runs, pair):
    """Weigh the seen classes for the rows of two unseen ones, run by run.

    Parameters
    ----------
    weigh : callable (train, test) -> ndarray, shape (n_candidates, n_test, n_classes)
        The candidate is chosen by inner folds over the training runs: the one that best names the
        seen classes.
    labels : ndarray of int, shape (n_rows,)
    runs : array, shape (n_rows,)
    pair : (int, int)
    """
    runs = np.asarray(runs)
    unseen = np.isin(labels, pair)

    def among_seen(train, test):
        weights = np.array(weigh(train, test))
        weights[..., list(pair)] = -np.inf
        return weights

    rows, weights = [], []
    for run in dict.fromkeys(runs):
        train = np.flatnonzero(~unseen & (runs != run))
        test = np.flatnonzero(unseen & (runs == run))
        best = choose(among_seen, labels, runs, train)
        rows.append(test)
        weights.append(weigh(train, test)[best])
    return PairWeights(tuple(pair), np.concatenate(rows), np.concatenate(weights))


def all_pairs(n_classes):
    """List the pairs of classes: 28 of eight."""
    return list(combinations(range(n_classes), 2))


def choices(found, labels, embeddings, orders):
    """Choose between the two unseen classes by cosine, once for each order of the names.

    Embeddings are taken relative to the mean of the seen classes', which is what the decoder
    predicts when it knows nothing.

    Parameters
    ----------
    found : PairWeights
    labels : ndarray of int, shape (n_rows,)
    embeddings : ndarray, shape (n_classes, dim)
    orders : ndarray of int, shape (n_orders, n_classes)
        Class k carries the embedding ``orders[i, k]``.

    Returns
    -------
    margins : ndarray, shape (n_orders, n_cases)
        Cosine to the true class minus that to the other: right where above 0.
    """
    n_classes = len(embeddings)
    gram = embeddings.astype(float) @ embeddings.T.astype(float)
    seen = np.ones(n_classes)
    seen[list(found.pair)] = 0
    mean = seen / seen.sum()
    predicted = found.weights - mean  # (n_cases, n_classes), coefficients of embeddings
    options = np.eye(n_classes)[list(found.pair)] - mean  # (2, n_classes)
    grams = gram[orders[:, :, None], orders[:, None, :]]  # (n_orders, n_classes, n_classes)
    dots = np.einsum("ik,pkl,jl->pij", predicted, grams, options, optimize=True)
    cosines = dots / _length(predicted, grams)[:, :, None] / _length(options, grams)[:, None, :]
    first = labels[found.rows] == found.pair[0]
    return np.where(first, 1, -1) * (cosines[..., 0] - cosines[..., 1])


def right(margins):
    """1 where the choice is right, 0.5 where both are equally near, 0 where it is wrong."""
    return (np.sign(margins) + 1) / 2


def matched(margins, runs):
    """Assign two rows of a run to the two names jointly: right if the margins add to above 0.

    Parameters
    ----------
    margins : ndarray, shape (n_orders, n_cases)
    runs : array, shape (n_cases,)

    Returns
    -------
    hits : ndarray, shape (n_orders, n_runs)
        One assignment per run, in order of appearance.
    """
    runs = np.asarray(runs)
    sums = [margins[:, runs == run].sum(axis=1) for run in dict.fromkeys(runs)]
    return right(np.stack(sums, axis=1))


def _length(coefficients, grams):
    squares = np.einsum("ik,pkl,il->pi", coefficients, grams, coefficients, optimize=True)
    return np.sqrt(np.where(squares > 0, squares, np.inf))
