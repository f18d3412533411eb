"""Two-way identification: is a prediction nearer to its own truth than to another one."""

from dataclasses import dataclass

import numpy as np

from neurodecode.metrics.score import Score, count_rivals, pearson


@dataclass(frozen=True)
class TwoWay:
    """Two-way identification of predicted embeddings, by Pearson correlation, ties half.

    Parameters
    ----------
    name : str
        Of the score.
    """

    name: str = "two_way_embedding"

    space = "embedding"
    needs = "pooled"

    def __call__(self, truth, predicted):
        """Score `predicted` (n_rows, dim) against `truth` (n_truths, dim): fair and `_compat`."""
        return two_way_scores(self.name, pearson(truth, predicted))


@dataclass(frozen=True)
class TwoWayLayers:
    """Two-way identification of pictures in the layers of a picture encoder, one score a layer.

    Parameters
    ----------
    layers : tuple of str or None
        Names of the layers; None: all that the encoder gives.
    """

    layers: tuple[str, ...] | None = None

    space = "picture"
    needs = "layers"

    def __call__(self, truth, predicted):
        """Score dicts of features, ``{layer: (n, d)}``."""
        missing = sorted(set(self.layers or ()) - set(truth))
        if missing:
            raise ValueError(f"the encoder has no layers {missing}: it has {list(truth)}")
        return [
            Score(f"two_way_{layer}", two_way(pearson(truth[layer], predicted[layer])), 0.5)
            for layer in self.layers or truth
        ]


def two_way_scores(name, similarity):
    """Score two-way identification twice: ties half, and `<name>_compat`, where a tie fails."""
    return [
        Score(name, two_way(similarity), 0.5),
        Score(f"{name}_compat", strict_two_way(similarity), 0.5),
    ]


def two_way(similarity):
    """Share of the other truths that are less like a prediction than each truth; ties half.

    The truth varies, the prediction stays, as in published tables [1]_; all n - 1 others are used.

    Parameters
    ----------
    similarity : ndarray, shape (n_truths, n_rows)

    Returns
    -------
    correct : ndarray in [0, 1], shape (n_truths, n_rows)
        Entry [i, j] takes truth i for the own one of row j.

    References
    ----------
    .. [1] Ozcelik & VanRullen, Natural scene reconstruction from fMRI, Sci. Rep. 13 (2023).
    """
    n_truths = len(similarity)
    if n_truths < 2:
        raise ValueError("two-way identification needs at least 2 truths to choose between")
    above, tied = count_rivals(similarity, axis=0)
    return 1 - (above + tied / 2) / (n_truths - 1)


def own_two_way(similarity):
    """Two-way identification of row j by truth j alone: the diagonal of `two_way`, much faster.

    Parameters
    ----------
    similarity : ndarray, shape (..., n, n)
        Truths by rows; leading axes are tables of their own.

    Returns
    -------
    correct : ndarray in [0, 1], shape (..., n)
    """
    rounded = np.round(similarity, 9) + 0.0  # entries that agree to 1e-9 are ties, as in two_way
    own = np.diagonal(rounded, axis1=-2, axis2=-1)[..., None, :]
    n_truths = rounded.shape[-2]
    below, tied = (rounded < own).sum(axis=-2), (rounded == own).sum(axis=-2) - 1
    return (below + tied / 2) / (n_truths - 1)


def strict_two_way(similarity):
    """Two-way identification as published tables count it: a tie is a failure.

    A model without ties scores as in `two_way`; the category oracle scores less, .909 for .9545.

    Parameters
    ----------
    similarity : ndarray, shape (n_truths, n_rows)
        Rows real, columns reconstructed.

    Returns
    -------
    correct : ndarray in [0, 1], shape (n_truths, n_rows)
        Per reconstruction, the share of other real pictures that correlate strictly less.
    """
    above, tied = count_rivals(similarity, axis=0)
    return 1 - (above + tied) / (len(similarity) - 1)
