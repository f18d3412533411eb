"""Ridge regression of more trials than memory holds: the same problem as `ridge`, from sums.

Trials are read once, in blocks, and leave products behind: with at least as many trials as channels

    G = X'X, B = X'Y of each fold              W = (G - G_fold + alpha I)^-1 (B - B_fold)

and with fewer the products of trials, K = X X', where W = X' (K + alpha I)^-1 Y. Systems are solved
by Cholesky: an eigendecomposition serves all penalties at once, but takes longer than eleven
factorisations and three times the memory. All is float64: the squares of singular values span more
than float32 holds, and sums of float32 products over many trials were no longer positive definite.

The largest array is a square of the smaller side. One is held; those of the folds lie in `scratch`.
"""

from collections.abc import Callable

import numpy as np

from neurodecode.core.lazy import BLOCK, moments, slices
from neurodecode.models.ridge import FRACTIONS, whole_folds
from neurodecode.models.symmetric import solvers_of

COLUMNS = 256  # of targets that are solved for together

Scratch = Callable[[str, tuple[int, ...]], np.ndarray]


def fit_ridge_in_blocks(
    x,
    y,
    groups,
    scratch: Scratch,
    fractions=FRACTIONS,
    n_folds=5,
    alpha_per_target=True,
    device="cpu",
):
    """Fit as `fit_ridge` does, to the same penalties and to weights equal to 1e-4 of the largest.

    Parameters
    ----------
    x : Lazy or ndarray, shape (n_trials, n_channels)
        Training rows only.
    y : Lazy or ndarray, shape (n_trials, n_targets)
    groups : array of str or int, shape (n_trials,)
    scratch : callable (name, shape) -> ndarray
        Makes float64 arrays, columns first in memory, e.g. memory maps; asked again for a name it
        may give the same space. With p = min(n_trials, n_channels) and k folds there are k + 1 of
        p x p (k + 1 of n_channels x n_targets beside them), or one.
    device : str
        Where sums and systems of p x p are computed; a GPU needs room for about six in float64.

    Returns
    -------
    fit : dict of ndarray
        As of `fit_ridge`.

    Raises
    ------
    ValueError
        If trials do not match, there are fewer than two groups, or a value is not finite.
    """
    if not len(x) == len(y) == len(groups):
        raise ValueError(f"{len(x)} trials, {len(y)} targets and {len(groups)} groups do not match")
    folds = whole_folds(groups, n_folds)
    mean, variance = moments(x)
    y_mean, y_variance = moments(y)
    for what, spread in (("channels", variance), ("targets", y_variance)):
        if bad := int((~np.isfinite(spread)).sum()):
            raise ValueError(
                f"{bad} {what} hold values that are not finite: ridge cannot be fitted"
            )
    products = _OfTrials if len(x) < x.shape[1] else _OfChannels
    held_out = [rows for _, rows in folds]
    products = products(x, y, mean, y_mean, held_out, scratch, solvers_of(device))
    alphas = np.asarray(fractions, float) * variance.sum()  # the mean squared length of a trial
    losses = np.zeros((len(folds), len(alphas), y.shape[1]))
    for fold in range(len(folds)):
        for which, alpha in enumerate(alphas):
            losses[fold, which] = products.loss(fold, alpha)
    chosen = chosen_penalties(losses.mean(axis=0), alphas, alpha_per_target)
    weights = products.weights(chosen).astype(np.float32)
    return {
        "weights": weights,
        "intercepts": (y_mean - mean @ weights).astype(np.float32),
        "alphas": chosen,
    }


def chosen_penalties(losses, alphas, alpha_per_target):
    """The penalty of least loss for each target; of equals, as in himalaya, the largest.

    Parameters
    ----------
    losses : ndarray, shape (n_alphas, n_targets)
        Mean squared errors on held-out folds, averaged over folds.
    """
    scores = 1e-10 * np.log(alphas)[:, None] - losses
    if not alpha_per_target:
        scores = scores.mean(axis=1, keepdims=True)
    return np.broadcast_to(alphas[scores.argmax(axis=0)], losses.shape[1:]).copy()


