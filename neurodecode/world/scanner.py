"""From what voxels answer to what a scanner records: hemodynamics, drift, motion, noise.

The signal of voxel v is `b_v (1 + (evoked + drift + global + motion + noise) / 100)`: every
part is a percentage of the voxel's baseline. The noise has variance one before it is scaled by the
voxel's own level: autoregressive (half of it smooth in space, as physiology is), 1 / f, and white.
Ongoing activity adds to the height of every single response a pattern as smooth as the tuning of
the cortex.
"""

import numpy as np

from neurodecode.world.brain import TUNING_MM, Subject, smoother

AR1 = 0.5  # correlation of the autoregressive part from one volume to the next, at TR 2 s
NOISE_SHARES = {"autoregressive": 0.5, "pink": 0.25, "white": 0.25}  # of the noise variance
ONGOING = 1.0  # how much a response varies from trial to trial, relative to the voxel's noise
MOTION_COLUMNS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
HEAD_RADIUS_MM = 50.0  # turns rotations into displacements, as in framewise displacement

_STEP_S = 0.05  # of the tabulated responses; read off with linear interpolation
_SPAN_S = 32.0  # after which a response is over
_DRIFT_PERIOD_S = 120.0  # the fastest drift


def hrf_table(hrf: np.ndarray, picture_s: float) -> np.ndarray:
    """Response of each voxel to a picture shown for `picture_s`, tabulated every 0.05 s.

    A difference of two gamma densities, modes at the peak and the undershoot, summed over the
    time the picture is shown; the largest value is 1.

    Returns
    -------
    table : ndarray, shape (n_steps, n_voxels)
        From 0 to 32 s after onset.
    """
    from scipy.stats import gamma

    peak, undershoot, ratio = hrf.T
    times = np.arange(0, _SPAN_S, _STEP_S)[:, None]
    impulse = gamma.pdf(times, peak + 1) - ratio * gamma.pdf(times, undershoot + 1)
    total = np.cumsum(impulse, axis=0)
    n_shown = round(picture_s / _STEP_S)
    total[n_shown:] -= total[:-n_shown].copy()
    return total / total.max(axis=0)


def evoked(
    table: np.ndarray, onsets_s: np.ndarray, amplitudes: np.ndarray, n_volumes: int, tr_s: float
) -> np.ndarray:
    """Sum the responses to all pictures of a run; volume i is the brain at `i tr_s`.

    Parameters
    ----------
    table : ndarray, shape (n_steps, n_voxels)
    onsets_s : ndarray, shape (n_trials,)
    amplitudes : ndarray, shape (n_trials, n_voxels)
        Height of each response, % signal change.

    Returns
    -------
    signal : ndarray, shape (n_volumes, n_voxels)
        % signal change.
    """
    signal = np.zeros((n_volumes, table.shape[1]))
    for onset, amplitude in zip(onsets_s, amplitudes, strict=True):
        lags = (np.arange(n_volumes) * tr_s - onset) / _STEP_S
        rows = np.flatnonzero((lags >= 0) & (lags < len(table) - 1))
        below = lags[rows].astype(int)
        part = (lags[rows] - below)[:, None]
        signal[rows] += ((1 - part) * table[below] + part * table[below + 1]) * amplitude
    return signal


