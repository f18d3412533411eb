"""Published decoders that are ridge regressions: nothing is descended, all is fitted at once.

    x -> z-scored by training rows -> ridge to every value of every target -> its spread given back

Two systems are settings of this one network. Brain-Diffuser [1]_ regresses the latents of a deep
VAE and all of CLIP's vision tokens from all voxels, at fixed penalties (50,000 and 60,000, with
100,000 for text tokens). Shrunken answers lie close to the mean, where a generator paints one and
the same grey picture, so they are standardised and given the mean and spread of true features.
Takagi and Nishimoto [2]_ regress a VAE's latents from early visual voxels and CLIP's text tokens
from ventral ones, at the best of seven penalties from 10^-6 to 1.

Published, [1]_ standardises by the mean and spread of its answers to the very test rows: what is
said of one row depends on the others (`compat`). Here they are those of answers to training runs
that were left out.

References
----------
.. [1] Ozcelik, VanRullen (2023). Natural scene reconstruction from fMRI signals using generative
   latent diffusion. Scientific Reports 13, 15666.
.. [2] Takagi, Nishimoto (2023). High-resolution image reconstruction with latent diffusion models
   from human brain activity. CVPR.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import check_trials
from neurodecode.models.ridge import fit_ridge, fit_ridge_at, whole_folds

N_FOLDS = 5  # of runs, for penalties and for the spread of answers to new trials


class LinearSystem(nn.Module):
    """Ridge regression of every subject, as a network without anything to train.

    Parameters
    ----------
    sizes : Sizes
        What the data decide.
    alphas : dict
        Penalty of each target (``pooled``, ``tokens``, ``blurry``), of z-scored channels and a sum
        over trials: a number, or a list of which left-out runs choose one for each value. A target
        that is not named: `neurodecode.models.ridge.FRACTIONS`.
    like_channels : int or None
        Penalties are those for so many channels: a subject with n gets n / like_channels of them.
        None: they are as they stand.
    regions : dict or None
        Of each target, the regions whose channels it is regressed from; one that is not named:
        all channels. None: all of all.
    restandardise : bool
        Give answers the mean and the spread of the true features.
    average_repeats : bool
        Fit to the mean of a picture's trials.
    compat : bool
        Published handling: answers are standardised by those they are asked for together with.

    Raises
    ------
    ValueError
        If a target, or a region, is not known.
    """

    def __init__(
        self,
        sizes: Sizes,
        alphas: dict,
        like_channels: Count | None = None,
        regions: dict | None = None,
        restandardise: bool = True,
        average_repeats: bool = True,
        compat: bool = False,
    ):
        super().__init__()
        self.sizes, self.like_channels = sizes, like_channels
        self.restandardise, self.average_repeats = restandardise, average_repeats
        self.compat = compat and restandardise
        self.shapes = {"pooled": (sizes.dim,)}
        if sizes.n_tokens:
            self.shapes["tokens"] = (sizes.n_tokens, sizes.token_dim)
        if sizes.blurry:
            self.shapes["blurry"] = tuple(sizes.blurry)
        self.alphas = {n: _candidates(n, alphas.get(n)) for n in (*alphas, *self.shapes)}
        of = _chosen_channels(sizes, regions or {})
        self.fits = nn.ModuleDict(
            {
                subject: nn.ModuleDict(
                    {
                        name: _Fit(of(subject, name), sizes.n_times or 1, math.prod(shape))
                        for name, shape in self.shapes.items()
                    }
                )
                for subject in sizes.channels
            }
        )

    def prepare(
        self,
        responses: dict[str, np.ndarray],
        targets: dict[str, dict[str, np.ndarray]],
        groups: dict[str, np.ndarray],
        seed: int = 0,
    ) -> None:
        """Fit to training rows.

        Parameters
        ----------
        responses : dict of ndarray, shape (n_trials, n_channels[, n_times])
            Of each subject.
        targets : dict of dict of ndarray, shape (n_trials, ...)
            Of each subject, by name.
        groups : dict of ndarray, shape (n_trials,)
            The run of each trial.
        seed : int
            Nothing here is random.
        """
        for subject, fits in self.fits.items():
            if any(bool(fit.weights.any()) for fit in fits.values()):
                continue  # it came with train.start
            x, y, runs = responses[subject], targets[subject], groups[subject]
            if self.average_repeats:
                x, y, runs = averaged_repeats(x, y, runs)
            for name, fit in fits.items():
                flat = np.asarray(y[name], np.float32).reshape(len(x), -1)
                fit.take(**self._solve(x[:, fit.channels.cpu().numpy()], flat, runs, name))

    def _solve(self, x, y, runs, name):
        """Weights, intercepts, mean and spread of one target, of raw channels."""
        x = np.asarray(x, np.float64).reshape(len(x), -1)
        centre, scale = x.mean(axis=0), x.std(axis=0)
        x = (x - centre) / np.where(scale > 0, scale, 1)  # published by n - 1: alpha moves by 1/n
        fit = _fit_best(x, y, runs, self.alphas[name], self.like_channels)
        mean, spread = y.mean(axis=0), y.std(axis=0)
        if self.restandardise and not self.compat:
            said_mean, said_spread = held_out_moments(x, y, runs, fit["alphas"])
            gain = (spread / np.where(said_spread > 0, said_spread, np.inf)).astype(np.float32)
            fit["weights"] = fit["weights"] * gain
            fit["intercepts"] = (fit["intercepts"] - said_mean) * gain + mean
        weights = fit["weights"] / np.where(scale > 0, scale, np.inf).astype(np.float32)[:, None]
        return {
            "weights": weights,
            "intercepts": fit["intercepts"] - centre @ weights,
            "mean": mean,
            "spread": spread,
        }

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials (n_trials, n_channels of this subject[, n_times])."""
        check_trials(responses, subject, self.sizes)
        said = {
            name: fit(responses, self.compat).unflatten(1, self.shapes[name])
            for name, fit in self.fits[subject].items()
        }
        return BrainOutput(said.get("tokens"), said["pooled"], said.get("blurry"))


