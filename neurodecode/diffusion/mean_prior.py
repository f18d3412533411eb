"""The baseline of every prior: the mean of the Gaussian posterior, and no sampling."""

import torch
from torch import Tensor

from neurodecode.core.ranges import Count
from neurodecode.diffusion.token_belief import BelievingPrior


class MeanPrior(BelievingPrior):
    """Tokens as they are on average, given what a decoder said: linear, in closed form.

    Parameters
    ----------
    n_tokens, dim : int
        Image tokens and their size.
    linear_components : int
        Principal components of the tokens that are predicted; the rest stays at its mean.
    """

    descends = False

    def __init__(self, n_tokens: int, dim: int, linear_components: Count = 200):
        super().__init__(n_tokens, dim, linear_components)

    @torch.no_grad()
    def sample(
        self,
        belief: Tensor | None,
        seeds: list[int],
        n_sampling: int | None = None,
        eta: float = 0.0,
        guidance: float = 1.0,
    ) -> Tensor:
        """Mean tokens, one set per row, (n, n_tokens, dim); every seed gives the same.

        Parameters
        ----------
        belief : Tensor or None, shape (n, 2, n_components)
            None: the mean without a brain, which is 0.
        seeds : list of int, length n
        n_sampling, eta
            Have to be None and 0: nothing is evaluated, and no noise added.
        guidance : float
            1: the posterior mean; above 1 that of a surer brain.
        """
        if n_sampling is not None or eta != 0:
            raise ValueError(
                f"predict.sampling_steps is {n_sampling} and predict.eta {eta}, but a mean takes "
                "no steps and no noise: predict.sampling_steps=null predict.eta=0"
            )
        belief = self.asked(belief, seeds, guidance)
        return self.belief.tokens(belief[:, 0])
