"""Contrastive losses between brain and picture embeddings, and the schedule that combines them.

Letters of the papers and names here: `brain` is the predicted embedding p, `clip` the target t,
`lam` the mixing weight lambda, `temperature` tau. Every row is one pair; rows are unit vectors, so
that a dot product is a cosine.

References
----------
.. [1] van den Oord, Li, Vinyals (2018). Representation learning with contrastive predictive coding.
.. [2] Scotti et al. (2023). Reconstructing the mind's eye. NeurIPS. (BiMixCo, SoftCLIP.)
.. [3] Gao et al. (2023). SoftCLIP: softer cross-modal alignment makes CLIP stronger.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from neurodecode.core.ranges import Positive, Share


def info_nce(brain: Tensor, clip: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE loss [1]_ of unit-norm pairs, both of shape (n_pairs, dim), in nats."""
    logits = _logits(brain, clip, temperature)
    same = torch.arange(len(logits), device=logits.device)  # picture i belongs to brain i
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


def bi_mixco(
    brain: Tensor,
    clip: Tensor,
    temperature: float,
    permutation: Tensor,
    lam: Tensor,
    compat: bool = False,
) -> Tensor:
    """InfoNCE in both directions for brains that are mixtures of two trials [2]_, in nats.

    Parameters
    ----------
    brain : Tensor, shape (n_pairs, dim)
        Unit-norm embedding of `lam[i] * x[i] + (1 - lam[i]) * x[permutation[i]]`.
    clip : Tensor, shape (n_pairs, dim)
        Unit-norm embedding of the unmixed pictures.
    temperature : float
        Softmax temperature, > 0.
    permutation : Tensor of int, shape (n_pairs,)
        The partner of each trial. A trial may be its own partner: its weight is then 1.
    lam : Tensor, shape (n_pairs,)
        The weight of the trial itself, in [0, 1].
    compat : bool
        True reproduces the published code, where the weight of a trial that is its own partner is
        overwritten by `1 - lam`: an unmixed one then adds nothing to the loss.
    """
    weights = mixture_weights(permutation, lam.to(brain.dtype), compat)  # brain i against picture j
    logits = _logits(brain, clip, temperature)
    by_row = -(weights * logits.log_softmax(dim=1)).sum(dim=1).mean()
    by_column = -(weights.T * logits.T.log_softmax(dim=1)).sum(dim=1).mean()
    return (by_row + by_column) / 2


def mixture_weights(permutation: Tensor, lam: Tensor, compat: bool = False) -> Tensor:
    """Weight of picture j in mixed brain i, shape (n_pairs, n_pairs).

    Each row sums to 1; with `compat` not that of a trial that is its own partner.
    """
    rows = torch.arange(len(lam), device=lam.device)
    permutation = permutation.to(lam.device)
    weights = torch.diag(lam)
    weights.index_put_((rows, permutation), 1 - lam, accumulate=not compat)
    return weights


def soft_clip(
    brain: Tensor, clip: Tensor, temperature: float, brain_temperature: float | None = None
) -> Tensor:
    """Cross-entropy of brain-to-picture against picture-to-picture similarities [3]_, in nats.

    The target of brain i is `softmax_j(clip_i . clip_j / temperature)`: pictures that look alike to
    the encoder share the credit. Averaged over both directions; both of shape (n_pairs, dim).

    Published, brains are as sure as pictures (`brain_temperature` None: that of the targets). Unit
    vectors cannot say that they are unsure, so noisy brains need a temperature of their own.
    """
    targets = _logits(clip, clip, temperature).softmax(dim=1)
    logits = _logits(brain, clip, brain_temperature or temperature)
    by_row = -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
    by_column = -(targets * logits.T.log_softmax(dim=1)).sum(dim=1).mean()
    return (by_row + by_column) / 2


