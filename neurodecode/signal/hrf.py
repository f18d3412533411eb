"""What the BOLD signal of a trial is expected to look like: canonical responses, sampled."""

import numpy as np

GRID_S = 0.01  # step of the integral of the response; volumes fall between, linearly
LENGTH_S = 32.0  # where nilearn ends the kernel


def trial_regressors(onsets_s, durations_s, frame_times_s, model: str = "glover"):
    """Sample the expected response of each trial at the volumes' times.

    A trial is a box of its duration convolved with the canonical response, computed exactly as
    the difference of two shifted integrals, and scaled to a peak of 1: its beta is the height of
    the response at its peak.

    Parameters
    ----------
    onsets_s, durations_s : array, shape (n_trials,)
        In seconds; a duration of 0 is an impulse.
    frame_times_s : array, shape (n_volumes,)
        When each volume was taken, on the clock of the onsets.
    model : str
        ``glover`` or ``spm``: nilearn's canonical responses.

    Returns
    -------
    regressors : ndarray, shape (n_volumes, n_trials)
    """
    times, rise = _integral(model)
    onsets_s = np.asarray(onsets_s, float)
    durations_s = np.maximum(np.asarray(durations_s, float), GRID_S)
    since_s = np.asarray(frame_times_s, float)[:, None] - onsets_s  # (n_volumes, n_trials)
    box = np.interp(since_s, times, rise) - np.interp(since_s - durations_s, times, rise)
    return box / _peaks(durations_s, times, rise)


def _integral(model):
    from nilearn.glm.first_level import glover_hrf, spm_hrf

    responses = {"glover": glover_hrf, "spm": spm_hrf}
    if model not in responses:
        raise ValueError(f"no hemodynamic response is called {model!r}; known: {list(responses)}")
    kernel = responses[model](t_r=GRID_S, oversampling=1, time_length=LENGTH_S)
    times = np.linspace(0, LENGTH_S, len(kernel))  # nilearn's own sampling
    return times, np.cumsum(kernel)


def _peaks(durations_s, times, rise):
    unique, which = np.unique(durations_s, return_inverse=True)
    peaks = []
    for duration_s in unique:
        after = np.arange(0, LENGTH_S + duration_s, GRID_S)
        box = np.interp(after, times, rise) - np.interp(after - duration_s, times, rise)
        peaks.append(box.max())
    return np.array(peaks)[which]
