"""MixCo: train on weighted sums of two trials, whose two pictures share the credit.

References
----------
.. [1] Kim et al. (2020). MixCo: mix-up contrastive learning for visual representation.
"""

import numpy as np
import torch
from torch import Tensor


def draw_mixture(
    n_trials: int, generator: torch.Generator, beta: float = 0.15, probability: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Draw, for each trial with some probability, a partner from the same batch [1]_.

    mixed[i] = lam[i] * x[i] + (1 - lam[i]) * x[partner[i]],   lam ~ Beta(beta, beta)

    Parameters
    ----------
    n_trials : int
        Of one subject (channels of two subjects do not correspond).
    generator : torch.Generator
        A CPU generator; the draws are the same on every device and in every process.
    beta : float
        Both parameters of the Beta distribution; small values keep one trial dominant.
    probability : float
        Chance of a trial to be mixed; the others keep lam = 1.

    Returns
    -------
    partner : ndarray of int64, shape (n_trials,)
        The partner of each trial, possibly itself.
    lam : ndarray of float64, shape (n_trials,)
    """
    # numpy draws the Beta: torch's own Beta distribution takes no generator.
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    partner = rng.permutation(n_trials)
    return partner, np.where(
        rng.random(n_trials) < probability, rng.beta(beta, beta, n_trials), 1.0
    )


def blend(x: Tensor, other: Tensor, lam: Tensor) -> Tensor:
    """lam[i] * x[i] + (1 - lam[i]) * other[i], of rows of any shape."""
    weight = lam.to(x).reshape(-1, *[1] * (x.ndim - 1))
    return weight * x + (1 - weight) * other
