"""From a subject's raw responses to what the network reads: scaled, selected, aligned."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neurodecode.align.base import Aligner
from neurodecode.align.times import Reading
from neurodecode.core.lazy import Lazy, row_bytes

Arrays = dict[str, np.ndarray]


class Scaler(Protocol):
    """Brings one subject's channels to one scale; see `neurodecode.signal.scaling`.

    For studies larger than memory it also has `fit_rows`: the same as `fit`, of `Lazy` rows.
    """

    def fit(self, responses: np.ndarray, trials) -> Arrays:
        """Fit on training rows, (n_trials, n_channels[, n_times])."""

    def transform(self, responses: np.ndarray, state: Arrays) -> np.ndarray:
        """Scale any rows; the shape stays. Each row by itself."""


@dataclass(frozen=True)
class Fitted:
    """What `align` fitted on training rows; arrays are named ``{subject}/...``.

    Attributes
    ----------
    scaler, aligner : object
        That the states belong to.
    scaling, maps : dict of ndarray
        Their states; the reference subject has no map.
    read : Reading or None
        Which times decoders read; None: all, as they are.
    channels : dict of ndarray
        ``{subject}``: indices of the channels that are kept.
    """

    scaler: Scaler
    aligner: Aligner
    scaling: Arrays
    channels: Arrays
    maps: Arrays
    read: Reading | None = None


def fit_scaler(scaler: Scaler, responses: np.ndarray | Lazy, trials) -> Arrays:
    """Fit a scaler to training rows, read block by block if they are `Lazy`.

    Raises
    ------
    ValueError
        If they are and the scaler can only be fitted to all of them at once.
    """
    if not isinstance(responses, Lazy):
        return scaler.fit(responses, trials)
    if not hasattr(scaler, "fit_rows"):
        raise ValueError(
            f"{type(scaler).__name__} fits its scale to all training rows at once, and these take "
            f"{len(responses) * row_bytes(responses) / 2**30:.1f} GiB: give it a method "
            "fit_rows(rows, trials) that reads them in blocks, or choose scaling=zscore"
        )
    return scaler.fit_rows(responses, trials)


def transform(
    responses: np.ndarray, subject: str, fitted: Fitted, whole: bool = False
) -> np.ndarray:
    """Apply what `align` fitted to trials of one subject.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels[, n_times])
        As preprocessed.
    subject : str
    fitted : Fitted
    whole : bool
        All times, also those that decoders do not read.

    Returns
    -------
    aligned : ndarray of float32, shape (n_trials, n_channels_out[, n_times])

    Raises
    ------
    ValueError
        For a subject that was not there when the alignment was fitted, or for other channels.
    """
    selected = scale_and_select(responses, subject, fitted)
    state = subject_state(fitted.maps, subject)
    mapped = map_channels(fitted.aligner, selected, state) if state else selected
    return mapped if whole or fitted.read is None else fitted.read(mapped)


def scale_and_select(responses: np.ndarray, subject: str, fitted: Fitted) -> np.ndarray:
    """Scale a subject's channels by training statistics and keep the reliable ones: float32."""
    if subject not in fitted.channels:
        known = sorted(name for name in fitted.channels if "/" not in name)
        raise ValueError(f"{subject} was not aligned; {', '.join(known)} were: run align with it")
    expected = tuple(fitted.channels[f"{subject}/shape"])
    if responses.shape[1:] != expected:
        word = lambda shape: " × ".join(map(str, shape))
        raise ValueError(
            f"{subject} has {word(responses.shape[1:])} channels but was aligned with "
            f"{word(expected)}: use the same mask, sensors and times in preprocess, or align again"
        )
    scaled = fitted.scaler.transform(responses, subject_state(fitted.scaling, subject))
    return scaled[:, fitted.channels[subject]]


def subject_state(states: Arrays, subject: str) -> Arrays:
    """One subject's part of all states; empty for the reference and where nothing was fitted."""
    own = f"{subject}/"
    return {name.removeprefix(own): states[name] for name in states if name.startswith(own)}


def map_channels(aligner: Aligner, responses: np.ndarray, state: Arrays) -> np.ndarray:
    """Map trials by a fitted state; where there are times, each time by itself."""
    if responses.ndim == 2:
        return aligner.transform(responses, state)
    mapped = aligner.transform(as_samples(responses), state)
    trials_first = mapped.reshape(len(responses), responses.shape[2], -1)
    return np.ascontiguousarray(trials_first.transpose(0, 2, 1))


def as_samples(responses: np.ndarray) -> np.ndarray:
    """Trials with times as rows of their own: (n_trials * n_times, n_channels)."""
    if responses.ndim == 2:
        return responses
    return responses.transpose(0, 2, 1).reshape(-1, responses.shape[1])
