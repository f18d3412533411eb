"""Files of sound are read as they were written, and what is none is refused."""

import struct

import numpy as np
import pytest
from scipy.io import wavfile

from neurodecode.core.claims import FalseClaim
from neurodecode.data.sounds import is_sound, read_sound


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32"])
def test_a_tone_is_read_as_it_was_written_whatever_the_format(tmp_path, kind):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(800) / 8000)
    stored = {
        "uint8": np.round(tone * 128 + 128).astype(np.uint8),
        "int16": np.round(tone * 2**15).astype(np.int16),
        "int32": np.round(tone * 2**31).astype(np.int32),
        "float32": tone.astype(np.float32),
    }[kind]
    wavfile.write(tmp_path / "tone.wav", 8000, stored)
    samples, rate = read_sound(tmp_path / "tone.wav")
    assert rate == 8000 and samples.dtype == np.float32
    assert np.abs(samples - tone).max() <= (1 / 256 if kind == "uint8" else 2e-5)


def test_channels_are_averaged(tmp_path):
    both = np.array([[1000, 3000], [-2000, 0]], np.int16)
    wavfile.write(tmp_path / "two.wav", 16000, both)
    assert np.allclose(read_sound(tmp_path / "two.wav")[0] * 2**15, [2000, -1000])


def test_sounds_are_known_by_their_names():
    assert is_sound("a/b.WAV") and is_sound("c.flac") and not is_sound("wav.png")


def test_what_is_no_sound_is_refused_before_memory_is_taken(tmp_path):
    wavfile.write(tmp_path / "whole.wav", 8000, np.arange(100, dtype=np.int16))
    whole = (tmp_path / "whole.wav").read_bytes()
    forged = tmp_path / "forged.wav"
    place = whole.index(b"data") + 4
    forged.write_bytes(whole[:place] + struct.pack("<I", 2**31) + whole[place + 4 :])
    with pytest.raises(FalseClaim, match="claims 2147483648 bytes"):
        read_sound(forged)
    forged.write_bytes(whole[:-20])
    with pytest.raises(FalseClaim, match="cut short"):
        read_sound(forged)
    forged.write_bytes(b"no sound")
    with pytest.raises(ValueError, match="is no WAV"):
        read_sound(forged)
    for broken in (b"\0\0", b"\xff\xff"):  # the format, then nothing that scipy knows
        forged.write_bytes(whole[:20] + broken + whole[22:])
        with pytest.raises(ValueError, match="cannot be read as WAV"):
            read_sound(forged)
    with pytest.raises(FileNotFoundError, match="is not there"):
        read_sound(tmp_path / "nothing.wav")
    wavfile.write(forged, 8000, np.array([np.nan, 1], np.float32))
    with pytest.raises(ValueError, match="no numbers"):
        read_sound(forged)


def test_a_format_that_needs_another_library_says_which(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(ValueError, match="pip install soundfile"):
        read_sound(tmp_path / "a.flac")


def test_other_formats_are_read_by_soundfile_where_it_is_there(tmp_path, monkeypatch):
    import sys
    from types import SimpleNamespace

    stored = np.array([[0.5, 0.1], [0.25, 0.75]], np.float32)
    own = SimpleNamespace(read=lambda path, dtype: (stored.astype(dtype), 22050))
    monkeypatch.setitem(sys.modules, "soundfile", own)
    (tmp_path / "a.ogg").write_bytes(b"OggS")
    samples, rate = read_sound(tmp_path / "a.ogg")
    assert rate == 22050 and np.allclose(samples, [0.3, 0.5])
