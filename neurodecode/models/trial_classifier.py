"""What a classifier of single trials is, and how the small networks among them are trained.

A classifier is a frozen dataclass of options; `fit` sees training rows alone and returns a function
that scores others. What it chooses (an epoch, a hyper-parameter) it chooses on whole groups of
trials cut off the training rows, so that neighbours in time or views of one clip never sit on both
sides.
"""

import contextlib
import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, Level, NotNegative, Positive, Share
from neurodecode.core.seeds import child_seed

Predict = Callable[[np.ndarray], np.ndarray]
AT_ONCE = 512  # trials scored in one go; changes no number but for rounding


class TrialClassifier(Protocol):
    """Classify trials with a time axis.

    Attributes
    ----------
    fits_on_all : bool
        Published quirk, never a default: something without labels (a scale, an embedding) is
        fitted on training and test rows together. The stage then hands over `also`, and the report
        says so.
    """

    fits_on_all: bool

    def fit(
        self,
        x: np.ndarray,
        y: np.ndarray,
        groups: np.ndarray,
        n_classes: int,
        sfreq_hz: float,
        seed: int,
        device: str,
        peek: tuple[np.ndarray, np.ndarray] | None = None,
        also: np.ndarray | None = None,
    ) -> Predict:
        """Learn from training rows.

        Parameters
        ----------
        x : ndarray of float32, shape (n_trials, n_channels, n_times)
            Training rows.
        y : ndarray of int, shape (n_trials,)
            Classes, from 0.
        groups : ndarray, shape (n_trials,)
            What stays together when a part is cut off to choose on: runs, clips, subjects.
        n_classes : int
        sfreq_hz : float
            Samples in a second.
        seed : int
        device : str or torch.device
        peek : (x, y), optional
            TEST rows, only where a published protocol chose its epoch on them: a classifier that
            chooses something uses these and cuts nothing off the training rows.
        also : ndarray, shape (n_test, n_channels, n_times), optional
            Test rows without labels, only for a classifier that `fits_on_all`.

        Returns
        -------
        predict : callable (ndarray (n, n_channels, n_times)) -> ndarray of float64 (n, n_classes)
            Scores; the largest is the class.
        """
        ...


@dataclass(frozen=True)
class Training:
    """How a small network is trained.

    Parameters
    ----------
    n_epochs : int
        Passes over the training rows.
    batch_size : int
        Trials of a step.
    learning_rate : float
        Its peak.
    weight_decay : float
        Of all weights, as the published recipes have it.
    optimizer : {"adamw", "adam"}
        Adam with the decay apart from the gradient, or as a part of it.
    schedule : {"cosine", "constant"}
        The rate after the warm-up: half a cosine down to `end_share`, or its peak.
    warmup : float
        Share of the epochs during which the rate rises from near 0.
    end_share : float
        Rate of the last epoch, as a share of the peak; with the cosine.
    late_from : float
        Share of the epochs after which `late_batch_size` and `late_rate` hold; 1: never.
    late_batch_size : int, optional
        Trials of a late step; None: as before.
    late_rate : float
        Factor on the rate of late steps.
    select : {"best", "last"}
        The weights of the epoch that does best on held-out groups, or those of the last epoch.
    judge : {"accuracy", "loss"}
        What "best" means on those.
    inner_share : float
        Share of the training rows held out to select on, by whole groups.
    """

    n_epochs: Count = 50
    batch_size: Count = 64
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    optimizer: Literal["adamw", "adam"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Share = 0.0
    end_share: Share = 0.0
    late_from: Share = 1.0
    late_batch_size: Count | None = None
    late_rate: Positive = 1.0
    select: Literal["best", "last"] = "last"
    judge: Literal["accuracy", "loss"] = "accuracy"
    inner_share: Level = 0.2

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0)."""
        late = self.late_rate if self._late(epoch) else 1.0
        n_warm = round(self.warmup * self.n_epochs)
        if epoch < n_warm:
            return self.learning_rate * late * (epoch + 1) / n_warm
        if self.schedule == "constant":
            return self.learning_rate * late
        done = (epoch - n_warm) / max(1, self.n_epochs - n_warm)
        fall = (1 + math.cos(math.pi * done)) / 2
        return self.learning_rate * late * (self.end_share + (1 - self.end_share) * fall)

    def batch(self, epoch: int) -> int:
        """Trials of a step of an epoch (from 0)."""
        return (self._late(epoch) and self.late_batch_size) or self.batch_size

    def _late(self, epoch: int) -> bool:
        return epoch >= self.late_from * self.n_epochs


def inner_split(
    y: np.ndarray, groups: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut about `share` of the rows off by whole groups, every class as evenly as groups allow.

    Returns
    -------
    fitted, held : ndarray of int
        Rows to fit on and rows to choose on.

    Raises
    ------
    ValueError
        With a single group, of which nothing can be cut off.
    """
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise ValueError(
            "all training trials belong to one group, so that none can be held out to choose an "
            "epoch or a hyper-parameter on: group them finer, or set the classifier's select=last"
        )
    return inner_folds(y, groups, min(n_groups, max(2, round(1 / share))), seed)[0]


def inner_folds(
    y: np.ndarray, groups: np.ndarray, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut rows into folds by whole groups; list of (rows to fit on, rows to choose on)."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    n_folds = min(n_folds, len(np.unique(groups)))
    state = child_seed(seed, "inner") % 2**32
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=state)
    with warnings.catch_warnings():  # a class in fewer groups than folds misses some: no harm here
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = list(folds.split(y, y, groups))
        except ValueError:  # every class is rarer than the folds: whole groups, without balance
            from sklearn.model_selection import GroupKFold

            found = list(GroupKFold(n_folds).split(y, y, groups))
    return [(fitted, held) for fitted, held in found if len(fitted) and len(held)]


