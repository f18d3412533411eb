"""Du-IN [1]_: words from intracranial recordings, by tokens of a region, a codebook and masking.

The networks are in `duin_networks`; here they are trained one after the other.

References
----------
.. [1] Zheng et al. (2024). Du-IN: discrete units-guided mask modeling for decoding speech from
   intracranial neural signals. NeurIPS.
"""

import math
import re
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, PartShare
from neurodecode.models.duin_networks import DuInClassifier, DuInMae, DuInSizes, DuInVqVae
from neurodecode.models.trial_classifier import (
    Training,
    descend,
    fit_network,
    scores_of,
    seeded,
)


@dataclass(frozen=True)
class DuIn:
    """Du-IN as a classifier of trials; see `neurodecode.models.trial_classifier`.

    Channels are standardised by mean and standard deviation over trials and times.

    Parameters
    ----------
    start : {"mae", "vqvae", "scratch"}
        What the classifier starts from: the masked model, the autoencoder, random weights. Both
        are trained on the training rows alone.
    training, vqvae_training, mae_training : Training
        Of the classifier, and of the two before it.
    d_neural, patch, filters, kernels, strides : int and lists of int
    n_blocks, decoder_blocks, n_heads, d_head, d_ff, n_codes, d_code : int
    dropout : float
        See `DuInSizes`.
    hidden : int
        Units before the classes.
    mask_share : float
        Tokens hidden in the first of two passes.
    shift : float
        Trials of a batch are moved in time by up to this share of their length.
    fits_on_all : bool
        Published quirk: statistics of test rows too enter the standardisation.
    compat : bool
        The published last sigmoid, see `DuInClassifier`.
    """

    start: Literal["mae", "vqvae", "scratch"] = "mae"
    training: Training = field(default_factory=Training)
    vqvae_training: Training = field(default_factory=Training)
    mae_training: Training = field(default_factory=Training)
    d_neural: Count = 16
    patch: Count = 100
    filters: list[int] = field(default_factory=lambda: [128, 128, 16])
    kernels: list[int] = field(default_factory=lambda: [19, 3, 3])
    strides: list[int] = field(default_factory=lambda: [10, 1, 1])
    n_blocks: Count = 8
    decoder_blocks: Count = 4
    n_heads: Count = 8
    d_head: Count = 64
    d_ff: Count = 320
    n_codes: Count = 2048
    d_code: Count = 64
    dropout: PartShare = 0.2
    hidden: Count = 128
    mask_share: PartShare = 0.5
    shift: PartShare = 0.1
    fits_on_all: bool = False
    compat: bool = False

    def fit(self, x, y, groups, n_classes, sfreq_hz, seed, device, peek=None, also=None):
        """Learn from training rows; see `neurodecode.models.trial_classifier`."""
        known = x if also is None else np.concatenate([x, also])
        scale = standardiser(known)
        x = scale(x)
        sizes = self.sizes(*x.shape[1:])
        begun = self.pretrained(x, sizes, seed, device)

        def make():
            network = DuInClassifier(sizes, n_classes, self.hidden, self.compat)
            if begun is not None:
                network.start_at(begun)
            return network

        seen = None if peek is None else (scale(peek[0]), peek[1])
        vary = partial(shifted, share=self.shift)
        network = fit_network(make, x, y, groups, self.training, seed, device, seen, vary=vary)
        return lambda asked: scores_of(network, scale(asked), device)

    def sizes(self, n_channels: int, n_times: int) -> DuInSizes:
        """Sizes for trials of so many channels and samples; a last, shorter patch is left out.

        Raises
        ------
        ValueError
            If a patch is longer than a trial, or no multiple of the strides' product, or a token
            has an odd length, of which no half are sines.
        """
        if self.patch % math.prod(self.strides) or n_times < self.patch:
            raise ValueError(
                f"a patch of {self.patch} samples must fit into a trial ({n_times} samples) and be "
                f"a multiple of the product of strides {self.strides}: set patch and strides"
            )
        if self.filters[-1] * self.patch // math.prod(self.strides) % 2:
            raise ValueError("the length of a token, last filters * patch / strides, must be even")
        names = [n for n in DuInSizes.__dataclass_fields__ if hasattr(self, n)]
        given = {name: getattr(self, name) for name in names}
        given = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}
        return DuInSizes(n_channels, n_times // self.patch, **given)

    def pretrained(self, x, sizes, seed, device) -> nn.Module | None:
        """The network that the classifier starts from, trained without labels; None: no such."""
        if self.start == "scratch":
            return None
        with seeded(seed, device, "vqvae"):
            painter = DuInVqVae(sizes).to(device)
        rows = torch.as_tensor(x)
        batch = lambda chosen: shifted(rows[chosen].to(device), self.shift)
        cost = lambda chosen: painter.cost(batch(chosen))
        descend(painter, len(rows), cost, self.vqvae_training, seed)
        if self.start == "vqvae":
            return painter
        with seeded(seed, device, "mae"):
            guesser = DuInMae(sizes).to(device)

        def cost(chosen):
            moved = batch(chosen)
            return guesser.cost(moved, painter.codes(moved), self.mask_share)

        descend(guesser, len(rows), cost, self.mae_training, seed)
        return guesser


def shifted(x: Tensor, share: float) -> Tensor:
    """Move each trial in time by up to `share` of its length, either way; zeros come in."""
    n_times = x.shape[2]
    most = int(share * n_times)
    by = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
    source = torch.arange(n_times, device=x.device) - by
    inside = (source >= 0) & (source < n_times)
    taken = x.gather(2, source.clamp(0, n_times - 1)[:, None].expand(-1, x.shape[1], -1))
    return taken * inside[:, None]


def standardiser(x: np.ndarray):
    """A function that brings each channel of `x` to mean 0 and deviation 1 over trials and times.

    A channel that is constant is only centred.
    """
    mean = x.mean(axis=(0, 2), dtype=np.float64, keepdims=True)[0]
    std = x.std(axis=(0, 2), dtype=np.float64, keepdims=True)[0]
    std = np.where(std > 0, std, 1)
    return lambda rows: ((rows - mean) / std).astype(np.float32)


def published(state: dict[str, tuple[int, ...]]) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint, on the meta device, and say which key is which.

    Parameters
    ----------
    state : dict of (key -> shape)
        Of an autoencoder, a masked model or a classifier; keys may have a prefix. What a classifier
        carries along without using it (codebook, contrastive block) is left out.

    Returns
    -------
    network : DuInVqVae, DuInMae or DuInClassifier
    names : dict of (published key -> key of the network)

    Raises
    ------
    ValueError
        If the layout is none of the three.
    """
    prefix = re.compile(
        r"^(?:[^.]*\.)*?(?=(subj_block|tokenizer|emb_time|encoder|vq_block|decoder|"
        r"rgs_block|desubj_block|mask_emb|cls_block|contra_block)(\.|$))"
    )
    plain = {key: prefix.sub("", key, count=1) for key in state}
    shapes = {plain[key]: shape for key, shape in state.items()}
    with torch.device("meta"):
        network = _network_of(shapes)
    own = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    for key, shape in own.items():
        if key not in shapes:
            raise ValueError(f"the checkpoint has no {key}, which Du-IN's published layout has")
        if tuple(shapes[key]) != shape:
            raise ValueError(f"{key} is {tuple(shapes[key])} in the checkpoint, not {shape}")
    return network, {key: name for key, name in plain.items() if name in own}


def _network_of(shapes: dict[str, tuple[int, ...]]) -> nn.Module:
    shape = lambda key: _shape(shapes, key)
    d_neural, n_subjects = shape("subj_block.subj_layer.B.weight")
    filters, kernels = zip(
        *[(s[0], s[2]) for i in range(3) for s in [shape(f"tokenizer.conv_blocks.{i}.0.1.weight")]],
        strict=True,
    )
    block = "encoder.1.xfmr_blocks.0."
    n_tokens, d_model = shape("emb_time.time_encodings")
    d_head = shape(block + "mha.norm_q.weight")[0]
    step = (kernels[0] + 1) // 2  # as published: a kernel of 19 for a stride of 10
    n_codes, d_code = shapes.get("vq_block.codex.embeddings", (2048, 64))
    head = "cls_block.cls_head."
    masked_model = "mask_emb" in shapes
    sizes = DuInSizes(
        n_channels=shape("subj_block.subj_layer.W.weight")[0] // d_neural,
        n_tokens=n_tokens,
        n_subjects=n_subjects,
        d_neural=d_neural,
        patch=d_model // filters[-1] * step,
        filters=filters,
        kernels=kernels,
        strides=(step, 1, 1),
        n_blocks=_n_blocks(shapes, "encoder"),
        decoder_blocks=_n_blocks(shapes, "decoder"),
        n_heads=shape(block + "mha.W_q.W.weight")[0] // d_head,
        d_head=d_head,
        d_ff=shape(block + "ffn.fc1.0.weight")[0],
        n_codes=shape(head + "0.0.weight")[0] if masked_model else n_codes,
        d_code=d_code,
    )
    if masked_model:
        return DuInMae(sizes)
    if head + "2.0.weight" in shapes:
        n_classes, hidden = shape(head + "2.0.weight")
        return DuInClassifier(sizes, n_classes, hidden, compat=True)
    return DuInVqVae(sizes)


def _shape(shapes, key):
    if key not in shapes:
        raise ValueError(
            f"the checkpoint has no {key}, which Du-IN's published layout has: is it of Du-IN?"
        )
    return shapes[key]


def _n_blocks(shapes, part):
    found = {m[1] for k in shapes if (m := re.match(rf"{part}\.1\.xfmr_blocks\.(\d+)\.", k))}
    return len(found)
