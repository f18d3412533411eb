"""Two ways electrodes look at each other before NICE's TSConv: self-attention, graph attention.

Both map trials (n, n_channels, n_times), or (n, 1, n_channels, n_times), to their own shape, and
stand in a residual. Parameters have the names and shapes of the published modules [1]_.

Both have a slip in the published code, which `compat` keeps. Self-attention multiplies each
electrode by the sum of its own attention weights, which is 1: electrodes do not attend. The graph
of a batch has the edges of its first trial only: in all others an electrode sees itself.

References
----------
.. [1] Song et al. (2024). Decoding natural images from EEG for object recognition. ICLR.
.. [2] Veličković et al. (2018). Graph attention networks. ICLR.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.models.tsconv import ResidualAdd


def self_attention(n_channels: int, n_times: int, compat: bool) -> ResidualAdd:
    """Self-attention over electrodes in a residual, as NICE-SA has it before TSConv."""
    attention = ElectrodeAttention(n_channels, n_times, compat)
    return ResidualAdd(nn.Sequential(nn.LayerNorm(n_times), attention, nn.Dropout(0.3)))


def graph_attention(n_channels: int, n_times: int, compat: bool) -> ResidualAdd:
    """Graph attention over electrodes in a residual, as NICE-GA has it; any number of them."""
    return ResidualAdd(nn.Sequential(ElectrodeGraph(n_times, compat), nn.Dropout(0.3)))


class ElectrodeAttention(nn.Module):
    """Each electrode is a mean of all, weighted by how alike queries and keys are over time.

    Parameters
    ----------
    n_channels, n_times : int
    compat : bool
        True keeps the published slip: the weights act on nothing.
    """

    def __init__(self, n_channels: int = 63, n_times: int = 250, compat: bool = False):
        super().__init__()
        layer = lambda: nn.Sequential(
            nn.Linear(n_channels, n_channels), nn.LayerNorm(n_channels), nn.Dropout(0.3)
        )
        self.query, self.key, self.projection = layer(), layer(), layer()
        self.scale = max(1, n_times // 30) ** 0.5  # published: of means of 30, which are not taken
        self.compat = compat
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Mix electrodes, the last axis but one; electrodes are mixed linearly once more after."""
        at_times = x.transpose(-1, -2)  # (..., n_times, n_channels)
        query, key = self.query(at_times), self.key(at_times)
        weights = (query.transpose(-1, -2) @ key / self.scale).softmax(dim=-1)
        seen = x * weights.sum(dim=-1, keepdim=True) if self.compat else weights @ x
        return self.projection(seen.transpose(-1, -2)).transpose(-1, -2)


class ElectrodeGraph(nn.Module):
    """One graph attention layer [2]_ in which every electrode is every other's neighbour.

    Parameters
    ----------
    n_times : int
    compat : bool
        True keeps the published slip: only the first trial of a batch has neighbours, so that an
        answer depends on the place in the batch.
    """

    def __init__(self, n_times: int = 250, compat: bool = False):
        super().__init__()
        self.conv1 = _GraphAttention(n_times)
        self.compat = compat

    def forward(self, x: Tensor) -> Tensor:
        """Mix electrodes, the last axis but one."""
        connected = torch.ones(len(x), dtype=torch.bool, device=x.device)
        if self.compat:
            connected[1:] = False
        return self.conv1(x, connected)


class _GraphAttention(nn.Module):
    """One head: alpha_ij = softmax_j LeakyReLU(a_src . W x_j + a_dst . W x_i), self included."""

    def __init__(self, n_times):
        super().__init__()
        self.att_src = nn.Parameter(torch.empty(1, 1, n_times))
        self.att_dst = nn.Parameter(torch.empty(1, 1, n_times))
        self.bias = nn.Parameter(torch.zeros(n_times))
        self.lin = nn.Linear(n_times, n_times, bias=False)
        for weight in (self.att_src, self.att_dst, self.lin.weight):
            nn.init.xavier_uniform_(weight)

    def forward(self, x, connected):
        nodes = self.lin(x)  # (n, [1,] n_channels, n_times)
        source = (nodes * self.att_src.flatten()).sum(dim=-1)
        drain = (nodes * self.att_dst.flatten()).sum(dim=-1)
        weights = F.leaky_relu(drain[..., :, None] + source[..., None, :], 0.2).softmax(dim=-1)
        mixed = torch.where(connected.reshape(-1, *[1] * (x.ndim - 1)), weights @ nodes, nodes)
        return mixed + self.bias
