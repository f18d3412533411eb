"""Whiten the noise of sensors: fitted on training rows, applied to any; a scaler.

Channels are scaled, limited, and multiplied by the inverse square root of their noise covariance
(Guggenmos, Sterzer & Cichy 2018), so that noise is alike in all of them and shared by none.
"""

from typing import Literal

import numpy as np

from neurodecode.core.lazy import BLOCK, IN_MEMORY, row_bytes, slices
from neurodecode.core.ranges import Positive, Share
from neurodecode.signal.scaling import apply_scaling


class NoiseWhitening:
    """Scale each channel over trials and times, limit what is left, and whiten the noise.

    Parameters
    ----------
    robust : bool
        Centre and scale by median and interquartile range instead of mean and standard deviation.
    clamp : float or None
        Scaled values are limited to ± this, before whitening mixes the channels (Défossez et al.
        2023: 20); None: not at all.
    whiten : bool
        Whether to whiten.
    shrinkage : "ledoit_wolf" or float
        Of the covariance towards a multiple of the identity: chosen by Ledoit & Wolf (2004), or a
        share in [0, 1].
    covariance : {"noise", "epochs"}
        Of which covariance the whitener is made. ``noise``: of what differs between trials of a
        picture, at each time, averaged over times. ``epochs``: over the times of each trial,
        averaged over the trials of a picture and over pictures, signal included, as the EEG
        decoders of THINGS-EEG2 have it (Guggenmos' "epochs"); there it is made for each session.
    quartiles : "interpolated" or "sorted"
        Of the robust scale: as numpy takes them, or the value at place int(q n) of the sorted ones,
        as Défossez et al. (2023) do.
    """

    def __init__(
        self,
        robust: bool = False,
        clamp: Positive | None = 20.0,
        whiten: bool = True,
        shrinkage: Literal["ledoit_wolf"] | Share = "ledoit_wolf",
        covariance: Literal["noise", "epochs"] = "noise",
        quartiles: Literal["interpolated", "sorted"] = "interpolated",
    ):
        self.quartiles = quartiles
        self.robust, self.clamp, self.whiten, self.shrinkage = robust, clamp, whiten, shrinkage
        self.covariance = covariance

    def fit(self, responses, trials):
        """Fit centre, scale and whitener on training rows.

        Parameters
        ----------
        responses : ndarray, shape (n_trials, n_channels[, n_times])
        trials : DataFrame
            Of the same rows: stimulus_id, run and session.

        Returns
        -------
        state : dict of ndarray of float32
            ``centre`` and ``scale``, (n_channels,); ``whitener``, (n_channels, n_channels), if
            asked for: 0 in the row and column of a constant channel.

        Raises
        ------
        ValueError
            If there are no rows, a value is not finite, or there is too little to tell noise.
        """
        responses = np.asarray(responses, np.float32)
        if not len(responses):
            raise ValueError("there are no training rows to fit the scaling on")
        _check_finite(responses)
        centre, scale = self._centre_and_scale(responses)
        state = {"centre": centre, "scale": scale}
        if self.whiten and self.covariance == "epochs":
            state["whitener"] = self._whitener_of_epochs(responses, trials, state)
        elif self.whiten:
            noise = noise_of(self._limited(responses, state), trials)
            state["whitener"] = whitener(noise, scale > 0, self.shrinkage)
        return state

    def fit_rows(self, rows, trials):
        """Fit as `fit` does, to the same numbers, on `Lazy` rows larger than memory.

        Centre and scale are fitted to a few channels of all trials at a time, the whitener to a few
        times: each reads the rows once. At one time all channels of all trials must fit.
        """
        if not len(rows):
            raise ValueError("there are no training rows to fit the scaling on")
        centre_and_scale = []
        for channels in _shares(rows.shape[1], len(rows) * row_bytes(rows)):
            block = rows.part(channels)
            _check_finite(block)
            centre_and_scale.append(self._centre_and_scale(block))
        centre, scale = map(np.concatenate, zip(*centre_and_scale, strict=True))
        state = {"centre": centre, "scale": scale}
        if self.whiten:
            epochs = self.covariance == "epochs"
            make = self._whitener_of_epochs if epochs else self._whitener_of
            state["whitener"] = make(rows, trials, state)
        return state

    def _whitener_of(self, rows, trials, state):
        n_times, varies = rows.shape[2] if rows.ndim > 2 else 1, state["scale"] > 0
        one_time = len(rows) * row_bytes(rows) / n_times
        if one_time > 2 * IN_MEMORY:
            raise ValueError(
                f"the noise of {len(rows)} trials of {rows.shape[1]} channels cannot be whitened: "
                f"one time of all takes {one_time / 2**30:.1f} GiB, and {2 * IN_MEMORY / 2**30:g} "
                "are allowed: set scaling.whiten=false, or preprocess to fewer channels"
            )
        covariances = []
        for times in _shares(n_times, n_times * one_time):
            block = rows.part((slice(None), times)) if rows.ndim > 2 else rows[:]
            noise = noise_of(self._limited(block, state), trials)
            covariances += _covariances(noise, varies, self.shrinkage)
        return _inverse_root(np.mean(covariances, axis=0), varies)

    def _whitener_of_epochs(self, rows, trials, state):
        if rows.ndim < 3:
            raise ValueError(
                "the covariance over the times of a trial needs responses with a time axis: set "
                "scaling.covariance=noise"
            )
        varies = state["scale"] > 0
        group = trials.groupby("stimulus_id", sort=False).ngroup().to_numpy()
        counts = np.bincount(group)
        weights = 1 / (len(counts) * counts[group])  # pictures count alike
        total = 0
        for part in slices(rows):
            limited = self._limited(rows[part], state)[:, varies]
            for trial, weight in zip(limited, weights[part], strict=True):
                total = total + weight * _covariance_of_times(trial, self.shrinkage)
        return _inverse_root(total, varies)

    def transform(self, responses, state):
        """Scale, limit and whiten trials (n_trials, n_channels[, n_times]): float32."""
        limited = self._limited(responses, state)
        if not self.whiten:
            return limited
        return np.einsum("dc,nc...->nd...", state["whitener"], limited, optimize=True)

    def _centre_and_scale(self, responses):
        """Per channel over trials and times; the scale of a constant channel is 0."""
        by_channel = np.moveaxis(responses, 1, 0).reshape(responses.shape[1], -1)
        varies = np.ptp(by_channel, axis=1) > 0
        if self.robust:
            centre, scale = robust_scale(by_channel, self.quartiles)
        else:
            centre = by_channel.mean(axis=1, dtype=float)
            scale = by_channel.std(axis=1, dtype=float)
        return centre.astype(np.float32), np.where(varies, scale, 0).astype(np.float32)

    def _limited(self, responses, state):
        along = (slice(None), *[None] * (np.ndim(responses) - 2))
        scaled = apply_scaling(responses, state["centre"][along], state["scale"][along])
        return scaled if self.clamp is None else np.clip(scaled, -self.clamp, self.clamp)


