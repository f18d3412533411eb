"""Trials and targets as training reads them: in memory, or some rows at a time from disk."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.contrastive.gather import send
from neurodecode.core.lazy import IN_MEMORY, Lazy, row_bytes, slices

DEVICE_SHARE = 0.25  # of a GPU's free memory that a table may fill


@dataclass(frozen=True)
class Resident:
    """Rows on disk, and their values on a GPU that has ample room."""

    rows: Lazy
    values: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return self.rows.shape


Table = Tensor | Lazy | Resident


@dataclass(frozen=True)
class Rows:
    """Trials of one subject: responses (n_trials, n_channels[, n_times]), and their stimuli.

    Parameters
    ----------
    responses : Tensor, Lazy or Resident
        A tensor is on the training device whole; `Lazy` rows are read when asked for.
    stimulus : ndarray of int, shape (n_trials,)
        Row of the targets that each trial is of.
    device : str
        Where `Lazy` rows are brought.
    """

    responses: Table
    stimulus: np.ndarray
    device: str = "cpu"

    def __len__(self):
        return len(self.stimulus)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one trial: (n_channels[, n_times])."""
        return tuple(self.responses.shape[1:])

    def read(self, chosen: np.ndarray) -> Tensor:
        """Some trials on the training device, in the order of `chosen` (ndarray of int)."""
        return _read(self.responses, chosen, self.device)

    def on(self, device: str) -> "Rows":
        """The same, to be read to a device."""
        return replace(self, responses=placed(self.responses, device), device=device)

    def blocks(self) -> list[np.ndarray]:
        """All trials in order, cut into what is decoded at once: one block where that is little."""
        if 4 * len(self) * math.prod(self.shape) <= IN_MEMORY:
            return [np.arange(len(self))]
        parts = slices(self.responses, len(self))
        return [np.arange(part.start, part.stop) for part in parts]


@dataclass(frozen=True)
class Targets:
    """What the decoder should say of each stimulus: tensors on the training device, or `Lazy` rows.

    pooled (n_stimuli, dim) unit rows; tokens (n_stimuli, n_tokens, token_dim) standardised; blurry
    (n_stimuli, height, width, 3) in [0, 1]; code (n_stimuli, n_code), which `read` finds in tokens.
    Studies without pictures have pooled embeddings alone. `Lazy` rows are brought to `device`.
    """

    pooled: Table
    tokens: Table | None = None
    blurry: Table | None = None
    code: Table | None = None
    read: Callable[[Tensor], Tensor] | None = None
    device: str = "cpu"

    def take(self, name: str, stimuli: np.ndarray) -> Tensor:
        """The target `name` of some stimuli (ndarray of int), on the training device."""
        return _read(getattr(self, name), stimuli, self.device)

    def on(self, device: str) -> "Targets":
        """The same, to be read to a device."""
        names = ("pooled", "tokens", "blurry", "code")
        tables = {n: getattr(self, n) for n in names if getattr(self, n) is not None}
        read, owner = self.read, getattr(self.read, "__self__", None)
        if isinstance(owner, nn.Module):
            read = getattr(copy.deepcopy(owner).to(device), read.__name__)
        there = {name: placed(table, device) for name, table in tables.items()}
        return replace(self, **there, read=read, device=device)

    def names(self) -> list[str]:
        """The names of the targets that there are, the code apart."""
        return [n for n in ("pooled", "tokens", "blurry") if getattr(self, n) is not None]

    def answered(self, output: dict) -> dict[str, Callable]:
        """Which of the targets a network's output regresses, and by what measure."""
        measures = {"tokens": F.mse_loss, "blurry": F.l1_loss, "code": F.mse_loss}
        both = lambda n: getattr(self, n) is not None and output.get(n) is not None
        return {n: measure for n, measure in measures.items() if both(n)}

    def complete(self, output: dict) -> dict:
        """Add to a network's output the code of its tokens, if it answers any."""
        if self.code is None or output.get("tokens") is None:
            return output
        return output | {"code": self.read(output["tokens"])}


def placed(table: Table, device: str) -> Table:
    """Bring a tensor to a device; rows on disk only to a GPU that has four times the room."""
    if isinstance(table, Tensor):
        return table.to(device)
    rows = table.rows if isinstance(table, Resident) else table
    if len(rows) * row_bytes(rows) > DEVICE_SHARE * _free_bytes(device):
        return rows
    values = torch.empty(rows.shape, dtype=torch.float32, device=device)
    for part in slices(rows):
        values[part] = torch.as_tensor(np.ascontiguousarray(rows[part]), device=device)
    return Resident(rows, values)


def _free_bytes(device):
    """Free memory of a GPU; 0 on the CPU, whose memory is what is to be spared."""
    return torch.cuda.mem_get_info(device)[0] if torch.device(device).type == "cuda" else 0


def _read(table, chosen, device):
    if isinstance(table, Resident):
        table = table.values
    if isinstance(table, Tensor):
        return table[send(chosen, table.device)]
    # dropout deals its mask in the order of memory, and chosen channels lie the other way round
    return torch.as_tensor(np.ascontiguousarray(table[chosen]), device=device)
