"""What is left of predictions and of truth once low-level features have said what they can.

If the brain told nothing but low-level features, predictions and truth would be independent given
them. Then the products of two residuals, prediction less what the features foretell of it and truth
less what they foretell of it, average zero. Both are taken: an error of one regression is
multiplied by that of the other, so that either may be off where the other is right (generalised
covariance measure [1]_).

No residual may be fitted to itself, and no pair of residuals may share what fitted them: taking the
same projection out of both would make the residuals alike, and permuting them would find the
real pairing special (measured: twice as many false alarms at 5 %). So

* with training pictures, truth is regressed on them alone, and predictions on the other test
  pictures (each left out in turn). What the features foretell of the truth is offered to the second
  regression beside the features: a decoder of low-level features says much the same, and a hundred
  test pictures could not teach it anew;
* without, the test pictures are dealt into five blocks on a ring: the neighbours of a block
  foretell its predictions, the blocks two away its truth.

References
----------
.. [1] Shah, R. D. & Peters, J. (2020). The hardness of conditional independence testing and the
   generalised covariance measure. Ann. Statist. 48.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.verdict.regression import FeatureMaps, Ridge, centred

WIDTHS = (0.5, 1.0)  # of the Gaussian kernels, in median distances
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the foretold truth in the kernel for predictions
N_BLOCKS = 5
FOR_PREDICTIONS, FOR_TRUTH = (1, 4), (2, 3)  # blocks along the ring


@dataclass(frozen=True)
class Features:
    """Low-level features of pictures in the coordinates of each kernel.

    Parameters
    ----------
    test : list of ndarray, shape (n, rank)
    train : list of ndarray, shape (n_train, rank), or None
    """

    test: list
    train: list | None

    @classmethod
    def of(cls, low_level, low_level_train, rng):
        """Fit the kernels to training pictures, or to the test pictures where there are none."""
        if low_level_train is None:
            return cls(FeatureMaps.fit(low_level, WIDTHS, rng)(low_level), None)
        maps = FeatureMaps.fit(low_level_train, WIDTHS, rng)
        return cls(maps(low_level), maps(low_level_train))

    def __getitem__(self, rows):
        """Those of some test pictures."""
        return Features([x[rows] for x in self.test], self.train)


@dataclass(frozen=True)
class FromTraining:
    """Residuals where training pictures foretell the truth.

    Parameters
    ----------
    x : ndarray, shape (n, rank)
        Coordinates of the test pictures.
    foretold, truth_left : ndarray, shape (n, dim)
    groups : ndarray of int, shape (n,)
    """

    x: np.ndarray
    foretold: np.ndarray
    truth_left: np.ndarray
    groups: np.ndarray

    @classmethod
    def fit(cls, features, truth, groups, truth_train, groups_train):
        """Regress truth on the features of training pictures, inside their groups if given."""
        fits = [Ridge.fit(x, truth_train, groups_train) for x in features.train]
        best = int(np.argmin([fit.error for fit in fits]))
        x = features.test[best]
        foretold = fits[best](x)
        return cls(x, foretold, truth - foretold, groups)

    def predicted_left(self, predicted):
        """What other test pictures, by features and foretold truth, do not foretell: (n, dim)."""
        x, foretold = (_of_size_one(part, self.groups) for part in (self.x, self.foretold))
        both = (np.hstack([np.sqrt(1 - s) * x, np.sqrt(s) * foretold]) for s in SHARES)
        fits = [Ridge.fit(coordinates, predicted, self.groups) for coordinates in both]
        return min(fits, key=lambda fit: fit.error).left_out


@dataclass(frozen=True)
class OnARing:
    """Residuals where test pictures foretell one another.

    Parameters
    ----------
    xs : list of ndarray, shape (n, rank)
        Coordinates of the test pictures, less the mean of their group.
    truth_left : ndarray, shape (n, dim)
    groups, block : ndarray of int, shape (n,)
    """

    xs: list
    truth_left: np.ndarray
    groups: np.ndarray
    block: np.ndarray

    @classmethod
    def fit(cls, features, truth, groups, rng):
        """Deal the blocks and regress truth; differences inside groups only."""
        xs = [centred(x, groups) for x in features.test]
        block = rng.permutation(len(truth)) % N_BLOCKS
        return cls(xs, _left_over(centred(truth, groups), xs, block, FOR_TRUTH), groups, block)

    def predicted_left(self, predicted):
        """What the neighbouring blocks do not foretell of predictions: (n, dim)."""
        return _left_over(centred(predicted, self.groups), self.xs, self.block, FOR_PREDICTIONS)


def _left_over(outputs, xs, block, away):
    """What the blocks `away` along the ring do not foretell of the rows of each block."""
    left = np.empty_like(outputs)
    for here in range(N_BLOCKS):
        rows, known = block == here, np.isin((block - here) % N_BLOCKS, away)
        fits = [Ridge.fit(x[known], outputs[known]) for x in xs]
        best = int(np.argmin([fit.error for fit in fits]))
        left[rows] = outputs[rows] - fits[best](xs[best][rows])
    return left


def _of_size_one(rows, groups):
    inside = centred(rows, groups)
    size = np.sqrt((inside**2).sum(axis=1).mean())
    return inside / size if size > 0 else inside
