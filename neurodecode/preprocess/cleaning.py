"""Clean a recording of fields from outside, eye movements, bad channels and a poor reference.

Each run by itself.
"""

import numpy as np

from neurodecode.preprocess.sensors import positions_mm

FRONTAL = ("Fp1", "Fpz", "Fp2", "FP1", "FPZ", "FP2", "AF7", "AF8")
"""Electrodes above the eyes: they see blinks where no EOG was recorded."""
REFERENCED = ("eeg", "ecog", "seeg", "dbs")
CENTRE_M = (0.0, 0.0, 0.04)  # of the head's sphere, in its own frame


def compensate(raw, order, path):
    """Bring a CTF recording to an order of gradient compensation, in place; drop the references.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Loaded, with its reference sensors.
    order : int or None
        0: nothing is subtracted; 3: what third-order gradients over the references tell, the usual
        one; None: as recorded.
    path : path
        Of the recording, for the message.

    Raises
    ------
    ValueError
        If the recording has no weights for this order.
    """
    if order is None:
        return raw
    known = sorted({0, raw.compensation_grade or 0, *(c["kind"] for c in raw.info["comps"])})
    if order not in known:
        raise ValueError(
            f"{path} cannot have preprocess.method.gradient_compensation={order}: it holds weights "
            f"of its reference sensors for {', '.join(map(str, known))}; choose one of these, or "
            "null: as recorded"
        )
    raw.apply_gradient_compensation(order, verbose="ERROR")
    types = zip(raw.ch_names, raw.get_channel_types(), strict=True)
    return raw.pick([n for n, kind in types if kind != "ref_meg"], verbose="ERROR")


def project(raw, wanted):
    """Apply the signal-space projectors of a recording in place, or forget them if not wanted.

    Those that the file says are applied stay as they are. An average reference is left to
    `set_reference`.
    """
    from mne.io.constants import FIFF

    projectors = raw.info["projs"]
    waiting = [i for i, p in enumerate(projectors) if not p["active"]]
    average = [i for i in waiting if projectors[i]["kind"] == FIFF.FIFFV_PROJ_ITEM_EEG_AVREF]
    raw.del_proj(average if wanted else waiting)
    return raw.apply_proj(verbose="ERROR")


def eye_channels(info, wanted):
    """Return the channels that see the eyes: those named, else EOG, else frontal electrodes."""
    if wanted is not None:
        return list(wanted)
    types = dict(zip(info["ch_names"], info.get_channel_types(), strict=True))
    eog = [n for n, kind in types.items() if kind == "eog"]
    return eog or [n for n in FRONTAL if types.get(n) == "eeg" and n not in info["bads"]]