def check_times(x: np.ndarray, sfreq_hz: float, least: int, what: str) -> None:
    """Refuse trials without a time axis, or with less samples than a classifier reads.

    Raises
    ------
    ValueError
    """
    if x.shape[2] < least or not np.isfinite(sfreq_hz):
        raise ValueError(
            f"{what} reads trials of {least} samples in time or more, and these have "
            f"{x.shape[2]}: preprocess=epochs gives them a time axis"
        )


@contextlib.contextmanager
def seeded(seed: int, device: str | torch.device, *names):
    """Within, torch draws from a stream of its own; afterwards all is as it was."""
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(child_seed(seed, *names))
        yield


def descend(
    network: nn.Module,
    n_rows: int,
    cost: Callable[[Tensor], Tensor],
    plan: Training,
    seed: int,
    judge: Callable[[], float] | None = None,
    after_step: Callable[[nn.Module], None] = lambda network: None,
) -> list[float]:
    """Train a network in place, and leave it in eval mode with the weights that were selected.

    Parameters
    ----------
    n_rows : int
        Rows dealt anew into batches in every epoch.
    cost : callable (rows: Tensor of int) -> Tensor
        What a batch costs.
    judge : callable () -> float, optional
        How good the network is now; the higher the better. With None the last epoch is kept.
    after_step : callable (network), optional
        E.g. keeps weights within a norm.

    Returns
    -------
    history : list of float
        Mean cost of every epoch.
    """
    makes = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[plan.optimizer]
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = makes(trained, lr=plan.learning_rate, weight_decay=plan.weight_decay)
    history, best, best_score = [], None, -math.inf
    for epoch in range(plan.n_epochs):
        optimiser.param_groups[0]["lr"] = plan.rate(epoch)
        with seeded(seed, next(network.parameters()).device, "epoch", epoch):
            batches = _batches(torch.randperm(n_rows), plan.batch(epoch))
            history.append(_descend_once(network.train(), batches, cost, optimiser, after_step))
        if not math.isfinite(history[-1]):
            raise ValueError(
                f"training diverged in epoch {epoch + 1} (its loss is {history[-1]}): lower "
                "learning_rate"
            )
        if judge is not None and plan.select == "best":
            network.eval()
            score = judge()
            if score > best_score:
                best, best_score = copy.deepcopy(network.state_dict()), score
    if best is not None:
        network.load_state_dict(best)
    network.eval()
    return history


def _descend_once(network, batches, cost, optimiser, after_step):
    total = 0.0
    for rows in batches:
        optimiser.zero_grad(set_to_none=True)
        loss = cost(rows)
        loss.backward()
        optimiser.step()
        after_step(network)
        total += float(loss.detach()) * len(rows)
    return total / sum(map(len, batches))


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """A last batch of one row joins the one before: batch statistics need two."""
    batches = list(order.split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def as_they_are(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and classes, none added."""
    return x, y


def fit_network(
    make: Callable[[], nn.Module],
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    plan: Training,
    seed: int,
    device: str | torch.device,
    peek: tuple[np.ndarray, np.ndarray] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    vary: Callable[[Tensor], Tensor] = lambda x: x,
    enlarge: Callable[[np.ndarray, np.ndarray], tuple] = as_they_are,
    after_step: Callable[[nn.Module], None] = lambda network: None,
) -> nn.Module:
    """Train a network that scores classes; in eval mode, on the device.

    Parameters
    ----------
    make : callable () -> nn.Module
        Builds it; its random weights follow from the seed.
    x, y, groups : ndarray, shape (n_trials, ...)
        Training rows as the network reads them.
    peek : (x, y), optional
        Rows to select the epoch on instead of held-out groups of the training rows.
    loss : callable (scores (n, n_classes), y (n,)) -> Tensor
    vary : callable (Tensor) -> Tensor
        Changes a training batch at random (shifts, crops).
    enlarge : callable (x, y) -> (x, y)
        Adds made-up rows to those that are fitted, never to those that are held out.
    after_step : callable (network), optional
        See `descend`.
    """
    fitted, held = np.arange(len(y)), None
    if plan.select == "best" and peek is None:
        fitted, held = inner_split(y, groups, plan.inner_share, seed)
        peek = x[held], y[held]
    with seeded(seed, device, "network"):
        network = make().to(device)
    rows, classes = enlarge(x[fitted], y[fitted])
    seen, wanted = torch.as_tensor(rows), torch.as_tensor(classes, dtype=torch.long)

    def cost(batch):
        return loss(network(vary(seen[batch].to(device))), wanted[batch].to(device))

    def judge():
        scores = torch.from_numpy(scores_of(network, peek[0], device))
        truth = torch.as_tensor(peek[1], dtype=torch.long)
        if plan.judge == "loss":
            return -float(loss(scores.float().to(device), truth.to(device)))
        return float((scores.argmax(1) == truth).double().mean())

    descend(network, len(rows), cost, plan, seed, judge, after_step)
    return network


@torch.no_grad()
def scores_of(network: nn.Module, x: np.ndarray, device: str | torch.device) -> np.ndarray:
    """Score rows in eval mode; (n, n_classes) of float64."""
    network.eval()
    parts = [network(part.to(device)).double().cpu() for part in torch.as_tensor(x).split(AT_ONCE)]
    return torch.cat(parts).numpy()
