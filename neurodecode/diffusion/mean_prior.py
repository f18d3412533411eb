"""The baseline of every prior: the mean of the Gaussian posterior, and no sampling."""

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count
from neurodecode.diffusion.token_belief import TokenBelief, guided


class MeanPrior(nn.Module):
    """Tokens as they are on average, given what a decoder said: linear, in closed form.

    Parameters
    ----------
    n_tokens, dim : int
        Image tokens and their size.
    linear_components : int
        Principal components of the tokens that are predicted; the rest stays at its mean.
    """

    reads, comes_trained, descends = "tokens", False, False

    def __init__(self, n_tokens: int, dim: int, linear_components: Count = 200):
        super().__init__()
        self.belief = TokenBelief(n_tokens, dim, linear_components)

    def node(self, given: dict) -> dict:
        """The configuration node that builds this again: the one it was built from."""
        return given

    def statistics(self) -> dict:
        """Nothing: tokens are standardised by the training stimuli."""
        return {}

    def calibrate(self, said: np.ndarray, true: np.ndarray, stimulus: np.ndarray) -> dict:
        """How far one decoder's tokens are to be believed, see `belief.calibrate`."""
        return self.belief.calibrate(said, true, stimulus)

    def condition(self, said: np.ndarray, calibration: dict, n_repeats: np.ndarray) -> np.ndarray:
        """Beliefs (n, 2, n_components), see `belief.believe`."""
        return self.belief.condition(said, calibration, n_repeats)

    def prepare(self, tokens: Tensor, brain: Tensor, truth: Tensor) -> None:
        """Learn the components; arguments as of `TokenBelief`."""
        self.belief.fit(tokens, brain, truth)

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
        if belief is not None and len(belief) != len(seeds):
            raise ValueError(f"{len(belief)} beliefs, {len(seeds)} seeds: give one each")
        belief = self.belief.nothing(len(seeds)) if belief is None else guided(belief, guidance)
        return self.belief.tokens(belief[:, 0])