def remove_eye_components(raw, variance, correlation, eyes, seed, path):
    """Remove the independent components that follow the eyes, in place; return how many.

    Components are fitted on good channels, above 1 Hz.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Loaded.
    variance : float
        Share of the variance that the components explain, in (0, 1).
    correlation : float
        A component goes if it correlates by at least this much, up to sign, with an eye channel.
    eyes : list of str
    seed : int
    path : path
        Of the recording, for the message.

    Raises
    ------
    ValueError
        If there is no channel that sees the eyes, or one component explains the variance.
    """
    from mne.preprocessing import ICA

    unknown = [n for n in eyes if n not in raw.ch_names]
    if not eyes or unknown:
        raise ValueError(
            f"{path} has no channel {', '.join(unknown) or 'of type EOG and none above the eyes'}: "
            "name channels that see the eyes in preprocess.method.eog_channels, or set "
            "ica_variance=null"
        )
    above = raw.copy().filter(1.0, None, picks="all", verbose="ERROR")
    ica = ICA(variance, random_state=seed, max_iter="auto", verbose="ERROR")
    try:
        ica.fit(above, decim=max(1, int(raw.info["sfreq"] // 200)), verbose="ERROR")
    except RuntimeError as error:  # a single component explains as much
        raise ValueError(
            f"{path}: preprocess.method.ica_variance={variance:g} is too low ({error})"
        ) from None
    found, _ = ica.find_bads_eog(
        above, eyes, measure="correlation", threshold=correlation, verbose="ERROR"
    )
    ica.apply(raw, exclude=found, verbose="ERROR")
    return len(found)


def interpolate(raw, path):
    """Replace the bad channels by what their neighbours tell, in place.

    Raises
    ------
    ValueError
        If it is not known where the channels or the head lie, or they lie inside the brain.
    """
    if not raw.info["bads"]:
        return raw
    types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    inside = [n for n in raw.info["bads"] if types[n] in ("ecog", "seeg", "dbs")]
    if inside:
        raise ValueError(
            f"{path}: {', '.join(inside)} are bad and lie inside the skull, where neighbours tell "
            "little: set preprocess.method.bad_channels=drop"
        )
    concerned = [n for n in raw.ch_names if types[n] in {types[b] for b in raw.info["bads"]}]
    lost = np.array(concerned)[np.isnan(positions_mm(raw.info, concerned)).any(axis=1)]
    if len(lost):
        raise ValueError(
            f"{path}: to interpolate {', '.join(raw.info['bads'])} the positions of all sensors "
            f"are needed, and {len(lost)} have none, such as {lost[0]}: add electrodes.tsv with "
            "coordsystem.json, name a standard layout in preprocess.method.montage, or set "
            "preprocess.method.bad_channels=drop"
        )
    helmet = [b for b in raw.info["bads"] if types[b] in ("mag", "grad")]
    if helmet and raw.info["dev_head_t"] is None:
        raise ValueError(
            f"{path}: to interpolate {', '.join(helmet)} it must be known where the head lay in "
            "the helmet, and the recording does not say it (CTF: its .hc file): add that, or set "
            "preprocess.method.bad_channels=drop"
        )
    return raw.interpolate_bads(origin=CENTRE_M, verbose="ERROR")


def set_reference(raw, reference, path):
    """Re-reference electrodes in place; MEG has no reference.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Without bad channels.
    reference : str or list of str or None
        ``average`` of the channels of a kind; the mean of named channels; None: as recorded.
    path : path
        Of the recording, for the message.

    Raises
    ------
    ValueError
        If a named channel is not there.
    """
    present = [kind for kind in REFERENCED if kind in raw.get_channel_types(unique=True)]
    if reference is None or not present:
        return raw
    if reference != "average":
        missing = [n for n in reference if n not in raw.ch_names]
        if missing:
            raise ValueError(
                f"{path} has no good channel {', '.join(missing)}, named in "
                "preprocess.method.reference: name others, or use average"
            )
        return raw.set_eeg_reference(reference, ch_type=present, verbose="ERROR")
    for kind in present:
        raw.set_eeg_reference("average", ch_type=kind, projection=False, verbose="ERROR")
    return raw


def repair_epochs(epochs, info, tmin_s, seed):
    """Repair epochs by autoreject (Jas et al. 2017): bad channels of single trials interpolated.

    Parameters
    ----------
    epochs : ndarray, shape (n_trials, n_channels, n_times)
        In SI units.
    info : mne.Info
        Of these channels, with positions.
    tmin_s : float
    seed : int

    Returns
    -------
    repaired : ndarray, shape (n_trials, n_channels, n_times)
        A trial that cannot be repaired stays as it is.
    rejected : ndarray of bool, shape (n_trials,)
        Which those are.

    Raises
    ------
    ValueError
        If autoreject is not installed, or positions or trials are too few for it.
    """
    import mne

    try:
        from autoreject import AutoReject
    except ImportError:
        raise ValueError(
            "preprocess.method.autoreject=true needs the package autoreject: "
            "pip install 'neurodecode-pictures[autoreject]'"
        ) from None
    if np.isnan(positions_mm(info, info["ch_names"])).any() or len(epochs) < 4:
        raise ValueError(
            "autoreject needs the positions of all sensors and at least 4 trials a run: set "
            "preprocess.method.montage, or autoreject=false"
        )
    made = mne.EpochsArray(epochs, info, tmin=tmin_s, verbose="ERROR")
    folds = min(10, len(epochs))
    clean, log = AutoReject(cv=folds, random_state=seed, n_jobs=1, verbose=False).fit_transform(
        made, return_log=True
    )
    repaired = epochs.copy()
    repaired[~log.bad_epochs] = clean.get_data(copy=False)
    return repaired, log.bad_epochs
