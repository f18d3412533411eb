"""A CTF `.ds` folder written byte by byte, for the tests: no library writes this format."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

REF_MAG, REF_GRAD, MEG, STIM, CLOCK = 0, 1, 5, 11, 17  # sensor types of CTF
RIGHT_AFTER_HEADER = 1844  # where the run's description and all of variable length begin
COIL = np.dtype(
    [("place_cm", ">f8", 4), ("normal", ">f8", 4), ("turns", ">i2"), ("_", "V6"), ("area", ">f8")]
)
CHANNEL = np.dtype(
    [("type", ">i2"), ("run", ">i2"), ("shape", ">i4"), ("proper_gain", ">f8"), ("q_gain", ">f8")]
    + [("io_gain", ">f8"), ("io_offset", ">f8"), ("n_coils", ">i2"), ("grade", ">i2")]
    + [("_", "V4"), ("in_dewar", COIL, 8), ("in_head", COIL, 8)]
)
COEFFICIENTS = np.dtype(
    [("name", "S32"), ("kind", ">i4"), ("_", "V4"), ("n", ">i2"), ("refs", "S31", 50)]
    + [("weights", ">f8", 50)]
)

N_SENSORS = 14
_UP = np.linspace(0.15, 0.95, N_SENSORS)  # sines of heights on a sphere
_ROUND = 2.4 * np.arange(N_SENSORS)
OUTWARD = np.column_stack(
    [np.sqrt(1 - _UP**2) * np.cos(_ROUND), np.sqrt(1 - _UP**2) * np.sin(_ROUND), _UP]
)
PLACES_CM = np.array([0, 0, 4.0]) + 11 * OUTWARD
"""Of the sensors in CTF's head frame: x to the nose, y to the left ear."""
MARKS_CM = {"nasion": [10.0, 0, 0], "left ear": [0, 7.5, 0], "right ear": [0, -7.5, 0]}
HEAD_MM = 10 * PLACES_CM[:, [1, 0, 2]] * [-1, 1, 1]
"""The same in the frame of the responses: x to the right, y to the nose."""
NAMES = [f"M{'LRZ'[i % 3]}{'FCPO'[i % 4]}{11 + i}-4408" for i in range(N_SENSORS)]
REFERENCES = ["BG1-4408", "BG2-4408", "G11-4408"]
WEIGHTS = np.random.default_rng(5).normal(0, 0.5, (N_SENSORS, len(REFERENCES)))
"""Of the references in what third-order compensation subtracts from each sensor."""


@dataclass
class Channel:
    """One channel: its samples in SI units, and how the dewar sees it."""

    name: str
    type: int
    samples: np.ndarray
    q_gain: float = 1.0
    proper_gain: float = 1.0
    places_cm: tuple = ()
    normal: tuple = (0, 0, 1)
    grade: int = 0

    def counts(self):
        """Whole numbers as they are on disk."""
        return np.round(self.samples * self.proper_gain * self.q_gain).astype(int)


