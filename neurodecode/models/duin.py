"""Du-IN [1]_: words from intracranial recordings, by tokens of a region, a codebook and masking.

Three networks share their front: a subject's channels become 16 units, patches of 100 samples
become tokens, a transformer relates these. The first says a signal by codes and paints it back; the
second guesses the codes of hidden tokens; the third, started at one of them, tells the class.

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
import torch.nn.functional as F
from torch import Tensor, nn

from neurodecode.core.ranges import Count, PartShare
from neurodecode.models.duin_layers import (
    PatchTokenizer,
    SubjectBlock,
    TimeEmbedding,
    TimeHead,
    TransformerStack,
    VectorQuantizer,
    small_normal,
)
from neurodecode.models.trial_classifier import (
    Training,
    descend,
    fit_network,
    scores_of,
    seeded,
)

SHARED = ("subj_block", "tokenizer", "encoder")
"""What is handed from one network to the next."""


@dataclass(frozen=True)
class DuInSizes:
    """Sizes of the networks; those of the sEEG study by default.

    Parameters
    ----------
    n_channels, n_tokens : int
    n_subjects : int
    d_neural : int
        Units that channels are mixed into.
    patch : int
        Samples of a token.
    filters, kernels, strides : list of int
        Of the tokenizer's convolutions.
    n_blocks, decoder_blocks, n_heads, d_head, d_ff : int
        Of the transformers.
    n_codes, d_code : int
        Of the codebook.
    dropout : float
        Of attention weights and of the wide layer.
    """

    n_channels: int
    n_tokens: int
    n_subjects: int = 1
    d_neural: int = 16
    patch: int = 100
    filters: tuple[int, ...] = (128, 128, 16)
    kernels: tuple[int, ...] = (19, 3, 3)
    strides: tuple[int, ...] = (10, 1, 1)
    n_blocks: int = 8
    decoder_blocks: int = 4
    n_heads: int = 8
    d_head: int = 64
    d_ff: int = 320
    n_codes: int = 2048
    d_code: int = 64
    dropout: float = 0.2

    @property
    def d_model(self) -> int:
        """Length of a token."""
        return self.filters[-1] * self.patch // math.prod(self.strides)

    def transformer(self, n_blocks: int) -> TransformerStack:
        """Blocks of these sizes."""
        sizes = (self.d_model, self.n_heads, self.d_head, self.d_ff, self.dropout)
        return TransformerStack(n_blocks, *sizes)


class _Front(nn.Module):
    """What the three networks share, under the published names."""

    def __init__(self, sizes: DuInSizes):
        super().__init__()
        self.sizes = sizes
        self.subj_block = SubjectBlock(sizes.n_subjects, sizes.n_channels, sizes.d_neural)
        self.tokenizer = PatchTokenizer(
            sizes.d_neural, sizes.patch, sizes.filters, sizes.kernels, sizes.strides
        )
        self.emb_time = TimeEmbedding(sizes.d_model, sizes.n_tokens)
        self.encoder = nn.Sequential(nn.Identity(), sizes.transformer(sizes.n_blocks))

    def tokens(self, x: Tensor, one_hot: Tensor | None = None) -> Tensor:
        """Tokens of trials (n, n_channels, n_times) before the transformer."""
        n_times = self.sizes.n_tokens * self.sizes.patch
        return self.tokenizer(self.subj_block(x[..., :n_times], one_hot))

    def encode(self, tokens: Tensor) -> Tensor:
        """Relate tokens, (n, n_tokens, d_model)."""
        return self.encoder(self.emb_time(tokens))

    def start_at(self, other: nn.Module) -> None:
        """Take another network's channels, tokenizer and encoder."""
        for name in SHARED:
            getattr(self, name).load_state_dict(getattr(other, name).state_dict())