class _OfChannels:
    """Products of channels: one p x p array, and one p x n_targets, of each fold."""

    def __init__(self, x, y, mean, y_mean, held_out, scratch, solvers):
        p, n_targets = x.shape[1], y.shape[1]
        square = lambda name: scratch(name, (p, p))
        cross = lambda name: scratch(name, (p, n_targets))
        self.solvers = solvers
        self.counts = [len(rows) for rows in held_out]
        self.grams = [square(f"gram_{k}") for k in range(len(held_out))]
        self.crosses = [cross(f"cross_{k}") for k in range(len(held_out))]
        self.sums = np.zeros((len(held_out), p))
        self.y_sums, self.y_squares = np.zeros((2, len(held_out), n_targets))
        self.system = np.empty((p, p), order="F")
        for k, rows in enumerate(held_out):
            self._sum(k, x, y, mean, y_mean, rows)
        self.gram, self.cross = square("gram"), cross("cross")
        for part in _columns(p, p):
            self.gram[:, part] = sum(gram[:, part] for gram in self.grams)
        for part in _columns(n_targets, p):
            self.cross[:, part] = sum(one[:, part] for one in self.crosses)

    def _sum(self, k, x, y, mean, y_mean, rows):
        """Sum the products of one fold's trials."""
        cross = self.crosses[k]
        cross[:] = 0

        def blocks():
            for part in slices(x, len(rows)):
                a, b = x[rows[part]] - mean, y[rows[part]] - y_mean
                for targets in _columns(y.shape[1], x.shape[1]):
                    cross[:, targets] += a.T @ b[:, targets]
                self.sums[k] += a.sum(axis=0)
                self.y_sums[k] += b.sum(axis=0)
                self.y_squares[k] += np.square(b).sum(axis=0)
                yield a

        self.solvers.sum_products(blocks(), self.system)
        self.grams[k][:] = self.system

    def loss(self, fold, alpha):
        """Mean squared error of each target on one fold, of ridge fitted to the others."""
        n, n_train = self.counts[fold], sum(self.counts) - self.counts[fold]
        x, y = self.sums[fold], self.y_sums[fold]
        mean = (self.sums.sum(axis=0) - x) / n_train
        y_mean = (self.y_sums.sum(axis=0) - y) / n_train
        solve = self._factor(alpha, n_train, mean, self.grams[fold])
        # of the held-out trials, centred by the means of the others, by what they sum to
        errors = self.y_squares[fold] - 2 * y_mean * y + n * y_mean**2
        for part in _columns(len(errors), len(x)):
            cross = np.asfortranarray(self.cross[:, part] - self.crosses[fold][:, part])
            cross -= n_train * np.outer(mean, y_mean[part])
            w = solve(cross)
            length = np.einsum("pt,pt->t", w, self.solvers.times(self.grams[fold], w))
            length += -2 * (x @ w) * (mean @ w) + n * (mean @ w) ** 2
            along = np.einsum("pt,pt->t", w, self.crosses[fold][:, part])
            along += -(x @ w) * y_mean[part] - (mean @ w) * (y[part] - n * y_mean[part])
            errors[part] += length - 2 * along
        return errors / n

    def weights(self, chosen):
        """Weights (p, n_targets) of all trials, by the penalty chosen for each target."""
        n, weights = sum(self.counts), np.empty(self.cross.shape, np.float32)
        mean, y_mean = self.sums.sum(axis=0) / n, self.y_sums.sum(axis=0) / n
        for alpha in np.unique(chosen):
            solve = self._factor(alpha, n, mean)
            targets = np.flatnonzero(chosen == alpha)
            for part in _columns(len(targets), len(mean)):
                cross = np.asfortranarray(self.cross[:, targets[part]])
                cross -= n * np.outer(mean, y_mean[targets[part]])
                weights[:, targets[part]] = solve(cross)
        return weights

    def _factor(self, alpha, n, mean, without=None):
        """Factor the centred products of all trials, or those without a fold's, plus alpha."""
        from scipy.linalg.blas import dsyr

        for part in _columns(len(mean), len(mean)):
            self.system[:, part] = self.gram[:, part]
            if without is not None:
                self.system[:, part] -= without[:, part]
        system = dsyr(-n, mean, a=self.system, lower=1, overwrite_a=1)
        return _solver(self.solvers, system, alpha)


