"""The published layers of Du-IN [1]_: subject block, patch tokenizer, transformer, codebook, head.

Names and shapes of the parameters are the published ones. Signals are (n, n_channels, n_times);
tokens are (n, n_tokens, d_model).

References
----------
.. [1] Zheng et al. (2024). Du-IN: discrete units-guided mask modeling for decoding speech from
   intracranial neural signals. NeurIPS.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SubjectBlock(nn.Module):
    """One linear map of channels for each subject: from its contacts to units that all share.

    Parameters
    ----------
    n_subjects, d_input, d_output : int
    """

    def __init__(self, n_subjects: int, d_input: int, d_output: int):
        super().__init__()
        self.d_input, self.d_output = d_input, d_output
        self.subj_layer = nn.ModuleDict(
            {
                "W": nn.Linear(n_subjects, d_input * d_output, bias=False),
                "B": nn.Linear(n_subjects, d_output, bias=False),
            }
        )
        small_normal(self)
        nn.init.zeros_(self.subj_layer["B"].weight)

    def forward(self, x: Tensor, one_hot: Tensor | None = None) -> Tensor:
        """Mix channels; (n, d_input, n_times) to (n, d_output, n_times).

        Parameters
        ----------
        x : Tensor, shape (n, d_input, n_times)
        one_hot : Tensor, shape (n, n_subjects), optional
            Whose trial each is; None: the only subject's.
        """
        if one_hot is None:
            one_hot = x.new_ones(len(x), 1)
        mix = self.subj_layer["W"](one_hot).unflatten(1, (self.d_input, self.d_output))
        return torch.einsum("nct,ncd->ndt", x, mix) + self.subj_layer["B"](one_hot)[..., None]


class PatchTokenizer(nn.Module):
    """Cut into patches without overlap, and convolve each; no activation between, as published.

    Parameters
    ----------
    d_neural : int
        Channels.
    patch : int
        Samples of a token.
    filters, kernels, strides : list of int
        Of the convolutions; kernels odd.
    """

    def __init__(
        self, d_neural: int, patch: int, filters: list[int], kernels: list[int], strides: list[int]
    ):
        super().__init__()
        self.patch = patch
        wide = [d_neural, *filters]
        sizes = zip(wide, wide[1:], kernels, strides, strict=False)
        self.conv_blocks = nn.ModuleList(
            nn.Sequential(
                nn.Sequential(nn.Identity(), nn.Conv1d(i, o, k, s, padding=(k - 1) // 2)),
                nn.Sequential(nn.Identity(), nn.BatchNorm1d(o)),
            )
            for i, o, k, s in sizes
        )

    def forward(self, x: Tensor) -> Tensor:
        """Turn (n, d_neural, n_times) into (n, n_times / patch, d_model), steps slow in a token."""
        n, _, n_times = x.shape
        z = x.unflatten(2, (n_times // self.patch, self.patch)).transpose(1, 2).flatten(0, 1)
        for block in self.conv_blocks:
            z = block(z)
        return z.transpose(1, 2).reshape(n, n_times // self.patch, -1)


class TimeEmbedding(nn.Module):
    """Fixed sines (even columns) and cosines (odd ones) of the token's place, added to it."""

    def __init__(self, d_model: int, n_tokens: int):
        super().__init__()
        rates = np.exp(-math.log(1e4) * np.arange(0, d_model, 2) / d_model)
        phases = np.arange(n_tokens)[:, None] * rates
        table = np.stack([np.sin(phases), np.cos(phases)], axis=2).reshape(n_tokens, d_model)
        table = torch.tensor(table, dtype=torch.get_default_dtype())
        self.time_encodings = nn.Parameter(table, requires_grad=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Add the times of n tokens; the first n where the table is longer."""
        return tokens + self.time_encodings[: tokens.shape[1]]


class Attention(nn.Module):
    """Self-attention whose queries and keys are normalised within each head."""

    def __init__(self, d_model: int, n_heads: int, d_head: int, dropout: float):
        super().__init__()
        self.n_heads, self.d_head, self.dropout = n_heads, d_head, dropout
        project = lambda: nn.ModuleDict({"W": nn.Linear(d_model, n_heads * d_head)})
        self.W_q, self.W_k, self.W_v = project(), project(), project()
        self.norm_q, self.norm_k = nn.LayerNorm(d_head), nn.LayerNorm(d_head)
        self.attention = nn.ParameterDict(
            {"scale": nn.Parameter(torch.tensor(1 / math.sqrt(d_head)), requires_grad=False)}
        )
        self.proj = nn.Sequential(nn.Linear(n_heads * d_head, d_model))

    def forward(self, x: Tensor) -> Tensor:
        """Let every token look at every token; (n, n_tokens, d_model)."""
        split = lambda layer: layer["W"](x).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
        q = self.norm_q(split(self.W_q)) * self.attention["scale"]
        k, v = self.norm_k(split(self.W_k)), split(self.W_v)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=1.0)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention and a two-layer network, each followed by the norm of its sum with its input."""

    def __init__(self, d_model: int, n_heads: int, d_head: int, d_ff: int, dropout: float):
        super().__init__()
        self.mha = Attention(d_model, n_heads, d_head, dropout)
        self.norm_mha = nn.LayerNorm(d_model)
        widen = nn.Sequential(nn.Linear(d_model, d_ff), nn.ReLU(), nn.Dropout(dropout))
        self.ffn = nn.ModuleDict({"fc1": widen, "fc2": nn.Sequential(nn.Linear(d_ff, d_model))})
        self.norm_ffn = nn.LayerNorm(d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens, (n, n_tokens, d_model)."""
        x = self.norm_mha(x + self.mha(x))
        return self.norm_ffn(x + self.ffn["fc2"](self.ffn["fc1"](x)))


class TransformerStack(nn.Module):
    """Blocks one after the other; at first a block's matrices are smaller the later it comes."""

    def __init__(
        self, n_blocks: int, d_model: int, n_heads: int, d_head: int, d_ff: int, dropout: float
    ):
        super().__init__()
        self.xfmr_blocks = nn.ModuleList(
            TransformerBlock(d_model, n_heads, d_head, d_ff, dropout) for _ in range(n_blocks)
        )
        small_normal(self)
        for i, block in enumerate(self.xfmr_blocks):
            for module in block.modules():
                if isinstance(module, nn.Linear):
                    with torch.no_grad():
                        module.weight /= math.sqrt(2 * (i + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens, (n, n_tokens, d_model)."""
        for block in self.xfmr_blocks:
            x = block(x)
        return x


class VectorQuantizer(nn.Module):
    """Say each token by one unit vector of a codebook; the codebook follows the tokens [1]_.

        z = normalised(project(token)),    code = the nearest vector e
        e <- normalised(0.99 e + 0.01 mean of its z)

    The first batch in training lays the codebook, by spherical k-means.

    Parameters
    ----------
    d_model, n_codes, d_code : int
    beta : float
        Weight of ||z - e||^2, which ties tokens to their codes.
    decay : float
        Of the codebook, per step.
    """

    def __init__(
        self, d_model: int, n_codes: int, d_code: int, beta: float = 1.0, decay: float = 0.99
    ):
        super().__init__()
        self.beta, self.decay = beta, decay
        self.pre_proj = nn.Sequential(
            nn.Linear(d_model, d_model), nn.Tanh(), nn.Linear(d_model, d_code)
        )
        fixed = lambda tensor: nn.Parameter(tensor, requires_grad=False)
        codes = F.normalize(torch.randn(n_codes, d_code), dim=1)
        self.codex = nn.ParameterDict(
            {"embeddings": fixed(codes), "initted": fixed(torch.zeros(1))}
        )
        self.counts = fixed(torch.zeros(n_codes))
        self.layernorm = nn.LayerNorm(d_code)
        self.post_proj = nn.Sequential(nn.Linear(d_code, d_model))
        small_normal(self)

    def codes(self, tokens: Tensor) -> Tensor:
        """Indices of the codes of tokens, (n, n_tokens)."""
        return self._nearest(F.normalize(self.pre_proj(tokens), dim=-1))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise tokens.

        Returns
        -------
        quantised : Tensor, shape (n, n_tokens, d_model)
        loss : Tensor
            That ties tokens to their codes.
        codes : Tensor of int, shape (n, n_tokens)
        """
        z = F.normalize(self.pre_proj(tokens), dim=-1)
        if self.training and not self.codex["initted"]:
            self.lay(z.detach().flatten(0, -2))
        codes = self._nearest(z)
        chosen = self.codex["embeddings"][codes]
        loss = self.beta * F.mse_loss(z, chosen)
        if self.training:
            self._follow(z.detach().flatten(0, -2), codes.flatten())
        straight = z + (chosen - z).detach()  # the gradient passes as if nothing were quantised
        return self.post_proj(self.layernorm(straight)), loss, codes

    @torch.no_grad()
    def lay(self, z: Tensor, n_iterations: int = 10) -> None:
        """Lay the codebook by spherical k-means of unit vectors, (n, d_code)."""
        n_codes = len(self.counts)
        enough = torch.randperm(len(z), device=z.device)
        if len(z) < n_codes:
            enough = torch.randint(len(z), (n_codes,), device=z.device)
        centres = z[enough[:n_codes]].clone()
        for _ in range(n_iterations):
            centres = _means(z, (z @ centres.T).argmax(1), centres)
        self.codex["embeddings"].copy_(centres)
        self.codex["initted"].fill_(1)

    @torch.no_grad()
    def _follow(self, z: Tensor, codes: Tensor) -> None:
        book = self.codex["embeddings"]
        book.copy_(F.normalize(book.lerp(_means(z, codes, book), 1 - self.decay), dim=1))
        used = torch.bincount(codes, minlength=len(book)).to(self.counts)
        self.counts.lerp_(used, 1 - self.decay)

    def _nearest(self, z: Tensor) -> Tensor:
        return (z @ self.codex["embeddings"].T).argmax(-1)  # of unit vectors, also the closest


def _means(z: Tensor, codes: Tensor, book: Tensor) -> Tensor:
    """Normalised mean of the vectors of each code; a code of none stays where it is."""
    sums = torch.zeros_like(book).index_add_(0, codes, z)
    used = torch.bincount(codes, minlength=len(book)) > 0
    return torch.where(used[:, None], F.normalize(sums, dim=1), book)


class TimeHead(nn.Module):
    """Turn tokens back into a signal: transposed convolutions, then a linear map of channels.

    Parameters
    ----------
    d_model, d_neural : int
    filters, kernels, strides : list of int
    """

    def __init__(
        self,
        d_model: int,
        d_neural: int,
        filters: list[int],
        kernels: list[int],
        strides: list[int],
    ):
        super().__init__()
        self.rgs_head = nn.Sequential()
        wide = [d_model, *filters]
        for i, o, k, s in zip(wide, wide[1:], kernels, strides, strict=False):
            padding = math.ceil((k - s) / 2)
            layer = nn.ConvTranspose1d(i, o, k, s, padding, output_padding=2 * padding - (k - s))
            self.rgs_head.append(nn.Sequential(nn.Sequential(nn.Identity(), layer)))
        self.rgs_head.append(nn.Sequential(nn.Linear(filters[-1], d_neural)))
        small_normal(self)

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn (n, n_tokens, d_model) into (n, d_neural, n_tokens * product of strides)."""
        z = tokens.transpose(1, 2)
        for block in self.rgs_head[:-1]:
            z = block(z)
        return self.rgs_head[-1](z.transpose(1, 2)).transpose(1, 2)


def small_normal(network: nn.Module) -> None:
    """Start linear layers at truncated normal weights of 0.02, without biases."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
