"""Kill runs at random instants, run them again, and compare with a run that nobody killed.

    python scripts/kill_test.py --kills 10
    python scripts/kill_test.py --kills 100 --jobs 8
    python scripts/kill_test.py --kills 5 experiment=demo

The kills (SIGKILL, of the whole process group) are spread over the run's start and all of its
stages, each after a random share of the time that the stage took in the unkilled run. Every kill
is a trial of its own: a store with all that the unkilled run made but what the struck stage makes;
the run is started, killed, and started again. It must end with the same figures.json, and every
artifact with the same bytes. What the kill left beside artifacts, records and the register must be
scratch alone, and `neurodecode store gc` must remove it. Prints one line per kill; ends with exit
code 0 only if all of them went well.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

POLL_S = 0.02
SMALL = ["recipe=world_small", "name=small", "threads=1", "device=cpu"]
SMALL += ["evaluate.n_bootstrap=50", "evaluate.n_permutations=50"]
START = ("start", None, 8.0)


def main():
    """Run the trials; return 0 if every one went well."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="trials at once")
    parser.add_argument("--seed", type=int, default=0, help="of the random instants")
    parser.add_argument("overrides", nargs="*", default=SMALL)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = trials(Path(folder), arguments)
    print(f"{sum(good)} of {len(good)} went well")
    return 0 if all(good) and len(good) == arguments.kills else 1


def trials(folder, arguments):
    """Run the whole thing once unkilled, then the trials; return how each went."""
    whole = folder / "whole"
    if start(whole, arguments.overrides).wait():
        raise SystemExit((whole / "log").read_text())
    rng = random.Random(arguments.seed)
    drawn = instants(whole / "run", arguments.kills, rng)
    one = lambda number: trial(
        folder / f"trial-{number}", whole, arguments.overrides, drawn[number]
    )
    with ThreadPoolExecutor(arguments.jobs) as pool:
        return list(pool.map(one, range(len(drawn))))


def instants(reference, n_kills, rng):
    """Draw (stage, subject, seconds into it) in turn from the start and all stages, shuffled."""
    done = json.loads((reference / "run.json").read_text())["done"]
    places = [START, *((d["stage"], d["each"], d["seconds"]) for d in done)]
    drawn = [
        place for _ in range(0, n_kills, len(places)) for place in rng.sample(places, len(places))
    ]
    return [(stage, each, rng.uniform(0, took)) for stage, each, took in drawn[:n_kills]]


def trial(folder, whole, overrides, instant):
    """Kill one run and start it again; print a line, and return whether all went well."""
    stage, each, wait_s = instant
    shutil.copytree(whole / "store", folder / "store", copy_function=os.link)
    forget(folder / "store", stage, each)
    process = start(folder, overrides)
    line = "neurodecode: " if stage == "start" else f"▸ {stage} {each or ''}".rstrip() + "\n"
    begun = stage == "start" or wait_for(process, folder / "log", line)
    struck = begun and still_runs_after(process, wait_s)
    if struck:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = leftovers(folder / "store")
    failed = start(folder, overrides).wait()
    same = not failed and equal(folder / "run", whole / "run")
    scratch = [p for p in leftovers(folder / "store") if p.startswith("scratch/")]
    other = [p for p in leftovers(folder / "store") if not p.startswith("scratch/")]
    gc(folder)
    kept = leftovers(folder / "store")
    good = same and not other and not kept
    where = f"{wait_s:5.2f} s into {stage} {each or ''}".rstrip()
    told = f"{'killed' if struck else 'ended '} {where}: {'EQUAL' if same else 'DIFFERENT'}"
    told += f"; the kill left {len(left)}, the next run {len(scratch)} in scratch"
    told += f" and {', '.join(other)}" if other else ""
    print(told + (f"; AFTER gc: {', '.join(kept)}" if kept else ""), flush=True)
    shutil.rmtree(folder)
    return good


def forget(store, stage, each):
    """Take what a stage made, for one subject, out of a store."""
    for manifest in store.glob(f"{stage}/*/*/manifest.json"):
        if json.loads(manifest.read_text())["each"] == each:
            shutil.rmtree(manifest.parent)
            Path(f"{manifest.parent}.record.json").unlink()


def leftovers(store):
    """List what is no artifact, no record, no register and not the digests of raw files."""
    known = {"raw_digests.json", "scratch", "leases", "runs", "dataset_description.json"}
    found = []
    for path in [*store.glob("*"), *store.glob("scratch/*"), *store.glob("leases/*")]:
        name = path.relative_to(store).as_posix()
        stage = path.is_dir() and path.parent == store and name not in known
        if not stage and name not in known:
            found.append(name)
    for path in store.glob("*/*/*"):
        if path.parts[-3] in ("scratch", "leases", "runs"):
            continue
        if not (path.name.endswith(".record.json") or (path / "manifest.json").is_file()):
            found.append(path.relative_to(store).as_posix())
    return sorted(found)


def gc(folder):
    """Free what nobody needs, as a user does."""
    command = [sys.executable, "-m", "neurodecode.cli", "store", "gc", "--yes"]
    subprocess.run([*command, "--store", folder / "store"], check=True, capture_output=True)


def equal(run, other):
    """Whether two runs have the same figures, and artifacts of the same bytes."""
    states = [json.loads((r / "run.json").read_text())["done"] for r in (run, other)]
    digests = [{(d["stage"], d["each"]): d["digest"] for d in done} for done in states]
    figures = [(r / "figures.json").read_bytes() for r in (run, other)]
    return digests[0] == digests[1] and figures[0] == figures[1]


def start(folder, overrides):
    """Start the command line in a process group of its own, on a store of its own."""
    folder.mkdir(exist_ok=True)
    own = [f"store={folder / 'store'}", f"hydra.run.dir={folder / 'run'}"]
    command = [sys.executable, "-u", "-m", "neurodecode.cli", "run", *overrides, *own]
    with open(folder / "log", "wb") as log:
        return subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)


def wait_for(process, log, line):
    """Wait until a line is printed; False if the process ends before."""
    while process.poll() is None:
        if line in log.read_text(encoding="utf-8", errors="replace"):
            return True
        time.sleep(POLL_S)
    return False


def still_runs_after(process, seconds):
    """Wait, unless the process ends before; say if it did not."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
