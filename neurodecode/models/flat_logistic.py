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

    strengths: list[float] = field(default_factory=lambda: [0.001, 0.1])
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
        ways = [(n, c) for n in self._stretches(x.shape[2]) for c in self.strengths]
        best = ways[0] if len(ways) == 1 else None
        if best is None:
            score = lambda way: self._held_out(way, x, y, groups, n_classes, seed, peek)
            best = max(ways, key=score)
        n, strength = best

        def predict(asked):
            return _scored(n, strength, x, y, asked, n_classes)

        return predict

    def _stretches(self, n_times):
        kept = [n for n in self.n_stretches if n is None or n < n_times]
        return kept or [None]

    def _held_out(self, way, x, y, groups, n_classes, seed, peek):
        """Share of held-out rows that a way to fit names rightly."""
        if peek is not None:
            return np.mean(_scored(*way, x, y, peek[0], n_classes).argmax(axis=1) == peek[1])
        if len(np.unique(groups)) < 2:
            return 0.0  # nothing to choose on: the first way
        right = [
            _scored(*way, x[fitted], y[fitted], x[held], n_classes).argmax(axis=1) == y[held]
            for fitted, held in inner_folds(y, groups, self.n_inner, seed)
            if len(np.unique(y[fitted])) > 1
        ]
        return np.concatenate(right).mean() if right else 0.0


def _scored(n_stretches, strength, x, y, asked, n_classes):
    """Fit rows (n, n_channels, n_times) with their classes, and score others."""
    rows = np.concatenate([flattened(x, n_stretches), flattened(asked, n_stretches)])
    train, test = np.arange(len(x)), np.arange(len(x), len(rows))
    labels = np.concatenate([y, np.zeros(len(asked), int)])
    way = [Prepared("flat", rows)]
    return Logistic([strength]).score(way, train, test, labels, n_classes)[0]


def flattened(x, n_stretches):
    """Average over stretches of time and lay flat: (n_trials, n_channels * n_stretches)."""
    if n_stretches is not None:
        parts = np.array_split(np.arange(x.shape[2]), n_stretches)
        x = np.stack([x[:, :, part].mean(axis=2) for part in parts], axis=2)
    return np.asarray(x, float).reshape(len(x), -1)
