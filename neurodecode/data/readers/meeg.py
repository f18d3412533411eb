"""Read EEG, MEG and iEEG recordings with their BIDS tables, by mne, refusing what is damaged.

Formats: FIF (also in parts), BrainVision, EDF, BDF, EEGLAB and CTF.
"""

import struct
from pathlib import Path

import numpy as np

from neurodecode.core.documents import read_json, read_text_table
from neurodecode.data.readers import headers

FORMATS = (".fif", ".vhdr", ".edf", ".bdf", ".set", ".ds")
DATA_BESIDE = {".vhdr": (".eeg", ".dat"), ".set": (".fdt",)}
"""Header format -> endings of the file beside it that holds the samples."""
TYPES = {
    "EEG": "eeg",
    "ECOG": "ecog",
    "SEEG": "seeg",
    "DBS": "dbs",
    "EOG": "eog",
    "HEOG": "eog",
    "VEOG": "eog",
    "ECG": "ecg",
    "EMG": "emg",
    "TRIG": "stim",
    "GSR": "gsr",
    "RESP": "resp",
    "TEMP": "temperature",
    "SYSCLOCK": "syst",
    "PPG": "bio",
}
"""Type in channels.tsv -> mne's; MEG types stand in the file itself, all others are misc."""
METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
ANTERIOR_FIRST = ("CTF", "EEGLAB", "EEGLAB-HJ", "4DBti", "KitYokogawa", "ChietiItab")
"""Coordinate systems whose x axis points to the nose and y to the left ear."""
HEAD = (*ANTERIOR_FIRST, "CapTrak", "ElektaNeuromag")
VOLTS = {"v": "V", "mv": "mV", "µv": "uV", "μv": "uV", "uv": "uV", "nv": "nV"}  # both mu
BYTES = {"short": 2, "int": 4, "single": 4, "double": 8}
DURATION_TOLERANCE_S = 1.0  # sidecars round, and some count the last sample
STANDS_IN_S = 1.0
COUNTS = "ChannelCount"
LARGEST = 1e9  # of a rate, a length, a count or a coordinate: more is a slip or made up


def facts(path, sidecar):
    """Return how a run was sampled, from its header and JSON sidecar.

    Parameters
    ----------
    path : path
        The file, header or ``.ds`` folder. Of a data set without its signals (empty files, or
        files of less than a second in their place) the sidecar alone is asked.
    sidecar : dict

    Returns
    -------
    facts : dict
        ``sfreq_hz``, ``n_samples``, ``n_channels`` and ``duration_s``; ``line_hz``, the power line
        of the sidecar. Of an empty file as far as the sidecar knows them.

    Raises
    ------
    ValueError
        If the file is unreadable or truncated, if header and sidecar disagree in rate or length,
        or neither tells the rate.
    """
    stated = _stated(sidecar)
    found = stated if is_empty(path) else _measured(path)
    if found.get("duration_s", 1.0) < STANDS_IN_S < stated.get("duration_s", 0.0):
        found = stated
    if "sfreq_hz" not in found:
        raise ValueError(f"{path} is empty: add SamplingFrequency (Hz) to its JSON sidecar")
    _compare(path, found, stated)
    line_hz = _number(sidecar.get("PowerLineFrequency"))
    return found | ({"line_hz": line_hz} if line_hz else {})


def is_empty(path):
    """Say whether a recording has no samples: a data set that came without its signal files."""
    path = Path(path)
    if path.is_dir():
        samples = list(path.glob("*.meg4"))
        return not any(f.stat().st_size for f in samples if f.exists())  # a link leads nowhere
    beside = [path.with_suffix(end) for end in DATA_BESIDE.get(path.suffix, ())]
    return any(not f.stat().st_size for f in [path, *beside] if f.exists())


