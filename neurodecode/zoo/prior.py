"""Train a latent prior on pictures: a code of their tokens, its denoiser, its decoder.

No brain is seen. The denoiser learns to complete beliefs of every strength; the decoder learns to
spell out the tokens of a code, also of one that is not quite right.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from neurodecode.diffusion.latent_prior import LatentPrior
from neurodecode.diffusion.token_code import fit_code
from neurodecode.diffusion.training import random_beliefs
from neurodecode.zoo.trainer import Effort, Trainer

SLIGHTLY = 0.15  # largest deviation of the noise on codes that the decoder learns from
DECAY = 0.995  # of the moving averages
MOST_DIRECTIONS = 1024  # in which a code is sought where there are fewer pictures than values


def with_code(tokens: torch.Tensor, words: np.ndarray, n_rest: int) -> tuple[LatentPrior, int]:
    """Make a prior with the statistics and the code of these tokens.

    Parameters
    ----------
    tokens : Tensor, shape (n_pictures, n_tokens, dim)
        On the CPU.
    words : ndarray, shape (n_pictures, n_words)
        What is known of each picture, in numbers; no column: the code is principal components.
    n_rest : int
        Components that words do not tell; fewer where the pictures have fewer.

    Returns
    -------
    prior : LatentPrior
        Untrained.
    n_told : int
        Components that words tell.
    """
    mean, std = tokens.mean(dim=0), tokens.std(dim=0)
    std = torch.where(std > 1e-6, std, 1.0)
    flat = ((tokens - mean) / std).flatten(1).numpy()
    readout, n_told = code_of(flat, words, n_rest)
    prior = LatentPrior(*mean.shape, n_code=readout.shape[1], n_told=n_told)
    prior.mean, prior.std, prior.readout = mean, std, torch.from_numpy(readout)
    return prior, n_told


def code_of(flat: np.ndarray, words: np.ndarray, n_rest: int) -> tuple[np.ndarray, int]:
    """Fit a code, within the leading principal components if pictures are fewer than values.

    Parameters
    ----------
    flat : ndarray, shape (n_pictures, n_values)
        Standardised tokens.
    words : ndarray, shape (n_pictures, n_words)
    n_rest : int

    Returns
    -------
    readout : ndarray of float32, shape (n_values, n_told + n_rest)
    n_told : int
    """
    n, n_values = flat.shape
    if n > n_values:
        readout = fit_code(flat, words, n_rest)
        return readout, readout.shape[1] - n_rest
    from sklearn.decomposition import PCA

    few = min(n // 4, MOST_DIRECTIONS)  # a fourth: the later ones of so few pictures are noise
    main = PCA(few, svd_solver="randomized", random_state=0).fit(flat)
    within = main.transform(flat)
    told = fit_code(within, words, 0).shape[1]
    readout = fit_code(within, words, min(n_rest, few - told))
    return (main.components_.T @ readout).astype(np.float32), told


def train_decoder(prior, code, tokens, effort: Effort, state: Path | None = None):
    """Train the tokens of slightly noisy codes; all on the device of `effort`."""
    trainer = Trainer(prior.decoder, effort, DECAY, state)
    draw = lambda *shape: torch.randn(shape, generator=trainer.rng, device=effort.device)

    def loss_of(rows):
        scale = SLIGHTLY * torch.rand(len(rows), 1, generator=trainer.rng, device=effort.device)
        z = code[rows] + scale * draw(*code[rows].shape)
        loss = F.mse_loss(prior.decoder(z).float(), tokens[rows].flatten(1))
        return loss, {"decoder": loss}

    return trainer.run(loss_of, len(code))


def train_denoiser(prior, code, n_told, effort: Effort, state: Path | None = None):
    """Train codes from random beliefs."""
    trainer = Trainer(prior.denoiser, effort, DECAY, state)
    generator = trainer.cpu_rng  # beliefs and noise

    def loss_of(rows):
        loss = prior.loss(code[rows], random_beliefs(code[rows], n_told, generator), generator)
        return loss, {"denoiser": loss}

    return trainer.run(loss_of, len(code))
