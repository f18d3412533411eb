"""What is left of predictions and of truth once low-level features have said what they can.

If the brain told nothing but low-level features, predictions and truth would be independent given
them. Then the products of two residuals, prediction less what the features foretell of it and truth
less what they foretell of it, average zero. Both are taken: an error of one regression is multiplied
by that of the other, so that either may be off where the other is right (generalised covariance
measure [1]_).

No residual may be fitted to itself, and no pair of residuals may share what fitted them: taking the
same projection out of both would make the residuals alike, and permuting them would find the
real pairing special (measured: twice as many false alarms at 5 %). So

* with training pictures, truth is regressed on them alone, and predictions on the other test
  pictures (each left out in turn). What the features foretell of the truth is offered to the second
  regression beside the features: a decoder of low-level features says much the same, and a hundred
  test pictures could not teach it anew;
* without, the test pictures are dealt into five blocks on a ring: the neighbours of a block foretell
  its predictions, the blocks two away its truth. No two rows then foretell each other.

References
----------
.. [1] Shah, R. D. & Peters, J. (2020). The hardness of conditional independence testing and the
   generalised covariance measure. Ann. Statist. 48.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.verdict.regression import FeatureMap, Ridge, centred

WIDTHS = (0.5, 1.0, 2.0)  # of the Gaussian kernel, in median distances
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the foretold truth in the kernel for predictions
N_BLOCKS = 5


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
        known = low_level if low_level_train is None else low_level_train
        maps = [FeatureMap.fit(known, width, rng) for width in WIDTHS]
        train = None if low_level_train is None else [turn(low_level_train) for turn in maps]
        return cls([turn(low_level) for turn in maps], train)

    def __getitem__(self, rows):
        """Those of some test pictures."""
        return Features([x[rows] for x in self.test], self.train)


def residuals(features, predicted, truth, truth_train, groups=None, groups_train=None, *, rng):
    """What low-level features do not foretell, of predictions and of truth.

    Parameters
    ----------
    features : Features
    predicted : ndarray, shape (n_subjects, n, dim)
    truth : ndarray, shape (n, dim)
    truth_train : ndarray, shape (n_train, dim), or None
        None: test pictures foretell one another.
    groups, groups_train : ndarray of int or None
        Numbers of categories; where given, everything is about differences inside a category.
    rng : numpy.random.Generator
        Deals the blocks of the ring.

    Returns
    -------
    predicted_left : ndarray, shape (n_subjects, n, dim)
    truth_left : ndarray, shape (n, dim)
    """
    groups = np.zeros(len(truth), dtype=int) if groups is None else groups
    if truth_train is None or features.train is None:
        return _on_a_ring(features, predicted, truth, groups, rng)
    fits = [Ridge.fit(x, truth_train, groups_train) for x in features.train]
    best = int(np.argmin([fit.error for fit in fits]))
    x = features.test[best]
    foretold = fits[best](x)
    left = [_left_out(p, x, foretold, groups) for p in predicted]
    return np.stack(left), truth - foretold


def _on_a_ring(features, predicted, truth, groups, rng):
    xs = [centred(x, groups) for x in features.test]
    block = rng.permutation(len(truth)) % N_BLOCKS
    left = [_left_over(centred(p, groups), xs, block, (1, 4)) for p in predicted]
    return np.stack(left), _left_over(centred(truth, groups), xs, block, (2, 3))


def _left_out(predicted, x, foretold, groups):
    """What other rows, by features and foretold truth, do not foretell of predictions."""
    x, foretold = (_of_size_one(part, groups) for part in (x, foretold))
    kernels = (np.hstack([np.sqrt(1 - s) * x, np.sqrt(s) * foretold]) for s in SHARES)
    fits = [Ridge.fit(kernel, predicted, groups) for kernel in kernels]
    return min(fits, key=lambda fit: fit.error).left_out


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
