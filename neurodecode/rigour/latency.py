"""When a score is at its best: the time of a curve's peak."""

import numpy as np

TOP = 0.95  # of the height above chance: what counts as the top of a curve


def peak_latency(curve, times, chance):
    """The time of a curve's peak: the middle of its top.

    The top is the times around the largest value that reach 95 % of its height above chance; its
    middle is their mean, each weighted by how far it reaches above that. Where a curve is flat at
    its top (a score close to its maximum, or noise) the largest value alone jumps from one end to
    the other.

    Parameters
    ----------
    curve : ndarray, shape (..., n_times)
        One or more curves.
    times : ndarray, shape (n_times,)
    chance : float

    Returns
    -------
    peak : ndarray, shape (...)
        NaN for a curve that is never above chance.
    """
    curve = np.asarray(curve, float) - chance
    flat = curve.reshape(-1, curve.shape[-1])
    return np.array([_peak(one, times) for one in flat]).reshape(curve.shape[:-1])


def _peak(curve, times):
    best = np.nanargmax(curve) if np.isfinite(curve).any() else 0
    if not curve[best] > 0:
        return np.nan
    below = np.flatnonzero(~(curve >= TOP * curve[best]))
    first = below[below < best].max(initial=-1) + 1
    stop = below[below > best].min(initial=len(curve))
    weights = curve[first:stop] - TOP * curve[best]
    return np.average(times[first:stop], weights=weights)
