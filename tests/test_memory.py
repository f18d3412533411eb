"""Training takes as much memory for a study as for one that is three times as large."""

import gc
import importlib.util
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[1] / "scripts" / "bench" / "memory.py"
spec = importlib.util.spec_from_file_location("memory_bench", PATH)
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


def anonymous_bytes():
    line = next(x for x in open("/proc/self/status") if x.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


def test_anonymous_memory_is_seen_and_mapped_files_are_not_taken_for_it(tmp_path):
    n = 400 << 20
    np.save(tmp_path / "bytes.npy", np.ones(n, np.uint8))
    with bench.Memory(every_s=0.005) as memory:
        mapped = memory.of("mapped", lambda: np.load(tmp_path / "bytes.npy", "r").sum())
        assert mapped() == n
    gc.collect()  # what earlier tests left would be given back meanwhile
    before = anonymous_bytes()
    with bench.Memory(every_s=0.005) as held:
        assert held.of("held", lambda: np.ones(n, np.uint8).sum())() == n
    assert held.anon - before > 0.9 * n
    assert memory.mapped > n


@pytest.mark.slow
def test_memory_does_not_grow_with_the_trials(tmp_path):
    """100,000 trials of 800 channels are 305 MiB, and three times as many 916."""
    small = {"channels": 800, "pictures": 20_000, "dim": 32, "hidden": 64, "batch": 512}
    how = small | {"epochs": 1, "folds": 2, "penalties": 2, "device": "cpu", "folder": tmp_path}
    first, second = (bench.in_its_own_process(Namespace(**how), n) for n in (100_000, 300_000))
    assert second["file"] > 0.85  # GiB, none of it held
    # tables of trials and lists of their order grow, by about a kilobyte a trial
    assert second["anon"] - first["anon"] < 0.25
    assert second["beyond"] < 0.9
