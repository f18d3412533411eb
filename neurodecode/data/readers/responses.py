"""Read responses that are there already: one ``.npy`` file, a row for each trial."""

import numpy as np

from neurodecode.core.claims import FalseClaim, check_npy

SAVE = "np.save(path, np.asarray(responses, np.float32))"


def open_responses(path):
    """Memory-map responses, read-only; no value is read yet.

    Parameters
    ----------
    path : path
        An ``.npy`` file of float16, float32, float64 or whole numbers.

    Returns
    -------
    responses : ndarray, shape (n_trials, n_channels[, n_times])

    Raises
    ------
    ValueError
        For a file that is no array, is cut short or holds Python objects, another type of number,
        another number of axes, or an empty array.
    """
    array = _open(path)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} holds {array.dtype}: responses are real numbers; {SAVE}")
    if array.ndim not in (2, 3):
        raise ValueError(
            f"{path} has shape {array.shape}: responses have 2 axes (trials, channels) or 3 "
            "(trials, channels, times)"
        )
    if not array.size:
        raise ValueError(f"{path} has shape {array.shape}: there is nothing in it")
    return array


def facts(path):
    """Return ``n_trials``, ``n_channels`` and, where there is a time axis, ``n_times``."""
    shape = open_responses(path).shape
    return dict(zip(("n_trials", "n_channels", "n_times"), shape, strict=False))


def _open(path):
    try:
        check_npy(path)
    except FalseClaim as error:
        raise FalseClaim(f"{error}: {SAVE}") from None
    return np.load(path, mmap_mode="r", allow_pickle=False)
