"""Responses as a classifier may take them: a mask, a scaling, and how many channels to choose."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Prepared:
    """One way to prepare the responses; a candidate that inner folds may choose.

    Parameters
    ----------
    name : str
        What is told of it, such as ``"brain, zscored, all channels"``.
    responses : ndarray, shape (n_rows, n_channels)
        Already masked and scaled without looking at labels.
    n_chosen : int or None
        How many channels to choose, by their F over the training rows' classes; None takes all.
    """

    name: str
    responses: np.ndarray
    n_chosen: int | None = None

    def rows(self, train, labels):
        """Responses in the channels that differ most between classes in the rows `train`.

        Returns
        -------
        chosen : ndarray, shape (n_rows, n_chosen)
        """
        if not self._chooses:
            return self.responses
        f = class_f(self.responses[train], labels[train])
        best = np.sort(np.argsort(-f, kind="stable")[: self.n_chosen])
        return self.responses[:, best]

    def gram(self, train, labels):
        """Inner products of :meth:`rows`, (n_rows, n_rows), and their number of channels."""
        if not self._chooses:
            return self._gram, self.responses.shape[1]
        chosen = self.rows(train, labels)
        return chosen @ chosen.T, chosen.shape[1]

    @property
    def _chooses(self):
        return self.n_chosen is not None and self.n_chosen < self.responses.shape[1]

    @cached_property
    def _gram(self):
        return self.responses @ self.responses.T


def class_f(responses, labels):
    """F statistic of a one-way analysis of variance, per channel.

    Parameters
    ----------
    responses : ndarray, shape (n_rows, n_channels)
    labels : ndarray of int, shape (n_rows,)

    Returns
    -------
    f : ndarray, shape (n_channels,)
        Variance between class means over variance within classes; 0 for a constant channel.
    """
    classes, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    onehot = np.eye(len(classes))[which]
    centred = responses - responses.mean(axis=0)
    means = onehot.T @ centred / counts[:, None]
    between = (counts[:, None] * means**2).sum(axis=0)
    within = (centred**2).sum(axis=0) - between
    varies = np.ptp(responses, axis=0) > 0
    freedom = (len(labels) - len(classes)) / (len(classes) - 1)
    within = np.maximum(within, np.finfo(float).tiny)  # exactly 0 where classes are constant
    return np.where(varies, freedom * between / within, 0)