class _Fit(nn.Module):
    """One subject's regression of one target; its parameters are not descended."""

    def __init__(self, channels, n_times, n_values):
        super().__init__()
        self.register_buffer("channels", torch.as_tensor(channels))
        fixed = lambda *shape: nn.Parameter(torch.zeros(*shape), requires_grad=False)
        self.weights = fixed(len(channels) * n_times, n_values)
        self.intercepts, self.mean, self.spread = (fixed(n_values) for _ in range(3))

    def take(self, **arrays):
        for name, values in arrays.items():
            with torch.no_grad():
                getattr(self, name).copy_(torch.as_tensor(values))

    def forward(self, responses, together):
        said = responses[:, self.channels].flatten(1) @ self.weights + self.intercepts
        if not together or len(said) < 2:
            return said
        centred = said - said.mean(dim=0)
        spread = centred.std(dim=0, correction=0)
        steady = spread <= 1e-6 * self.spread  # all rows are answered alike
        return torch.where(steady, 0, centred / spread) * self.spread + self.mean


def averaged_repeats(x, y, runs):
    """Average the trials of each picture, told by equal targets; it is of its first trial's run.

    Parameters
    ----------
    x : ndarray, shape (n_trials, ...)
    y : dict of ndarray, shape (n_trials, ...)
        With ``pooled``.
    runs : ndarray, shape (n_trials,)

    Returns
    -------
    x, y, runs
        Of the pictures, in the order in which they were seen first.
    """
    pooled = np.asarray(y["pooled"]).reshape(len(x), -1)
    _, first, place = np.unique(pooled, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.argsort(order)[place.ravel()]
    first = first[order]
    means = np.zeros((len(first), *x.shape[1:]))
    np.add.at(means, rank, x)
    means /= np.bincount(rank).reshape(-1, *[1] * (x.ndim - 1))
    return means, {n: np.asarray(rows)[first] for n, rows in y.items()}, np.asarray(runs)[first]


def held_out_moments(x, y, runs, alphas):
    """Mean and spread of each value that is answered to runs which the regression has not seen.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_channels)
    y : ndarray, shape (n_rows, n_values)
    runs : ndarray, shape (n_rows,)
    alphas : ndarray, shape (n_values,)

    Returns
    -------
    mean, spread : ndarray, shape (n_values,)
        Each fold's answers count about their own mean: folds differ in what they were fitted to.
    """
    sums, squares = np.zeros(y.shape[1]), np.zeros(y.shape[1])
    for seen, left_out in whole_folds(runs, N_FOLDS):
        # with fewer rows the same penalty would shrink more than it does in the whole fit
        fit = fit_ridge_at(x[seen], y[seen], alphas * len(seen) / len(x))
        said = x[left_out] @ fit["weights"].astype(np.float64) + fit["intercepts"]
        sums += said.sum(axis=0)
        squares += ((said - said.mean(axis=0)) ** 2).sum(axis=0)
    return sums / len(x), np.sqrt(squares / len(x))


def _fit_best(x, y, runs, alphas, like_channels):
    if alphas is None:
        return fit_ridge(x, y, runs, n_folds=N_FOLDS)
    alphas = np.multiply(alphas, x.shape[1] / like_channels if like_channels else 1)
    if len(alphas) == 1:
        return fit_ridge_at(x, y, alphas[0])
    return fit_ridge(x, y, runs, alphas / (x**2).sum(axis=1).mean(), N_FOLDS)


def _candidates(name, given):
    if name not in ("pooled", "tokens", "blurry"):
        raise ValueError(f"alphas.{name}: no target of this name; known: pooled, tokens, blurry")
    if given is None:
        return None
    alphas = [float(a) for a in (given if isinstance(given, (list, tuple)) else [given])]
    if not alphas or min(alphas) <= 0:
        raise ValueError(f"alphas.{name} is {given}: give penalties above 0")
    return alphas


def _chosen_channels(sizes, regions):
    """Return the channels of (subject, target)."""
    if strangers := sorted(set(regions) - {"pooled", "tokens", "blurry"}):
        raise ValueError(f"regions names {strangers[0]!r}; targets are pooled, tokens, blurry")

    def of(subject, name):
        if not regions.get(name):
            return np.arange(sizes.channels[subject])
        known = (sizes.regions or {}).get(subject, {})
        if unknown := [roi for roi in regions[name] if roi not in known]:
            raise ValueError(
                f"regions.{name} names {unknown[0]!r}, and {subject} has "
                f"{', '.join(known) or 'no regions'}: name masks in recipe.rois and keep each "
                "subject's own channels (aligner=identity), or set train.model.regions=null"
            )
        return np.unique(np.concatenate([known[roi] for roi in regions[name]]))

    return of
