"""The linear baseline of classified trials: logistic regression on flat, or averaged, responses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from neurodecode.core.ranges import Count
from neurodecode.models.classifiers import Logistic
from neurodecode.models.prepared import Prepared
from neurodecode.models.trial_classifier import inner_folds


@dataclass(frozen=True)
class FlatLogistic:
    """Multinomial logistic regression with a ridge penalty.

    Channels at their times, or channels averaged over stretches of time: that and the penalty are
    chosen by inner folds of whole groups.

    Parameters
    ----------
    strengths : list of float
        sklearn's ``C``, the inverse penalty.
    n_stretches : list of int, optional
        Into how many stretches time is cut, in each of which a channel is averaged; None: every
        sample stays.
    n_inner : int
        Inner folds.
    """

    fits_on_all: ClassVar[bool] = False

    strengths: list[float] = field(default_factory=lambda: [0.0001, 0.01])
    n_stretches: list[int | None] = field(default_factory=lambda: [None, 8])
    n_inner: Count = 3

    def fit(
        self,
        x: np.ndarray,
        y: np.ndarray,
        groups: np.ndarray,
        n_classes: int,
        sfreq_hz: float,
        seed: int,
        device: str,
        peek: tuple[np.ndarray, np.ndarray] | None = None,
        also: np.ndarray | None = None,
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Choose stretches and penalty, as `neurodecode.models.trial_classifier` says."""
        ways = [n for n in self.n_stretches if n is None or n < x.shape[2]] or [None]
        best = ways[0], self.strengths[0]
        if len(ways) * len(self.strengths) > 1:
            right = np.array([self._right(n, x, y, groups, n_classes, seed, peek) for n in ways])
            way, strength = np.unravel_index(right.argmax(), right.shape)
            best = ways[way], self.strengths[strength]
        return lambda asked: _scored(best[0], [best[1]], x, y, asked, n_classes)[0]

    def _right(self, n_stretches, x, y, groups, n_classes, seed, peek):
        """How many held-out rows each penalty names rightly; all alike with nothing to hold out."""
        right = np.zeros(len(self.strengths))
        if peek is not None:
            found = _scored(n_stretches, self.strengths, x, y, peek[0], n_classes)
            return (found.argmax(axis=2) == peek[1]).sum(axis=1)
        several = len(np.unique(groups)) > 1
        for fitted, held in inner_folds(y, groups, self.n_inner, seed) if several else ():
            if len(np.unique(y[fitted])) > 1:
                found = _scored(
                    n_stretches, self.strengths, x[fitted], y[fitted], x[held], n_classes
                )
                right += (found.argmax(axis=2) == y[held]).sum(axis=1)
        return right


def _scored(n_stretches, strengths, x, y, asked, n_classes):
    """Fit rows (n, n_channels, n_times) with each penalty; (n_strengths, n_asked, n_classes)."""
    from threadpoolctl import threadpool_limits

    rows = np.concatenate([flattened(x, n_stretches), flattened(asked, n_stretches)])
    train, test = np.arange(len(x)), np.arange(len(x), len(rows))
    labels = np.concatenate([y, np.zeros(len(asked), int)])
    with threadpool_limits(1):  # matrices of some hundred rows gain nothing from threads
        return Logistic(list(strengths)).score(
            [Prepared("flat", rows)], train, test, labels, n_classes
        )


def flattened(x, n_stretches):
    """Average over stretches of time and lay flat: (n_trials, n_channels * n_stretches)."""
    if n_stretches is not None:
        parts = np.array_split(np.arange(x.shape[2]), n_stretches)
        x = np.stack([x[:, :, part].mean(axis=2) for part in parts], axis=2)
    return np.asarray(x, float).reshape(len(x), -1)