class Scanner:
    """Scans one subject; holds what stays the same from run to run.

    Parameters
    ----------
    subject : Subject
    picture_s, tr_s : float
        How long a picture is shown, and the time from volume to volume, in seconds.
    rng : numpy.random.Generator
        For how strongly each voxel follows the global signal and the motion.
    """

    def __init__(self, subject: Subject, picture_s: float, tr_s: float, rng: np.random.Generator):
        self.subject, self.tr_s = subject, tr_s
        self.table = hrf_table(subject.hrf, picture_s)
        self.mix = smoother(subject.positions_mm, TUNING_MM).astype(np.float32)
        self.global_loading = rng.normal(0.35, 0.1, subject.n_voxels)
        edge = np.linalg.norm(subject.positions_mm - subject.positions_mm.mean(axis=0), axis=1)
        self.motion_loading = rng.normal(0, 0.12, (6, subject.n_voxels)) * edge / edge.mean()

    def run(
        self,
        onsets_s: np.ndarray,
        heights_percent: np.ndarray,
        n_volumes: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Record one run.

        Returns
        -------
        signal : ndarray, shape (n_volumes, n_voxels)
            Scanner units.
        motion : ndarray, shape (n_volumes, 6)
            True displacements: trans_x, y, z in mm, rot_x, y, z in rad.
        """
        motion = head_motion(n_volumes, rng)
        ongoing = self._smooth(len(onsets_s), rng) * (ONGOING * self.subject.noise_percent)
        percent = evoked(self.table, onsets_s, heights_percent + ongoing, n_volumes, self.tr_s)
        percent += drift(n_volumes, self.subject.n_voxels, self.tr_s, rng)
        percent += pink(n_volumes, 1, rng) * self.global_loading
        percent += motion @ (self.motion_loading / np.array([[0.1]] * 3 + [[0.002]] * 3))
        percent += self._noise(n_volumes, rng) * self.subject.noise_percent
        return self.subject.baseline * (1 + percent / 100), motion

    def _smooth(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Patterns of variance one that are smooth in space, (n, n_voxels)."""
        return rng.standard_normal((n, self.subject.n_voxels), dtype=np.float32) @ self.mix.T

    def _noise(self, n_volumes: int, rng: np.random.Generator) -> np.ndarray:
        """Noise of variance one, (n_volumes, n_voxels)."""
        n_voxels = self.subject.n_voxels
        share = {name: np.sqrt(value) for name, value in NOISE_SHARES.items()}
        white = rng.standard_normal((n_volumes, n_voxels), dtype=np.float32)
        physiology = self._smooth(n_volumes, rng)
        local = rng.standard_normal((n_volumes, n_voxels), dtype=np.float32)
        slow = _autoregressive((physiology + local) / np.sqrt(2), AR1 ** (self.tr_s / 2))
        noise = share["autoregressive"] * slow + share["white"] * white
        return noise + share["pink"] * pink(n_volumes, n_voxels, rng)


def drift(n_volumes: int, n_voxels: int, tr_s: float, rng: np.random.Generator) -> np.ndarray:
    """Slow cosines of a period of two minutes or more, about 1 % in all, (n_volumes, n_voxels)."""
    n_waves = max(1, int(2 * n_volumes * tr_s / _DRIFT_PERIOD_S))
    orders = np.arange(1, n_waves + 1)
    waves = np.cos(np.pi * np.outer(np.arange(n_volumes) + 0.5, orders) / n_volumes)
    return (waves / orders) @ rng.normal(0, 1.0, (n_waves, n_voxels))


def head_motion(n_volumes: int, rng: np.random.Generator) -> np.ndarray:
    """A head that creeps and sometimes jerks, (n_volumes, 6): mm, then rad; 0 at the start."""
    steps = rng.normal(0, 0.01, (n_volumes, 6))
    jerks = rng.random((n_volumes, 1)) < 0.01
    steps += jerks * rng.normal(0, 0.15, (n_volumes, 6))
    steps[0] = 0
    return np.cumsum(steps, axis=0) * np.array([1.0] * 3 + [1 / HEAD_RADIUS_MM] * 3)


def framewise_displacement(motion: np.ndarray) -> np.ndarray:
    """Sum of absolute displacements from volume to volume, mm; the first is NaN [1]_.

    References
    ----------
    .. [1] Power, J. D. et al. (2012). Spurious but systematic correlations in functional
       connectivity MRI networks arise from subject motion. NeuroImage 59.
    """
    mm = np.abs(np.diff(motion, axis=0)) * np.array([1.0] * 3 + [HEAD_RADIUS_MM] * 3)
    return np.concatenate([[np.nan], mm.sum(axis=1)])


def _autoregressive(innovations: np.ndarray, rho: float) -> np.ndarray:
    """First-order process of the same variance as its innovations, along the first axis."""
    from scipy.signal import lfilter

    scaled = innovations * np.sqrt(1 - rho**2)
    scaled[0] = innovations[0]
    return lfilter([1.0], [1.0, -rho], scaled, axis=0)


def pink(n_volumes: int, n_series: int, rng: np.random.Generator) -> np.ndarray:
    """Noise with power 1 / f and variance one, (n_volumes, n_series)."""
    from scipy.fft import irfft, rfft

    spectrum = rfft(rng.standard_normal((n_volumes, n_series), dtype=np.float32), axis=0)
    harmonic = np.arange(len(spectrum), dtype=np.float32)
    scale = np.zeros_like(harmonic)
    scale[1:] = harmonic[1:] ** -0.5
    noise = irfft(spectrum * scale[:, None], n_volumes, axis=0)
    return noise * np.sqrt(n_volumes / (2 * (scale**2).sum()))
