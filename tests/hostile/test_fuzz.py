"""Malformed files of every format: read or refused by name, never a hang, a crash or a leak."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"
FAST = ["nifti", "npy", "events_tsv", "yaml", "edf", "fif", "eeglab_hdf5", "gifti"]
FAST += ["run_json", "manifest_json", "picture_png", "predictions_npz"]


@pytest.fixture(scope="module")
def fuzz():
    sys.path.insert(0, str(BENCH))
    spec = importlib.util.spec_from_file_location("fuzz", BENCH / "fuzz.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCH))


def counted(fuzz, found):
    """Cases of each format, and which outcomes there were; defects fail at once."""
    assert list(fuzz.defects(found)) == []
    kinds = {o["kind"] for outcomes in found.values() for o in outcomes}
    return {len(outcomes) for outcomes in found.values()}, kinds


def test_a_few_malformed_files_of_the_main_formats(fuzz):
    found = fuzz.run(FAST, range(4), seed=1)
    assert counted(fuzz, found) == ({4}, {"read", "refused"})


@pytest.mark.slow
def test_many_malformed_files_of_every_format(fuzz):
    found = fuzz.run(list(fuzz.formats.FORMATS), range(25), seed=2)
    assert counted(fuzz, found) == ({25}, {"read", "refused"})


def test_a_defect_is_seen(fuzz, monkeypatch):
    """The harness itself: what a reader may do wrong is told apart."""
    import os
    import time

    def wrong(folder):
        way = (folder / "way").read_bytes()[:1]
        if way == b"h":
            time.sleep(60)
        if way == b"d":
            os._exit(3)
        if way == b"m":
            return bytearray(6 << 30) and None
        if way == b"l":
            (folder / "left").touch()
        if way == b"v":
            raise ValueError("something")
        if way == b"t":
            raise TypeError("something")
        return None

    spoil = lambda data, rng: ("way", b"hdmlvt"[rng.bit_generator.seed_seq.entropy[2] :])
    make = lambda folder: (folder / "way").write_text(".")
    odd = fuzz.formats.Format(make, wrong, spoil, ("way",))
    monkeypatch.setitem(fuzz.formats.FORMATS, "odd", odd)
    monkeypatch.setattr(fuzz, "CUTS", [])
    monkeypatch.setattr(fuzz, "WAIT_S", 5.0)
    found = fuzz.run(["odd"], range(6))["odd"]
    kinds = ["hang", "died", "memory", "left behind", "unnamed", "unforeseen"]
    assert [o["kind"] for o in found] == kinds
