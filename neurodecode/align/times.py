"""Which times of a trial decoders read: a part of the epoch, in steps."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reading:
    """Samples ``start`` to ``stop`` (not included), averaged by ``average`` at a time."""

    start: int
    stop: int
    average: int = 1

    def __call__(self, responses: np.ndarray) -> np.ndarray:
        """Read trials: (n_trials, n_channels, n_times) to (n_trials, n_channels, n_steps)."""
        part = responses[:, :, self.start : self.stop]
        return part.reshape(*part.shape[:2], -1, self.average).mean(axis=3, dtype=responses.dtype)


def reading(
    times_s: np.ndarray | None, window_s: list[float] | None, step_s: float | None
) -> Reading | None:
    """Turn a window and a step in seconds into samples.

    Parameters
    ----------
    times_s : ndarray, shape (n_times,), or None
        Of the responses, from the onset; None where they have no time axis.
    window_s : [start, end] or None
        Both included; None: the whole epoch. Samples that fill no whole step are left out at its
        end.
    step_s : float or None
        Samples within a step are averaged; None: each sample is kept.

    Returns
    -------
    reading : Reading or None
        None where everything is read as it is.

    Raises
    ------
    ValueError
        If there are no times, or the window is not within them or shorter than a step.
    """
    if window_s is None and step_s is None:
        return None
    if times_s is None:
        raise ValueError(
            "align.window_s and align.step_s say which times decoders read, but these responses "
            "have no time axis: set both to null"
        )
    first, last = (times_s[0], times_s[-1]) if window_s is None else window_s
    if not times_s[0] - 1e-6 <= first < last <= times_s[-1] + 1e-6:
        raise ValueError(
            f"align.window_s is [{first:g}, {last:g}], and the epochs last from {times_s[0]:g} to "
            f"{times_s[-1]:g} s: choose a window within them"
        )
    inside = np.flatnonzero((times_s >= first - 1e-6) & (times_s <= last + 1e-6))
    average = 1 if step_s is None else max(1, round(step_s / np.diff(times_s).mean()))
    n = len(inside) // average * average
    if not n:
        raise ValueError(
            f"align.step_s is {step_s:g} s, longer than the window {first:g} … {last:g}"
        )
    return Reading(int(inside[0]), int(inside[0]) + n, average)
