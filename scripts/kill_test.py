"""Kill a run at random instants, run it again, and compare figures.json with an unkilled run's.

    python scripts/kill_test.py --kills 5 experiment=demo
    python scripts/kill_test.py --kills 5 --reference runs/demo/…/figures.json experiment=demo

Prints one line per kill and ends with exit code 0 only if the bytes are equal.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the random instants")
    parser.add_argument(
        "--reference", type=Path, help="figures.json of an unkilled run, if there is one"
    )
    parser.add_argument("--seconds", type=float, help="length of a whole run, with --reference")
    parser.add_argument("overrides", nargs="*", default=["experiment=demo"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        equal = kill_and_compare(arguments, Path(folder))
    print("EQUAL" if equal else "DIFFERENT")
    return 0 if equal else 1


def kill_and_compare(arguments, folder):
    reference, seconds = arguments.reference, arguments.seconds
    if reference is None:
        started = time.monotonic()
        reference = finish(start(folder, "whole", arguments.overrides), folder / "run-whole")
        seconds = time.monotonic() - started
        print(f"unkilled run: {seconds:.0f} s")
    instants = random.Random(arguments.seed)
    for kill in range(arguments.kills):
        wait = instants.uniform(0, 2 * seconds / (arguments.kills + 1))
        process = start(folder, "killed", arguments.overrides)
        if alive_after(process, wait):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(f"kill {kill + 1} after {wait:.1f} s: {doing(folder / 'run-killed')}", flush=True)
    again = finish(start(folder, "killed", arguments.overrides), folder / "run-killed")
    for path in (reference, again):
        print(hashlib.sha256(path.read_bytes()).hexdigest()[:16], path.stat().st_size, "bytes")
    return reference.read_bytes() == again.read_bytes()


def start(folder, name, overrides):
    """Start the command line in a process group of its own, on a store of its own."""
    own = [f"store={folder / f'store-{name}'}", f"hydra.run.dir={folder / f'run-{name}'}"]
    command = [sys.executable, "-m", "neurodecode.cli", "run", *overrides, *own]
    with open(folder / f"{name}.log", "ab") as log:
        return subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)


def alive_after(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def finish(process, run_folder):
    if process.wait() != 0:
        sys.exit(f"the run failed with exit code {process.returncode}: {run_folder}")
    return run_folder / "figures.json"


def doing(run_folder):
    """Say how far a run had come: the last stage that was done."""
    import json

    try:
        done = json.loads((run_folder / "run.json").read_text())["done"]
    except (FileNotFoundError, ValueError):
        return "before anything was done"
    last = done[-1] if done else {"stage": "nothing", "each": None}
    return f"after {last['stage']} {last['each'] or ''}"


if __name__ == "__main__":
    sys.exit(main())
