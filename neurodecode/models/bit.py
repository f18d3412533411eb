"""The Brain Interaction Transformer: from vertices to functional clusters to query tokens [1]_.

    x_v = embed_v * activation_v                            what vertex v says
    y_c = W_skip c + sum_{v in c} softmax_v(W_q c . W_k x_v / sqrt(d)) W_v x_v      its cluster's
    brain tokens = LayerNorm(ReLU(y)), one for each cluster
    blocks: brain tokens attend to each other, then query tokens to them

Each query token becomes one token of the answer. Clusters are shared by all subjects: what several
subjects' vertices have in common is where their activations meet.

References
----------
.. [1] Beliy et al. (2026). Brain-IT: image reconstruction from fMRI via brain-interaction
   transformer. ICLR (arXiv 2510.25976). Defaults are those of its branch towards image tokens.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VGG_TOKENS = 56**2 + 55**2 + 28**2 + 14**2 + 7**2  # of the published structural branch, 512 wide
CHUNK = 2048  # rows of similarities that are held at once


class CentreConv(nn.Module):
    """Graph attention from vertices to the centre of their cluster, one head.

    x_v is a multiple of the vertex's embedding, so keys and values are computed once a vertex and
    not once a trial.
    """

    def __init__(self, dim: int):
        super().__init__()
        names = ("lin_key", "lin_query", "lin_value", "lin_skip")
        for name in names:
            setattr(self, name, nn.Linear(dim, dim))

    def forward(
        self,
        centers: Tensor,
        embed: Tensor,
        activation: Tensor,
        cluster: Tensor,
        drawn: Tensor | None = None,
    ) -> Tensor:
        """Gather what vertices say at the centres.

        Parameters
        ----------
        centers : Tensor, shape (n_centres, dim)
        embed : Tensor, shape (n_trials or 1, n_vertices, dim)
        activation : Tensor, shape (n_trials, n_vertices)
        cluster : Tensor of int, shape (n_trials or 1, n_vertices)
            The centre of each vertex.
        drawn : Tensor of bool, shape (n_trials, n_vertices), optional
            Vertices that are linked; None: all.

        Returns
        -------
        gathered : Tensor, shape (n_trials, n_centres, dim)
            A centre without vertices has its own part alone.
        """
        query = self.lin_query(centers)[cluster]  # (n_trials or 1, n_vertices, dim)
        key = F.linear(embed, self.lin_key.weight)
        score = activation * (query * key).sum(dim=-1) + query @ self.lin_key.bias.to(query.dtype)
        cluster = cluster.expand(activation.shape)
        weight = cluster_softmax(score / centers.shape[1] ** 0.5, cluster, len(centers), drawn)
        value = F.linear(embed, self.lin_value.weight)
        spread = weight.new_zeros(len(activation), len(centers), activation.shape[1])
        spread = spread.scatter(1, cluster[:, None], (weight * activation)[:, None])
        linked = weight.new_zeros(spread.shape[:2]).scatter_add(1, cluster, weight)  # 1, or 0
        return spread @ value + linked[..., None] * self.lin_value.bias + self.lin_skip(centers)


def cluster_softmax(
    score: Tensor, cluster: Tensor, n_clusters: int, drawn: Tensor | None = None
) -> Tensor:
    """Softmax of scores within each cluster: weights that sum to 1 there.

    Parameters
    ----------
    score : Tensor, shape (n_trials, n_vertices)
    cluster : Tensor of int, shape (n_trials, n_vertices)
    n_clusters : int
    drawn : Tensor of bool, shape (n_trials, n_vertices), optional
        The others get weight 0; None: all count.
    """
    score = score if score.dtype == torch.float64 else score.float()
    if drawn is not None:
        score = score.masked_fill(~drawn, -torch.inf)
    empty = score.new_full((len(score), n_clusters), -torch.inf)
    top = empty.scatter_reduce(1, cluster, score.detach(), "amax")
    top = top.masked_fill(top.isinf(), 0)
    part = (score - top.gather(1, cluster)).exp()
    total = torch.zeros_like(empty).scatter_add(1, cluster, part)
    return part / total.clamp_min(torch.finfo(part.dtype).tiny).gather(1, cluster)


class _Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        return self.proj(_attended(*self.qkv(x).chunk(3, dim=-1), self.heads))


class _CrossAttention(nn.Module):
    """The queries are used as they are."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, query, x):
        return self.proj(_attended(query, *self.kv(x).chunk(2, dim=-1), self.heads))


def _attended(query, key, value, heads):
    split = lambda x: x.unflatten(-1, (heads, -1)).transpose(1, 2)
    key, value = split(key), split(value)
    said = F.scaled_dot_product_attention(split(query).to(key.dtype), key, value)
    return said.transpose(1, 2).flatten(2)


