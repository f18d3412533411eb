"""The benches of the store: many processes at once, and every kind of damage."""

import os
import subprocess
import sys

import pytest

from tests.scripts import load_script

concurrency = load_script("bench/concurrency.py")
stale_files = load_script("bench/stale_files.py")


@pytest.mark.slow
@pytest.mark.parametrize("mode", concurrency.MODES)
def test_many_processes_on_one_cold_store(mode):
    command = [sys.executable, concurrency.__file__, "--rounds", "2", "--only", mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": ok:") == 2


def test_the_verdict_of_a_round_is_not_always_ok():
    good = dict.fromkeys(("damaged", "leases", "scratch", "beside", "failed", "twice", "killed"), 0)
    good |= {"artifacts": 6, "places": 6, "figures": 1, "takeover": 0.0}
    assert concurrency.ok("plain", good)
    for name, value in {
        "damaged": 1,
        "leases": 1,
        "twice": 1,
        "figures": 2,
        "artifacts": 5,
    }.items():
        assert not concurrency.ok("plain", good | {name: value}), name
    assert not concurrency.ok("killed", good | {"takeover": 31.0})


def test_stale_files_tell_what_was_true_and_forget_what_was_changed_here(tmp_path):
    script = f"""
import os, sys
sys.path.insert(0, {str(stale_files.__file__)[: -len("stale_files.py")]!r})
from stale_files import StaleFiles
root = {str(tmp_path)!r}
old = StaleFiles(root)
old.install()
path, elsewhere = root + "/x", root + "/there/y"
assert not os.path.exists(path)
os.system(f"mkdir {{root}}/there; echo a > {{path}}; echo b > {{elsewhere}}")
assert not os.path.exists(path)
try:
    open(path)
except FileNotFoundError:
    pass
else:
    raise AssertionError("seen although it was remembered as absent")
open(root + "/mine", "w").close()
assert os.path.exists(path) and open(path).read() == "a\\n"
assert sorted(os.listdir(root)) == ["mine", "there", "x"]
print("served", old.served)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) >= 1


@pytest.mark.slow
def test_damage_is_noticed_and_healed():
    command = [sys.executable, load_script("bench/damage.py").__file__]
    command += ["--damages", "100", "--heal", "2"]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("healed: same figures") == 2
