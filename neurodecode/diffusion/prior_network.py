"""The denoiser of the diffusion prior: brain tokens and noised image tokens in, clean ones out.

A transformer reads the sequence [brain tokens | time | image tokens + positions] and returns what
stands at the image tokens. Parameter names and shapes are those of published checkpoints [1]_
[2]_. Under `compat` it also reproduces what those were trained with: a final norm that divides by
the signed maximum of a row (and so flips rows whose maximum is negative), and a coarser epsilon in
half precision.

References
----------
.. [1] Ramesh et al. (2022). Hierarchical text-conditional image generation with CLIP latents.
.. [2] Scotti et al. (2023). Reconstructing the mind's eye. NeurIPS.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

N_BUCKETS = 32  # of relative positions; half of them exact, half logarithmic
MAX_DISTANCE = 128  # positions further apart than this share the last bucket
COSINE_SCALE = 16  # queries and keys are unit vectors: their product is scaled by this


class PriorNetwork(nn.Module):
    """Predict clean image tokens x_0 from noised ones x_t, the step t and the brain's tokens.

    Parameters
    ----------
    n_tokens, dim : int
        Image tokens and their size; brain tokens have the same shape.
    depth, heads, dim_head : int
        Transformer layers; attention heads and their size.
    ff_mult : int
        Width of the feed-forward layers in units of `dim`.
    dropout : float
        In attention weights and feed-forward layers.
    compat : bool
        Published quirks, see the top of this file.
    """

    def __init__(
        self,
        n_tokens: int,
        dim: int,
        depth: int = 6,
        heads: int = 12,
        dim_head: int = 64,
        ff_mult: int = 4,
        dropout: float = 0.0,
        compat: bool = False,
    ):
        super().__init__()
        self.n_tokens, self.dim = n_tokens, dim
        self.null_brain_embeds = nn.Parameter(torch.randn(n_tokens, dim))
        self.null_image_embed = nn.Parameter(torch.randn(n_tokens, dim))
        self.learned_query = nn.Parameter(torch.randn(n_tokens, dim) * dim**-0.5)
        self.to_time_embeds = nn.Sequential(nn.Sequential(SinusoidalEmbedding(dim), TimeMLP(dim)))
        self.causal_transformer = Transformer(dim, depth, heads, dim_head, ff_mult, dropout, compat)

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        brain: Tensor,
        keep_brain: Tensor | None = None,
        keep_image: Tensor | None = None,
    ) -> Tensor:
        """Return the predicted x_0, shape (n, n_tokens, dim).

        Parameters
        ----------
        x_t, brain : Tensor, shape (n, n_tokens, dim)
        t : Tensor of int, shape (n,)
        keep_brain, keep_image : Tensor of bool, shape (n,), optional
            Where False the brain (image) tokens give way to the learned null tokens.
        """
        brain = _keep(brain, keep_brain, self.null_brain_embeds)
        image = _keep(x_t, keep_image, self.null_image_embed) + self.learned_query
        time = self.to_time_embeds(t.to(x_t.dtype)).unsqueeze(1)
        tokens = torch.cat([brain, time, image], dim=1)  # (n, 2 n_tokens + 1, dim)
        return self.causal_transformer(tokens)[:, -self.n_tokens :]


def _keep(tokens: Tensor, keep: Tensor | None, null: Tensor) -> Tensor:
    if keep is None:
        return tokens
    return torch.where(keep[:, None, None], tokens, null.to(tokens.dtype))


class SinusoidalEmbedding(nn.Module):
    """[sin(t w), cos(t w)] with dim / 2 frequencies w from 1 down to 1 / 10,000."""

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, t: Tensor) -> Tensor:
        """Embed steps of shape (n,) as (n, dim)."""
        half = self.dim // 2
        exponent = torch.arange(half, device=t.device, dtype=t.dtype) / (half - 1)
        angle = t[:, None] * torch.exp(-math.log(10_000) * exponent)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class TimeMLP(nn.Module):
    """Two SiLU layers of width 2 dim and a linear one, from (n, dim) to (n, dim)."""

    def __init__(self, dim: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Sequential(nn.Linear(dim, 2 * dim), nn.SiLU()),
            nn.Sequential(nn.Linear(2 * dim, 2 * dim), nn.SiLU()),
            nn.Linear(2 * dim, dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        return self.net(x)


class Transformer(nn.Module):
    """Pre-norm attention and feed-forward layers that see every token (the name is historical)."""

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        dim_head: int,
        ff_mult: int,
        dropout: float,
        compat: bool,
    ):
        super().__init__()
        self.rel_pos_bias = RelativePositionBias(heads)
        rotary = Rotary(min(32, dim_head))  # one object, shared by all layers
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    Attention(dim, heads, dim_head, rotary, dropout, compat),
                    feed_forward(dim, ff_mult, dropout, compat),
                ]
            )
            for _ in range(depth)
        )
        self.norm = StableNorm(dim, compat)
        self.project_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens of shape (n, length, dim)."""
        bias = self.rel_pos_bias(x.shape[1], x.shape[1] + 1)
        for attention, forward in self.layers:
            x = x + attention(x, bias)
            x = x + forward(x)
        return self.project_out(self.norm(x))