class DuInVqVae(_Front):
    """Say a signal by codes and paint it back."""

    def __init__(self, sizes: DuInSizes):
        super().__init__(sizes)
        self.vq_block = VectorQuantizer(sizes.d_model, sizes.n_codes, sizes.d_code)
        self.decoder = nn.Sequential(nn.Identity(), sizes.transformer(sizes.decoder_blocks))
        step = math.prod(sizes.strides)
        steps = sizes.patch // step
        self.rgs_block = TimeHead(
            sizes.d_model,
            sizes.d_neural,
            [*[sizes.filters[0]] * 4, sizes.d_neural],
            [3, 3, steps, 9, sizes.kernels[0]],
            [1, 1, steps, 1, step],
        )
        self.desubj_block = SubjectBlock(sizes.n_subjects, sizes.d_neural, sizes.n_channels)

    def forward(self, x: Tensor, one_hot: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Reconstruct (n, n_channels, n_tokens * patch), and the loss of quantising."""
        quantised, loss, _ = self.vq_block(self.encode(self.tokens(x, one_hot)))
        painted = self.rgs_block(self.decoder(self.emb_time(quantised)))
        return self.desubj_block(painted, one_hot), loss

    def cost(self, x: Tensor) -> Tensor:
        """Squared error of the signal, plus the loss of quantising."""
        painted, loss = self(x)
        return F.mse_loss(painted, x[..., : painted.shape[-1]]) + loss

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Codes of trials, (n, n_tokens)."""
        return self.vq_block.codes(self.encode(self.tokens(x)))


class DuInMae(_Front):
    """Guess the codes of hidden tokens from the others; each is hidden in one of two passes."""

    def __init__(self, sizes: DuInSizes):
        super().__init__(sizes)
        self.mask_emb = nn.Parameter(torch.empty(sizes.d_model))
        nn.init.trunc_normal_(self.mask_emb, std=0.02)
        head = nn.Sequential(nn.Sequential(nn.Linear(sizes.d_model, sizes.n_codes)))
        self.cls_block = nn.ModuleDict({"cls_head": head})
        small_normal(self.cls_block)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Scores of codes, (n, n_tokens, n_codes), each token's from the pass that hides it.

        Parameters
        ----------
        x : Tensor, shape (n, n_channels, n_times)
        hidden : Tensor of bool, shape (n, n_tokens)
            Tokens hidden in the first pass; in the second, the others are.
        """
        tokens, hidden = self.tokens(x), hidden[..., None]
        guess = lambda mask: self.cls_block["cls_head"](
            self.encode(torch.where(mask, self.mask_emb, tokens))
        )
        return torch.where(hidden, guess(hidden), guess(~hidden))

    def cost(self, x: Tensor, codes: Tensor, mask_share: float) -> Tensor:
        """Cross-entropy of all tokens' codes, with tokens hidden at random."""
        hidden = masked(len(x), self.sizes.n_tokens, mask_share, x.device)
        return F.cross_entropy(self(x, hidden).flatten(0, 1), codes.flatten())


class DuInClassifier(_Front):
    """Tell the class of a trial from all its tokens.

    Parameters
    ----------
    sizes : DuInSizes
    n_classes, hidden : int
    compat : bool
        The published last sigmoid: scores lie in 0 to 1, and the cross-entropy, which has a softmax
        of its own, cannot fall below ln(1 + (n_classes - 1) / e).
    """

    def __init__(self, sizes: DuInSizes, n_classes: int, hidden: int = 128, compat: bool = False):
        super().__init__(sizes)
        widen = nn.Sequential(nn.Linear(sizes.n_tokens * sizes.d_model, hidden), nn.ReLU())
        last = nn.Sequential(
            nn.Linear(hidden, n_classes), nn.Sigmoid() if compat else nn.Identity()
        )
        self.cls_block = nn.ModuleDict({"cls_head": nn.Sequential(nn.Flatten(), widen, last)})
        small_normal(self.cls_block)

    def forward(self, x: Tensor, one_hot: Tensor | None = None) -> Tensor:
        """Score classes, (n, n_classes)."""
        return self.cls_block["cls_head"](self.encode(self.tokens(x, one_hot)))


def masked(n: int, n_tokens: int, share: float, device: torch.device) -> Tensor:
    """Hide the same number of tokens of each of n trials at random; bool, (n, n_tokens)."""
    rank = torch.rand(n, n_tokens, device=device).argsort(1).argsort(1)
    return rank >= int(n_tokens * (1 - share))


def shifted(x: Tensor, share: float) -> Tensor:
    """Move each trial in time by up to `share` of its length, either way; zeros come in."""
    n_times = x.shape[2]
    most = int(share * n_times)
    by = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
    source = torch.arange(n_times, device=x.device) - by
    inside = (source >= 0) & (source < n_times)
    taken = x.gather(2, source.clamp(0, n_times - 1)[:, None].expand(-1, x.shape[1], -1))
    return taken * inside[:, None]


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
    compat : bool
        The published last sigmoid, and statistics of test rows too in the standardisation.
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
    compat: bool = False

    @property
    def fits_on_all(self) -> bool:
        """Whether test rows enter the standardisation."""
        return self.compat

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
