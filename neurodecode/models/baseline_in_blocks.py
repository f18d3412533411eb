"""The baseline of studies larger than memory: as `baseline`, from rows that are read in blocks."""

from collections.abc import Callable
from functools import partial

import numpy as np

from neurodecode.core.lazy import Lazy, each_row, moments, slices
from neurodecode.models.baseline import flat
from neurodecode.models.ridge_in_blocks import fit_ridge_in_blocks

NARROW = 1024  # values up to which all components of a grid are computed
POWERS = 6  # passes that turn random components towards the leading ones


def fit_baseline_in_blocks(
    responses: Lazy | np.ndarray,
    tables: dict[str, Lazy | np.ndarray],
    stimulus: np.ndarray,
    groups: np.ndarray,
    n_components: int,
    scratch: Callable,
    device: str = "cpu",
) -> dict[str, np.ndarray]:
    """Fit as `fit_baseline` does, where neither responses nor targets need fit in memory.

    Parameters
    ----------
    responses : Lazy or ndarray, shape (n_trials, n_channels[, n_times])
    tables : dict of Lazy or ndarray, each (n_stimuli, ...)
    stimulus : ndarray of int, shape (n_trials,)
        The row of the tables that each trial is of.
    groups, n_components
        As of `fit_baseline`.
    scratch : callable (name, shape) -> ndarray
    device : str
        As of `fit_ridge_in_blocks`.
    """
    counts = np.bincount(stimulus, minlength=len(next(iter(tables.values()))))
    parts = {n: components_in_blocks(tables[n], counts, n_components) for n in sorted(tables)}
    features = each_row(flat, responses)
    targets = Scores([parts[name][0] for name in parts], stimulus)
    fit = fit_ridge_in_blocks(features, targets, groups, scratch, device=device)
    for name, (_, mean, basis) in parts.items():
        fit[f"{name}/mean"] = mean
        fit[f"{name}/components"] = basis
    return fit


class Scores:
    """What ridge predicts of trials: the scores of their stimuli, side by side, read when asked."""

    def __init__(self, scores: list[Lazy | np.ndarray], stimulus: np.ndarray):
        self.scores, self.stimulus = scores, stimulus
        self.shape = len(stimulus), sum(part.shape[1] for part in scores)

    def __len__(self):
        return len(self.stimulus)

    def __getitem__(self, trials) -> np.ndarray:
        """Scores of some trials, float32 (n, n_scores)."""
        stimulus, first = self.stimulus[trials], 0
        out = np.empty((len(stimulus), self.shape[1]), np.float32)
        for part in self.scores:
            out[:, first : first + part.shape[1]] = part[stimulus]
            first += part.shape[1]
        return out


def components_in_blocks(table, counts: np.ndarray, n_components: int):
    """Split as `components` does the targets of trials, of which `counts` are of each stimulus.

    The components of wide grids come from a randomised decomposition [1]_ that passes through the
    table in blocks; those of up to `NARROW` values are exact.

    Parameters
    ----------
    table : Lazy or ndarray, shape (n_stimuli, ...)
    counts : ndarray of int, shape (n_stimuli,)

    Returns
    -------
    scores : Lazy or ndarray, shape (n_stimuli, k)
        Of a vector these are its values without their mean, read when asked for.
    mean : ndarray, shape (...)
    basis : ndarray, shape (k, ...)

    References
    ----------
    .. [1] Halko, Martinsson, Tropp (2011). Finding structure with randomness. SIAM Review 53.
    """
    mean = moments(table, counts)[0].astype(np.float32)
    n_values, centred = mean.size, each_row(flat, each_row(partial(np.add, -mean), table))
    if mean.ndim == 1 or n_values <= n_components:
        return centred, mean, np.eye(n_values, dtype=np.float32).reshape(-1, *mean.shape)
    k = min(n_components, int(counts.sum()), n_values)
    found = _exact_components if n_values <= NARROW else _randomised_components
    basis = found(centred, counts, k)
    # of the two signs, as in scikit-learn, the one that makes the largest entry positive
    largest = np.abs(basis).argmax(axis=1)
    basis *= np.sign(basis[np.arange(len(basis)), largest])[:, None]
    basis = basis.astype(np.float32)
    scores = np.empty((len(table), len(basis)), np.float32)
    for part in slices(centred):
        scores[part] = centred[part] @ basis.T
    return scores, mean, basis.reshape(-1, *mean.shape)


def _exact_components(centred, counts, k):
    """Leading eigenvectors of the covariance of trials, (k, n_values)."""
    covariance, seen = 0.0, np.flatnonzero(counts)
    for part in slices(centred, len(seen)):
        block = centred[seen[part]].astype(float)
        covariance = covariance + (block * counts[seen[part], None]).T @ block
    return np.linalg.eigh(covariance)[1][:, ::-1][:, :k].T


def _randomised_components(centred, counts, k):
    """The same of wide grids, by power iterations on a random subspace."""
    seen, n_values = np.flatnonzero(counts), centred.shape[1]
    weights = np.sqrt(counts[seen]).astype(np.float32)[:, None]
    read = lambda: (weights[p] * centred[seen[p]] for p in slices(centred, len(seen)))
    start = np.random.default_rng(0).standard_normal((n_values, min(k + 10, n_values)))
    basis = np.linalg.qr(start)[0].astype(np.float32)
    for _ in range(POWERS):
        basis = np.linalg.qr(sum(block.T @ (block @ basis) for block in read()))[0]
    inner = sum(scores.T @ scores for scores in (block @ basis for block in read()))
    return (basis @ np.linalg.eigh(inner)[1][:, ::-1][:, :k]).T
