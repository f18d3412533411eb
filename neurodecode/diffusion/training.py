"""What a prior is trained on: true tokens, and brain tokens as noisy as those of new trials."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from neurodecode.core.seeds import child_rng, child_seed
from neurodecode.diffusion.linear import BrainSimulator
from neurodecode.diffusion.prior import DiffusionPrior


def prior_batches(n_stimuli: int, batch: int, n_batches: int, seed: int) -> Callable[[int], list]:
    """Return the batches of an epoch: rows of the token table, and the seed of the batch's noise.

    An epoch is `n_batches` long whatever the number of stimuli: brain tokens are drawn anew each
    time a stimulus comes up, so it is never the same example twice.
    """

    def batches(epoch: int) -> list[tuple[np.ndarray, int]]:
        rng = child_rng(seed, "prior order", epoch)
        laps = -(-batch * n_batches // n_stimuli)
        order = np.concatenate([rng.permutation(n_stimuli) for _ in range(laps)])
        rows = order[: batch * n_batches].reshape(n_batches, batch)
        return [(own, child_seed(seed, "prior", epoch, i)) for i, own in enumerate(rows)]

    return batches


def prior_loss(tokens: Tensor, simulate: BrainSimulator) -> Callable:
    """Return the cost of a batch, for the training loop; tokens is (n_stimuli, n_tokens, dim)."""

    def loss(prior: DiffusionPrior, batch: tuple, epoch: int) -> dict[str, Tensor]:
        rows, seed = batch
        generator = torch.Generator().manual_seed(seed)
        true = tokens[torch.from_numpy(rows)]
        return {"total": prior.loss(simulate(true, generator), true, generator)}

    return loss


@torch.no_grad()
def prior_scores(
    prior: DiffusionPrior, brain: Tensor, truth: Tensor, seed: int
) -> dict[str, float]:
    """Denoising error on held-out trials, with the brain's tokens and without any.

    Returns
    -------
    scores : dict of float
        `with_brain`, `without_brain`: mean squared errors at random steps, the same in every call;
        `score`: minus the first.
    """
    n = len(truth)
    generator = torch.Generator().manual_seed(seed)
    t = torch.randint(len(prior.schedule.betas), (n,), generator=generator).to(truth.device)
    noise = torch.randn(truth.shape, generator=generator, dtype=truth.dtype).to(truth.device)
    x_t = prior.add_noise(truth * prior.scale, t, noise)
    errors = {}
    for name, keep in (("with_brain", True), ("without_brain", False)):
        kept = torch.full((n,), keep, device=truth.device)
        predicted = prior(x_t, t, brain, keep_brain=kept) / prior.scale
        errors[name] = float((predicted - truth).square().mean())
    return {"score": -errors["with_brain"]} | errors
