"""The best linear guess at clean tokens, and what brains of known noise would have said of them.

Tokens are described by their principal components. On held-out trials, each component of the true
tokens is regressed on the same component of the brain's tokens, and the other way round. The first
gives the posterior mean of clean tokens in closed form (a Wiener filter [1]_): a denoiser that
knows mean, covariance and how far the brain can be trusted, from which a network only has to learn
the rest. The second gives brain tokens for training: a decoder knows its own training trials by
heart, so its predictions of them are far better than what it will say of new trials.

References
----------
.. [1] Wiener (1949). Extrapolation, interpolation, and smoothing of stationary time series.
"""

import numpy as np
import torch
from torch import Tensor, nn


class TokenBasis(nn.Module):
    """Principal components of tokens: an orthonormal basis and the variances along it.

    Parameters
    ----------
    n_tokens, dim : int
        Shape of the tokens, which are standardised.
    n_components : int
        Components kept; the rest of the variance is taken to be equal in all other directions.
    """

    def __init__(self, n_tokens: int, dim: int, n_components: int):
        super().__init__()
        size = n_tokens * dim
        if not 1 <= n_components < size:
            raise ValueError(
                f"n_components is {n_components}; give 1 to {size - 1}, fewer than a picture's "
                "tokens have numbers (train.simulator_components, train.prior.linear_components)"
            )
        self.shape = (n_tokens, dim)
        self.register_buffer("components", torch.zeros(size, n_components))
        self.register_buffer("variance", torch.ones(n_components))
        self.register_buffer("rest", torch.ones(()))

    def fit(self, tokens: Tensor) -> None:
        """Learn the components from clean tokens of training stimuli (n, n_tokens, dim)."""
        flat = tokens.flatten(1).double()
        variance, components = principal_components(flat, self.components.shape[1])
        k = len(variance)
        # With fewer stimuli than components the last components are zero vectors of variance 0.
        self.components.zero_()[:, :k] = components
        self.variance.zero_()[:k] = variance
        left = flat.square().sum() / len(flat) - variance.sum()
        self.rest.copy_(left.clamp(min=0) / (flat.shape[1] - k))

    def project(self, tokens: Tensor) -> Tensor:
        """Components of tokens, shape (n, n_components)."""
        return tokens.flatten(1) @ self.components

    def expand(self, scores: Tensor) -> Tensor:
        """Tokens with these components and nothing else, shape (n, n_tokens, dim)."""
        return (scores @ self.components.T).unflatten(1, self.shape)


def principal_components(flat: Tensor, n_components: int) -> tuple[Tensor, Tensor]:
    """Variances, largest first, and unit directions (n_values, k) of float64 rows with mean 0.

    From the smaller of the two inner products: a tenth of the time of all singular vectors.
    """
    n, size = flat.shape
    power, vectors = torch.linalg.eigh(flat @ flat.T if n < size else flat.T @ flat)
    power, vectors = power.flip(0)[:n_components], vectors.flip(1)[:, :n_components]
    there = power > 1e-10 * power[0]  # what is left is rounding
    power, vectors = power[there], vectors[:, there]
    return power / n, (flat.T @ vectors / power.sqrt() if n < size else vectors)


class LinearDenoiser(nn.Module):
    """Posterior mean of clean tokens x_0 given x_t and the brain's tokens, all Gaussian.

    Per component k, from held-out trials: x_0 | brain ~ N(trust_k brain_k, spread_k); without a
    brain x_0 ~ N(0, variance_k). With x_t = sqrt(a) x_0 + sqrt(1 - a) e, and m the mean before x_t
    is seen:

        E[x_0] = m + gain (x_t - sqrt(a) m),   gain = sqrt(a) spread / (a spread + 1 - a)
    """

    def __init__(self, n_tokens: int, dim: int, n_components: int):
        super().__init__()
        self.basis = TokenBasis(n_tokens, dim, n_components)
        self.register_buffer("trust", torch.zeros(n_components))
        self.register_buffer("spread", torch.ones(n_components))

    def fit(self, tokens: Tensor, brain: Tensor, truth: Tensor) -> None:
        """Learn from clean training tokens, and from held-out predictions and their truth.

        Parameters
        ----------
        tokens : Tensor, shape (n_training_stimuli, n_tokens, dim)
        brain, truth : Tensor, shape (n_held_out_trials, n_tokens, dim)
        """
        self.basis.fit(tokens)
        said, true = self.basis.project(brain), self.basis.project(truth)
        trust = slope(said, true)
        self.trust.copy_(trust)
        spread = (true - trust * said).square().mean(dim=0)
        self.spread.copy_(torch.minimum(spread, self.basis.variance))

    def forward(
        self, x_t: Tensor, alpha_bar: Tensor, brain: Tensor, keep_brain: Tensor | None
    ) -> Tensor:
        """Return E[x_0], shape (n, n_tokens, dim); alpha_bar (n,) is that of each row's step."""
        a = alpha_bar[:, None]
        mean, spread = self.trust * self.basis.project(brain), self.spread.expand(len(brain), -1)
        if keep_brain is not None:
            keep = keep_brain[:, None]
            mean, spread = mean * keep, torch.where(keep, spread, self.basis.variance)
        gain, rest = (a.sqrt() * v / (a * v + 1 - a) for v in (spread, self.basis.rest))
        # Outside the components the mean is 0 and every direction has the gain `rest`.
        scores = mean * (1 - gain * a.sqrt()) + (gain - rest) * self.basis.project(x_t)
        return rest[:, :, None] * x_t + self.basis.expand(scores)


class BrainSimulator:
    """Say of any tokens what the brain's decoder would have said, as learned on held-out trials.

    said = slope_k truth_k along every component, plus the residual of a random held-out trial.

    Parameters
    ----------
    tokens : Tensor, shape (n_training_stimuli, n_tokens, dim)
        Clean tokens, whose principal components are used.
    brain, truth : Tensor, shape (n_held_out_trials, n_tokens, dim)
        What was said of held-out trials and what was true.
    n_components : int
    least_noise : float
        Residuals are scaled by a random factor from this to 1, since test trials are averaged over
        repeats and less noisy than single ones.
    """

    def __init__(
        self,
        tokens: Tensor,
        brain: Tensor,
        truth: Tensor,
        n_components: int,
        least_noise: float = 1.0,
    ):
        if not 0 <= least_noise <= 1:
            raise ValueError(f"least_noise is {least_noise}; give a factor from 0 to 1")
        self.least_noise = least_noise
        self.basis = basis = TokenBasis(*tokens.shape[1:], n_components).to(tokens)
        basis.fit(tokens)
        self.slope = slope(basis.project(truth), basis.project(brain))
        self.residuals = brain - basis.expand(self.slope * basis.project(truth))

    def __call__(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Draw brain tokens for clean tokens, both (n, n_tokens, dim)."""
        n, low = len(tokens), self.least_noise
        trials = torch.randint(len(self.residuals), (n,), generator=generator)
        level = low + (1 - low) * torch.rand(n, 1, 1, generator=generator)
        noise = level.to(tokens) * self.residuals[trials.to(tokens.device)]
        return self.basis.expand(self.slope * self.basis.project(tokens)) + noise


def slope(x: Tensor, y: Tensor) -> Tensor:
    """Regression of each column of y on the same column of x, through 0; 0 where x is 0."""
    power = x.square().sum(dim=0)
    return (x * y).sum(dim=0) / power.clamp(min=np.finfo(np.float32).tiny)
