"""What a decoder is trained on: batches of several subjects' trials, their cost, their validation.

A batch holds equally many trials of each subject and contrasts all of them with each other; see
`batches`. Several processes may share a batch; see `gather`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.contrastive.batches import Batch, epoch_batches
from neurodecode.contrastive.gather import ALONE, Dealt, Rank, send
from neurodecode.contrastive.loop import Plan, fit
from neurodecode.contrastive.mixing import blend, draw_mixture
from neurodecode.contrastive.rows import Rows, Targets


def decoder_loss(
    contrastive: Callable,
    rows: dict[str, Rows],
    targets: Targets,
    n_epochs: int,
    weights: dict[str, float],
    rank: Rank = ALONE,
) -> Callable[[nn.Module, Batch, int], dict[str, Tensor]]:
    """Return the cost of a batch, for `fit`.

    total = contrastive(pooled) + weights["tokens"] MSE(tokens) + weights["blurry"] L1(blurry)
                                + weights["code"] MSE(code) + what the network asks of itself

    What a network does not answer is not regressed. What it asks of itself are the terms of its
    method ``own_costs(responses, wanted)``, if it has one, by name and already weighted: of the
    responses of each subject in the batch, (n_trials, n_channels[, n_times]), and of the targets by
    subject and name. It is called once a batch, and by every process with its own trials, where a
    trial that `Dealt` reads once more counts once more.

    In epochs in which `contrastive.mixes`, trials are mixed within their subject, and the
    regression targets with them.

    Of several processes, each reads and decodes its own trials, and their partners in mixtures,
    which are drawn over the whole batch. The contrastive part is that of the whole batch in every
    process; the regressions are such that their average over processes is.
    """

    def loss(model: nn.Module, batch: Batch, epoch: int) -> dict[str, Tensor]:
        dealt = rank.deal([len(chosen) for chosen in batch.rows.values()])
        mixture = _mixture(batch) if contrastive.mixes(epoch, n_epochs) else None
        responses = _responses(rows, batch, dealt, mixture)
        output = targets.complete(_decoded(model, responses))
        seen = np.concatenate([rows[s].stimulus[chosen] for s, chosen in batch.rows.items()])
        brain = dealt.gather(output["pooled"])
        clip = dealt.gather(targets.take("pooled", seen[np.concatenate(dealt.places)]))
        parts = {"contrastive": contrastive(brain, clip, epoch, n_epochs, *_on(brain, mixture))}
        take = lambda name, places: _read(lambda at: targets.take(name, seen[at]), places, mixture)
        for name, measure in targets.answered(output).items():
            wanted = take(name, dealt.own)
            parts[name] = dealt.mean(measure, dealt.counted(output[name]), wanted)
        if hasattr(model, "own_costs"):
            of = lambda places: {name: take(name, places) for name in targets.names()}
            wanted = {s: of(places) for s, places in zip(batch.rows, dealt.places, strict=True)}
            parts |= model.own_costs(responses, wanted)
        total = sum(weights.get(name, 1.0) * part for name, part in parts.items())
        if hasattr(contrastive, "inverse_temperature"):  # recorded: a scale alone does not tell
            parts["inverse_temperature"] = contrastive.inverse_temperature(brain)
        return {"total": total} | parts

    return loss


def _mixture(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Draw partner and weight of every trial of a batch, within its subject."""
    generator = torch.Generator().manual_seed(batch.seed)
    drawn, first = [], 0
    for chosen in batch.rows.values():
        partner, lam = draw_mixture(len(chosen), generator)
        drawn.append((partner + first, lam))
        first += len(chosen)
    return tuple(np.concatenate(parts) for parts in zip(*drawn, strict=True))


def _on(brain, mixture):
    """The mixture as the contrastive losses take it."""
    if mixture is None:
        return ()
    partner, lam = mixture
    return send(partner, brain.device), send(lam, brain.device).to(brain.dtype)


def _responses(rows, batch, dealt: Dealt, mixture) -> dict[str, Tensor]:
    """Read this process's trials of all subjects."""
    read, first = {}, 0
    for (subject, chosen), places in zip(batch.rows.items(), dealt.places, strict=True):
        own = lambda at, s=subject, c=chosen, f=first: rows[s].read(c[at - f])
        read[subject] = _read(own, places, mixture)
        first += len(chosen)
    return read


