"""What a decoder is trained on: batches of several subjects' trials, their cost, their validation.

A batch holds equally many trials of each subject and contrasts all of them with each other. No
picture occurs twice in it: the same picture seen by two subjects, or twice by one, would be a
negative of itself, so a trial whose picture is already there waits for a later batch.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.contrastive.mixing import mixco
from neurodecode.core.lazy import IN_MEMORY, Lazy, row_bytes, slices
from neurodecode.core.seeds import child_rng, child_seed

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

    def regressed(self) -> dict[str, Callable]:
        """The names of the targets that are regressed, and by what measure."""
        measures = {"tokens": F.mse_loss, "blurry": F.l1_loss, "code": F.mse_loss}
        return {n: measure for n, measure in measures.items() if getattr(self, n) is not None}

    def complete(self, output: dict) -> dict:
        """Add to a network's output the code of its tokens."""
        return output | ({} if self.code is None else {"code": self.read(output["tokens"])})


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
        return table[torch.from_numpy(chosen)]
    # dropout deals its mask in the order of memory, and chosen channels lie the other way round
    return torch.as_tensor(np.ascontiguousarray(table[chosen]), device=device)


@dataclass(frozen=True)
class Batch:
    """Rows of each subject, and the seed of what is random in this batch."""

    rows: dict[str, np.ndarray]
    seed: int