class Attention(nn.Module):
    """Cosine attention with one key/value head for all query heads and a learned null key.

    Queries and keys have length 4: logits lie in [-16, 16] before the position bias.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        dim_head: int,
        rotary: "Rotary",
        dropout: float,
        compat: bool,
    ):
        super().__init__()
        self.heads, self.dim_head, self.dropout = heads, dim_head, dropout
        self.norm = GainNorm(dim, compat)
        self.null_kv = nn.Parameter(torch.randn(2, dim_head))
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim_head, bias=False)
        self.rotary_emb = rotary
        self.to_out = nn.Sequential(
            nn.Linear(heads * dim_head, dim, bias=False), GainNorm(dim, compat)
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attend within sequences x (n, length, dim); bias is (heads, length, length + 1)."""
        n, length, _ = x.shape
        x = self.norm(x)
        q = self.to_q(x).reshape(n, length, self.heads, self.dim_head).transpose(1, 2)
        k, v = self.to_kv(x).chunk(2, dim=-1)  # (n, length, dim_head) each
        q, k = self.rotary_emb(q), self.rotary_emb(k)
        null_k, null_v = self.null_kv.to(k.dtype)
        k = torch.cat([null_k.expand(n, 1, -1), k], dim=1)
        v = torch.cat([null_v.expand(n, 1, -1), v], dim=1)
        q, k = (F.normalize(a, dim=-1) * math.sqrt(COSINE_SCALE) for a in (q, k))
        q, bias = q.reshape(n, self.heads * length, -1), bias.reshape(self.heads * length, -1)
        weights = _attention(q.to(v.dtype), k.to(v.dtype), bias)
        out = F.dropout(weights, self.dropout, self.training) @ v
        out = out.reshape(n, self.heads, length, self.dim_head).transpose(1, 2)
        return self.to_out(out.reshape(n, length, -1))


def _attention(q, k, bias):
    """Softmax of q k' + bias over keys, (n, n_queries, n_keys).

    In half precision the sums are kept in half precision too, and taken in float32 within each
    kernel: that halves what a GPU writes and reads, which is what attention of this size costs.
    """
    if q.dtype not in (torch.bfloat16, torch.float16):
        return (q @ k.transpose(1, 2) + bias).softmax(dim=-1)
    with torch.autocast(q.device.type, enabled=False):
        return torch.baddbmm(bias.to(q.dtype), q, k.transpose(1, 2)).softmax(dim=-1)


def feed_forward(dim: int, mult: int, dropout: float, compat: bool) -> nn.Sequential:
    """Norm, SwiGLU of width `mult * dim`, a linear layer; index 3 keeps the published keys."""
    return nn.Sequential(
        GainNorm(dim, compat),
        nn.Linear(dim, 2 * mult * dim, bias=False),
        SwiGLU(),
        nn.Identity(),
        nn.Dropout(dropout),
        nn.Linear(mult * dim, dim, bias=False),
    )


class SwiGLU(nn.Module):
    """First half of the features times SiLU of the second half."""

    def forward(self, x: Tensor) -> Tensor:
        """Halve the last axis."""
        x, gate = x.chunk(2, dim=-1)
        return x * F.silu(gate)


