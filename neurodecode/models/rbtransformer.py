"""RBTransformer [1]_: emotions from EEG, by attention among electrodes that carry band entropies.

Each electrode of a window is a token of four numbers, the differential entropies of its bands.
Blocks of attention relate the electrodes; their mean tells the class. Minority classes are filled
up with made-up rows between neighbours (SMOTE [2]_), among training rows alone.

References
----------
.. [1] RBTransformer (2025). Inter-cortical attention for EEG emotion recognition. arXiv 2511.13954.
.. [2] Chawla et al. (2002). SMOTE: synthetic minority over-sampling technique. JAIR 16.
"""

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurodecode.core.ranges import Count, PartShare, Positive
from neurodecode.core.seeds import child_seed
from neurodecode.models.optional import needed
from neurodecode.models.trial_classifier import (
    Training,
    as_they_are,
    check_times,
    fit_network,
    scores_of,
)

LEAST = 1e-12  # variance of a band that holds nothing, so that its entropy is a number


def band_entropies(
    x: np.ndarray, bands: list[list[float]], sfreq_hz: float, zscore: str = "window"
) -> np.ndarray:
    """Differential entropies of bands, 1/2 log2(2 pi e variance), in bits.

    A window is standardised, then filtered forwards by Butterworth filters of order 5 that start
    at rest, as published: the filter's first swing is part of the variance.

    Parameters
    ----------
    x : ndarray, shape (n_windows, n_channels, n_times)
    bands : list of (low, high)
        In Hz.
    sfreq_hz : float
    zscore : {"window", "channel"}
        Mean and deviation over a window's channels and times, or over each channel's times.

    Returns
    -------
    entropies : ndarray of float32, shape (n_windows, n_channels, n_bands)

    Raises
    ------
    ValueError
        If a band does not lie between 0 and half the sampling rate.
    """
    from scipy.signal import butter, sosfilt

    for low, high in bands:
        if not 0 < low < high < sfreq_hz / 2:
            raise ValueError(
                f"the band {low:g} to {high:g} Hz must lie above 0 and below {sfreq_hz / 2:g} Hz, "
                "half the sampling rate: set the classifier's bands"
            )
    axes = (1, 2) if zscore == "window" else 2
    x = np.asarray(x, np.float64)
    std = x.std(axis=axes, keepdims=True)
    x = (x - x.mean(axis=axes, keepdims=True)) / np.where(std > 0, std, 1)
    filters = [butter(5, band, "bandpass", fs=sfreq_hz, output="sos") for band in bands]
    power = np.stack([sosfilt(sos, x, axis=2).var(axis=2) for sos in filters], axis=2)
    return (np.log2(2 * math.pi * math.e * np.maximum(power, LEAST)) / 2).astype(np.float32)


