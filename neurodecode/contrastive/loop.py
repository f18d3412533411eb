"""The training loop: AdamW, a warm-up and a cosine, a moving average of the weights, and resuming.

Nothing here knows what is trained: `batches` says what an epoch holds, `loss` what a batch costs,
`validate` how good the averaged weights are. Everything random in epoch `e` follows from the seed
and from `e` alone, so that a run that was killed continues bit for bit from its last checkpoint.

References
----------
.. [1] Loshchilov, Hutter (2019). Decoupled weight decay regularization.
"""

import copy
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from neurodecode.core.ranges import Count, NotNegative, PartShare, Positive, Share
from neurodecode.core.seeds import child_seed

SELECTIONS = ("best", "last")


@dataclass(frozen=True)
class Plan:
    """How to train.

    Parameters
    ----------
    n_epochs : int
        Passes over the training rows.
    learning_rate : float
        Its peak, after the warm-up.
    warmup : float
        Share of the training during which the rate rises from 0; it then falls as a half cosine.
    weight_decay : float
        AdamW's [1]_, on matrices only (no biases, no gains).
    ema_decay : float
        Of the averaged weights, per step; less in the first steps, when there is little to average.
    grad_clip : float
        Largest norm of a step's gradient.
    select : {"best", "last"}
        Averaged weights of the epoch with the best validation score, or of the last epoch.
    seed : int
        Of dropout.
    """

    n_epochs: Count
    learning_rate: NotNegative = 1e-3
    warmup: Share = 0.1
    weight_decay: NotNegative = 0.01
    ema_decay: PartShare = 0.99
    grad_clip: Positive = 1.0
    select: str = "last"
    seed: int = 0

    def __post_init__(self):
        if self.select not in SELECTIONS:
            raise ValueError(f"select is {self.select!r}; choose one of {', '.join(SELECTIONS)}")
        if self.n_epochs < 1:
            raise ValueError(f"n_epochs is {self.n_epochs}; train for at least one")


def fit(
    model: nn.Module,
    batches: Callable[[int], list],
    loss: Callable[[nn.Module, object, int], dict[str, Tensor]],
    validate: Callable[[nn.Module, int], dict[str, float]],
    plan: Plan,
    checkpoint: Path | None = None,
    checkpoint_every: int = 5,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[nn.Module, list[dict]]:
    """Train a model and return its averaged weights.

    Parameters
    ----------
    model : nn.Module
        Trained in place, on the device it is on; bfloat16 autocast on a GPU only.
    batches : callable (epoch) -> list
        The batches of an epoch, the same whenever it is asked for the same epoch.
    loss : callable (model, batch, epoch) -> dict of Tensor
        Parts of the loss; `total` is what is descended, the others are recorded.
    validate : callable (averaged model, epoch) -> dict of float
        Scores on validation rows; with `select="best"` the higher `score` wins.
    checkpoint : Path, optional
        File to resume from and to save to.
    checkpoint_every : int
        Epochs between two states on disk; changes no number.
    progress : callable, optional
        Wraps the iterable of epochs, to show a bar.

    Returns
    -------
    averaged : nn.Module
        In eval mode.
    history : list of dict
        epoch (from 1), step, split, name, value: the mean of every part of the loss over an epoch,
        and every validation score.
    """
    run = Run(model, plan)
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    for epoch in progress(range(run.epoch, plan.n_epochs)):
        run.train_epoch(batches(epoch), loss)
        run.keep(validate(run.averaged.module.eval(), epoch))
        if checkpoint is not None and (epoch + 1) % checkpoint_every == 0:
            run.save(checkpoint)
    return run.chosen(), run.history


class Run:
    """Everything that changes while a model is trained, and that a resumed run needs back."""

    def __init__(self, model: nn.Module, plan: Plan):
        self.model, self.plan = model, plan
        self.optimiser = torch.optim.AdamW(_decayed(model, plan.weight_decay), plan.learning_rate)
        self.averaged = AveragedModel(model, multi_avg_fn=_moving_average(plan.ema_decay))
        self.epoch, self.step = 0, 0
        self.best, self.best_score = None, -math.inf
        self.history = []

    def train_epoch(self, batches: list, loss: Callable) -> None:
        """Descend once on every batch."""
        device = next(self.model.parameters()).device
        sums = {}
        self.model.train()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(child_seed(self.plan.seed, "dropout", self.epoch))
            for i, batch in enumerate(batches):
                self._set_rate((self.epoch + (i + 0.5) / len(batches)) / self.plan.n_epochs)
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                    parts = loss(self.model, batch, self.epoch)
                self._descend(parts["total"])
                for name, part in parts.items():
                    sums[name] = sums.get(name, 0) + part.detach()
        self.epoch += 1
        if not math.isfinite(sums["total"]):
            raise ValueError(
                f"training diverged in epoch {self.epoch} (its loss is {float(sums['total'])}): "
                "lower learning_rate"
            )
        self._record("train", {name: float(total) / len(batches) for name, total in sums.items()})

    def keep(self, scores: dict[str, float]) -> None:
        """Record validation scores, and the averaged weights if they are the best so far."""
        self._record("val", scores)
        if self.plan.select == "best" and scores["score"] > self.best_score:
            self.best_score = scores["score"]
            self.best = copy.deepcopy(self.averaged.module.state_dict())

    def chosen(self) -> nn.Module:
        """Return the averaged model, with the weights that were selected."""
        if self.best is not None:
            self.averaged.module.load_state_dict(self.best)
        return self.averaged.module.eval()

    def save(self, path: Path) -> None:
        """Write the state beside `path`, then rename: a kill leaves the old or the new one."""
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": self.averaged.state_dict(),
            "progress": [self.epoch, self.step, self.best_score],
            "best": self.best,
            "history": self.history,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Continue from a saved state; only tensors and plain values are read."""
        device = next(self.model.parameters()).device
        state = torch.load(path, map_location=device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.averaged.load_state_dict(state["averaged"])
        self.epoch, self.step, self.best_score = state["progress"]
        self.best, self.history = state["best"], state["history"]

    def _descend(self, total: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.grad_clip)
        self.optimiser.step()
        self.averaged.update_parameters(self.model)
        self.step += 1

    def _set_rate(self, done: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.learning_rate * rate(done, self.plan.warmup)

    def _record(self, split: str, values: dict[str, float]) -> None:
        for name, value in values.items():
            row = {"epoch": self.epoch, "step": self.step, "split": split}
            self.history.append(row | {"name": name, "value": value})


def rate(done: float, warmup: float) -> float:
    """Learning rate in units of its peak when the share `done` (0 to 1) of the training is over."""
    if done < warmup:
        return done / warmup
    return (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def _decayed(model: nn.Module, weight_decay: float) -> list[dict]:
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def _moving_average(decay: float) -> Callable:
    """Average of the last 1 / (1 - decay) steps or so; of all steps while there are fewer."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], n_averaged: Tensor) -> None:
        n = int(n_averaged)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update
