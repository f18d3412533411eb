"""From what sources answer to what electrodes record: transients, background, artefacts.

Every source answers a picture with one transient, `cos^2` up and down again, the early sheet first.
The potentials of all sources add up at the electrodes; on top come what is not of interest:
spatially correlated 1 / f noise, alpha waves that come and go, mains hum, slow drifts, blinks, the
noise of the amplifier, and one channel with a bad contact. Nothing but the transients is locked to
the pictures. Potentials are in µV, against the left mastoid; moments of dipoles in nAm.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neurodecode.world import head, scanner
from neurodecode.world.brain import Subject

LINE_HZ = 50.0
RISE_S, FALL_S = 0.08, 0.1  # of a transient
SHEET_S = {"early": -0.012, "silent": 0.0, "high": 0.012}  # peaks, relative to each other
SCATTER_S = 0.01  # of the peaks within a sheet
SPAN_S = 0.7  # after which every response is over

EVOKED_S = (0.1, 0.16, 0.24)  # peaks of what every picture evokes …
EVOKED_WEIGHTS = (1.0, -1.4, 0.8)  # … and their signs and sizes

PINK_UV, WHITE_UV, ALPHA_UV = 8.0, 0.6, 6.0  # root mean squares over channels
EVOKED_UV, LINE_UV, DRIFT_UV, BLINK_UV = 4.0, 2.0, 10.0, 120.0
BAD_UV = 60.0  # noise of the channel with a bad contact
BLINK_EVERY_S, BLINK_S = 4.0, 0.3

_N_BACKGROUND = 250  # dipoles that make the 1 / f noise
_UNEQUAL = 1.2  # spread of the logarithm of their strengths: few dominate, as in recordings
_EYES_M = np.array([[-0.03, 0.055, 0.015], [0.03, 0.055, 0.015]])


def transient(times_s: np.ndarray, peaks_s: np.ndarray) -> np.ndarray:
    """Time course of sources that peak at `peaks_s`, (n_times, n_sources); height one.

    `cos^2(pi x / 2)` with x the time from the peak over 0.08 s before it and over 0.1 s after.
    """
    x = np.subtract.outer(times_s, peaks_s)
    x /= np.where(x < 0, RISE_S, FALL_S)
    return np.where(np.abs(x) < 1, np.cos(np.pi / 2 * x) ** 2, 0.0)


def evoked_course(times_s: np.ndarray) -> np.ndarray:
    """Time course of what every picture evokes, (n_times,): three deflections, as P1, N1, P2."""
    return transient(times_s, np.array(EVOKED_S)) @ np.array(EVOKED_WEIGHTS)


def average_reference(potentials: np.ndarray) -> np.ndarray:
    """Subtract the mean over channels, the first axis."""
    return potentials - potentials.mean(axis=0)


@dataclass(frozen=True)
class Background:
    """Where the ongoing activity of a subject comes from, and how it looks at the electrodes."""

    pink: np.ndarray  # (n_channels, n_channels): mixes independent 1 / f series
    alpha: np.ndarray  # (n_channels, n_generators)
    alpha_hz: float
    blink: np.ndarray  # (n_channels,) at the height of a blink
    line: np.ndarray  # (n_channels,) amplitude
    bad: int  # the channel with a bad contact

    @property
    def covariance(self) -> np.ndarray:
        """Of ongoing activity and amplifier, average reference, (n_channels, n_channels)."""
        mix = average_reference(np.hstack([self.pink, self.alpha]))
        white = average_reference(WHITE_UV * np.eye(len(mix)))
        return mix @ mix.T + white @ white.T


def make_background(cap, rng: np.random.Generator) -> Background:
    """Draw a subject's ongoing activity: dipoles all over the cortex, alpha in its back, eyes."""
    places, normals = head.cortex(_N_BACKGROUND, rng)
    strength = np.exp(rng.normal(0, _UNEQUAL, _N_BACKGROUND))
    pink = strength * head.lead_field(places, normals, cap)
    root = np.linalg.svd(pink, full_matrices=False)
    pink = root.U * root.S  # as many series as channels give the same covariance
    behind = np.argsort(places[:, 1])[:40]
    chosen = rng.choice(behind, 4, replace=False)
    alpha = head.lead_field(places[chosen], normals[chosen], cap)
    upwards = np.tile([0.0, 0.5, np.sqrt(0.75)], (2, 1))
    blink = head.lead_field(_EYES_M, upwards, cap).sum(axis=1)
    n_channels = len(cap.ch_names)
    return Background(
        pink=_scaled(pink, PINK_UV),
        alpha=_scaled(alpha, ALPHA_UV),
        alpha_hz=rng.uniform(9.0, 11.0),
        blink=BLINK_UV * blink / np.abs(blink).max(),
        line=LINE_UV * np.exp(rng.normal(0, 0.4, n_channels)),
        bad=int(rng.integers(n_channels)),
    )