def noise_of(responses, trials):
    """Return what differs between trials of one stimulus in one session.

    Where no stimulus repeats within a session: what differs from the mean of the run.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels[, n_times])
    trials : DataFrame

    Returns
    -------
    noise : ndarray, shape (n_rows, n_channels[, n_times])
        Of groups of two or more trials, made larger by sqrt(n / (n - 1)) for the mean that was
        subtracted.

    Raises
    ------
    ValueError
        If no run has two trials.
    """
    session = trials["session"] if "session" in trials else ""
    for columns in (trials.assign(session=session)[["session", "stimulus_id"]], trials[["run"]]):
        group = columns.groupby(list(columns), sort=False).ngroup().to_numpy()
        counts = np.bincount(group)
        rows = np.flatnonzero(counts[group] > 1)
        if len(rows):
            return _residuals(responses[rows], np.unique(group[rows], return_inverse=True)[1])
    raise ValueError(
        f"noise cannot be told from {len(responses)} training rows, of which no stimulus and no "
        "run has two: set scaling.whiten=false"
    )


def whitener(noise, varies, shrinkage):
    """Return the inverse square root of the noise covariance, averaged over times.

    Parameters
    ----------
    noise : ndarray, shape (n_rows, n_channels[, n_times])
        Of mean 0.
    varies : ndarray of bool, shape (n_channels,)
        Channels that take part; the others come out as 0.
    shrinkage : "ledoit_wolf" or float

    Returns
    -------
    whitener : ndarray of float32, shape (n_channels, n_channels)
        Symmetric: a whitened channel is the one nearest to the channel itself.
    """
    return _inverse_root(np.mean(_covariances(noise, varies, shrinkage), axis=0), varies)


