"""MixCo: train on weighted sums of two trials, whose two pictures share the credit.

References
----------
.. [1] Kim et al. (2020). MixCo: mix-up contrastive learning for visual representation.
"""

import numpy as np
import torch
from torch import Tensor


def mixco(
    x: Tensor, generator: torch.Generator, beta: float = 0.15, probability: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix each trial, with some probability, with a partner drawn from the same batch [1]_.

    mixed[i] = lam[i] * x[i] + (1 - lam[i]) * x[permutation[i]],   lam ~ Beta(beta, beta)

    Parameters
    ----------
    x : Tensor, shape (n_trials, ...)
        Trials of one subject (channels of two subjects do not correspond).
    generator : torch.Generator
        A CPU generator; the draws are the same on every device.
    beta : float
        Both parameters of the Beta distribution; small values keep one trial dominant.
    probability : float
        Chance of a trial to be mixed; the others keep lam = 1.

    Returns
    -------
    mixed : Tensor, shape of x
    permutation : Tensor of int64, shape (n_trials,)
        The partner of each trial, possibly itself.
    lam : Tensor, shape (n_trials,)
    """
    # numpy draws the Beta: torch's own Beta distribution takes no generator.
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    permutation = rng.permutation(len(x))
    lam = np.where(rng.random(len(x)) < probability, rng.beta(beta, beta, len(x)), 1.0)
    permutation = torch.from_numpy(permutation).to(x.device)
    lam = torch.from_numpy(lam).to(x)
    weight = lam.reshape(-1, *[1] * (x.ndim - 1))
    return weight * x + (1 - weight) * x[permutation], permutation, lam
