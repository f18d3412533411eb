"""A run that is killed on its way ends, run again, with the same figures."""

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "scripts" / "kill_test.py"
spec = importlib.util.spec_from_file_location("kill_test", PATH)
kill_test = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kill_test)


def test_kills_are_spread_over_the_stages_in_their_order(tmp_path):
    done = [
        {"stage": s, "each": e, "seconds": 4.0} for s, e in (("a", None), ("b", "x"), ("c", None))
    ]
    (tmp_path / "run.json").write_text(json.dumps({"done": done}))
    drawn = kill_test.instants(tmp_path, 6, random.Random(0))
    assert [s for s, _ in drawn] == sorted(s for s, _ in drawn)
    assert {s for s, _ in drawn} == {"a", "b x", "c"} and all(0 <= w <= 4 for _, w in drawn)


@pytest.mark.slow
def test_a_run_killed_three_times_gives_the_same_figures():
    small = ["recipe=world_small", "name=small", "threads=1", "device=cpu"]
    few = ["evaluate.n_bootstrap=50", "evaluate.n_permutations=50"]
    command = [sys.executable, PATH, "--kills", "3", *small, *few]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\nkilled") + done.stdout.startswith("killed") >= 2
    assert done.stdout.endswith("EQUAL\n")