def read_raw(path, channels=None, electrodes=None, coordsystem=None):
    """Open a recording and apply its BIDS tables; samples are read by `load`.

    Parameters
    ----------
    path : path
    channels : path, optional
        channels.tsv: types, which channels are bad, and units where the header has none.
    electrodes, coordsystem : path, optional
        electrodes.tsv with coordsystem.json: where the electrodes are, in place of the file's own
        positions.

    Returns
    -------
    raw : mne.io.BaseRaw
        Not loaded; in V, T and T/m.

    Raises
    ------
    ValueError
        If the file is empty, unreadable, truncated or cut into epochs, or a table is not of it.
    """
    if is_empty(path):
        raise ValueError(
            f"{path} is empty: the data set came without its signal files "
            "(fetch them, for instance by datalad get)"
        )
    table = None if channels is None else _read_table(channels, ("name", "type"))
    raw = _open(path, table)
    if table is not None:
        _apply_channels(raw, table, channels, path)
    if electrodes is not None:
        _apply_electrodes(raw, electrodes, coordsystem)
    return raw


def load(raw, path):
    """Read the samples of the channels that are left, in place.

    Raises
    ------
    ValueError
        If the file ends too early, or a channel holds values that are not finite.
    """
    try:
        raw.load_data(verbose="ERROR")
    except (OSError, ValueError, RuntimeError, EOFError, struct.error) as error:
        raise ValueError(f"{path} ends too early or is damaged ({error}): fetch it again") from None
    channels = range(len(raw.ch_names))  # one by one: a copy of all would double the memory
    bad = np.array([not np.isfinite(raw.get_data([c])).all() for c in channels])
    if bad.any():
        channel = int(np.flatnonzero(bad)[0])
        at_s = raw.times[np.flatnonzero(~np.isfinite(raw.get_data([channel])[0]))[0]]
        raise ValueError(
            f"{path} holds values that are not finite in {int(bad.sum())} of {len(bad)} channels; "
            f"the first is {raw.ch_names[channel]} at {at_s:g} s: repair the recording, or name "
            "the channel bad in channels.tsv and drop it"
        )
    return raw


def _measured(path):
    raw = _open(path)
    sfreq_hz, n_samples = float(raw.info["sfreq"]), len(raw.times)
    found = {"sfreq_hz": sfreq_hz, "n_samples": n_samples, "n_channels": len(raw.ch_names)}
    return found | {"duration_s": n_samples / sfreq_hz}


def _stated(sidecar):
    """What the sidecar says of rate, length and channels, as far as it says it in numbers."""
    sfreq_hz, duration_s = (
        _number(sidecar.get(key)) for key in ("SamplingFrequency", "RecordingDuration")
    )
    counts = [_number(n) or 0 for key, n in sidecar.items() if key.endswith(COUNTS)]
    stated = {
        "sfreq_hz": sfreq_hz,
        "n_samples": round(sfreq_hz * duration_s) if sfreq_hz and duration_s else None,
        "n_channels": int(sum(counts)),
        "duration_s": duration_s,
    }
    return {name: value for name, value in stated.items() if value}


def _compare(path, found, stated):
    """Refuse a header and a sidecar that tell of different recordings."""
    hz, said_hz = found["sfreq_hz"], stated.get("sfreq_hz")
    if said_hz and abs(hz - said_hz) > 1e-3 * said_hz:
        raise ValueError(
            f"{path} says {hz:g} Hz in its header, its JSON sidecar {said_hz:g} Hz "
            "(SamplingFrequency): find out which is right and correct the other"
        )
    s, said_s = found.get("duration_s"), stated.get("duration_s")
    if s and said_s and abs(s - said_s) > DURATION_TOLERANCE_S + 0.01 * said_s:
        raise ValueError(
            f"{path} lasts {s:g} s, by its JSON sidecar {said_s:g} s (RecordingDuration): the file "
            "is cut short, or of another version; fetch it again or correct the sidecar"
        )


