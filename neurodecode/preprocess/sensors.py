"""Sensors of M/EEG: which are chosen, in which unit they come out, and where they lie."""

from fnmatch import fnmatchcase

import numpy as np

KINDS = {
    "eeg": ("eeg",),
    "mag": ("mag",),
    "grad": ("grad",),
    "meg": ("mag", "grad"),
    "ecog": ("ecog",),
    "seeg": ("seeg",),
    "dbs": ("dbs",),
    "ieeg": ("ecog", "seeg", "dbs"),
}
"""What may be asked for -> mne's channel types."""
UNITS = {"mag": ("fT", 1e15), "grad": ("fT/cm", 1e13)}
"""Type -> unit of the responses, and how many of them one T or T/m has; all others: µV."""


def unit_of(kind):
    """Return the unit of the responses of a channel type, and its factor from mne's SI unit."""
    return UNITS.get(kind, ("µV", 1e6))


def chosen_channels(info, picks, where):
    """Return the names of the channels asked for, in the order of the recording.

    Parameters
    ----------
    info : mne.Info
    picks : list of str
        Kinds (eeg, meg, mag, grad, ieeg, ecog, seeg, dbs), names, or patterns such as ``O*``.
        Of kinds those are taken that were recorded; a name or pattern must be there.
    where : path
        Of the recording, for the message.

    Raises
    ------
    ValueError
        If nothing is found, or a name or pattern fits no channel.
    """
    types = dict(zip(info["ch_names"], info.get_channel_types(), strict=True))
    brain = {t for kinds in KINDS.values() for t in kinds}
    found = set()
    for pick in picks:
        if pick in KINDS:
            found |= {n for n, kind in types.items() if kind in KINDS[pick]}
            continue
        named = {n for n, kind in types.items() if fnmatchcase(n, pick) and kind in brain}
        if not named:
            raise ValueError(
                f"{where} has no channel {pick!r}: picks holds kinds ({', '.join(KINDS)}), names "
                f"or patterns of names; the recording has {', '.join(list(types)[:8])} …"
            )
        found |= named
    if not found:
        there = ", ".join(sorted(set(types.values())))
        raise ValueError(
            f"{where} has none of the channels picks={picks}; its channels are of type {there}: "
            "choose other picks, or correct the types in channels.tsv"
        )
    return [n for n in types if n in found]


def same_channels(names, expected, path, first):
    """Raise ValueError if a recording has other channels than the first of its subject."""
    if set(names) == set(expected):
        return
    lacks, has = sorted(set(expected) - set(names)), sorted(set(names) - set(expected))
    raise ValueError(
        f"{path} has other channels than {first}: {len(names)} instead of {len(expected)}"
        + (f"; without {', '.join(lacks[:5])}" if lacks else "")
        + (f"; with {', '.join(has[:5])} besides" if has else "")
        + ": name the channels they share in preprocess.method.picks, or leave the run out"
    )


def sensor_table(info, names):
    """Tabulate sensors: ``name type unit x_mm y_mm z_mm``, NaN where it is not known where.

    Scalp and MEG sensors lie in the head's frame (x to the right, y to the nose) where the
    recording tells the head's place; electrodes in the brain as their table says.
    """
    import pandas as pd

    types = dict(zip(info["ch_names"], info.get_channel_types(), strict=True))
    kinds = [types[n] for n in names]
    xyz_mm = positions_mm(info, names)
    return pd.DataFrame(
        {"name": names, "type": kinds, "unit": [unit_of(k)[0] for k in kinds]}
        | {f"{axis}_mm": xyz_mm[:, i].round(3) for i, axis in enumerate("xyz")}
    )


def positions_mm(info, names):
    """Return where sensors lie, (n_channels, 3) in mm; NaN where it is not known."""
    from mne.transforms import apply_trans

    to_head, places = info["dev_head_t"], []
    for channel in (info["chs"][info["ch_names"].index(n)] for n in names):
        place = channel["loc"][:3].astype(float)
        known = np.isfinite(place).all() and place.any()
        in_device = channel["coord_frame"] == 1
        if known and in_device and to_head is not None:
            place = apply_trans(to_head, place)
        places.append(1000 * place if known else np.full(3, np.nan))
    return np.array(places)


def scaled(data, kinds):
    """Bring (…, n_channels, n_times) from SI units to those of the responses, in place."""
    data *= np.array([unit_of(kind)[1] for kind in kinds])[:, None]
    return data


def described(info, names, times_s):
    """Return what `Recording.space` tells of M/EEG: sensors, times, and places if all are known."""
    xyz_mm = positions_mm(info, names)
    out = {"sensors.tsv": sensor_table(info, names), "times_s.npy": np.asarray(times_s)}
    if np.isfinite(xyz_mm).all():
        out["positions_mm.npy"] = xyz_mm.astype(np.float32)
    return out


def baseline_window(times_s, baseline_s, key="preprocess.method.baseline_s"):
    """Return which times make the baseline, as a boolean mask; None where there is none.

    Raises
    ------
    ValueError
        If it is not two times in order, lies outside the epoch, or holds no sample.
    """
    if baseline_s is None:
        return None
    first, last = times_s[0], times_s[-1]
    if len(baseline_s) != 2:
        raise ValueError(f"{key}={baseline_s}: two times in s are expected, such as [-0.2, 0.0]")
    edges = zip(baseline_s, (first, last), strict=True)
    start, end = (edge if s is None else s for s, edge in edges)
    half = 0.5 * (times_s[1] - times_s[0]) if len(times_s) > 1 else 0.0
    if start < first - half or end > last + half or start > end:
        raise ValueError(
            f"{key}={baseline_s} is not within the epoch, {first:g} to {last:g} s: choose times "
            "inside it, or null for none"
        )
    inside = (times_s >= start - 1e-9) & (times_s <= end + 1e-9)
    if not inside.any():
        raise ValueError(f"{key}={baseline_s} holds no sample: make it longer")
    return inside


def less_baseline(epochs, inside):
    """Subtract the mean over the baseline from (n_trials, n_channels, n_times), in place."""
    if inside is not None:
        epochs -= epochs[..., inside].mean(axis=-1, keepdims=True)
    return epochs