class _MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class SelfBlock(nn.Module):
    """Brain tokens attend to each other."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim), _Attention(dim, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim), _MLP(dim)

    def forward(self, brain: Tensor) -> Tensor:
        """Update brain tokens, (n_trials, n_centres, dim)."""
        brain = brain + self.attn(self.norm1(brain))
        return brain + self.mlp(self.norm2(brain))


class CrossBlock(nn.Module):
    """Query tokens read brain tokens; what they read is added to them outside."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim), _CrossAttention(dim, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim), _MLP(dim)

    def forward(self, query: Tensor, brain: Tensor) -> Tensor:
        """What query tokens, (n_trials, n_tokens, dim), read of brain tokens."""
        read = self.attn(query, self.norm1(brain))
        return read + self.mlp(self.norm2(read))


class BIT(nn.Module):
    """The published decoder, by its parameter names and shapes [1]_.

    Parameters
    ----------
    num_voxels : int
        Vertices of all subjects together; 0: their embeddings are given from outside.
    dim : int
        Width of all tokens.
    centres : int
        Clusters, and brain tokens.
    heads, blocks : int
    out_tokens, out_dim : int
        Of the answer.
    """

    def __init__(
        self,
        num_voxels: int = 0,
        dim: int = 512,
        centres: int = 128,
        heads: int = 8,
        out_tokens: int = 256,
        blocks: int = 5,
        out_dim: int = 1664,
    ):
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim is {dim} and no multiple of heads, {heads}")
        self.voxel_embed = nn.Parameter(torch.randn(num_voxels, dim)) if num_voxels else None
        self.centers = nn.Parameter(torch.randn(centres, dim))
        self.pred_tokens = nn.Parameter(torch.randn(out_tokens, dim))
        self.conv_centers = CentreConv(dim)
        self.norm_centers = nn.LayerNorm(dim)
        self.proj = nn.Linear(dim, out_dim)
        self.blocks = nn.ModuleList(SelfBlock(dim, heads) for _ in range(blocks))
        self.block_crosses = nn.ModuleList(CrossBlock(dim, heads) for _ in range(blocks + 1))

    def forward(self, fmri: Tensor, voxel_index: Tensor, cluster: Tensor) -> Tensor:
        """Decode trials by the network's own embeddings of vertices.

        Parameters
        ----------
        fmri : Tensor, shape (n_trials, n_vertices)
        voxel_index : Tensor of int, shape (n_trials, n_vertices)
            Which vertices of all these are.
        cluster : Tensor of int, shape (n_trials, n_vertices)

        Returns
        -------
        answer : Tensor, shape (n_trials, out_tokens, out_dim)
        """
        return self.proj(self.queried(self.voxel_embed[voxel_index], fmri, cluster))

    def queried(
        self, embed: Tensor, activation: Tensor, cluster: Tensor, drawn: Tensor | None = None
    ) -> Tensor:
        """Query tokens before the last layer; parameters as of `CentreConv`.

        Returns
        -------
        query : Tensor, shape (n_trials, out_tokens, dim)
        """
        gathered = self.conv_centers(self.centers, embed, activation, cluster, drawn)
        brain = self.norm_centers(F.relu(gathered))
        query = self.pred_tokens.expand(len(activation), -1, -1)
        first, *crosses = self.block_crosses
        query = query + first(query, brain)
        for block, cross in zip(self.blocks, crosses, strict=True):
            brain = block(brain)
            query = query + cross(query, brain)
        return query


def token_contrast(
    said: Tensor, true: Tensor, n_places: int | None = None, chunk: int = CHUNK
) -> Tensor:
    """Symmetric InfoNCE of tokens as they are, without normalisation and at temperature 1, in nats.

    Every token of every trial is a pair, and a negative of all others. The similarities of
    2,048 rows are held at once, and computed again for the gradient: those of 64 trials with 512
    tokens would fill 4 GB.

    Parameters
    ----------
    said, true : Tensor, shape (n_trials, n_tokens, dim)
    n_places : int, optional
        Places in the grid that are drawn for this batch, the same in all trials; None: all.
    chunk : int
        Rows of similarities that are held at once; changes no number beyond rounding.
    """
    from torch.utils.checkpoint import checkpoint

    if n_places is not None:
        places = torch.randperm(said.shape[1])[:n_places].to(said.device)
        said, true = said[:, places], true[:, places]
    said, true = said.flatten(0, 1).float(), true.flatten(0, 1).float()
    own = (said * true).sum(dim=1)
    directions = []
    for rows, columns in ((said, true), (true, said)):
        parts = [
            checkpoint(_log_sums, part, columns, use_reentrant=False) for part in rows.split(chunk)
        ]
        directions.append((torch.cat(parts) - own).mean())
    return sum(directions) / 2


def _log_sums(rows, columns):
    return (rows @ columns.T).logsumexp(dim=1)