def _number(value):
    """A positive number of a sidecar; None for "n/a" and the like."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and 0 < value < LARGEST else None


def _open(path, table=None):
    """Open by mne, not loading; what mne says of a broken file is said with its name."""
    import mne

    if Path(path).suffix not in FORMATS:
        raise ValueError(
            f"{path} is no M/EEG recording ({', '.join(FORMATS)}): for fMRI choose preprocess=lsa"
        )
    path = Path(path)
    try:
        headers.check(path)
        units = _units(path, table)
        extra = {"units": units} if units else {}
        raw = mne.io.read_raw(path, preload=False, verbose="ERROR", **extra)
    except TypeError as error:
        if "trials" in str(error):
            raise ValueError(
                f"{path} is cut into epochs already: save it with mne as …-epo.fif and use "
                "recipe=epochs"
            ) from None
        raise ValueError(_unreadable(path, error)) from None
    except Exception as error:  # a damaged header fails anywhere in mne's readers
        raise ValueError(_unreadable(path, error)) from None
    _check_beside(path, raw)
    _check_size(path, raw)
    return raw


def _check_beside(path, raw):
    """Refuse samples in another folder, to which a name in the header has led."""
    home = path if path.is_dir() else path.parent
    homes = {home.resolve(), path.resolve().parent}  # the latter where the file is a link
    for file in filter(None, raw.filenames):
        if Path(file).parent.resolve() not in homes:
            raise ValueError(
                f"{path} keeps its samples in {file}, another folder: a recording's files lie "
                "beside one another; correct the name in its header"
            )


def _unreadable(path, error):
    told = str(error).removeprefix(f"{path} ")
    return f"{path} is not a readable {path.suffix[1:].upper()} recording ({told}): fetch it again"


def _check_size(path, raw):
    """Refuse a file of another size than its header tells; mne reads what is left of it."""
    size, expected = _sizes(path, raw)
    if size < expected:
        raise ValueError(
            f"{path} is truncated: {size} bytes of samples where its header tells of {expected}; "
            "fetch it again"
        )


def _sizes(path, raw):
    """Bytes there are, and bytes there should be; (0, 0) where the format does not tell."""
    if path.suffix in (".edf", ".bdf"):
        return path.stat().st_size, _edf_bytes(path)
    beside = [path.with_suffix(end) for end in DATA_BESIDE.get(path.suffix, ())]
    data = next((f for f in beside if f.exists()), None)
    if data is None:
        return 0, 0
    size, n_samples = data.stat().st_size, len(raw.times)
    sample = len(raw.ch_names) * BYTES.get(raw.orig_format or "single", 4)
    if path.suffix == ".vhdr":  # its header does not count samples: only a broken one shows
        return size, size if size % sample == 0 else sample * (n_samples + 1)
    return size, sample * n_samples


def _edf_bytes(path):
    """Bytes of an EDF or BDF file by its header; 0 where the number of records was left open."""
    header, signals = _edf_header(path)
    width, n_records = 3 if path.suffix == ".bdf" else 2, int(header[236:244])
    samples = sum(int(n) for n in signals["samples"])
    return int(header[184:192]) + n_records * samples * width if n_records > 0 else 0


def _edf_header(path):
    """Return the 256 bytes of the file, and of its signals the label, unit and record length."""
    fields = {"label": (0, 16), "unit": (96, 8), "samples": (216, 8)}  # offset, width, per signal
    with open(path, "rb") as file:
        header = file.read(256)
        n = int(header[252:256])
        text = file.read(256 * n).decode("latin-1")
    columns = {
        name: [text[n * at + i * width : n * at + (i + 1) * width].strip() for i in range(n)]
        for name, (at, width) in fields.items()
    }
    return header, columns


def _units(path, table):
    """Units by channels.tsv of the channels of an EDF or BDF file whose header has none."""
    if table is None or "units" not in table or Path(path).suffix not in (".edf", ".bdf"):
        return None
    signals = _edf_header(path)[1]
    bare = {n for n, u in zip(signals["label"], signals["unit"], strict=True) if not u}
    named = zip(table["name"], table["units"].str.strip().str.lower(), strict=True)
    return {name: VOLTS[unit] for name, unit in named if name in bare and unit in VOLTS} or None


def _read_table(path, needed):
    table = read_text_table(path, ", ".join(needed), dtype=str, keep_default_na=False)
    missing = [c for c in needed if c not in table]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}, only {', '.join(table)}")
    return table


def _apply_channels(raw, table, source, path):
    """Give the channels the types of the table, and mark the bad ones."""
    unknown = [n for n in table["name"] if n not in raw.ch_names]
    if unknown:
        raise ValueError(
            f"{source} names {len(unknown)} channels that {path} has not, the first is "
            f"{unknown[0]!r}; it has {', '.join(raw.ch_names[:5])} …: the table is of another "
            "recording, or its names need correcting"
        )
    now = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    types = zip(table["name"], table["type"].str.strip().str.upper(), strict=True)
    wanted = {
        name: TYPES.get(kind, "misc")
        for name, kind in types
        if not kind.startswith("MEG") and kind not in ("", "N/A")
    }
    meg = ("mag", "grad", "ref_meg")
    changed = {n: kind for n, kind in wanted.items() if now[n] != kind and now[n] not in meg}
    raw.set_channel_types(changed, on_unit_change="ignore", verbose="ERROR")
    if "status" in table:
        raw.info["bads"] = list(table["name"][table["status"].str.lower() == "bad"])


def _apply_electrodes(raw, electrodes, coordsystem):
    """Place the electrodes: in the head's frame for scalp electrodes, as tabulated inside it."""
    import mne

    table = _read_table(electrodes, ("name", "x", "y", "z"))
    xyz = np.array([[_coordinate(v) for v in table[axis]] for axis in "xyz"]).T
    if not np.isfinite(xyz).all(axis=1).any():
        return
    system, metres, landmarks = _system(coordsystem, electrodes)
    xyz, frame = xyz * metres, "unknown"
    if system in HEAD and len(landmarks) < 3:  # no landmarks: the system's axes are the head's
        frame = "head"
        xyz = xyz[:, [1, 0, 2]] * [-1, 1, 1] if system in ANTERIOR_FIRST else xyz
    scale = {name: np.multiply(place, metres) for name, place in landmarks.items()}
    placed = np.isfinite(xyz).all(axis=1) & table["name"].isin(raw.ch_names).to_numpy()
    positions = dict(zip(table["name"][placed], xyz[placed], strict=True))
    whole = scale if len(scale) == 3 else {}
    montage = mne.channels.make_dig_montage(positions, coord_frame=frame, **whole)
    raw.set_montage(montage, on_missing="ignore", verbose="ERROR")