class GainNorm(nn.Module):
    """Layer norm with a gain `g` and no bias."""

    def __init__(self, dim: int, compat: bool):
        super().__init__()
        self.g = nn.Parameter(torch.ones(dim))
        self.compat = compat

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis; a constant row becomes 0."""
        half = x.dtype in (torch.float16, torch.bfloat16)
        # float64 upstream used the 1e-3 of half precision; it is only ever a test's precision.
        eps = 1e-3 if self.compat and half else 1e-5
        return F.layer_norm(x, x.shape[-1:], self.g.to(x.dtype), None, eps)


class StableNorm(GainNorm):
    """The same after dividing rows by their largest magnitude (`compat`: signed maximum)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis; a row of zeros stays 0 (`compat`: is not a number)."""
        if self.compat:
            return super().forward(x / x.amax(dim=-1, keepdim=True).detach())
        largest = x.abs().amax(dim=-1, keepdim=True).detach()
        return super().forward(x / largest.clamp(min=torch.finfo(x.dtype).tiny))


class Rotary(nn.Module):
    """Rotate feature pairs (2i, 2i + 1) by position * 10,000^(-2i / dim); later features pass."""

    def __init__(self, dim: int):
        super().__init__()
        frequencies = 10_000.0 ** (-torch.arange(0, dim, 2) / dim)
        self.freqs = nn.Parameter(frequencies, requires_grad=False)  # fixed; counted in checkpoints

    def forward(self, x: Tensor) -> Tensor:
        """Rotate x of shape (..., length, features) along its length."""
        dim = 2 * len(self.freqs)
        position = torch.arange(x.shape[-2], device=x.device, dtype=self.freqs.dtype)
        angle = position[:, None] * self.freqs  # (length, dim / 2)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        even, odd = x[..., 0:dim:2], x[..., 1:dim:2]
        pairs = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1)
        return torch.cat([pairs.flatten(-2), x[..., dim:]], dim=-1)


class RelativePositionBias(nn.Module):
    """A learned number per head and bucket of distance, added to attention logits."""

    def __init__(self, heads: int):
        super().__init__()
        self.relative_attention_bias = nn.Embedding(N_BUCKETS, heads)

    def forward(self, n_queries: int, n_keys: int) -> Tensor:
        """Return the bias, shape (heads, n_queries, n_keys)."""
        weight = self.relative_attention_bias.weight
        chosen = _chosen_buckets(n_queries, n_keys, weight.device, weight.dtype)
        with torch.autocast(weight.device.type, enabled=False):  # each is one number of float32
            return (chosen @ weight).permute(2, 0, 1)


@lru_cache(maxsize=8)
def _chosen_buckets(n_queries, n_keys, device, dtype):
    """One-hot buckets, (n_queries, n_keys, N_BUCKETS).

    A product with them is an index, whose gradient is a product too: indexed, a GPU sums a quarter
    of a million numbers into these few buckets one after the other.
    """
    with torch.inference_mode(False):  # it serves later training
        buckets = torch.from_numpy(relative_position_buckets(n_queries, n_keys))
        return F.one_hot(buckets, N_BUCKETS).to(device, dtype)


def relative_position_buckets(n_queries: int, n_keys: int) -> np.ndarray:
    """Bucket of key column j seen from query row i, int64, shape (n_queries, n_keys).

    Only keys before the query are told apart: the distance is max(i - j, 0), where column 0 is the
    null key, so that token j stands in column j + 1.
    """
    distance = np.arange(n_queries)[:, None] - np.arange(n_keys)
    return distance_buckets(np.maximum(distance, 0))


def distance_buckets(distance: np.ndarray) -> np.ndarray:
    """Distances 0..15 one bucket each; 16..127 in 16 logarithmic ones; the rest in the last."""
    exact = N_BUCKETS // 2
    octaves = np.log(np.maximum(distance, exact) / exact) / math.log(MAX_DISTANCE / exact)
    coarse = np.minimum(exact + (octaves * (N_BUCKETS - exact)).astype(np.int64), N_BUCKETS - 1)
    return np.where(distance < exact, distance, coarse).astype(np.int64)
