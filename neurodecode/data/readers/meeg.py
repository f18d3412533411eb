"""Read EEG, MEG and intracranial recordings."""

from pathlib import Path

SAMPLES_OF_HEADER = {".vhdr": (".eeg", ".dat"), ".set": (".fdt",)}
LEAST_BYTES = 4096  # example data sets write a few samples in place of a recording


def facts(path, sidecar):
    """Return how a run was sampled, from its header, or from its JSON sidecar if it is empty.

    Parameters
    ----------
    path : path
    sidecar : dict

    Returns
    -------
    facts : dict
        ``sfreq_hz``; ``n_samples`` (0 for an empty file); ``duration_s``, where it is known.

    Raises
    ------
    ValueError
        If the file cannot be read, or neither header nor sidecar tells the sampling rate.
    """
    if _is_placeholder(path):
        return _stated(path, sidecar)
    import mne

    try:
        raw = mne.io.read_raw(path, preload=False, verbose="error")
    except Exception as error:  # each format raises its own
        raise ValueError(f"{path} cannot be read ({error}): fetch it again") from error
    sfreq_hz, n_samples = float(raw.info["sfreq"]), int(raw.n_times)
    return {"sfreq_hz": sfreq_hz, "n_samples": n_samples, "duration_s": n_samples / sfreq_hz}


def _stated(path, sidecar):
    if not sidecar.get("SamplingFrequency"):
        raise ValueError(f"{path} is empty and no sidecar tells its SamplingFrequency (Hz)")
    found = {"sfreq_hz": float(sidecar["SamplingFrequency"]), "n_samples": 0}
    stated_s = sidecar.get("RecordingDuration")
    return found | ({"duration_s": float(stated_s)} if stated_s else {})


def _is_placeholder(path):
    path = Path(path)
    if path.is_dir():
        return sum(p.stat().st_size for p in path.glob("*.meg4")) < LEAST_BYTES
    beside = [path.with_suffix(s) for s in SAMPLES_OF_HEADER.get(path.suffix, ())]
    sizes = [p.stat().st_size for p in beside if p.is_file()]
    return not path.stat().st_size or (bool(sizes) and max(sizes) < LEAST_BYTES)
