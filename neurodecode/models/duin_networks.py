"""The three networks of Du-IN [1]_ with the published names of parameters.

Their front is the same: a subject's channels become 16 units, patches of 100 samples become tokens,
a transformer relates these. The first says a signal by codes and paints it back; the second guesses
the codes of hidden tokens; the third, started at one of them, tells the class.

References
----------
.. [1] Zheng et al. (2024). Du-IN: discrete units-guided mask modeling for decoding speech from
   intracranial neural signals. NeurIPS.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurodecode.models.duin_layers import (
    PatchTokenizer,
    SubjectBlock,
    TimeEmbedding,
    TimeHead,
    TransformerStack,
    VectorQuantizer,
    small_normal,
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
