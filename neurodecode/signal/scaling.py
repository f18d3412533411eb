"""Bring channels to one scale: fitted on training rows, applied to any.

A scaler has `fit` (responses, trials -> dictionary of plain arrays) and `transform` (responses,
that dictionary); a channel that was constant in training comes out as 0. One that also has
`fit_rows` (the same, of `neurodecode.core.lazy.Lazy` rows) serves studies larger than memory.
"""

import numpy as np

from neurodecode.core.lazy import moments, slices


class Standard:
    """Give every channel mean 0 and variance 1 over the training trials."""

    def fit(self, responses, trials):
        """Return ``mean`` and ``std`` of each channel, at each time where there are times."""
        mean, std = fit_scaling(responses)
        return {"mean": mean, "std": std}

    def fit_rows(self, rows, trials):
        """Fit as `fit` does, on rows that are read block by block."""
        mean, std = fit_scaling_rows(rows)
        return {"mean": mean, "std": std}

    def transform(self, responses, state):
        """Scale trials (n_trials, n_channels[, n_times]) by a fitted state: float32."""
        return apply_scaling(responses, state["mean"], state["std"])


def fit_scaling(responses):
    """Return mean and population standard deviation of each channel over trials.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels[, n_times])
        Training rows only.

    Returns
    -------
    mean, std : ndarray of float32, shape (n_channels[, n_times])
        std is 0 for a constant channel.

    Raises
    ------
    ValueError
        If there are no rows, or a value is not finite.
    """
    responses = np.asarray(responses, float)
    if not len(responses):
        raise ValueError("there are no training rows to fit the scaling on")
    if not np.isfinite(responses).all():
        bad = int((~np.isfinite(responses)).any(axis=0).sum())
        raise ValueError(f"{bad} channels hold values that are not finite: preprocess them again")
    varies = np.ptp(responses, axis=0) > 0
    std = np.where(varies, responses.std(axis=0), 0)
    return responses.mean(axis=0).astype(np.float32), std.astype(np.float32)


def fit_scaling_rows(rows):
    """Fit as `fit_scaling` does, in one pass through blocks of rows: equal to 1e-6.

    Parameters
    ----------
    rows : Lazy, shape (n_trials, n_channels[, n_times])
    """
    if not len(rows):
        raise ValueError("there are no training rows to fit the scaling on")
    mean, variance = moments(rows)
    if bad := int((~np.isfinite(variance)).sum()):
        raise ValueError(f"{bad} channels hold values that are not finite: preprocess them again")
    std = np.where(varying(rows), np.sqrt(variance), 0)
    return mean.astype(np.float32), std.astype(np.float32)


def varying(rows):
    """Say of each channel, at each time, whether it differs between any two rows."""
    low, high = np.full((2, *rows.shape[1:]), np.nan)
    for part in slices(rows):
        block = rows[part]
        low, high = np.fmin(low, block.min(axis=0)), np.fmax(high, block.max(axis=0))
    return high > low


def apply_scaling(responses, mean, std):
    """Return ``(responses - mean) / std`` as float32; 0 where the channel was constant.

    A channel without variance in training carries nothing a model has learnt to read, whatever it
    does later.
    """
    responses = np.asarray(responses, np.float32)
    scaled = np.where(std > 0, (responses - mean) / np.where(std > 0, std, 1), 0)
    return scaled.astype(np.float32, copy=False)
