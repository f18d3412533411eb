"""Sounds that were heard: their files as arrays."""

import struct
import warnings
from pathlib import Path

import numpy as np

from neurodecode.core.claims import FalseClaim

SOUNDS = (".wav", ".flac", ".ogg")
BY_SOUNDFILE = (".flac", ".ogg")


def is_sound(name) -> bool:
    """Whether a name ends as that of a file of sound does."""
    return Path(name).suffix.lower() in SOUNDS


def read_sound(path) -> tuple[np.ndarray, int]:
    """Read a file of sound, its channels averaged.

    WAV is read by scipy; FLAC and Ogg by soundfile, where that is installed.

    Returns
    -------
    samples : ndarray of float32, shape (n_samples,)
        Within -1 and 1, unless floats beyond them are stored.
    rate : int
        In Hz.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    FalseClaim
        If its header claims more than the file has.
    ValueError
        If it is no such file, holds no sample or one that is no number, or soundfile is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"the sound {path} is not there")
    by_soundfile = path.suffix.lower() in BY_SOUNDFILE
    samples, rate = _by_soundfile(path) if by_soundfile else _wav(path)
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if not len(samples) or rate < 1 or not np.isfinite(samples).all():
        raise ValueError(
            f"{path} holds {len(samples)} samples at {rate} Hz, and some are no numbers or there "
            "are none: write it again"
        )
    return samples.astype(np.float32), int(rate)


def _wav(path):
    """Samples as float in [-1, 1), (n,) or (n, n_channels), and their rate."""
    from scipy.io import wavfile

    _check_chunks(path)
    damaged = (ValueError, TypeError, OSError, struct.error, EOFError, IndexError, KeyError)
    damaged += (ZeroDivisionError, OverflowError, MemoryError, UnboundLocalError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks it does not know
            rate, samples = wavfile.read(path)
    except damaged as error:
        raise ValueError(f"{path} cannot be read as WAV ({error}): write it again") from error
    if samples.dtype == np.uint8:  # 8-bit WAV has no sign
        return (samples.astype(np.float32) - 128) / 128, rate
    if samples.dtype.kind == "i":
        return samples / np.float32(2 ** (8 * samples.dtype.itemsize - 1)), rate
    return samples, rate


def _check_chunks(path):
    """Refuse a RIFF file of which a part claims more bytes than there are."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:12] != b"WAVE":
            raise ValueError(f"{path} is no WAV: save it as WAV (PCM)")
        order = ">" if head[:4] == b"RIFX" else "<"
        place = 12
        while head[:4] != b"RF64" and place + 8 <= size:
            file.seek(place)
            name, length = struct.unpack(f"{order}4sI", file.read(8))
            if place + 8 + length > size:
                raise FalseClaim(
                    f"{path} claims {length} bytes of {name!r} at byte {place} and has {size} in "
                    "all: it is cut short or damaged; write it again"
                )
            place += 8 + length + length % 2


def _by_soundfile(path):
    try:
        import soundfile
    except ImportError:
        raise ValueError(
            f"{path} is read by soundfile, which is not installed: `pip install soundfile`, or "
            "save the sounds as WAV"
        ) from None
    try:
        return soundfile.read(path, dtype="float32")
    except (RuntimeError, OSError, ValueError, TypeError) as error:  # soundfile's own is the first
        raise ValueError(f"{path} cannot be read ({error}): write it again") from error
