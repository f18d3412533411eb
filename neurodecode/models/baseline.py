"""The ever-present baseline: ridge regression of everything the network predicts, one per subject.

Grids of thousands of correlated values (tokens, blurry pictures) are predicted by their leading
principal components: as good, and a tenth of the time. Vectors (the embedding that is scored) are
predicted value by value.
"""

import numpy as np

from neurodecode.models.ridge import fit_ridge, predict_ridge


def fit_baseline(
    responses: np.ndarray,
    targets: dict[str, np.ndarray],
    groups: np.ndarray,
    n_components: int,
) -> dict[str, np.ndarray]:
    """Fit ridge to several targets at once.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels[, n_times])
        Training rows of one subject; each channel at each time is a feature.
    targets : dict of ndarray, each (n_trials, ...)
        By name, e.g. pooled, tokens and blurry.
    groups : ndarray, shape (n_trials,)
        The run of each trial; penalties are chosen on left-out runs.
    n_components : int
        Principal components of targets with more than one axis per trial.

    Returns
    -------
    fit : dict of ndarray
        As of `fit_ridge`, and for each target its `{name}/mean` (...) and `{name}/components`
        (k, ...), which the ridge predictions are the scores of.
    """
    parts = {name: components(targets[name], n_components) for name in sorted(targets)}
    scores = np.concatenate([p[0] for p in parts.values()], axis=1)
    fit = fit_ridge(flat(responses), scores, groups)
    for name, (_, mean, basis) in parts.items():
        shape = targets[name].shape[1:]
        fit[f"{name}/mean"] = mean.reshape(shape)
        fit[f"{name}/components"] = basis.reshape(-1, *shape)
    return fit


def predict_baseline(responses: np.ndarray, fit: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Predict every target of trials: `{name: (n_trials, ...)}`, float32."""
    scores = predict_ridge(flat(responses), fit)
    return {
        name: fit[f"{name}/mean"] + np.tensordot(scores[:, own], fit[f"{name}/components"], axes=1)
        for name, own in _columns(fit).items()
    }


def flat(responses: np.ndarray) -> np.ndarray:
    """Trials as rows of features: channels, or channels at each time."""
    return responses.reshape(len(responses), -1)


def linear_map(fit: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n_features, n_values) and intercepts (n_values,) of one target, flat."""
    own, basis = _columns(fit)[name], fit[f"{name}/components"]
    basis = basis.reshape(len(basis), -1)
    intercepts = fit["intercepts"][own] @ basis + fit[f"{name}/mean"].ravel()
    return fit["weights"][:, own] @ basis, intercepts


def _columns(fit):
    """The columns of the weights that predict each target, by its name."""
    names = sorted(n.removesuffix("/mean") for n in fit if n.endswith("/mean"))
    ends = np.cumsum([len(fit[f"{name}/components"]) for name in names])
    return {n: slice(e - len(fit[f"{n}/components"]), e) for n, e in zip(names, ends, strict=True)}


def components(target: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split rows into scores, mean and orthonormal components: target = mean + scores @ basis.

    Returns
    -------
    scores : ndarray, shape (n_rows, k)
    mean : ndarray, shape (n_values,)
    basis : ndarray, shape (k, n_values)
        The identity for vectors, and where there are no more values than `n_components`.
    """
    rows = np.asarray(target, np.float32).reshape(len(target), -1)
    mean = rows.mean(axis=0)
    if target.ndim == 2 or rows.shape[1] <= n_components:
        return rows - mean, mean, np.eye(rows.shape[1], dtype=np.float32)
    from sklearn.decomposition import PCA

    # randomised where that is faster: all singular vectors of tokens took seconds per subject
    found = PCA(n_components=min(n_components, len(rows)), random_state=0).fit(rows)
    basis = found.components_.astype(np.float32)
    return (rows - mean) @ basis.T, mean, basis
