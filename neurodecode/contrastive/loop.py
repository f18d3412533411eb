"""The training loop: Adam or AdamW, a schedule, a moving average of the weights, and resuming.

Nothing here knows what is trained: `batches` says what an epoch holds, `loss` what a batch costs,
`validate` how good the averaged weights are. Everything random in epoch `e` follows from the seed
and from `e` alone, and a state on disk holds how far the generator of dropout has come, so that a
run that was killed continues bit for bit from its last state, in the middle of an epoch too.

Several processes may train together, see `gather`: all do the same steps; the first one validates,
saves and answers.

References
----------
.. [1] Loshchilov, Hutter (2019). Decoupled weight decay regularization.
.. [2] Smith, Topin (2019). Super-convergence: very fast training of neural networks.
"""

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from neurodecode.contrastive import checkpoint as disk
from neurodecode.contrastive.gather import ALONE, Rank
from neurodecode.contrastive.replicas import Replica
from neurodecode.core import stop
from neurodecode.core.ranges import Count, NotNegative, PartShare, Positive, Share
from neurodecode.core.seeds import child_seed

SELECTIONS = ("best", "last")
OPTIMISERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
SAVE_EVERY_S = 60.0
SAVING_SHARE = (
    0.1  # of the time, at most, goes into states on disk: those of 10^9 weights are large
)


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
        Share of the training during which the rate rises.
    weight_decay : float
        AdamW's [1]_ (of ``adam`` a penalty in the gradient), on matrices only.
    ema_decay : float
        Of the averaged weights, per step; less in the first steps, when there is little to average.
        0: the weights as they are.
    grad_clip : float or None
        Largest norm of a step's gradient; None: any.
    select : {"best", "last"}
        Averaged weights of the epoch with the best validation score, or of the last epoch.
    seed : int
        Of dropout.
    optimizer : {"adamw", "adam"}
    betas : pair of float
        Adam's memory of the gradient and of its square.
    schedule : {"cosine", "onecycle", "constant"}
        After a linear warm-up the rate falls as a half cosine, or stays; ``onecycle`` [2]_ rises as
        a half cosine too.
    start_share, end_share : float
        The first and the last rate, in units of the peak.
    decay_all : bool
        Decay biases and gains too.
    patience : int or None
        Stop when so many epochs have brought no better validation score; None: never.
    """

    n_epochs: Count
    learning_rate: NotNegative = 1e-3
    warmup: Share = 0.1
    weight_decay: NotNegative = 0.01
    ema_decay: PartShare = 0.99
    grad_clip: Positive | None = 1.0
    select: str = "last"
    seed: int = 0
    optimizer: Literal["adamw", "adam"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "onecycle", "constant"] = "cosine"
    start_share: Share = 0.0
    end_share: Share = 0.0
    decay_all: bool = False
    patience: Count | None = None

    def __post_init__(self):
        if self.select not in SELECTIONS:
            raise ValueError(f"select is {self.select!r}; choose one of {', '.join(SELECTIONS)}")
        if self.n_epochs < 1:
            raise ValueError(f"n_epochs is {self.n_epochs}; train for at least one")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas is {list(self.betas)}; give two numbers from 0 to below 1")

    def rate(self, done: float) -> float:
        """Learning rate in units of its peak when the share `done` (0 to 1) is over."""
        if done < self.warmup:
            risen = done / self.warmup
            if self.schedule == "onecycle":
                risen = (1 - math.cos(math.pi * risen)) / 2
            return self.start_share + (1 - self.start_share) * risen
        if self.schedule == "constant":
            return 1.0
        left = (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup))) / 2
        return self.end_share + (1 - self.end_share) * left


def fit(
    model: nn.Module,
    batches: Callable[[int], list],
    loss: Callable[[nn.Module, object, int], dict[str, Tensor]],
    validate: Callable[[nn.Module, int], dict[str, float]],
    plan: Plan,
    checkpoint: Path | None = None,
    checkpoint_every: int = 5,
    progress: Callable[[Iterable], Iterable] = iter,
    rank: Rank = ALONE,
) -> tuple[nn.Module, list[dict]]:
    """Train a model and return its averaged weights.

    Told to stop (`neurodecode.core.stop`), it saves after the step it is in, and leaves.

    Parameters
    ----------
    model : nn.Module
        Trained in place, on the device it is on; bfloat16 autocast on a GPU only. Its method
        ``after_epoch(epoch)``, if it has one, is called when an epoch, from 0, was trained.
    batches : callable (epoch) -> list
        The batches of an epoch, the same whenever it is asked for the same epoch.
    loss : callable (model, batch, epoch) -> dict of Tensor
        Parts of the loss; `total` is what is descended, the others are recorded. With several
        processes, parts whose average over them is that of the batch.
    validate : callable (averaged model, epoch) -> dict of float
        Scores on validation rows; with `select="best"` the higher `score` wins.
    checkpoint : Path, optional
        File to resume from and to save to; also once a minute.
    checkpoint_every : int
        Epochs between two states on disk; changes no number.
    progress : callable, optional
        Wraps the iterable of epochs, to show a bar.
    rank : Rank, optional
        Which of several processes this is.

    Returns
    -------
    averaged : nn.Module
        In eval mode.
    history : list of dict
        epoch (from 1), step, split, name, value: the mean of every part of the loss over an epoch,
        and every validation score. Validation scores are known to the first process only.
    """
    run = Run(model, plan, rank)
    if checkpoint is not None:
        run.load(checkpoint)
    states = _States(run, checkpoint, checkpoint_every)
    costs = loss if rank.world == 1 else Replica(model, loss, batches(0)[0], rank)
    with stop.postponed():
        for epoch in progress(range(run.epoch, plan.n_epochs)):
            if plan.patience is not None and rank.any(run.tired(), run.device):
                break
            run.train_epoch(batches(epoch), costs, states.after_step)
            if hasattr(model, "after_epoch"):
                model.after_epoch(epoch)
            if rank.world > 1:
                costs.check_equal()
            if rank.index == 0:
                run.keep(validate(run.averaged.module.eval(), epoch))
            states.after_epoch()
    return run.chosen(), run.history


class _States:
    """When to write the state of a run: every few epochs, every minute, and when told to stop."""

    def __init__(self, run: "Run", path: Path | None, every: int):
        self.run, self.every = run, every
        self.path = path if run.rank.index == 0 else None
        self.saved, self.took_s = time.monotonic(), 0.0

    def after_step(self) -> None:
        asked = stop.asked()
        if asked or time.monotonic() - self.saved > max(SAVE_EVERY_S, self.took_s / SAVING_SHARE):
            self._save()
        if asked:
            stop.leave()

    def after_epoch(self) -> None:
        if self.run.epoch % self.every == 0:
            self._save()
        self.after_step()

    def _save(self) -> None:
        started = time.monotonic()
        if self.path is not None:
            self.run.save(self.path)
        self.saved = time.monotonic()
        self.took_s = self.saved - started


class Run:
    """Everything that changes while a model is trained, and that a resumed run needs back."""

    def __init__(self, model: nn.Module, plan: Plan, rank: Rank = ALONE):
        self.model, self.plan, self.rank = model, plan, rank
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.device = next(model.parameters()).device
        # one kernel for all weights on a GPU; None: torch's choice, whose bits are those of before
        fused = True if self.device.type == "cuda" else None
        groups = _decayed(model, plan.weight_decay, plan.decay_all)
        kind = OPTIMISERS[plan.optimizer]
        self.optimiser = kind(groups, plan.learning_rate, tuple(plan.betas), fused=fused)
        self.averaged = AveragedModel(model, multi_avg_fn=_moving_average(plan.ema_decay))
        self.epoch, self.step, self.batch = 0, 0, 0
        self.sums, self.dropout = {}, None
        self.best, self.best_score = None, -math.inf
        self.history = []

    def train_epoch(
        self, batches: list, loss: Callable, after_step: Callable[[], None] = lambda: None
    ) -> None:
        """Descend once on every batch, or on those that are left of an epoch begun earlier."""
        self.model.train()
        with self._dropout_of_its_own():
            for i in range(self.batch, len(batches)):
                self._seed_step(i)
                self._set_rate((self.epoch + (i + 0.5) / len(batches)) / self.plan.n_epochs)
                with torch.autocast(
                    self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"
                ):
                    parts = loss(self.model, batches[i], self.epoch)
                self._descend(parts["total"])
                for name, part in self.rank.mean(parts).items():
                    self.sums[name] = self.sums.get(name, 0) + part
                self.batch = i + 1
                after_step()
        sums, self.sums, self.batch, self.dropout = self.sums, {}, 0, None
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

    def tired(self) -> bool:
        """Whether as many epochs as `patience` have brought no better validation score."""
        scores = [h["value"] for h in self.history if (h["split"], h["name"]) == ("val", "score")]
        return (
            len(scores) - 1 - scores.index(max(scores)) >= self.plan.patience if scores else False
        )

    def chosen(self) -> nn.Module:
        """Return the averaged model, with the weights that were selected."""
        if self.best is not None:
            self.averaged.module.load_state_dict(self.best)
        return self.averaged.module.eval()

    def save(self, path: Path) -> None:
        """Write the state, all of it or nothing; see `checkpoint`."""
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": self.averaged.state_dict(),
            "progress": [self.epoch, self.step, self.batch, self.best_score],
            "sums": self.sums,
            "dropout": self._generators() if self.batch else None,
            "best": self.best,
            "history": self.history,
        }
        disk.save(state, path)

    def load(self, path: Path) -> None:
        """Continue from a saved state, if there is one that is whole."""
        state = disk.load(path, self.device)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.averaged.load_state_dict(state["averaged"])
        self.epoch, self.step, self.batch, self.best_score = state["progress"]
        self.sums, self.dropout = state["sums"], state["dropout"]
        self.best, self.history = state["best"], state["history"]

    @contextlib.contextmanager
    def _dropout_of_its_own(self):
        """Within, torch's generators are those of this epoch's dropout, wherever it has come to."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(child_seed(self.plan.seed, "dropout", self.epoch))
            if self.dropout is not None:
                torch.set_rng_state(self.dropout[0].cpu())
                for state in self.dropout[1:]:
                    torch.cuda.set_rng_state(state.cpu(), self.device)
            yield

    def _generators(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        return states + (
            [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        )

    def _seed_step(self, i: int) -> None:
        """The first process draws as one alone would; others anew in each step: nothing to save."""
        if self.rank.index > 0:
            names = ("dropout", self.epoch, "rank", self.rank.index, "step", i)
            torch.manual_seed(child_seed(self.plan.seed, *names))

    def _descend(self, total: Tensor) -> None:
        self.model.zero_grad(set_to_none=True)  # what the optimiser does not hold, too
        total.backward()
        if self.plan.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.trained, self.plan.grad_clip)
        self.optimiser.step()
        self.averaged.update_parameters(self.model)
        self.step += 1

    def _set_rate(self, done: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.learning_rate * self.plan.rate(done)

    def _record(self, split: str, values: dict[str, float]) -> None:
        for name, value in values.items():
            row = {"epoch": self.epoch, "step": self.step, "split": split}
            self.history.append(row | {"name": name, "value": value})


def _decayed(model: nn.Module, weight_decay: float, everything: bool) -> list[dict]:
    trained = [p for p in model.parameters() if p.requires_grad]
    if everything:
        return [{"params": trained, "weight_decay": weight_decay}]
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
