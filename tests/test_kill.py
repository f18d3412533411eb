"""A run that is killed ends, run again, with the same figures and nothing left behind."""

import json
import random
import subprocess
import sys

import pytest

from tests.scripts import load_script

kill_test = load_script("kill_test.py")


def test_kills_are_spread_over_the_start_and_all_stages(tmp_path):
    done = [
        {"stage": s, "each": e, "seconds": 4.0} for s, e in (("a", None), ("b", "x"), ("c", None))
    ]
    (tmp_path / "run.json").write_text(json.dumps({"done": done}))
    drawn = kill_test.instants(tmp_path, 8, random.Random(0))
    counts = [sum(d[:2] == place[:2] for d in drawn) for place in [("start", None), ("b", "x")]]
    assert counts == [2, 2] and all(0 <= seconds <= 8 for *_, seconds in drawn)


def test_leftovers_are_what_is_neither_artifact_nor_record(tmp_path):
    for name in ("train/k/c/manifest.json", "train/k/c.record.json", "runs/x.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert kill_test.leftovers(tmp_path) == []
    for name in ("train/k/c.work-1/state", "scratch/abc/x", "leases/train-k", "raw.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    found = ["leases/train-k", "raw.part", "scratch/abc", "train/k/c.work-1"]
    assert kill_test.leftovers(tmp_path) == found


@pytest.mark.slow
def test_ten_kills_lose_nothing():
    command = [sys.executable, kill_test.__file__, "--kills", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("EQUAL") == 10 and "10 of 10 went well" in done.stdout
    assert done.stdout.count("killed") >= 7, done.stdout
