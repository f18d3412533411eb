"""Kill a run at random instants, run it again, and compare figures.json with an unkilled run's.

    python scripts/kill_test.py --kills 5 experiment=demo
    python scripts/kill_test.py --kills 5 --reference runs/demo/2026-01-01_12-00-00 experiment=demo

The kills are spread over the run: each strikes a random stage, after a random share of the time
that this stage took in the unkilled run. Prints one line per kill; ends with exit code 0 only if
the bytes are equal.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POLL_S = 0.02


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the random instants")
    parser.add_argument("--reference", type=Path, help="folder of an unkilled run, if there is one")
    parser.add_argument("overrides", nargs="*", default=["experiment=demo"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        equal = kill_and_compare(arguments, Path(folder))
    print("EQUAL" if equal else "DIFFERENT")
    return 0 if equal else 1


def kill_and_compare(arguments, folder):
    reference = arguments.reference
    if reference is None:
        reference = finish(start(folder, "whole", arguments.overrides), folder / "run-whole")
    for stage, wait_s in instants(reference, arguments.kills, random.Random(arguments.seed)):
        process = start(folder, "killed", arguments.overrides)
        begun = wait_for(process, folder / "killed.log", f"▸ {stage}\n")
        struck = begun and still_runs_after(process, wait_s)
        if struck:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(f"{'killed' if struck else 'missed'} {wait_s:.2f} s into {stage}", flush=True)
    again = finish(start(folder, "killed", arguments.overrides), folder / "run-killed")
    found = [(run / "figures.json").read_bytes() for run in (reference, again)]
    for figures in found:
        print(hashlib.sha256(figures).hexdigest()[:16], len(figures), "bytes")
    return found[0] == found[1]


def instants(reference, n_kills, rng):
    """Random stages in their order, each with a random share of its seconds in the unkilled run."""
    done = json.loads((reference / "run.json").read_text())["done"]
    took = {f"{d['stage']} {d['each'] or ''}".strip(): d["seconds"] for d in done}
    order = list(took)
    drawn = rng.sample(order, min(n_kills, len(order)))
    drawn += rng.choices(order, k=n_kills - len(drawn))
    return [(s, rng.uniform(0, took[s])) for s in sorted(drawn, key=order.index)]


def start(folder, name, overrides):
    """Start the command line in a process group of its own, on a store of its own."""
    own = [f"store={folder / f'store-{name}'}", f"hydra.run.dir={folder / f'run-{name}'}"]
    command = [sys.executable, "-u", "-m", "neurodecode.cli", "run", *overrides, *own]
    with open(folder / f"{name}.log", "wb") as log:
        return subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)


def wait_for(process, log, line):
    """Wait until a line is printed; False if the process ends before."""
    while process.poll() is None:
        if line in log.read_text(encoding="utf-8", errors="replace"):
            return True
        time.sleep(POLL_S)
    return False


def still_runs_after(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def finish(process, run_folder):
    if process.wait() != 0:
        sys.exit(f"the run failed with exit code {process.returncode}: {run_folder}")
    return run_folder


if __name__ == "__main__":
    sys.exit(main())