def _system(coordsystem, electrodes):
    """Name, metres a unit, and landmarks of a coordinate system."""
    if coordsystem is None:
        raise ValueError(f"{electrodes} has no coordsystem.json that says its units: add one")
    about = read_json(coordsystem)
    kind = next((k for k in ("EEG", "iEEG", "MEG") if f"{k}CoordinateUnits" in about), None)
    unit = about.get(f"{kind}CoordinateUnits")
    if not isinstance(unit, str) or unit not in METRES:
        raise ValueError(
            f"{coordsystem} gives coordinates in {unit!r}: one of {', '.join(METRES)} is expected "
            "in EEGCoordinateUnits or iEEGCoordinateUnits"
        )
    found = about.get("AnatomicalLandmarkCoordinates", {})
    found = {k.lower(): v for k, v in found.items()} if isinstance(found, dict) else {}
    names = {"nas": "nasion", "nasion": "nasion", "lpa": "lpa", "rpa": "rpa"}
    landmarks = {names[k]: v for k, v in found.items() if k in names and _is_place(v)}
    return about.get(f"{kind}CoordinateSystem", ""), METRES[unit], landmarks


def _is_place(value):
    number = lambda v: isinstance(v, int | float) and abs(v) < LARGEST
    return isinstance(value, list) and len(value) == 3 and all(map(number, value))


def _coordinate(text):
    try:
        return float(text)
    except ValueError:  # n/a, for an electrode without a place
        return np.nan
