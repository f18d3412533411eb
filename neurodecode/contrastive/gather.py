"""One batch on several processes: who reads which trials, and what they tell each other.

A batch is dealt like cards: its trial k goes to process k mod n. Each process decodes its own, then
all gather what was decoded, so that the contrastive loss sees the negatives of everybody, in the
order of the batch: it is the loss that one process would have computed, up to rounding.

Gradients of processes are averaged (that is what DistributedDataParallel does). For the average to
be the gradient of the whole batch, what a process adds to its own trials counts once for each
process: see `Rank.gather` and `Rank.mean`.

The gradient of a large linear layer is cheaper to gather than to average, see `GatheredLinear`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # new name


@dataclass(frozen=True)
class Rank:
    """One of the processes that train together.

    Parameters
    ----------
    index : int
        Its number, from 0; process 0 validates, saves and reports.
    world : int
        How many there are.
    """

    index: int = 0
    world: int = 1

    def deal(self, sizes: list[int]) -> "Dealt":
        """Say which trials of a batch are this process's; see `Dealt`."""
        return Dealt(self, sizes)

    def gather(self, rows: Tensor) -> Tensor:
        """Gather equally many rows of every process, process by process: (world * n, ...).

        Backwards, a process gets the gradient of its own rows, times the number of processes. That
        is the sum over the processes if all go on to compute the same loss from the gathered rows;
        they must, and save a communication.
        """
        return rows if self.world == 1 else _Gather.apply(rows, self)

    def mean(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average numbers over the processes, without gradients and without waiting for a GPU."""
        values = {name: value.detach() for name, value in values.items()}
        if self.world == 1:
            return values
        stacked = torch.stack(list(values.values()))
        dist.all_reduce(stacked)
        return dict(zip(values, stacked / self.world, strict=True))

    def any(self, said: bool, device: torch.device) -> bool:
        """Whether one of the processes says so."""
        if self.world == 1:
            return said
        heard = torch.tensor(float(said), device=device)
        dist.all_reduce(heard)
        return bool(heard)


ALONE = Rank()


class Dealt:
    """The share of one process in a batch of several subjects' trials.

    All processes read equally many trials of each subject, one at least, so that all do the same
    operations on the same shapes: one who has fewer reads a trial once more, and that copy counts
    nothing.

    Parameters
    ----------
    rank : Rank
    sizes : list of int
        Trials of each subject in the batch.

    Attributes
    ----------
    places : list of ndarray of int
        What to read of each subject: places in the batch, subjects one after the other.
    counts : ndarray of int
        Which of what was read counts; None: all.
    own : ndarray of int
        Places in the batch of what counts.
    order : ndarray of int
        Where in the gathered rows each trial of the batch is; None: in order.
    """

    def __init__(self, rank: Rank, sizes: list[int]):
        self.rank, self.n_trials = rank, sum(sizes)
        first = np.cumsum([0, *sizes])
        self.places, counts, self.own, order, base = [], [], [], [], 0
        n_read = [max(1, -(-n // rank.world)) for n in sizes]
        for start, n, n_all in zip(first, sizes, n_read, strict=False):
            trial = np.arange(n)
            dealt_to = (start + trial) % rank.world
            mine = trial[dealt_to == rank.index]
            once_more = np.zeros(n_all - len(mine), np.int64)
            self.places.append(start + np.append(mine, once_more))
            counts.append(base + np.arange(len(mine)))
            self.own.append(start + mine)
            turn = (trial - (dealt_to - start) % rank.world) // rank.world
            order.append(dealt_to * sum(n_read) + base + turn)
            base += n_all
        self.own = np.concatenate(self.own)
        self.order = np.concatenate(order) if rank.world > 1 else None
        self.counts = np.concatenate(counts) if len(self.own) < base else None

    def counted(self, rows: Tensor) -> Tensor:
        """Leave out, of what this process decoded, what does not count."""
        if self.counts is None:
            return rows
        return rows.index_select(0, send(self.counts, rows.device))

    def gather(self, rows: Tensor) -> Tensor:
        """Gather what all decoded, in the order of the batch: (n_trials, ...)."""
        if self.order is None:
            return rows
        return self.rank.gather(rows).index_select(0, send(self.order, rows.device))

    def mean(self, measure: Callable, said: Tensor, true: Tensor) -> Tensor:
        """A mean over trials such that its average over processes is that of the batch.

        Parameters
        ----------
        measure : callable (said, true, reduction="mean") -> Tensor
        said, true : Tensor, shape (n_own, ...)
            Of the trials in `own`; there may be none.
        """
        if not len(said):
            return measure(said, true, reduction="sum")  # 0, and gradients that are 0
        value = measure(said, true)
        share = len(said) * self.rank.world / self.n_trials
        return value if share == 1 else value * share


def send(numbers: np.ndarray, device) -> Tensor:
    """Numbers as a tensor on a device; on the way to a GPU nobody waits."""
    tensor = torch.from_numpy(numbers)
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, rank):
        ctx.rank, ctx.n = rank, len(rows)
        return all_rows(rows, rank.world)

    @staticmethod
    def backward(ctx, gradient):
        mine = gradient.narrow(0, ctx.rank.index * ctx.n, ctx.n)
        return mine * ctx.rank.world, None


def all_rows(rows: Tensor, world: int) -> Tensor:
    """Gather equally many rows of every process, without gradients."""
    gathered = rows.new_empty((world * len(rows), *rows.shape[1:]))
    all_gather(gathered, rows.contiguous())
    return gathered


class GatheredLinear(torch.autograd.Function):
    """A linear layer whose gradient is that of all processes' rows, computed by each of them.

    The gradient of a weight (n_out, n_in) is gradient.T @ input, over rows. Where a batch has few
    rows and the layer is large, these two are much smaller than their product: gathering them
    replaces averaging the product (13 MB instead of 3.2 GB for the largest layer of MindEye [1]_ at
    32 trials a process), and sums in one go what would be rounded in each process.

    References
    ----------
    .. [1] Scotti et al. (2023). Reconstructing the mind's eye. NeurIPS.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, cast, world):
        ctx.world, ctx.types = world, (x.dtype, weight.dtype, bias is not None)
        x = x.to(cast.dtype)
        ctx.save_for_backward(x, cast)
        return F.linear(x, cast, None if bias is None else bias.to(cast.dtype))

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        x_type, weight_type, has_bias = ctx.types
        n_in = x.shape[-1]
        rows, slopes = x.reshape(-1, n_in), gradient.reshape(-1, len(weight)).to(x.dtype)
        packed = torch.cat([rows, slopes], dim=1)
        everybody = packed.new_empty((ctx.world * len(packed), packed.shape[1]))
        arrives = all_gather(everybody, packed, async_op=True)
        dx = (gradient.to(weight.dtype) @ weight).to(x_type) if ctx.needs_input_grad[0] else None
        arrives.wait()
        slopes = everybody[:, n_in:] / ctx.world  # averaged, as other gradients are
        dw = (slopes.T @ everybody[:, :n_in]).to(weight_type)
        db = slopes.sum(dim=0).to(weight_type) if has_bias else None
        return dx, dw, db, None, None


def gather_gradients(layer: nn.Linear, world: int) -> None:
    """Let the gradients of a layer be those of all processes' rows; see `GatheredLinear`.

    What autocast makes of the weight is kept in `layer.cast`, for the layer's other calls in a
    step: set it to None before each step.
    """
    layer.cast = None

    def forward(x):
        kind = x.device.type
        autocast = torch.is_autocast_enabled(kind) and layer.weight.dtype != torch.float64
        dtype = torch.get_autocast_dtype(kind) if autocast else layer.weight.dtype
        if layer.cast is None:
            layer.cast = layer.weight.detach().to(dtype)
        return GatheredLinear.apply(x, layer.weight, layer.bias, layer.cast, world)

    layer.forward = forward