def _decoded(model, responses: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the network answers to trials of all subjects, one subject after the other.

    A network with batch norms that all subjects share has a method ``together(responses)``, which
    answers to all of them at once.
    """
    if hasattr(model, "together"):
        outputs = [model.together(responses)._asdict()]
    else:
        outputs = [model(seen, subject)._asdict() for subject, seen in responses.items()]
    return {
        name: _at_least_float(torch.cat([o[name] for o in outputs]))
        for name, part in outputs[0].items()
        if part is not None
    }


def _at_least_float(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _read(read: Callable, places: np.ndarray, mixture) -> Tensor:
    """Read some places of a batch, each mixed with its partner if there is a mixture."""
    if mixture is None:
        return read(places)
    partner, lam = mixture
    needed, at = np.unique(np.concatenate([places, partner[places]]), return_inverse=True)
    found = read(needed)
    own, other = found[send(at, found.device)].tensor_split([len(places)])
    return blend(own, other, send(lam[places], found.device))


@torch.no_grad()
def validation_scores(
    model: nn.Module, rows: dict[str, Rows], targets: Targets
) -> dict[str, float]:
    """Score single validation trials: retrieval among the validation pictures, and regressions.

    Returns
    -------
    scores : dict of float
        Means over subjects of `top1` (the right picture is the most similar; ties share), `score`
        (1 / its rank), and of the errors of the regressions that the network answers, `tokens`,
        `blurry` and `code`.
    """
    per_subject = []
    for subject, seen in rows.items():
        candidates, own = np.unique(seen.stimulus, return_inverse=True)
        pictures = targets.take("pooled", candidates)
        ranks, errors = [], {}
        for block in seen.blocks():
            output = targets.complete(model(seen.read(block), subject)._asdict())
            cosine = F.normalize(output["pooled"].float(), dim=1) @ pictures.T
            ranks.append(own_rank(cosine.cpu().numpy(), own[block]))
            for name, measure in targets.answered(output).items():
                wanted = targets.take(name, seen.stimulus[block])
                error = measure(output[name].float(), wanted).item()
                errors[name] = errors.get(name, 0.0) + error * len(block) / len(seen)
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


@dataclass(frozen=True)
class Lesson:
    """All that a process needs to train a decoder.

    Attributes
    ----------
    contrastive : callable
        The loss of the pooled embedding, such as `MindEyeLoss`.
    rows, val_rows : dict of Rows
        Of each subject: trials to train on, and to validate on.
    targets : Targets
    weights : dict of float
        Of the regressions; see `decoder_loss`.
    batch : int
        Trials of each subject in a batch, at most.
    plan : Plan or None
        None: it is left as it is.
    checkpoint : Path, optional
    checkpoint_every : int
        See `fit`.
    """

    contrastive: Callable
    rows: dict[str, Rows]
    val_rows: dict[str, Rows]
    targets: Targets
    weights: dict[str, float]
    batch: int
    plan: Plan | None
    checkpoint: Path | None = None
    checkpoint_every: int = 5

    def on(self, device) -> "Lesson":
        """The same, with everything read to a device."""
        rows, val_rows = (
            {s: seen.on(device) for s, seen in side.items()} for side in (self.rows, self.val_rows)
        )
        return replace(self, rows=rows, val_rows=val_rows, targets=self.targets.on(device))

    def learn(
        self, decoder: nn.Module, progress: Callable = iter, rank: Rank = ALONE
    ) -> tuple[nn.Module, list[dict]]:
        """Train a decoder; return it, averaged, and its history, as `fit` does."""
        stimulus = {subject: seen.stimulus for subject, seen in self.rows.items()}
        seed, n_epochs = self.plan.seed, self.plan.n_epochs
        parts = (self.contrastive, self.rows, self.targets, n_epochs, self.weights)
        return fit(
            decoder,
            batches=lambda epoch: epoch_batches(stimulus, self.batch, seed, epoch),
            loss=decoder_loss(*parts, rank),
            validate=lambda model, epoch: validation_scores(model, self.val_rows, self.targets),
            plan=self.plan,
            checkpoint=self.checkpoint,
            checkpoint_every=self.checkpoint_every,
            progress=progress,
            rank=rank,
        )

    def leave(self, decoder: nn.Module) -> tuple[nn.Module, list[dict]]:
        """Descend nothing: the decoder as it is, and its validation scores."""
        scores = validation_scores(decoder.eval(), self.val_rows, self.targets)
        row = {"epoch": 0, "step": 0, "split": "val"}
        return decoder, [row | {"name": name, "value": value} for name, value in scores.items()]