def _covariances(noise, varies, shrinkage):
    """Covariance of the channels that vary, of each time."""
    noise = noise.reshape(*noise.shape[:2], -1)[:, varies]
    return [_covariance(noise[..., t], shrinkage) for t in range(noise.shape[2])]


def _inverse_root(covariance, varies):
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-10 * values.max()  # directions without any noise carry nothing
    root = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
    whole = np.zeros((len(varies), len(varies)), np.float32)
    whole[np.ix_(varies, varies)] = root
    return whole


def _shares(n, n_bytes):
    """Cut n channels, or times, of an array of so many bytes into slices of a few blocks each."""
    step = max(1, int(n * 4 * BLOCK / n_bytes))
    return [slice(first, first + step) for first in range(0, n, step)]


def _check_finite(responses):
    if not np.isfinite(responses).all():
        axes = tuple(i for i in range(responses.ndim) if i != 1)
        bad = int((~np.isfinite(responses)).any(axis=axes).sum())
        raise ValueError(f"{bad} channels hold values that are not finite: preprocess them again")


def robust_scale(by_channel, quartiles="interpolated"):
    """Return median and interquartile range of each channel; a range of 0 counts as 1.

    Parameters
    ----------
    by_channel : ndarray, shape (n_channels, n_values)
    quartiles : "interpolated" or "sorted"
        See `NoiseWhitening`.
    """
    if quartiles == "sorted":
        places = [int(q * by_channel.shape[1]) for q in (0.25, 0.5, 0.75)]
        low, centre, high = np.partition(by_channel, places, axis=1)[:, places].T
    else:
        low, centre, high = np.percentile(by_channel, [25, 50, 75], axis=1)
    return centre, np.where(high > low, high - low, 1)


def _residuals(responses, group):
    """Subtract the mean of each group; groups are numbered from 0."""
    out = np.empty_like(responses)
    for number in range(group.max() + 1):
        rows = np.flatnonzero(group == number)
        apart = responses[rows] - responses[rows].mean(axis=0)
        out[rows] = apart * np.sqrt(len(rows) / (len(rows) - 1))
    return out


def _covariance_of_times(trial, shrinkage):
    """Covariance over times of (n_channels, n_times), of which the correlation is shrunk."""
    apart = (trial - trial.mean(axis=1, keepdims=True)).T
    sd = apart.std(axis=0)
    sd = np.where(sd > 0, sd, 1)
    return _covariance(apart / sd, shrinkage) * sd * sd[:, None]


def _covariance(noise, shrinkage):
    """Covariance of (n_rows, n_channels) of mean 0, shrunk."""
    from sklearn.covariance import empirical_covariance, ledoit_wolf, shrunk_covariance

    noise = noise.astype(float)
    if shrinkage == "ledoit_wolf":
        return ledoit_wolf(noise, assume_centered=True)[0]
    return shrunk_covariance(empirical_covariance(noise, assume_centered=True), shrinkage)