class _OfTrials:
    """Products of trials, (n_trials, n_trials): for fewer trials than channels."""

    def __init__(self, x, y, mean, y_mean, held_out, scratch, solvers):
        self.x, self.mean, self.y, self.solvers = x, mean, y[:] - y_mean, solvers
        self.held_out, everything = held_out, np.arange(len(x))
        self.train = [np.setdiff1d(everything, rows) for rows in held_out]
        self.kernel = scratch("kernel", (len(x), len(x)))
        # few large blocks, each multiplied with the small ones before it
        for many in slices(x, n_bytes=4 * BLOCK):
            a = x[many] - mean
            for few in slices(x, many.stop):
                product = a @ (x[few] - mean).T
                self.kernel[many, few] = product
                self.kernel[few, many] = product.T
        largest = max(map(len, self.train))
        self.space = np.empty(max(largest, len(x)) ** 2)

    def loss(self, fold, alpha):
        """Mean squared error of each target on one fold, of ridge fitted to the others."""
        train, test = self.train[fold], self.held_out[fold]
        solve, row_means, whole_mean = self._factor(alpha, train)
        y_mean = self.y[train].mean(axis=0)
        across = self.kernel[np.ix_(test, train)]
        across -= across.mean(axis=1, keepdims=True)
        across -= row_means - whole_mean
        dual = solve(np.asfortranarray(self.y[train] - y_mean))
        return np.square(self.y[test] - y_mean - across @ dual).mean(axis=0)

    def weights(self, chosen):
        """Weights (n_channels, n_targets) of all trials, by the penalty chosen for each target."""
        everything, dual = np.arange(len(self.y)), np.empty(self.y.shape)
        centred = self.y - self.y.mean(axis=0)
        for alpha in np.unique(chosen):
            solve, *_ = self._factor(alpha, everything)
            targets = chosen == alpha
            dual[:, targets] = solve(np.asfortranarray(centred[:, targets]))
        weights = np.zeros((self.x.shape[1], len(chosen)))
        for part in slices(self.x):
            weights += (self.x[part] - self.mean).T @ dual[part]
        return weights

    def _factor(self, alpha, rows):
        """Factor the kernel of some trials, centred, plus alpha; and what it was centred by."""
        n = len(rows)
        system = self.space[: n * n].reshape(n, n, order="F")
        for part in _columns(n, n):
            system[:, part] = self.kernel[:, rows[part]][rows]
        row_means = system.mean(axis=0)
        whole_mean = row_means.mean()
        system -= row_means
        system -= row_means[:, None] - whole_mean
        return _solver(self.solvers, system, alpha), row_means, whole_mean


def _solver(solvers, system, alpha):
    """What solves a system, in whose place it is factored, once alpha is added."""
    np.fill_diagonal(system, system.diagonal() + alpha)
    solve = solvers.solver(system)
    if solve is None:
        raise ValueError(
            f"ridge with the penalty {alpha:g} has no solution to the precision of float64: the "
            "responses hold values far larger than the others"
        )
    return solve


def _columns(n, n_rows):
    """Cut n columns of so many rows into slices of about a block."""
    step = max(1, min(COLUMNS, BLOCK // (4 * n_rows))) if n_rows else n
    return [slice(first, min(first + step, n)) for first in range(0, n, step)]