def soft_cont(brain: Tensor, clip: Tensor, augmented: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of brain-to-augmented against picture-to-augmented similarities [2]_, in nats.

    As `soft_clip`, with the pictures seen a second time, augmented; the published loss of MindEye's
    auxiliary low-level head, whose rows are places of feature maps. All of shape (n_rows, dim).
    """
    targets = _logits(clip, augmented, temperature)
    logits = _logits(brain, augmented, temperature)
    by_row = -(targets.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()
    by_column = -(targets.T.softmax(dim=1) * logits.T.log_softmax(dim=1)).sum(dim=1).mean()
    return (by_row + by_column) / 2


def softclip_temperature(i: int, n_soft: int, start: float = 0.004, end: float = 0.0075) -> float:
    """Temperature of SoftCLIP epoch `i` of `n_soft`: a half cosine from `start` to `end`.

    tau(i) = end + (start - end) / 2 * (1 + cos(pi i / (n_soft - 1)));  a single epoch uses `start`.
    """
    if not 0 <= i < n_soft:
        raise ValueError(f"SoftCLIP epoch {i} does not exist: there are {n_soft}, counted from 0")
    fraction = i / (n_soft - 1) if n_soft > 1 else 0.0
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))


def n_mixed_epochs(n_epochs: int, mixco_fraction: float) -> int:
    """How many epochs, from the first, train on mixed trials: int(fraction * n_epochs)."""
    return int(mixco_fraction * n_epochs)


class MindEyeLoss:
    """BiMixCo on mixed trials first, then SoftCLIP with a rising temperature [2]_.

    Parameters
    ----------
    mixco_fraction : float
        Share of the epochs, from the first, that train on mixed trials; 0 to 1.
    tau : float
        Temperature of the first phase.
    soft_start, soft_end : float
        Temperature of the first and of the last epoch of the second phase.
    brain_temperature : float or None
        Temperature of the brain's side in the second phase; None: that of the pictures' side, as
        published. See `soft_clip`.
    compat : bool
        Published handling of trials mixed with themselves; see `bi_mixco`.
    """

    def __init__(
        self,
        mixco_fraction: Share = 0.33,
        tau: Positive = 0.006,
        soft_start: Positive = 0.004,
        soft_end: Positive = 0.0075,
        brain_temperature: Positive | None = None,
        compat: bool = False,
    ):
        if not 0 <= mixco_fraction <= 1:
            raise ValueError(f"mixco_fraction is {mixco_fraction}; give a share from 0 to 1")
        _check_temperatures(tau=tau, soft_start=soft_start, soft_end=soft_end)
        if brain_temperature is not None:
            _check_temperatures(brain_temperature=brain_temperature)
        self.mixco_fraction = mixco_fraction
        self.tau = tau
        self.soft_start = soft_start
        self.soft_end = soft_end
        self.brain_temperature = brain_temperature
        self.compat = compat

    def mixes(self, epoch: int, n_epochs: int) -> bool:
        """Whether training on this epoch (from 0) mixes trials before the network."""
        return epoch < n_mixed_epochs(n_epochs, self.mixco_fraction)

    def temperature(self, epoch: int, n_epochs: int) -> float:
        """Softmax temperature of this epoch; in the second phase that of the pictures' side."""
        if self.mixes(epoch, n_epochs):
            return self.tau
        first = n_mixed_epochs(n_epochs, self.mixco_fraction)
        return softclip_temperature(epoch - first, n_epochs - first, self.soft_start, self.soft_end)

    def __call__(
        self,
        brain: Tensor,
        clip: Tensor,
        epoch: int,
        n_epochs: int,
        permutation: Tensor | None = None,
        lam: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch in nats; rows of any shape are flattened and scaled to unit length.

        Trials that were mixed come with `permutation` and `lam`; without them (validation rows) the
        first phase is scored by InfoNCE at the same temperature.
        """
        brain, clip = _unit_rows(brain), _unit_rows(clip)
        temperature = self.temperature(epoch, n_epochs)
        if not self.mixes(epoch, n_epochs):
            return soft_clip(brain, clip, temperature, self.brain_temperature)
        if permutation is None:
            return info_nce(brain, clip, temperature)
        return bi_mixco(brain, clip, temperature, permutation, lam, self.compat)


class NeverMixed:
    """A loss of trials that are never mixed."""

    def mixes(self, epoch: int, n_epochs: int) -> bool:
        """Never: the protocol of `MindEyeLoss` without its first phase."""
        return False

    def refuse_mixed(self, permutation: Tensor | None) -> None:
        """Raise ValueError for trials that were mixed all the same."""
        if permutation is not None:
            name = type(self).__name__
            raise ValueError(f"{name} got mixed trials: choose loss=mindeye, or do not mix")


class InfoNCELoss(NeverMixed):
    """Plain symmetric InfoNCE [1]_ at one temperature, on trials that are never mixed."""

    def __init__(self, temperature: Positive = 0.07):
        _check_temperatures(temperature=temperature)
        self.tau = temperature

    def temperature(self, epoch: int, n_epochs: int) -> float:
        """The same softmax temperature in every epoch."""
        return self.tau

    def __call__(
        self,
        brain: Tensor,
        clip: Tensor,
        epoch: int,
        n_epochs: int,
        permutation: Tensor | None = None,
        lam: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch in nats; rows of any shape are flattened and scaled to unit length."""
        self.refuse_mixed(permutation)
        return info_nce(_unit_rows(brain), _unit_rows(clip), self.tau)


def _logits(brain: Tensor, clip: Tensor, temperature: float) -> Tensor:
    if brain.shape != clip.shape or brain.ndim != 2:
        raise ValueError(
            f"brain {tuple(brain.shape)} and clip {tuple(clip.shape)} must both be (n_pairs, dim)"
        )
    return brain @ clip.T / temperature  # (n_pairs, n_pairs): brain i against picture j


def _unit_rows(rows: Tensor) -> Tensor:
    return F.normalize(rows.flatten(1), dim=1)


def _check_temperatures(**temperatures: float) -> None:
    for name, value in temperatures.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; a softmax temperature must be above 0")
