"""Linear decoding of one subject by ridge regression: the baseline every network is held against.

    y = x W + b,   W = argmin ||y - x W - b||^2 + alpha ||W||^2

The solver is himalaya's [1]_: in the space of trials when there are fewer trials than channels, in
the space of channels otherwise. What is fitted is a dictionary of plain arrays.

References
----------
.. [1] Dupre la Tour, Eickenberg, Nunez-Elizalde, Gallant (2022). Feature-space selection with
   banded ridge regression. NeuroImage 264.
"""

import numpy as np

# Penalties, relative to the mean squared length of a centred trial.
FRACTIONS = tuple(10.0 ** (k / 2) for k in range(-6, 5))


def fit_ridge(x, y, groups, fractions=FRACTIONS, n_folds=5, alpha_per_target=True):
    """Fit a ridge regression whose penalty is chosen by cross-validation over groups of trials.

    Parameters
    ----------
    x : ndarray, shape (n_trials, n_channels)
        Training rows only.
    y : ndarray, shape (n_trials, ...)
        Targets; trailing axes are flattened.
    groups : array of str or int, shape (n_trials,)
        What must not be cut apart between folds: the run, since trials of a run share noise.
    fractions : sequence of float
        Candidate penalties, relative to the mean squared length of a centred trial; the choice
        therefore does not depend on the unit of x.
    n_folds : int
        Folds of the inner cross-validation; fewer if there are fewer groups.
    alpha_per_target : bool
        Choose a penalty for every target, or one for all (least mean squared error over targets).

    Returns
    -------
    fit : dict of ndarray
        ``weights`` (n_channels, n_targets), ``intercepts`` (n_targets,), float32, and ``alphas``
        (n_targets,) float64.

    Raises
    ------
    ValueError
        If trials do not match or there are fewer than two groups.
    """
    x, y = _checked(x, y, groups)
    mean = x.mean(axis=0)
    alphas = np.asarray(fractions, float) * ((x - mean) ** 2).sum(axis=1).mean()
    folds = whole_folds(groups, n_folds)
    solve = _in_trial_space if len(x) < x.shape[1] else _in_channel_space
    dtype = precise_enough(min(fractions))
    centred = (x - mean).astype(dtype), (y - y.mean(axis=0)).astype(dtype)
    weights, chosen = solve(*centred, alphas.astype(dtype), folds, alpha_per_target)
    intercepts = y.mean(axis=0) - mean @ weights
    return {
        "weights": weights.astype(np.float32),
        "intercepts": intercepts.astype(np.float32),
        "alphas": np.broadcast_to(chosen, y.shape[1:]).astype(np.float64),
    }


def fit_ridge_at(x, y, alphas):
    """Fit a ridge regression at penalties that are given; no row is held out.

    Parameters
    ----------
    x : ndarray, shape (n_trials, n_channels)
        Training rows only.
    y : ndarray, shape (n_trials, ...)
        Targets; trailing axes are flattened.
    alphas : float, or ndarray of shape (n_targets,)
        Penalties, in the squared unit of x: those of a sum over trials.

    Returns
    -------
    fit : dict of ndarray
        As of `fit_ridge`.
    """
    from sklearn.linear_model import Ridge

    y = np.asarray(y).reshape(len(y), -1)
    alphas = np.broadcast_to(np.asarray(alphas, np.float64), y.shape[1:])
    length = ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()
    dtype = precise_enough(alphas.min() / length if length else 1.0)
    x, y = np.asarray(x, dtype), np.asarray(y, dtype)
    weights = np.empty((x.shape[1], y.shape[1]), np.float32)
    intercepts = np.empty(y.shape[1], np.float32)
    for alpha in np.unique(alphas):  # one factorisation each
        own = alphas == alpha
        model = Ridge(alpha).fit(x, y[:, own])
        weights[:, own], intercepts[own] = np.atleast_2d(model.coef_).T, model.intercept_
    return {"weights": weights, "intercepts": intercepts, "alphas": alphas}


def precise_enough(fraction):
    """Numbers to solve with: float32 halves the time where the penalty is no tiny fraction."""
    return np.float32 if fraction >= min(FRACTIONS) * 0.999 else np.float64


def predict_ridge(x, fit):
    """Predict flat targets, (n_trials, n_targets) float32, from trials (n_trials, n_channels)."""
    if x.shape[1] != len(fit["weights"]):
        raise ValueError(
            f"the trials have {x.shape[1]} channels but ridge was fitted on {len(fit['weights'])}: "
            "use the scaling and channels of the same align"
        )
    return np.asarray(x, np.float32) @ fit["weights"] + fit["intercepts"]


def _checked(x, y, groups):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64).reshape(len(y), -1)
    if not len(x) == len(y) == len(groups):
        raise ValueError(f"{len(x)} trials, {len(y)} targets and {len(groups)} groups do not match")
    return x, y


def whole_folds(groups, n_folds):
    """Fixed folds of whole groups, about equally many trials in each: (train, held out) pairs."""
    from sklearn.model_selection import GroupKFold

    groups = np.asarray(groups)
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise ValueError(
            f"ridge chooses its penalty on left-out runs, but all {len(groups)} training trials "
            "belong to one: give more runs, or another grouping"
        )
    return list(GroupKFold(min(n_folds, n_groups)).split(groups, groups=groups))


def _in_channel_space(x, y, alphas, folds, alpha_per_target):
    from himalaya.ridge import RidgeCV

    model = RidgeCV(alphas, fit_intercept=True, cv=folds, solver_params=_params(alpha_per_target))
    model.fit(x, y)
    return model.coef_, model.best_alphas_


def _in_trial_space(x, y, alphas, folds, alpha_per_target):
    from himalaya.kernel_ridge import KernelRidgeCV

    model = KernelRidgeCV(
        alphas, fit_intercept=True, cv=folds, solver_params=_params(alpha_per_target)
    )
    model.fit(x, y)
    return x.T @ model.dual_coef_, model.best_alphas_


def _params(alpha_per_target):
    # Targets in batches keep memory flat: himalaya holds (n_alphas, n_trials, batch) predictions.
    return {"local_alpha": alpha_per_target, "n_targets_batch": 1024}
