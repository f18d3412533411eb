"""HiSTN [1]_: a network of a thousand weights for EEG, in three levels: node, region, whole head.

Filters along time give one signal for each electrode. Within a region, electrodes exchange messages
over a small graph; attention merges a region's electrodes, regions exchange messages on a ring,
attention merges these. Neighbouring classes of an ordered scale share a label.

References
----------
.. [1] Kuang, Song, Michoski (2024). Hierarchical spatio-temporal networks for EEG-based emotion
   estimation. arXiv 2408.15255.
.. [2] Defferrard, Bresson, Vandergheynst (2016). Convolutional neural networks on graphs with fast
   localized spectral filtering. NeurIPS.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurodecode.core.ranges import Count, NotNegative, PartShare, Positive
from neurodecode.core.seeds import child_rng
from neurodecode.models.trial_classifier import (
    Training,
    as_they_are,
    check_times,
    fit_network,
    scores_of,
)

HEADSET = (4, 3, 3, 4)
"""Electrodes of a region in the 14-channel headset, in the order of its channels."""
DIAMOND = ((0, 2), (1, 2), (1, 3), (2, 3))
"""Edges among four electrodes; other numbers form a chain."""


def adjacency(n_nodes: int, edges: list[tuple[int, int]]) -> np.ndarray:
    """Symmetric adjacency matrix of a graph."""
    matrix = np.zeros((n_nodes, n_nodes))
    for a, b in edges:
        matrix[a, b] = matrix[b, a] = 1
    return matrix


def region_graph(n_nodes: int, mirrored: bool) -> np.ndarray:
    """Adjacency of a region's electrodes; `mirrored`: the order of nodes is turned round."""
    chain = [(i, i + 1) for i in range(n_nodes - 1)]
    matrix = adjacency(n_nodes, DIAMOND if n_nodes == 4 else chain)
    return matrix[::-1, ::-1].copy() if mirrored else matrix


def ring(n_nodes: int) -> np.ndarray:
    """Adjacency of a ring; of two nodes, an edge."""
    return adjacency(n_nodes, [(i, (i + 1) % n_nodes) for i in range(n_nodes) if n_nodes > 1])