def write_ctf(path, signal_t, sfreq_hz, trigger=None, clock=None, refs_t=None, **options):
    """Write a recording of the sensors `NAMES`; return its path.

    Parameters
    ----------
    path : path
        Ends in ``.ds``.
    signal_t : ndarray, shape (14, n_samples)
        In T.
    sfreq_hz : float
    trigger, clock : ndarray, shape (n_samples,), optional
        Of the channels UPPT001 and SCLK01-177.
    refs_t : ndarray, shape (3, n_samples), optional
        Of `REFERENCES`; noise otherwise.
    options
        ``grade``: order of gradient compensation that the samples have (3); ``n_trials`` into which
        they are cut (1); ``marks``: whether the head was localised (True).
    """
    path = Path(path)
    path.mkdir(parents=True)
    n_samples, n_trials = signal_t.shape[1], options.get("n_trials", 1)
    if refs_t is None:
        refs_t = 1e-12 * np.random.default_rng(7).standard_normal((len(REFERENCES), n_samples))
    channels = _channels(signal_t, refs_t, options.get("grade", 3))
    if trigger is not None:
        channels.append(Channel("UPPT001", STIM, trigger))
    if clock is not None:
        channels.insert(0, Channel("SCLK01-177", CLOCK, clock))
    counts = np.array([c.counts() for c in channels]).astype(">i4", casting="same_kind")
    trials = np.split(counts, n_trials, axis=1)
    blocks = b"".join(trial.tobytes() for trial in trials)
    path.joinpath(f"{path.stem}.meg4").write_bytes(b"MEG41CP\0" + blocks)
    header = _header(channels, n_samples // n_trials, n_trials, sfreq_hz)
    path.joinpath(f"{path.stem}.res4").write_bytes(header)
    if options.get("marks", True):
        path.joinpath(f"{path.stem}.hc").write_text(_marks())
    return path


def in_dewar(xyz):
    """Turn a direction or shift a place (cm) from CTF's head frame into the dewar's."""
    a, b = np.deg2rad([40.0, 10.0])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    nod = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    return np.asarray(xyz, float) @ (turn @ nod).T


SHIFT_CM = np.array([0.5, -0.3, -24.0])  # the head lies below the dewar's origin


def _channels(signal_t, refs_t, grade):
    made = []
    for i, (name, samples) in enumerate(zip(NAMES, signal_t, strict=True)):
        near = in_dewar(PLACES_CM[i]) + SHIFT_CM
        outward, sign = in_dewar(OUTWARD[i]), (-1) ** i
        both = (near, near + 5 * outward)  # an axial gradiometer: the second coil 5 cm further out
        gain, normal = sign * (1 + 0.1 * i) * 1e9, -sign * outward  # two ways to wind the coils
        made.append(Channel(name, MEG, samples, 2.0**26, gain, both, normal, grade))
    above = np.array([0, 0, 10.0])
    for i, (name, samples) in enumerate(zip(REFERENCES, refs_t, strict=True)):
        place, is_grad = above + [i, 0, 0], name.startswith("G")
        places = (place, place + [0, 0, 8.0]) if is_grad else (place,)
        kind = REF_GRAD if is_grad else REF_MAG
        made.append(Channel(name, kind, samples, 2.0**26, 4e8, places))
    return made


def _header(channels, n_samples, n_trials, sfreq_hz):
    """The `.res4` file: a header of fixed length, filters (none), channels, compensation."""
    head = bytearray(RIGHT_AFTER_HEADER)
    texts = {0: b"MEG41RS", 778: b"12:34", 1033: b"21-Mar-2021", 1712: b"sub-01"}
    numbers = {1288: (">i4", n_samples), 1292: (">i2", len(channels)), 1296: (">f8", sfreq_hz)}
    numbers |= {1304: (">f8", n_trials * n_samples / sfreq_hz), 1312: (">i2", n_trials)}
    texts |= {at: np.array(value, kind).tobytes() for at, (kind, value) in numbers.items()}
    for at, text in texts.items():
        head[at : at + len(text)] = text
    names = b"".join(c.name.encode().ljust(32, b"\0") for c in channels)
    about = np.zeros(len(channels), CHANNEL)
    for row, channel in zip(about, channels, strict=True):
        row["type"], row["grade"], row["io_gain"] = channel.type, channel.grade, 1
        row["proper_gain"], row["q_gain"] = channel.proper_gain, channel.q_gain
        row["n_coils"] = len(channel.places_cm)
        for coil, place_cm in zip(row["in_dewar"], channel.places_cm, strict=False):
            coil["place_cm"][:3], coil["normal"][:3] = place_cm, channel.normal
            coil["turns"], coil["area"] = 3, 3.1
    no_filters = bytes(2)
    return bytes(head) + no_filters + names + about.tobytes() + _compensation(channels)


def _compensation(channels):
    """Weights of the references, in counts of a sensor for each count of a reference."""
    gain = {c.name: c.proper_gain * c.q_gain for c in channels}
    rows = np.zeros(N_SENSORS, COEFFICIENTS)
    for row, name, weights in zip(rows, NAMES, WEIGHTS, strict=True):
        row["name"], row["kind"], row["n"] = name, 0x47334252, len(REFERENCES)  # "G3BR"
        row["refs"][: len(REFERENCES)] = REFERENCES
        row["weights"][: len(REFERENCES)] = [
            w * gain[name] / gain[ref] for w, ref in zip(weights, REFERENCES, strict=True)
        ]
    return np.array(N_SENSORS, ">i2").tobytes() + rows.tobytes()


def _marks():
    """The `.hc` file: where the coils on the head were found, in cm."""
    lines = []
    for name, place_cm in MARKS_CM.items():
        places = {"dewar": in_dewar(place_cm) + SHIFT_CM, "head": place_cm}
        for frame, xyz in places.items():
            lines.append(f"measured {name} coil position relative to {frame} (cm):")
            lines += [f"\t{axis} = {value:.6f}" for axis, value in zip("xyz", xyz, strict=True)]
    return "\n".join(lines) + "\n"
