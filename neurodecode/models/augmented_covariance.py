"""Augmented covariance [1]_: covariances of a signal beside its delayed copies, on their manifold.

Delays let a covariance see the spectrum: block (i, j) holds the correlation of channels at lag
(j - i) tau. A tangent space at the Riemannian mean makes vectors of matrices, and a support vector
machine tells the classes. Order, lag and the machine's options are chosen on held-out groups.

References
----------
.. [1] Carrara, Papadopoulo (2023). Classification of BCI-EEG based on the augmented covariance
   matrix. arXiv 2302.04508.
"""

from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np

from neurodecode.core.ranges import Count
from neurodecode.models.optional import needed
from neurodecode.models.trial_classifier import inner_folds


def augmented(x: np.ndarray, order: int, lag: int) -> np.ndarray:
    """Stack `order` copies of a signal, each `lag` samples later than the one before.

    One lag more than needed is dropped at the end, as published.

    Parameters
    ----------
    x : ndarray, shape (n_trials, n_channels, n_times)
    order : int
        1: the signal as it is.
    lag : int
        In samples.

    Returns
    -------
    stacked : ndarray, shape (n_trials, order * n_channels, n_times - order * lag)
    """
    if order == 1:
        return x
    n_times = x.shape[2] - order * lag
    return np.concatenate([x[:, :, k * lag : k * lag + n_times] for k in range(order)], axis=1)


@dataclass(frozen=True)
class AugmentedCovariance:
    """Classify trials by augmented covariances; see `neurodecode.models.trial_classifier`.

    Parameters
    ----------
    orders, lags : list of int
        Copies, and samples between them; every pair is a candidate.
    strengths : list of float
        The support vector machine's ``C``; each is a candidate.
    kernels : list of {"rbf", "linear"}
        Each is a candidate.
    estimator : {"cov", "oas", "lwf"}
        Of covariances: plain, or shrunk by the intensity of Chen et al. or of Ledoit and Wolf.
        Plain ones need more samples than rows; candidates with fewer are left out.
    n_folds : int
        Of groups of training rows, on which a candidate is chosen.
    max_size : int
        Candidates whose matrices have more rows are left out: the cost grows with their cube.
    """

    orders: list[int] = field(default_factory=lambda: list(range(1, 11)))
    lags: list[int] = field(default_factory=lambda: list(range(1, 11)))
    strengths: list[float] = field(default_factory=lambda: [0.5, 1.0, 1.5])
    kernels: list[Literal["rbf", "linear"]] = field(default_factory=lambda: ["rbf", "linear"])
    estimator: Literal["cov", "oas", "lwf"] = "cov"
    n_folds: Count = 5
    max_size: Count = 150

    fits_on_all = False

    def fit(self, x, y, groups, n_classes, sfreq_hz, seed, device, peek=None, also=None):
        """Learn from training rows; see `neurodecode.models.trial_classifier`."""
        pairs = self.pairs(*x.shape[1:])
        machines = list(product(self.kernels, self.strengths))
        best = (*pairs[0], *machines[0])
        if len(pairs) * len(machines) > 1:
            best = self._best(x, y, groups, seed, peek, pairs, machines)
        order, lag, kernel, strength = best
        space, vectors = self._tangent(self.covariances(x, order, lag))
        machine = _machine(kernel, strength).fit(vectors, y)

        def predict(asked):
            rows = space.transform(self.covariances(asked, order, lag))
            return _scores(machine, rows, n_classes)

        return predict

    def pairs(self, n_channels: int, n_times: int) -> list[tuple[int, int]]:
        """Orders and lags that trials of so many channels and samples allow; one pair of order 1.

        Raises
        ------
        ValueError
            If there are none.
        """
        asked = [(p, lag) for p in self.orders for lag in (self.lags if p > 1 else self.lags[:1])]
        left = [
            (p, lag)
            for p, lag in asked
            if p * n_channels <= self.max_size and self._enough(p, lag, n_channels, n_times)
        ]
        if not left:
            raise ValueError(
                f"no order and lag fits trials of {n_channels} channels and {n_times} samples: "
                "lower orders and lags, raise max_size, choose fewer channels, or, where samples "
                "are few, set estimator=oas"
            )
        return left

    def _enough(self, order, lag, n_channels, n_times):
        n_times -= order * lag if order > 1 else 0
        return n_times > (order * n_channels if self.estimator == "cov" else 1)

    def covariances(self, x: np.ndarray, order: int, lag: int) -> np.ndarray:
        """Augmented covariances of trials, (n_trials, order * n_channels, order * n_channels)."""
        what = "the augmented covariance classifier"
        covariance = needed("pyriemann.utils.covariance", "pyriemann", what)
        stacked = augmented(np.asarray(x, np.float64), order, lag)
        return covariance.covariances(stacked, estimator=self.estimator)

    def _tangent(self, covariances):
        tangentspace = needed("pyriemann.tangentspace", "pyriemann", "the tangent space")
        space = tangentspace.TangentSpace(metric="riemann")
        return space, space.fit_transform(covariances)

    def _best(self, x, y, groups, seed, peek, pairs, machines):
        """The candidate that is right most often on held-out groups, or on the rows of `peek`."""
        right = {}
        for order, lag in pairs:
            known = self.covariances(x, order, lag)
            if peek is None:
                folds = inner_folds(y, groups, self.n_folds, seed)
                parts = [(known[a], y[a], known[b], y[b]) for a, b in folds]
            else:
                parts = [(known, y, self.covariances(peek[0], order, lag), peek[1])]
            for fitted, classes, held, truth in parts:
                space, vectors = self._tangent(fitted)
                asked = space.transform(held)
                for kernel, strength in machines:
                    machine = _machine(kernel, strength).fit(vectors, classes)
                    n_right = (machine.predict(asked) == truth).sum()
                    key = (order, lag, kernel, strength)
                    right[key] = right.get(key, 0) + n_right
        return max(right, key=right.get)  # of equals the first: the smallest order


def _machine(kernel, strength):
    from sklearn.svm import SVC

    return SVC(C=strength, kernel=kernel)


def _scores(machine, rows, n_classes):
    """Scores of all classes; of two, sklearn gives those of the second alone."""
    scores = machine.decision_function(rows)
    scores = scores if scores.ndim == 2 else np.column_stack([-scores, scores])
    every = np.full((len(rows), n_classes), -np.inf)  # a class never seen is never chosen
    every[:, machine.classes_] = scores
    return every
