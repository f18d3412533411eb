"""From what a decoder said of tokens to what may be believed of them, component by component.

Tokens are described by principal components of the training stimuli, scaled to variance 1. A
decoder's answer to each is a line with noise, fitted on held-out trials; Bayes' rule turns answers
into a mean and a variance (`belief`). Together they are the Gaussian posterior: the best that can
be said without knowing more of tokens than their covariance.
"""

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.diffusion.belief import believe, calibrate
from neurodecode.diffusion.linear import TokenBasis, slope


class TokenBelief(nn.Module):
    """Principal components of tokens, and how far decoded ones are to be believed.

    Parameters
    ----------
    n_tokens, dim : int
        Of the tokens, which are standardised.
    n_components : int
        Components of which something is believed; outside them tokens have mean 0 and the variance
        that the training stimuli have there, whatever the brain says.
    """

    def __init__(self, n_tokens: int, dim: int, n_components: int):
        super().__init__()
        self.basis = TokenBasis(n_tokens, dim, n_components)
        self.register_buffer("slope", torch.zeros(n_components))
        self.register_buffer("noise", torch.ones(n_components))

    def fit(self, tokens: Tensor, brain: Tensor, truth: Tensor) -> None:
        """Learn the components, and the line of all subjects' single held-out trials.

        Parameters
        ----------
        tokens : Tensor, shape (n_training_stimuli, n_tokens, dim)
        brain, truth : Tensor, shape (n_held_out_trials, n_tokens, dim)
        """
        self.basis.fit(tokens)
        said, true = self.read(brain), self.read(truth)
        self.slope.copy_(slope(true, said).clamp(min=0))
        self.noise.copy_((said - self.slope * true).square().mean(dim=0).clamp(min=1e-6))

    def read(self, tokens: Tensor) -> Tensor:
        """Components of tokens with variance 1 over the training stimuli, (n, n_components)."""
        return self.basis.project(tokens) / self._sd.clamp(min=1e-6)

    def tokens(self, code: Tensor) -> Tensor:
        """Tokens with these components and nothing else, shape (n, n_tokens, dim)."""
        return self.basis.expand(code * self._sd)

    def spread(self, variance: Tensor) -> Tensor:
        """Standard deviation of every token value under a belief, (n, n_tokens, dim)."""
        more = variance * self.basis.variance - self.basis.rest  # than outside the components
        total = self.basis.rest + more @ self.basis.components.square().T
        return total.clamp(min=0).sqrt().unflatten(1, self.basis.shape)

    def draw(self, noise: Tensor, variance: Tensor) -> Tensor:
        """Deviations from the believed mean, out of standard normal `noise`.

        Parameters
        ----------
        noise : Tensor, shape (n, n_tokens, dim)
        variance : Tensor, shape (n, n_components)

        Returns
        -------
        deviation : Tensor, shape (n, n_tokens, dim)
            Of the believed variance within the components, and of the tokens' own outside.
        """
        code, rest = self.basis.project(noise), self.basis.rest.sqrt()
        return rest * noise + self.basis.expand(code * (variance.sqrt() * self._sd - rest))

    def calibrate(self, said: np.ndarray, true: np.ndarray, stimulus: np.ndarray) -> dict:
        """How far one decoder's tokens are to be believed, see `belief.calibrate`."""
        return calibrate(*(self._read_array(tokens) for tokens in (said, true)), stimulus)

    def condition(self, said: np.ndarray, calibration: dict, n_repeats: np.ndarray) -> np.ndarray:
        """Beliefs (n, 2, n_components), see `belief.believe`."""
        return believe(self._read_array(said), calibration, n_repeats)

    def nothing(self, n: int) -> Tensor:
        """What is believed without a brain: mean 0 and variance 1, (n, 2, n_components)."""
        return torch.stack([torch.zeros_like(self.slope), torch.ones_like(self.slope)]).repeat(
            n, 1, 1
        )

    def heard(self, brain: Tensor, image: Tensor, times: Tensor) -> Tensor:
        """What would be believed had brains of known pictures spoken so many times.

        Parameters
        ----------
        brain, image : Tensor, shape (n, n_tokens, dim)
            Decoded from one trial, and true.
        times : Tensor, shape (n, 1)
            Repeats averaged; 0 leaves what is known without a brain.

        Returns
        -------
        belief : Tensor, shape (n, 2, n_components)
        """
        true = self.read(image)
        error = self.read(brain) - self.slope * true
        precision = times * self.slope.square() / self.noise
        mean = precision * true + times.sqrt() * self.slope * error / self.noise
        return torch.stack([mean, torch.ones_like(mean)], dim=1) / (1 + precision)[:, None]

    def _read_array(self, tokens: np.ndarray) -> np.ndarray:
        tokens = torch.as_tensor(np.asarray(tokens)).to(self.slope)
        return self.read(tokens).cpu().numpy()

    @property
    def _sd(self) -> Tensor:
        return self.basis.variance.sqrt()


def guided(belief: Tensor, guidance: float) -> Tensor:
    """What would be believed had the brain spoken `guidance` times as surely.

    Of p(x) p(brain | x)^guidance, Gaussian with p(x) = N(0, 1): classifier guidance in closed form.
    1 changes nothing, 0 forgets the brain.

    Parameters
    ----------
    belief : Tensor, shape (n, 2, n_components)
        Means and variances.
    guidance : float
    """
    if guidance == 1:
        return belief
    mean, variance = belief.unbind(dim=1)
    precision = 1 + guidance * (1 / variance - 1)
    return torch.stack([guidance * mean / variance, torch.ones_like(mean)], 1) / precision[:, None]


class BelievingPrior(nn.Module):
    """What priors have in common that are given a belief about tokens, fitted in the run.

    Parameters
    ----------
    n_tokens, dim : int
        Image tokens and their size.
    linear_components : int
        Principal components of the tokens of which something is believed.
    """

    reads, comes_trained = "tokens", False

    def __init__(self, n_tokens: int, dim: int, linear_components: int):
        super().__init__()
        self.belief = TokenBelief(n_tokens, dim, linear_components)

    def node(self, given: dict) -> dict:
        """The configuration node that builds this prior again: the one it was built from."""
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
        """Fit what is not learned by descent, before training; arguments as of `TokenBelief`."""
        self.belief.fit(tokens, brain, truth)

    def asked(self, belief: Tensor | None, seeds: list[int], guidance: float) -> Tensor:
        """The belief that samples are drawn from: guided, or that nothing was seen."""
        if belief is None:
            return self.belief.nothing(len(seeds))
        if len(belief) != len(seeds):
            raise ValueError(f"{len(belief)} beliefs, {len(seeds)} seeds: give one each")
        return guided(belief, guidance)