def epoch_batches(
    stimulus: dict[str, np.ndarray], n_per_subject: int, seed: int, epoch: int
) -> list[Batch]:
    """Shuffle an epoch into batches in which no stimulus occurs twice.

    Parameters
    ----------
    stimulus : dict of ndarray of int
        Stimulus of every training row, for each subject.
    n_per_subject : int
        Rows of each subject in a batch; fewer if there are not as many different stimuli.
    seed, epoch : int
        The same seed and epoch give the same batches.

    Returns
    -------
    batches : list of Batch
        One pass through the subject with most rows; the others start over when they run out.
    """
    rng = child_rng(seed, "order", epoch)
    fewest = min(len(np.unique(seen)) for seen in stimulus.values())
    n_per_subject = max(1, min(n_per_subject, fewest // len(stimulus)))
    n_batches = max(1, max(map(len, stimulus.values())) // n_per_subject)
    queues = {subject: rng.permutation(len(seen)) for subject, seen in stimulus.items()}
    batches = []
    for i in range(n_batches):
        rows, taken = {}, np.array([], dtype=np.int64)
        for subject, seen in stimulus.items():
            rows[subject], queues[subject] = _take(queues[subject], seen, taken, n_per_subject, rng)
            taken = np.append(taken, seen[rows[subject]])
        batches.append(Batch(rows, child_seed(seed, "batch", epoch, i)))
    return batches


def _take(queue, seen, taken, n, rng):
    """Take the first n rows of a queue whose stimuli are new; return them and the rest."""
    places = _new_places(seen[queue], taken)
    if len(places) < n:
        queue = np.append(queue, rng.permutation(len(seen)))
        places = _new_places(seen[queue], taken)
    if len(places) < n:
        raise ValueError(
            f"a batch needs {n} pictures per subject that no other subject has in it, but only "
            f"{len(places)} are left: the study has fewer stimuli than subjects"
        )
    return queue[places[:n]], np.delete(queue, places[:n])


def _new_places(stimuli, taken):
    first = np.sort(np.unique(stimuli, return_index=True)[1])
    return first[~np.isin(stimuli[first], taken)]


def decoder_loss(
    contrastive: Callable,
    rows: dict[str, Rows],
    targets: Targets,
    n_epochs: int,
    weights: dict[str, float],
) -> Callable[[nn.Module, Batch, int], dict[str, Tensor]]:
    """Return the cost of a batch, for `fit`.

    total = contrastive(pooled) + weights["tokens"] MSE(tokens) + weights["blurry"] L1(blurry)
                                + weights["code"] MSE(code)

    In epochs in which `contrastive.mixes`, trials are mixed within their subject, and the
    regression targets with them.
    """

    def loss(model: nn.Module, batch: Batch, epoch: int) -> dict[str, Tensor]:
        output, mixture = _forward(model, rows, batch, contrastive.mixes(epoch, n_epochs))
        output = targets.complete(output)
        seen = np.concatenate([rows[s].stimulus[chosen] for s, chosen in batch.rows.items()])
        pooled = targets.take("pooled", seen)
        parts = {"contrastive": contrastive(output["pooled"], pooled, epoch, n_epochs, *mixture)}
        for name, measure in targets.regressed().items():
            parts[name] = measure(output[name], _mixed(targets.take(name, seen), *mixture))
        total = sum(weights.get(name, 1.0) * part for name, part in parts.items())
        return {"total": total} | parts

    return loss


def _forward(model, rows, batch, mixes):
    """Decode all subjects' trials; say how they were mixed, (None, None) if they were not."""
    generator = torch.Generator().manual_seed(batch.seed)
    outputs, partners, lams, offset = [], [], [], 0
    for subject, chosen in batch.rows.items():
        x = rows[subject].read(chosen)
        if mixes:
            x, partner, lam = mixco(x, generator)
            partners.append(partner + offset)
            lams.append(lam)
        outputs.append(model(x, subject)._asdict())
        offset += len(x)
    output = {
        name: torch.cat([o[name] for o in outputs]).float()
        for name, part in outputs[0].items()
        if part is not None
    }
    return output, (torch.cat(partners), torch.cat(lams)) if mixes else (None, None)


def _mixed(target, partner, lam):
    if partner is None:
        return target
    weight = lam.reshape(-1, *[1] * (target.ndim - 1))
    return weight * target + (1 - weight) * target[partner]


@torch.no_grad()
def validation_scores(
    model: nn.Module, rows: dict[str, Rows], targets: Targets
) -> dict[str, float]:
    """Score single validation trials: retrieval among the validation pictures, and regressions.

    Returns
    -------
    scores : dict of float
        Means over subjects of `top1` (the right picture is the most similar; ties share), `score`
        (1 / its rank), and of the regressions' errors `tokens`, `blurry` and `code`.
    """
    per_subject = []
    for subject, seen in rows.items():
        candidates, own = np.unique(seen.stimulus, return_inverse=True)
        pictures = targets.take("pooled", candidates)
        ranks, errors = [], {name: 0.0 for name in targets.regressed()}
        for block in seen.blocks():
            output = targets.complete(model(seen.read(block), subject)._asdict())
            cosine = F.normalize(output["pooled"].float(), dim=1) @ pictures.T
            ranks.append(own_rank(cosine.cpu().numpy(), own[block]))
            for name, measure in targets.regressed().items():
                wanted = targets.take(name, seen.stimulus[block])
                share = len(block) / len(seen)
                errors[name] += share * measure(output[name].float(), wanted).item()
        rank = np.concatenate(ranks)
        scores = {"score": (1 / rank).mean(), "top1": np.clip(2 - rank, 0, 1).mean()}
        per_subject.append(scores | errors)
    return {name: float(np.mean([s[name] for s in per_subject])) for name in per_subject[0]}


def own_rank(similarity: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Rank of each row's own column, 1 the most similar; a tie counts as half a place.

    Parameters
    ----------
    similarity : ndarray, shape (n_rows, n_columns)
    own : ndarray of int, shape (n_rows,)

    Raises
    ------
    ValueError
        If a similarity is not a number: it would rank first.
    """
    if np.isnan(similarity).any():
        raise ValueError("the network answers with what are no numbers: its training diverged")
    mine = similarity[np.arange(len(own)), own][:, None]
    above, level = (similarity > mine).sum(axis=1), (similarity == mine).sum(axis=1) - 1
    return 1 + above + level / 2
