"""Broadband power of intracranial trials: what is above 50 Hz, squared, smoothed below 10 Hz."""

import numpy as np

ORDER = 3


def broadband_power(
    x: np.ndarray, sfreq_hz: float, highpass_hz: float, lowpass_hz: float
) -> np.ndarray:
    """High-pass, square and low-pass trials, by Butterworth filters without delay.

    Parameters
    ----------
    x : ndarray, shape (n_trials, n_channels, n_times)
    sfreq_hz, highpass_hz, lowpass_hz : float

    Returns
    -------
    power : ndarray of float32, shape (n_trials, n_channels, n_times)
        In squared units of `x`.

    Raises
    ------
    ValueError
        If a cutoff is not below half the sampling rate.
    """
    from scipy.signal import butter, sosfiltfilt

    for name, cutoff in (("highpass_hz", highpass_hz), ("lowpass_hz", lowpass_hz)):
        if not 0 < cutoff < sfreq_hz / 2:
            raise ValueError(
                f"{name} is {cutoff:g}: it must lie below {sfreq_hz / 2:g} Hz, half the sampling "
                "rate of the trials; highpass_hz=null takes trials as they are"
            )
    n_padded = min(3 * (ORDER + 1) * 2, x.shape[2] - 1)
    passed = lambda rows, cutoff, kind: sosfiltfilt(
        butter(ORDER, cutoff, kind, fs=sfreq_hz, output="sos"), rows, axis=2, padlen=n_padded
    )
    fast = passed(np.asarray(x, np.float64), highpass_hz, "highpass")
    return passed(fast**2, lowpass_hz, "lowpass").astype(np.float32)


def relative_power(
    known: np.ndarray, sfreq_hz: float, highpass_hz: float | None, lowpass_hz: float
):
    """A function that gives the power of trials in units of a channel's mean power in `known`.

    Parameters
    ----------
    known : ndarray, shape (n_trials, n_channels, n_times)
        Training rows.
    highpass_hz : float, optional
        None: trials are taken as they are.

    Returns
    -------
    transform : callable (ndarray) -> ndarray of float32
        A channel without power stays 0.
    """
    if highpass_hz is None:
        return lambda x: np.asarray(x, np.float32)
    power = lambda x: broadband_power(x, sfreq_hz, highpass_hz, lowpass_hz)
    mean = power(known).mean(axis=(0, 2), dtype=np.float64)[:, None]
    mean = np.where(mean > 0, mean, 1)
    return lambda x: (power(x) / mean).astype(np.float32)
