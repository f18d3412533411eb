"""Is a subject's signal worth decoding? The usual figures, and nuisance per trial as a control."""

import numpy as np

from neurodecode.signal.reliability import ncsnr, repeat_correlation

BLOCK = 4096  # channels looked at together: memory stays flat with whole-brain responses


def tsnr(bold):
    """Return mean over standard deviation in time per voxel, (n_voxels,); 0 where constant."""
    mean, std = bold.mean(axis=0, dtype=float), bold.std(axis=0, dtype=float)
    return np.divide(mean, std, out=np.zeros_like(mean), where=std > 0)


def average_over_trials(series, times_s, onsets_s, ends_s):
    """Average time courses over each trial.

    Parameters
    ----------
    series : ndarray, shape (n_volumes, n_series)
    times_s : ndarray, shape (n_volumes,)
    onsets_s, ends_s : array, shape (n_trials,)
        Volumes between the two count, both included.

    Returns
    -------
    means : ndarray, shape (n_trials, n_series)
        NaN for a trial without a volume.
    """
    times_s = np.asarray(times_s)[:, None]
    during = (times_s >= np.asarray(onsets_s)) & (times_s <= np.asarray(ends_s))
    counts = during.sum(axis=0)[:, None]
    sums = during.T @ np.nan_to_num(series)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def repeat_quality(responses, rows, stimulus_ids):
    """Average `repeat_correlation` and `ncsnr` over all channels, looking at some rows only.

    Parameters
    ----------
    responses : ndarray or memmap, shape (n_trials, n_channels)
    rows : ndarray of int
        The trials that may be looked at.
    stimulus_ids : array of str, shape (n_trials,)

    Returns
    -------
    figures : dict
        ``repeat_correlation`` and ``ncsnr`` (means over channels), ``n_repeated`` (stimuli shown
        more than once in these rows); None where nothing repeats.
    """
    ids = np.asarray(stimulus_ids)[rows]
    r, snr = [], []
    for start in range(0, responses.shape[1], BLOCK):
        block = np.asarray(responses[rows, start : start + BLOCK])
        r.append(repeat_correlation(block, ids))
        snr.append(ncsnr(block, ids))
    figures = {"repeat_correlation": _mean(r), "ncsnr": _mean(snr)}
    return figures | {"n_repeated": int((np.unique(ids, return_counts=True)[1] > 1).sum())}


def _mean(parts):
    value = float(np.concatenate(parts).mean()) if parts else np.nan
    return None if np.isnan(value) else value
