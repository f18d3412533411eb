"""From a subject's raw responses to what the network reads: scaled, selected, aligned."""

import numpy as np

from neurodecode.align.base import Aligner


def transform(
    responses: np.ndarray,
    subject: str,
    scaling: dict[str, np.ndarray],
    channels: dict[str, np.ndarray],
    maps: dict[str, np.ndarray],
    aligner: Aligner,
) -> np.ndarray:
    """Apply what `align` fitted on training rows to trials of one subject.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels)
        As preprocessed.
    subject : str
    scaling : dict of ndarray
        ``{subject}/mean`` and ``{subject}/std``, shape (n_channels,).
    channels : dict of ndarray
        ``{subject}``: indices of the channels that are kept.
    maps : dict of ndarray
        ``{subject}/...``: the aligner's state; the reference subject has none.
    aligner : Aligner
        The one the maps were fitted with.

    Returns
    -------
    aligned : ndarray of float32, shape (n_trials, n_channels_out)

    Raises
    ------
    ValueError
        For a subject that was not there when the alignment was fitted, or for other channels.
    """
    selected = scale_and_select(responses, subject, scaling, channels)
    state = subject_state(maps, subject)
    return aligner.transform(selected, state) if state else selected


def scale_and_select(
    responses: np.ndarray,
    subject: str,
    scaling: dict[str, np.ndarray],
    channels: dict[str, np.ndarray],
) -> np.ndarray:
    """Standardise a subject's reliable channels, by training statistics: float32."""
    if subject not in channels:
        known = sorted(name for name in channels if "/" not in name)
        raise ValueError(f"{subject} was not aligned; {', '.join(known)} were: run align with it")
    mean, std = scaling[f"{subject}/mean"], scaling[f"{subject}/std"]
    if responses.shape[1] != len(mean):
        raise ValueError(
            f"{subject} has {responses.shape[1]} channels but was aligned with {len(mean)}: "
            "use the same mask in preprocess, or align again"
        )
    kept = channels[subject]
    return ((responses[:, kept] - mean[kept]) / std[kept]).astype(np.float32)


def subject_state(maps: dict[str, np.ndarray], subject: str) -> dict[str, np.ndarray]:
    """One subject's part of all maps; empty for the reference and where nothing was fitted."""
    own = f"{subject}/"
    return {name.removeprefix(own): maps[name] for name in maps if name.startswith(own)}