class RBTransformerNetwork(nn.Module):
    """The published network, with the published names.

    Parameters
    ----------
    n_channels, n_classes, n_bands : int
    width, n_blocks, n_heads, d_head : int
        Of tokens, and of the blocks of attention.
    head : list of int
        Widths of the layers between the mean electrode and the classes.
    dropout : float
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        n_bands: int = 4,
        width: int = 128,
        n_blocks: int = 4,
        n_heads: int = 6,
        d_head: int = 32,
        head: tuple[int, ...] = (256, 256, 128),
        dropout: float = 0.1,
    ):
        super().__init__()
        self.bde_proj_layer = nn.ModuleDict({"linear": nn.Linear(n_bands, width)})
        self.electrode_id_embedding = nn.ParameterDict(
            {"embedding": nn.Parameter(torch.randn(1, n_channels, width))}
        )
        self.dropout = nn.Dropout(dropout)
        self.intercortical_attention_blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "attention": _Normed(width, _Attention(width, n_heads, d_head, dropout)),
                    "feed_forward": _Normed(width, _FeedForward(width, dropout)),
                }
            )
            for _ in range(n_blocks)
        )
        layers = []
        for wide, narrow in zip((width, *head), head, strict=False):
            layers += [nn.Linear(wide, narrow), nn.GELU(), nn.Dropout(dropout)]
        mlp = nn.Sequential(*layers, nn.Linear(head[-1], n_classes))
        self.classification_head = nn.ModuleDict({"norm": nn.LayerNorm(width), "mlp": mlp})

    def forward(self, entropies: Tensor) -> Tensor:
        """Score classes of windows, (n, n_channels, n_bands) to (n, n_classes)."""
        z = self.bde_proj_layer["linear"](entropies)
        z = self.dropout(z + self.electrode_id_embedding["embedding"])
        for block in self.intercortical_attention_blocks:
            z = z + block["attention"](z)
            z = z + block["feed_forward"](z)
        head = self.classification_head
        return head["mlp"](head["norm"](z.mean(dim=1)))


class _Normed(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width), inner

    def forward(self, z):
        return self.fn(self.norm(z))


class _Attention(nn.Module):
    def __init__(self, width, n_heads, d_head, dropout):
        super().__init__()
        self.n_heads = n_heads
        self.to_qkv = nn.Linear(width, 3 * n_heads * d_head, bias=False)
        self.to_out = nn.Sequential(nn.Linear(n_heads * d_head, width), nn.Dropout(dropout))

    def forward(self, z):
        q, k, v = self.to_qkv(z).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (n, n_heads, n_channels, d_head)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        drop = lambda: nn.Dropout(dropout)
        layers = [nn.Linear(width, width), nn.GELU(), drop(), nn.Linear(width, width), drop()]
        self.net = nn.Sequential(*layers)

    def forward(self, z):
        return self.net(z)


@dataclass(frozen=True)
class RBTransformer:
    """RBTransformer as a classifier of windows; see `neurodecode.models.trial_classifier`.

    Parameters
    ----------
    training : Training
    bands : list of (low, high)
        In Hz. The public code has 4-8, 8-14, 14-31, 31-49; the paper 4-8, 8-13, 13-30, 30-45.
    zscore : {"window", "channel"}
        As in the public code, or as in the paper; see `band_entropies`.
    baseline_s : float, optional
        Seconds at the start of each trial that are its baseline: the mean entropy of their windows
        of one second is subtracted, and they are not part of the trial. None: there is no baseline.
    filter_sfreq_hz : float, optional
        Sampling rate that the filters are made for; None: the data's. The public code says 128 of
        a study at 200 Hz (SEED), which makes every band 1.56 times as wide and as high.
    smote : bool
        Whether minority classes are filled up.
    label_smoothing : float
        Share of a label that is spread over all classes.
    width, n_blocks, n_heads, d_head, head, dropout
        See `RBTransformerNetwork`.
    """

    training: Training = field(default_factory=Training)
    bands: list[list[float]] = field(default_factory=lambda: [[4, 8], [8, 14], [14, 31], [31, 49]])
    zscore: Literal["window", "channel"] = "window"
    baseline_s: Positive | None = None
    filter_sfreq_hz: Positive | None = None
    smote: bool = True
    label_smoothing: PartShare = 0.12
    width: Count = 128
    n_blocks: Count = 4
    n_heads: Count = 6
    d_head: Count = 32
    head: list[int] = field(default_factory=lambda: [256, 256, 128])
    dropout: PartShare = 0.1

    fits_on_all = False

    def fit(self, x, y, groups, n_classes, sfreq_hz, seed, device, peek=None, also=None):
        """Learn from training rows; see `neurodecode.models.trial_classifier`."""
        check_times(x, sfreq_hz, 2, "RBTransformer")
        entropies = lambda rows: self.entropies(rows, sfreq_hz)
        sizes = (self.width, self.n_blocks, self.n_heads, self.d_head, self.head, self.dropout)
        network = fit_network(
            lambda: RBTransformerNetwork(x.shape[1], n_classes, len(self.bands), *sizes),
            entropies(x),
            y,
            groups,
            self.training,
            seed,
            device,
            peek=None if peek is None else (entropies(peek[0]), peek[1]),
            loss=lambda scores, truth: F.cross_entropy(
                scores, truth, label_smoothing=self.label_smoothing
            ),
            enlarge=partial(filled_up, seed=seed) if self.smote else as_they_are,
        )
        return lambda asked: scores_of(network, entropies(asked), device)

    def entropies(self, x: np.ndarray, sfreq_hz: float) -> np.ndarray:
        """Entropies of trials, less those of their baseline; (n_trials, n_channels, n_bands).

        Raises
        ------
        ValueError
            If the baseline is shorter than a window of one second, or as long as a trial.
        """
        of = lambda part: band_entropies(
            part, self.bands, self.filter_sfreq_hz or sfreq_hz, self.zscore
        )
        if self.baseline_s is None:
            return of(x)
        second = round(sfreq_hz)
        n_windows, n_times = int(self.baseline_s * sfreq_hz) // second, x.shape[2]
        n_baseline = round(self.baseline_s * sfreq_hz)
        if n_windows < 1 or n_baseline >= n_times:
            raise ValueError(
                f"a baseline of {self.baseline_s:g} s must last a second or more, and less than "
                f"the trial ({n_times / sfreq_hz:g} s): set the classifier's baseline_s"
            )
        parts = [of(x[:, :, i * second : (i + 1) * second]) for i in range(n_windows)]
        return of(x[:, :, n_baseline:]) - np.mean(parts, axis=0)


def filled_up(rows: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fill all classes up to the size of the largest by SMOTE [2]_.

    Parameters
    ----------
    rows : ndarray, shape (n, ...)
        Neighbours are found among the flattened rows of a class, five or as many as there are.
    y : ndarray of int, shape (n,)
    seed : int

    Raises
    ------
    ValueError
        If a class that has to grow has a single row.
    """
    counts = np.bincount(y)[np.unique(y)]
    if counts.min() == counts.max():
        return rows, y
    if counts.min() < 2:
        raise ValueError(
            "a class has one training trial, between which and itself none can be made up: set the "
            "classifier's smote=false"
        )
    sampling = needed("imblearn.over_sampling", "imbalanced-learn", "smote=true")
    state = child_seed(seed, "smote") % 2**32
    smote = sampling.SMOTE(k_neighbors=min(5, counts.min() - 1), random_state=state)
    more, classes = smote.fit_resample(rows.reshape(len(rows), -1), y)
    return more.reshape(-1, *rows.shape[1:]).astype(rows.dtype), classes


