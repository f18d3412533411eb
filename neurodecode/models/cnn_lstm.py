"""The CNN-LSTM of ECoG motor imagery [1]_: a trial as a picture, convolved, then read along time.

References
----------
.. [1] Bafana (2023). Dimensionality reduction before an LSTM-CNN of ECoG motor imagery. arXiv
   2311.13507.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurodecode.core.ranges import CountOrNone, Positive
from neurodecode.models.broadband_power import relative_power
from neurodecode.models.trial_classifier import Training, fit_network, scores_of


class CnnLstmNetwork(nn.Module):
    """Two convolutions with pooling over times and channels, a recurrent layer, dense layers.

    Parameters
    ----------
    n_channels, n_times, n_classes : int
    filters, kernels : list of int
        Of the two convolutions.
    lstm : int
        Units of the recurrent layer, whose last state is read; 0: all features are, flat.
    dense : list of int
        Widths of the layers before the classes.

    Raises
    ------
    ValueError
        If trials are too small for the convolutions.
    """

    def __init__(
        self,
        n_channels: int,
        n_times: int,
        n_classes: int,
        filters: list[int] = (32, 16),
        kernels: list[int] = (3, 5),
        lstm: int = 150,
        dense: list[int] = (96, 24),
    ):
        super().__init__()
        layers, n_maps, size = [], 1, [n_times, n_channels]
        for n_filters, kernel in zip(filters, kernels, strict=True):
            layers += [nn.Conv2d(n_maps, n_filters, kernel), nn.ReLU(), nn.MaxPool2d(2)]
            n_maps, size = n_filters, [(n - kernel + 1) // 2 for n in size]
            if min(size) < 1:
                raise ValueError(
                    f"trials of {n_channels} channels and {n_times} samples are too small for "
                    f"convolutions of {list(kernels)} with pooling by 2: set smaller kernels"
                )
        self.convolve = nn.Sequential(*layers)
        n_features = n_maps * size[1]
        self.lstm = nn.LSTM(n_features, lstm, batch_first=True) if lstm else None
        wide = [lstm or n_features * size[0], *dense]
        parts = [(nn.Linear(i, o), nn.ReLU()) for i, o in zip(wide, dense, strict=False)]
        self.dense = nn.Sequential(*(layer for pair in parts for layer in pair))
        self.classify = nn.Linear(wide[-1], n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score classes of trials, (n, n_channels, n_times) to (n, n_classes)."""
        maps = self.convolve(x.transpose(1, 2)[:, None])  # (n, n_maps, times, channels)
        features = maps.transpose(1, 2).flatten(2)
        read = features.flatten(1) if self.lstm is None else self.lstm(features)[0][:, -1]
        return self.classify(self.dense(read))


@dataclass(frozen=True)
class CnnLstm:
    """The CNN-LSTM as a classifier of trials; see `neurodecode.models.trial_classifier`.

    Rarer classes weigh more in the loss, so that all weigh the same together.

    Parameters
    ----------
    training : Training
    highpass_hz : float, optional
        Broadband power is what lies above; None: trials are taken as they are.
    lowpass_hz : float
        That power is smoothed with.
    filters, kernels, lstm, dense
        See `CnnLstmNetwork`; of the CNN alone: [64, 48], [3, 5], 0, [96, 48].
    fits_on_all : bool
        Published quirk: the mean power that trials are divided by is that of test rows too.
    """

    training: Training = field(default_factory=Training)
    highpass_hz: Positive | None = 50.0
    lowpass_hz: Positive = 10.0
    filters: list[int] = field(default_factory=lambda: [32, 16])
    kernels: list[int] = field(default_factory=lambda: [3, 5])
    lstm: CountOrNone = 150
    dense: list[int] = field(default_factory=lambda: [96, 24])
    fits_on_all: bool = False

    def fit(self, x, y, groups, n_classes, sfreq_hz, seed, device, peek=None, also=None):
        """Learn from training rows; see `neurodecode.models.trial_classifier`."""
        known = x if also is None else np.concatenate([x, also])
        power = relative_power(known, sfreq_hz, self.highpass_hz, self.lowpass_hz)
        counts = np.maximum(np.bincount(y, minlength=n_classes), 1)
        weights = torch.tensor(len(y) / (n_classes * counts), dtype=torch.float32, device=device)
        sizes = (self.filters, self.kernels, self.lstm, self.dense)
        network = fit_network(
            lambda: CnnLstmNetwork(x.shape[1], x.shape[2], n_classes, *sizes),
            power(x),
            y,
            groups,
            self.training,
            seed,
            device,
            peek=None if peek is None else (power(peek[0]), peek[1]),
            loss=lambda scores, truth: F.cross_entropy(scores, truth, weights),
        )
        return lambda asked: scores_of(network, power(asked), device)
