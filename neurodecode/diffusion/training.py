"""What priors are trained on: brain tokens as noisy as those of new trials, or random beliefs."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.core.seeds import child_rng, child_seed
from neurodecode.diffusion.linear import BrainSimulator


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

    def loss(prior: nn.Module, batch: tuple, epoch: int) -> dict[str, Tensor]:
        rows, seed = batch
        generator = torch.Generator().manual_seed(seed)
        true = tokens[torch.from_numpy(rows)]
        return {"total": prior.loss(simulate(true, generator), true, generator)}

    return loss


def prior_scores(prior: nn.Module, brain: Tensor, truth: Tensor, seed: int) -> dict[str, float]:
    """Errors of a prior on held-out trials, with the brain's tokens and without any.

    Returns
    -------
    scores : dict of float
        What the prior's `errors` returns, the same in every call; `score`: minus `with_brain`.
    """
    errors = prior.errors(brain, truth, torch.Generator().manual_seed(seed))
    return {"score": -errors["with_brain"]} | errors


def random_beliefs(
    code: Tensor,
    n_told: int,
    generator: torch.Generator,
    strength: tuple[float, float] = (0.1, 30.0),
    no_brain: float = 0.1,
) -> Tensor:
    """Draw what brains of every quality would let one believe of codes.

    A component is seen with noise of variance 1 / p. The precision p varies from row to row
    (log-uniformly in `strength`), between what words tell and the rest (log-normally, 1), and from
    component to component (log-normally, .7).

    Parameters
    ----------
    code : Tensor, shape (n, n_code)
        Of mean 0 and variance 1.
    n_told : int
        The first components, which words tell.
    generator : torch.Generator
        On the CPU.
    strength : tuple of float
        Least and largest precision.
    no_brain : float
        Share of rows with precision 0.

    Returns
    -------
    belief : Tensor, shape (n, 2, n_code)
        Means and variances.
    """
    n, n_code = code.shape
    normal = lambda *shape: torch.randn(shape, generator=generator)
    uniform = torch.rand(n, 1, generator=generator)
    low, high = (float(np.log(p)) for p in strength)
    part = (torch.arange(n_code) >= n_told).long()
    log_p = low + (high - low) * uniform + normal(n, 2)[:, part] + 0.7 * normal(n, n_code)
    there = torch.rand(n, 1, generator=generator) >= no_brain
    precision = (log_p.exp() * there).to(code)
    noise = normal(n, n_code).to(code)
    mean = (precision * code + precision.sqrt() * noise) / (1 + precision)
    return torch.stack([mean, 1 / (1 + precision)], dim=1)