def published(state: dict[str, tuple[int, ...]]) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint, on the meta device, and say which key is which.

    Raises
    ------
    ValueError
        If the layout is another.
    """
    shapes = {key.removeprefix("module."): tuple(shape) for key, shape in state.items()}
    needs = {
        "bde_proj_layer.linear.weight",
        "electrode_id_embedding.embedding",
        "classification_head.mlp.9.weight",
    }
    if not needs <= shapes.keys():
        missing = ", ".join(sorted(needs - shapes.keys()))
        raise ValueError(f"the checkpoint has no {missing}: is it of RBTransformer?")
    n_classes = shapes["classification_head.mlp.9.weight"][0]
    _, n_channels, width = shapes["electrode_id_embedding.embedding"]
    blocks = {k.split(".")[1] for k in shapes if k.startswith("intercortical_attention_blocks.")}
    with torch.device("meta"):
        network = RBTransformerNetwork(
            n_channels,
            n_classes,
            n_bands=shapes["bde_proj_layer.linear.weight"][1],
            width=width,
            n_blocks=len(blocks),
            head=tuple(shapes.get(f"classification_head.mlp.{i}.bias", (0,))[0] for i in (0, 3, 6)),
        )
    for key, value in network.state_dict().items():
        if shapes.get(key) != tuple(value.shape):
            raise ValueError(
                f"{key} is {shapes.get(key, 'missing')} in the checkpoint, not "
                f"{tuple(value.shape)}: is it of RBTransformer?"
            )
    return network, {key: key.removeprefix("module.") for key in state}