class ChebyshevFilter(nn.Module):
    """Messages over a graph: x (w_0 + w_1 L + w_2 T_2(L) ...) with Chebyshev polynomials T_k [2]_.

    L is the Laplacian scaled to -1 to 1; of a graph without edges it is 0.

    Parameters
    ----------
    graph : ndarray, shape (n_nodes, n_nodes)
        Adjacency.
    n_hops : int
        How far a message goes.
    """

    def __init__(self, graph: np.ndarray, n_hops: int = 2):
        super().__init__()
        laplacian, one = np.diag(graph.sum(axis=1)) - graph, np.eye(len(graph))
        largest = np.linalg.eigvalsh(laplacian).max()
        scaled = 2 * laplacian / largest - one if largest > 0 else np.zeros_like(one)
        terms = [one, scaled]
        for _ in range(n_hops - 1):
            terms.append(2 * scaled @ terms[-1] - terms[-2])
        terms = torch.tensor(np.stack(terms[: n_hops + 1]), dtype=torch.get_default_dtype())
        self.register_buffer("terms", terms, persistent=False)
        self.weight = nn.Parameter(torch.empty(n_hops + 1).uniform_(-1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Pass messages among the signals of nodes, (n, n_nodes, n_times)."""
        return torch.einsum("k,kij,nit->njt", self.weight, self.terms, x)


class Merge(nn.Module):
    """One signal of several: weights are a softmax of a linear map of the signals' means."""

    def __init__(self, n_nodes: int):
        super().__init__()
        self.attention = nn.Linear(n_nodes, n_nodes)

    def forward(self, x: Tensor) -> Tensor:
        """Merge (n, n_nodes, n_times) into (n, 1, n_times)."""
        weights = self.attention(x.mean(dim=2)).softmax(dim=1)
        return torch.einsum("nct,nc->nt", x, weights)[:, None]


class HiSTNNetwork(nn.Module):
    """The network, for any number of channels.

    Parameters
    ----------
    n_channels, n_classes : int
    regions : sequence of int, optional
        How many channels, in their order, form each region; None: 4, 3, 3, 4 of 14 channels, else
        four regions of about the same size.
    n_filters, kernel : int
        Filters along time, and the samples each spans.
    dropout : float

    Raises
    ------
    ValueError
        If the regions do not hold all channels.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        regions: list[int] | None = None,
        n_filters: int = 8,
        kernel: int = 64,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.regions = regions_of(n_channels, regions)
        n_regions = len(self.regions)
        self.filters = nn.Conv2d(1, n_filters, (1, kernel), bias=False)
        self.mix = nn.Parameter(torch.empty(n_channels, 1, n_filters))
        self.norm_mix = _norm(n_channels)
        self.smooth = nn.Conv1d(n_channels, n_channels, 5, groups=n_channels, bias=False)
        self.norm_smooth = _norm(n_channels)
        self.dropout = nn.Dropout(dropout)
        last = n_regions - 1
        self.messages = nn.ModuleList(
            ChebyshevFilter(region_graph(n, mirrored=i == last)) for i, n in enumerate(self.regions)
        )
        self.along_time = nn.ModuleList(
            nn.Conv1d(n, n, 5, padding=2, groups=n, bias=False) for n in self.regions
        )
        self.across = nn.ModuleList(nn.Conv1d(n, n, 1, bias=False) for n in self.regions)
        self.norm_nodes = _norm(n_channels)
        self.merge_before = nn.ModuleList(Merge(n) for n in self.regions)
        self.merge_after = nn.ModuleList(Merge(n) for n in self.regions)
        self.ring = ChebyshevFilter(ring(n_regions))
        self.whole_before, self.whole_after = Merge(n_regions), Merge(n_regions)
        self.classify = nn.Linear(n_channels + n_regions + 1, n_classes)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Score classes, (n, n_channels, n_times) to (n, n_classes)."""
        x = self._filtered(x)
        messages = [f(part) for f, part in zip(self.messages, self._split(x), strict=True)]
        layers = zip(self.along_time, self.across, messages, strict=True)
        updated = torch.cat([across(along(part)) for along, across, part in layers], dim=1)
        updated = F.elu(self.norm_nodes(updated))
        before = self._merged(self.merge_before, x)
        after = self._merged(self.merge_after, updated)
        whole = self.whole_before(before) + self.whole_after(after)
        signals = torch.cat([x + updated, self.ring(before) + after, whole], dim=1)
        return self.classify(self.dropout(signals.mean(dim=2)))

    def _filtered(self, x: Tensor) -> Tensor:
        """Electrode by electrode: filter, mix the filters, smooth, halve; (n, n_channels, …)."""
        kernel = self.filters.kernel_size[1]
        padded = F.pad(x, ((kernel - 1) // 2, kernel // 2))  # the output is as long as the input
        z = torch.einsum("nfct,cf->nct", self.filters(padded[:, None]), self.mix[:, 0])
        z = F.elu(self.norm_mix(z))
        z = F.elu(self.norm_smooth(self.smooth(z)))
        return self.dropout(F.avg_pool1d(z, 2))

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split(list(self.regions), dim=1)

    def _merged(self, merges: nn.ModuleList, x: Tensor) -> Tensor:
        parts = zip(merges, self._split(x), strict=True)
        return torch.cat([merge(part) for merge, part in parts], dim=1)

    @torch.no_grad()
    def constrain(self) -> None:
        """Keep weights within the published norms: of single weights, and of a filter's taps, 1."""
        self.mix.clamp_(-1, 1)
        self.smooth.weight.renorm_(2, 0, 1.0)
        for across in self.across:
            across.weight.clamp_(-1, 1)


def regions_of(n_channels: int, regions: list[int] | None) -> tuple[int, ...]:
    """How many channels each region has; see `HiSTNNetwork`."""
    if regions is None:
        if n_channels == sum(HEADSET):
            return HEADSET
        parts = np.array_split(np.arange(n_channels), min(4, n_channels))
        return tuple(len(part) for part in parts)
    if sum(regions) != n_channels or min(regions) < 1:
        raise ValueError(
            f"the regions {regions} hold {sum(regions)} channels, and the trials have "
            f"{n_channels}: set the classifier's regions, or null"
        )
    return tuple(regions)


def _norm(n_channels: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(n_channels, eps=1e-3, momentum=0.01)


def ordinal_labels(y: Tensor, n_classes: int, width: float) -> Tensor:
    """Labels that neighbouring classes share, ∝ exp(-(k - y)^2 / (2 width^2)); (n, n_classes).

    Parameters
    ----------
    y : Tensor of int, shape (n,)
        Classes of an ordered scale.
    n_classes : int
    width : float
        In classes; 0: one class alone.
    """
    if width == 0:
        return F.one_hot(y, n_classes).float()
    distance = torch.arange(n_classes, device=y.device) - y[:, None]
    return (-(distance**2) / (2 * width**2)).softmax(dim=1)


class Cropped(nn.Module):
    """Score short pieces of a trial: one at random in training; all, one after another, after it.

    Scores are the logarithm of the pieces' mean probability.

    Parameters
    ----------
    inner : nn.Module
    n_samples : int, optional
        Of a piece; None, or more than a trial has: the whole trial.
    """

    def __init__(self, inner: nn.Module, n_samples: int | None):
        super().__init__()
        self.inner, self.n_samples = inner, n_samples

    def forward(self, x: Tensor) -> Tensor:
        """Score classes of trials, (n, n_channels, n_times) to (n, n_classes)."""
        n_samples = min(self.n_samples or x.shape[2], x.shape[2])
        if self.training:
            start = torch.randint(x.shape[2] - n_samples + 1, (len(x), 1, 1), device=x.device)
            index = (start + torch.arange(n_samples, device=x.device)).expand(-1, x.shape[1], -1)
            return self.inner(x.gather(2, index))
        pieces = x.unfold(2, n_samples, n_samples).transpose(1, 2)  # (n, n_pieces, n_channels, …)
        scores = self.inner(pieces.flatten(0, 1)).log_softmax(dim=1)
        return scores.unflatten(0, pieces.shape[:2]).logsumexp(dim=1) - np.log(pieces.shape[1])


@dataclass(frozen=True)
class HiSTN:
    """HiSTN as a classifier of trials; see `neurodecode.models.trial_classifier`.

    Parameters
    ----------
    training : Training
    crop_s : float, optional
        Seconds of the pieces that are scored; None: whole trials.
    scale : {"trial", "train"}
        What a channel's largest absolute value is taken over: the trial itself, which is how
        whole recordings of clips were scaled, or all training rows.
    label_width : float
        Of labels shared with neighbouring classes, in classes; 0: not shared.
    balanced : bool
        Whether training rows are drawn so that every class comes as often.
    regions, n_filters, kernel, dropout
        See `HiSTNNetwork`.
    fits_on_all : bool
        Published quirk, with ``scale=train``: test rows too enter the largest values, as the test
        seconds of a recording did.
    """

    training: Training = field(default_factory=Training)
    crop_s: Positive | None = 1.0
    scale: Literal["trial", "train"] = "trial"
    label_width: NotNegative = 0.5
    balanced: bool = True
    regions: list[int] | None = None
    n_filters: Count = 8
    kernel: Count = 64
    dropout: PartShare = 0.5
    fits_on_all: bool = False

    def fit(self, x, y, groups, n_classes, sfreq_hz, seed, device, peek=None, also=None):
        """Learn from training rows; see `neurodecode.models.trial_classifier`."""
        check_times(x, sfreq_hz, 6, "HiSTN")
        known = x if also is None else np.concatenate([x, also])
        of_all = np.abs(known).max(axis=(0, 2))[:, None]

        def scaled(rows):
            own = np.abs(rows).max(axis=2, keepdims=True)
            largest = of_all if self.scale == "train" else own
            return (rows / np.where(largest > 0, largest, 1)).astype(np.float32)

        n_samples = self.crop_s and max(6, round(self.crop_s * sfreq_hz))
        sizes = (self.regions, self.n_filters, self.kernel, self.dropout)
        network = fit_network(
            lambda: Cropped(HiSTNNetwork(x.shape[1], n_classes, *sizes), n_samples),
            scaled(x),
            y,
            groups,
            self.training,
            seed,
            device,
            peek=None if peek is None else (scaled(peek[0]), peek[1]),
            loss=lambda scores, truth: F.cross_entropy(
                scores, ordinal_labels(truth, n_classes, self.label_width)
            ),
            enlarge=partial(evened, seed=seed) if self.balanced else as_they_are,
            after_step=lambda network: network.inner.constrain(),
        )
        return lambda asked: scores_of(network, scaled(asked), device)


def evened(rows: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Repeat rows of rarer classes at random, until every class has as many as the largest."""
    rng = child_rng(seed, "evened")
    counts = np.bincount(y)
    more = [rng.choice(np.flatnonzero(y == k), counts.max() - counts[k]) for k in np.unique(y)]
    chosen = np.concatenate([np.arange(len(y)), *more]).astype(int)
    return rows[chosen], y[chosen]