def _scaled(field: np.ndarray, rms_uv: float) -> np.ndarray:
    """Scale a field: unit series give this root mean square over channels, average reference."""
    return field * (rms_uv / np.sqrt((average_reference(field) ** 2).sum() / len(field)))


class Cap:
    """Records one subject; holds what stays the same from run to run.

    Parameters
    ----------
    subject : Subject
    specific : ndarray, shape (n_pictures, n_voxels)
        What is specific to each picture where the brain carries everything, in units of its spread.
    snr, latency_s : float
        Root mean square over channels and pictures of the specific potential at its peak over that
        of the ongoing activity (1 / f, alpha, amplifier), both against the average; and when that
        peak comes: the time after onset at which `information` is largest.
    n_channels : int
    sfreq_hz : float
    rng : numpy.random.Generator
        For folds, peaks and the ongoing activity.
    """

    def __init__(
        self,
        subject: Subject,
        specific: np.ndarray,
        *,
        snr: float,
        latency_s: float,
        n_channels: int,
        sfreq_hz: float,
        rng: np.random.Generator,
    ):
        self.subject, self.sfreq_hz = subject, sfreq_hz
        self.montage = head.montage(n_channels)
        self.positions_m, self.normals = head.sources(subject, rng)
        self.field = head.lead_field(self.positions_m, self.normals, self.montage)
        self.background = make_background(self.montage, rng)
        scatter = np.clip(rng.normal(0, SCATTER_S, subject.n_voxels), -0.02, 0.02)
        sheet_s = np.array([SHEET_S[name] for name in subject.roi])
        self._power = self._source_power(subject.gain * specific)
        self.peaks_s = sheet_s + scatter
        self.peaks_s = self.peaks_s + latency_s - self._best_lag_s()
        self.times_s = np.arange(round(SPAN_S * sfreq_hz)) / sfreq_hz
        self.nam = self._moment(specific, snr, latency_s)
        self.evoked_nam = self._evoked()

    def information(self, times_s: np.ndarray, sheet: str | None = None) -> np.ndarray:
        """Power of what is specific to pictures over that of the ongoing activity, (n_times,).

        `tr(N^-1 S(t))`, with N the covariance of the ongoing activity over channels and S that of
        the specific potentials over pictures; of one sheet alone where it is named.
        """
        course = transient(times_s, self.peaks_s)
        if sheet is not None:
            course = course * (self.subject.roi == sheet)
        unit = np.einsum("tv,vw,tw->t", course, self._power, course, optimize=True)
        return self.nam**2 * unit * (times_s >= 0)

    def responses(self, specific: np.ndarray) -> np.ndarray:
        """Moment of every source at its peak, without noise, (n_pictures, n_voxels), nAm."""
        return self.nam * self.subject.gain * specific

    def run(
        self, onsets: np.ndarray, moments_nam: np.ndarray, n_samples: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Record one run.

        Parameters
        ----------
        onsets : ndarray of int, shape (n_trials,)
            Samples at which pictures appear.
        moments_nam : ndarray, shape (n_trials, n_voxels)
            What is specific to each presentation.
        n_samples : int
        rng : numpy.random.Generator

        Returns
        -------
        potentials : ndarray of float32, shape (n_channels, n_samples)
            µV, against the left mastoid.
        """
        potentials = self._background(n_samples, rng)
        course = transient(self.times_s, self.peaks_s).astype(np.float32)
        evoked = evoked_course(self.times_s).astype(np.float32)
        field = self.field.T.astype(np.float32)
        moments = moments_nam.astype(np.float32)
        common = self.evoked_nam.astype(np.float32) @ field
        for i in range(len(self.times_s)):
            if onsets.max() + i < n_samples:
                potentials[:, onsets + i] += ((moments * course[i]) @ field + evoked[i] * common).T
        return potentials

    def _background(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Everything that does not depend on the pictures, (n_channels, n_samples)."""
        source, n_channels = self.background, len(self.field)
        rate = self.sfreq_hz
        pink = scanner.pink(n_samples, source.pink.shape[1], rng) @ source.pink.T
        waves = alpha_waves(n_samples, source.alpha.shape[1], source.alpha_hz, rate, rng)
        white = rng.standard_normal((n_samples, n_channels), dtype=np.float32)
        total = pink + waves @ source.alpha.T + WHITE_UV * white
        total += DRIFT_UV * scanner.drift(n_samples, n_channels, 1 / rate, rng)
        total += np.outer(blinks(n_samples, rate, rng), source.blink)
        phase = 2 * np.pi * (LINE_HZ * np.arange(n_samples) / rate + rng.random())
        total += np.outer(np.sin(phase), source.line)
        rough = rng.standard_normal(n_samples) + 2 * scanner.pink(n_samples, 1, rng)[:, 0]
        total[:, source.bad] += BAD_UV * rough
        return total.T.astype(np.float32)

    def _source_power(self, drive: np.ndarray) -> np.ndarray:
        """Matrix Q (n_voxels, n_voxels) such that `c^T Q c` is the information of unit moments."""
        field = average_reference(self.field)
        precision = np.linalg.pinv(self.background.covariance, rcond=1e-6, hermitian=True)
        drive = drive - drive.mean(axis=0)
        return (field.T @ precision @ field) * (drive.T @ drive / len(drive))

    def _best_lag_s(self) -> float:
        """When the information is largest with the present peaks, to a tenth of a millisecond."""
        lags = np.arange(-0.1, 0.1, 1e-4)
        course = transient(lags, self.peaks_s)
        return lags[np.argmax(((course @ self._power) * course).sum(axis=1))]

    def _moment(self, specific: np.ndarray, snr: float, latency_s: float) -> float:
        """Scale of the specific moments, nAm, that gives this ratio at this latency."""
        course = transient(np.array([latency_s]), self.peaks_s)[0]
        drive = self.subject.gain * (specific - specific.mean(axis=0))
        potential = average_reference(self.field) @ (drive * course).T
        noise = np.sqrt(np.trace(self.background.covariance) / len(self.field))
        return snr * noise / np.sqrt((potential**2).mean())

    def _evoked(self) -> np.ndarray:
        """Moments of what every picture evokes, (n_voxels,), nAm: 4 µV at their height."""
        moments = self.subject.evoked_percent
        potential = average_reference(self.field @ moments)
        height = np.abs(evoked_course(self.times_s)).max()
        return moments * EVOKED_UV / (height * np.sqrt((potential**2).mean()))

    def course_table(self) -> pd.DataFrame:
        """When what is planted comes, from 0.1 s before onset to 0.6 s after, in milliseconds."""
        times_s = np.arange(-100, 601) / 1000
        shape = evoked_course(times_s) * (times_s >= 0)
        common = average_reference(self.field @ self.evoked_nam)
        return pd.DataFrame(
            {"time_s": times_s, "information": self.information(times_s)}
            | {name: self.information(times_s, name) for name in ("early", "high")}
            | {"evoked_uv": np.abs(shape) * np.sqrt((common**2).mean())}
        )


def alpha_waves(
    n_samples: int, n_series: int, centre_hz: float, sfreq_hz: float, rng: np.random.Generator
) -> np.ndarray:
    """Waves of about 10 Hz that come and go, with phases of their own, (n_samples, n_series).

    Noise in a Gaussian band of 0.7 Hz, times its envelope, so that bursts stand out; variance one.
    """
    spectrum = rng.standard_normal((2, n_samples, n_series))
    frequencies = np.fft.fftfreq(n_samples, 1 / sfreq_hz)
    band = np.exp(-(((frequencies - centre_hz) / 0.7) ** 2) / 2)
    analytic = np.fft.ifft((spectrum[0] + 1j * spectrum[1]) * band[:, None], axis=0)
    waves = analytic.real * np.abs(analytic)
    return waves / np.sqrt((waves**2).mean(axis=0))


def blinks(n_samples: int, sfreq_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Time course of blinks, (n_samples,): 0.3 s long, every four seconds or so, whenever."""
    most = 1 + int(n_samples / sfreq_hz / (0.3 * BLINK_EVERY_S))
    gaps_s = BLINK_EVERY_S * (0.3 + 0.7 * rng.exponential(size=most))
    starts = np.round(np.cumsum(gaps_s) * sfreq_hz).astype(int)
    train = np.zeros(n_samples)
    starts = starts[starts < n_samples]
    train[starts] = np.exp(rng.normal(0, 0.2, len(starts)))
    shape = np.hanning(max(3, round(BLINK_S * sfreq_hz)))
    return np.convolve(train, shape)[:n_samples]
