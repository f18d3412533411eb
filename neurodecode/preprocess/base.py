"""What a way of preprocessing is: it opens one subject's recordings and reads them run by run.

It sees when something was shown, and which trials repeat, never what it was. Each run stands for
itself, so that nothing of a test run reaches a training run.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class RunResponses:
    """What one run gives."""

    responses: np.ndarray
    """(n_trials, n_channels[, n_times]), in the order of the trials asked for."""
    nuisance: dict[str, np.ndarray] = field(default_factory=dict)
    """Name -> (n_trials,): what else could tell trials apart, such as motion."""
    quality: dict[str, object] = field(default_factory=dict)
    """Figures of the run, which `Recording.quality` sums up."""


class Recording(Protocol):
    """One subject's recordings, opened and checked.

    A class of your own takes ``files`` (DataFrame: run kind name file, and the facts of the
    layout), then its options, and is named by `_target_` in conf/preprocess.

    Attributes
    ----------
    shape : tuple of int
        Of one response: (n_channels,) or (n_channels, n_times).
    channels : str
        What a channel is called: voxels, vertices, grayordinates, sensors.
    """

    shape: tuple[int, ...]
    channels: str

    def run(self, name, trials) -> RunResponses:
        """Read one run.

        Parameters
        ----------
        name : str
            As in the column ``run`` of the files and the trials.
        trials : DataFrame
            The run's trials: onset_s, duration_s and free columns.
        """

    def space(self) -> dict:
        """Describe the channels: file name below ``space/`` -> array, table, image or dict.

        ``positions_mm.npy`` (n_channels, 3), where it is known where channels lie;
        ``times_s.npy`` (n_times,), where responses have a time axis, from the onset; and
        ``mask.nii.gz``, ``surface.json`` and ``vertices.tsv``, ``sensors.tsv`` or ``rois.tsv``.
        """

    def quality(self, runs: list[dict]) -> dict:
        """Sum up the figures of all runs: name -> number, or None where it is not known."""
