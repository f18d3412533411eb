"""When something was shown, by the trigger channel of a recording rather than its events table."""

import numpy as np


def trigger_onsets_s(raw, channel, values, path):
    """Return when triggers begin, in s from the first sample, (n_triggers,).

    Parameters
    ----------
    raw : mne.io.BaseRaw
    channel : str
        A trigger (stim) channel.
    values : list of int or None
        Which of its values count; None: every change to a value other than 0.
    path : path
        Of the recording, for the message.

    Raises
    ------
    ValueError
        If there is no such channel, or no such value in it.
    """
    import mne

    if channel not in raw.ch_names:
        known = [raw.ch_names[i] for i in mne.pick_types(raw.info, meg=False, stim=True)]
        raise ValueError(
            f"{path} has no channel {channel!r}: preprocess.method.stim_channel is one of "
            f"{', '.join(known) or '(no stim channel was recorded)'}, or null to take onsets from "
            "events.tsv"
        )
    found = mne.find_events(
        raw, channel, shortest_event=1, uint_cast=True, consecutive=True, verbose="ERROR"
    )
    if values is not None:
        there = np.unique(found[:, 2])
        found = found[np.isin(found[:, 2], values)]
    if not len(found):
        seen = f"; its values are {', '.join(map(str, there))}" if values is not None else ""
        raise ValueError(
            f"{path}: events are not in the stim channel {channel!r}, which has no trigger"
            f"{f' {values}' if values is not None else ''}{seen}: correct "
            "preprocess.method.stim_channel or stim_values"
        )
    return (found[:, 0] - raw.first_samp) / raw.info["sfreq"]


def match_triggers(onsets_s, triggers_s, tolerance_s, path):
    """Give each trial the trigger nearest to its onset, in order and never one twice.

    There may be more triggers than trials: of catch trials, say.

    Parameters
    ----------
    onsets_s : ndarray, shape (n_trials,)
        By the events table, rising.
    triggers_s : ndarray, shape (n_triggers,)
    tolerance_s : float
    path : path
        Of the recording, for the message.

    Returns
    -------
    onsets_s : ndarray, shape (n_trials,)

    Raises
    ------
    ValueError
        If a trial has no trigger within the tolerance, or two share one.
    """
    onsets_s, triggers_s = np.asarray(onsets_s, float), np.sort(triggers_s)
    apart_s = np.abs(triggers_s[None, :] - onsets_s[:, None])
    nearest = apart_s.argmin(axis=1)
    off_s = apart_s.min(axis=1)
    missing = off_s > tolerance_s
    if missing.any():
        raise ValueError(
            f"{path}: {int(missing.sum())} of {len(onsets_s)} events are not in the stim channel: "
            f"it has {len(triggers_s)} triggers, none within {tolerance_s:g} s of trial "
            f"{int(np.flatnonzero(missing)[0]) + 1} (onset {onsets_s[missing][0]:g} s; the nearest "
            f"is {off_s[missing][0]:.3g} s away): correct events.tsv or "
            "preprocess.method.stim_values, or widen stim_tolerance_s"
        )
    if (np.diff(nearest) <= 0).any():
        first = int(np.flatnonzero(np.diff(nearest) <= 0)[0])
        raise ValueError(
            f"{path}: trials {first + 1} and {first + 2} share the trigger at "
            f"{triggers_s[nearest[first]]:g} s ({len(onsets_s)} events, {len(triggers_s)} triggers "
            "in the stim channel): correct events.tsv, or narrow stim_tolerance_s"
        )
    return triggers_s[nearest]
