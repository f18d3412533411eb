"""What an aligner is: it maps one subject's responses into the channels of a reference subject.

A fitted map is a dictionary of plain arrays, so that it can be saved, read and applied anywhere.
"""

from typing import Protocol

import numpy as np


class Aligner(Protocol):
    """Learn a map from responses to the same stimuli, then apply it to any trial.

    One whose attribute `learns` is False is never asked to fit.
    """

    def fit(self, source: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
        """Fit the map of (n_stimuli, n_source) responses to (n_stimuli, n_reference) responses.

        Row i of both is the answer to the same stimulus, averaged over its repeats.
        """

    def transform(self, responses: np.ndarray, state: dict[str, np.ndarray]) -> np.ndarray:
        """Map trials, (n_trials, n_source) to (n_trials, n_reference), by a fitted state."""


def affine(responses: np.ndarray, state: dict[str, np.ndarray]) -> np.ndarray:
    """Apply a linear map and its offset: responses @ map + offset, in float32."""
    return np.asarray(responses, np.float32) @ state["map"] + state["offset"]


def affine_state(mapping, source_mean, reference_mean) -> dict[str, np.ndarray]:
    """The state of a linear map fitted on centred responses."""
    offset = reference_mean - source_mean @ mapping
    return {"map": mapping.astype(np.float32), "offset": offset.astype(np.float32)}


def centred(
    source: np.ndarray, reference: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Check that stimuli correspond; return both without their means, and the means.

    Raises
    ------
    ValueError
        If the two do not hold the same stimuli, or hold fewer than two.
    """
    if len(source) != len(reference):
        raise ValueError(
            f"{len(source)} source and {len(reference)} reference stimuli: rows must correspond"
        )
    if len(source) < 2:
        raise ValueError(
            f"the two subjects share {len(source)} training stimuli and an aligner needs at least "
            "2: show them the same stimuli, or choose aligner=identity"
        )
    source, reference = np.asarray(source, float), np.asarray(reference, float)
    means = source.mean(axis=0), reference.mean(axis=0)
    return source - means[0], reference - means[1], *means
