"""Many processes on one cold store: what is computed how often, and what is left behind.

    python scripts/bench/concurrency.py                       # all three; about four minutes
    python scripts/bench/concurrency.py --only plain --processes 32 --rounds 5

`plain`: one host, nothing fails: everything is computed once.
`killed`: one host, holders of leases are killed at random instants: others take over.
`stale`: every process believes to be a host of its own, on a file system that tells what was true
a minute ago (see stale_files.py); holders are killed, or stand still for longer than their lease
lives and then go on; thieves of a lease meet. One artifact is published all the same. A lease may
be left only by a process that was killed after it published, seen from another host
(`leases of killed`); `neurodecode store gc` takes it.

Toy stages on `neurodecode.core` alone. Exit code 0: every line says ok.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

TTL_S = 2.0  # of leases under `stale`; 300 s in life
N_SUBJECTS = 4
TOYS = {
    "index": """
        import json
        from dataclasses import dataclass
        from neurodecode.core.stage import stage
        from toys.work import slowly

        @dataclass(frozen=True)
        class Config:
            subjects: list[str]

        @stage("index", config=Config)
        def run(config, inputs, out):
            slowly(out, "index")
            out.save_json("subjects.json", config.subjects)
        """,
    "draw": """
        from dataclasses import dataclass
        import numpy as np
        from neurodecode.core.seeds import child_rng
        from neurodecode.core.stage import stage
        from toys.work import slowly

        @dataclass(frozen=True)
        class Config:
            n: int = 1000

        @stage("draw", config=Config, inputs=("index",), each="subject")
        def run(config, inputs, out):
            slowly(out, f"draw {inputs.each}")
            out.save_array("x.npy", child_rng(0, inputs.each).normal(size=config.n))
        """,
    "total": """
        from dataclasses import dataclass
        from neurodecode.core.stage import stage
        from toys.work import slowly

        @dataclass(frozen=True)
        class Config:
            power: int = 2

        @stage("total", config=Config, inputs=("draw",))
        def run(config, inputs, out):
            slowly(out, "total")
            sums = {s: (inputs.array("draw", "x.npy", s) ** config.power).sum()
                    for s in inputs.members("draw")}
            out.save_json("figures.json", sums)
        """,
    "work": """
        import json, os, random, time
        from pathlib import Path

        def note(line):
            log = os.open(os.environ["TOYS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(log, (json.dumps([time.time(), os.getpid(), line]) + "\\n").encode())
            os.close(log)

        def slowly(out, name, n_steps=10):
            "Work in steps that a killed process's successor goes on from."
            note(f"begin {name}")
            state = out.work / "state.json"
            done = json.loads(state.read_text())["done"] if state.exists() else 0
            for step in range(done, n_steps):
                time.sleep(random.uniform(0.01, 0.05))
                part = state.with_suffix(f".{os.getpid()}")
                part.write_text(json.dumps({"done": step + 1}))
                os.replace(part, state)
            note(f"end {name}")
        """,
}
CONFIG = {
    "name": "toys",
    "stages": ["toys.index", "toys.draw", "toys.total"],
    "index": {"subjects": [f"sub-{i}" for i in range(1, N_SUBJECTS + 1)]},
    "draw": {},
    "total": {},
}
N_ARTIFACTS = 2 + N_SUBJECTS


def write_toys(folder):
    """Write the stages as a package `toys`."""
    (folder / "toys").mkdir(parents=True)
    (folder / "toys" / "__init__.py").write_text("")
    for name, source in TOYS.items():
        (folder / "toys" / f"{name}.py").write_text(textwrap.dedent(source))


def one_process(folder, number, stale, seed):
    """Run the pipeline on the shared store; the exit code says how it went."""
    random.seed(f"{seed} {number}")
    sys.path.insert(0, str(folder / "code"))
    os.environ["TOYS_LOG"] = str(folder / "log")
    os.environ["NEURODECODE_TRUST"] = "toys"  # stages of somebody's own
    from neurodecode.core import lease, runner

    if stale:
        from stale_files import StaleFiles

        lease._host = lambda: f"host-{number}"
        waits = lease.lease
        runner.lease = lambda *a, **k: waits(*a, ttl_s=TTL_S, poll_s=0.05, **k)
        lease.BEAT_S = TTL_S / 8
        old = StaleFiles(folder / "store")
        old.install()
    store = runner.Store(folder / "store")
    run_folder = folder / "runs" / str(number)
    runner.Pipeline(CONFIG, store, {"device": "cpu", "threads": 1}, run_folder).run()
    if stale:
        from toys.work import note

        note(f"{old.served} old answers")


def one_round(folder, n_processes, stale, harm, seed):
    """Start all at once, harm some of those that work, wait for the rest; return what was seen."""
    write_toys(folder / "code")
    (folder / "log").touch()
    context = multiprocessing.get_context("fork")
    crowd = [
        context.Process(target=one_process, args=(folder, k, stale, seed))
        for k in range(n_processes)
    ]
    for process in crowd:
        process.start()
    harmed = harm(folder / "log", crowd, random.Random(seed)) if harm else {}
    for process in crowd:
        process.join(120)
    return judge(folder, crowd, harmed)


def kill_holders(log, crowd, rng, n=5, also_stop=False):
    """Kill processes that are at work, at random instants; or let them stand still for a while."""
    harmed, waking = {}, []
    until = time.monotonic() + 60
    while any(p.is_alive() for p in crowd) and time.monotonic() < until:
        at_work = [pid for pid, what in last_words(log).items() if what.startswith("begin")]
        fresh = [pid for pid in at_work if pid not in harmed]
        if fresh and len(harmed) < n:
            pid = rng.choice(fresh)
            time.sleep(rng.uniform(0, 0.2))
            stop = also_stop and rng.random() < 0.5
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if stop else signal.SIGKILL)
                harmed[pid] = (time.time(), last_words(log)[pid], "stopped" if stop else "killed")
            if stop:
                waking.append((time.monotonic() + 2 * TTL_S, pid))
        for at, pid in list(waking):
            if time.monotonic() > at:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                waking.remove((at, pid))
        for process in crowd:
            process.join(0)
        time.sleep(0.02)
    for _, pid in waking:
        os.kill(pid, signal.SIGCONT)
    return harmed


def last_words(log):
    """What each process wrote last, by pid."""
    return {pid: what for _, pid, what in map(json.loads, log.read_text().splitlines())}


def judge(folder, crowd, harmed):
    """Count artifacts, computations, damages, and what is left behind."""
    from neurodecode.core.store import Store, damages

    store = Store(folder / "store")
    words = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    began = [what for _, _, what in words if what.startswith("begin")]
    killed = {pid for pid, (_, _, how) in harmed.items() if how == "killed"}
    survivors = [p for p in crowd if p.pid not in killed]
    artifacts = list(store.artifacts())
    folders = {p.parent for p in store.root.glob("*/*/*/manifest.json")}
    waits = [takeover_s(words, *harmed[pid][:2]) for pid in killed]
    living = {str(p.pid) for p in survivors}
    leases = [json.loads(p.read_text())["pid"] for p in (store.root / "leases").iterdir()]
    scratch = [p for p in (store.root / "scratch").iterdir() if _owner(p) in living]
    return {
        "failed": sum(p.exitcode != 0 for p in survivors),
        "artifacts": len(artifacts),
        "places": len(folders),
        "damaged": sum(bool(damages(a)) for a in artifacts),
        "figures": len({f.read_bytes() for f in (folder / "runs").glob("*/figures.json")}),
        "began": len(began),
        "twice": len(began) - len(set(began)),
        "leases": sum(pid not in killed for pid in leases),
        "leases of killed": sum(pid in killed for pid in leases),
        "scratch": len(scratch),
        "beside": sum(1 for p in store.root.glob("*/*/*.work*")),
        "old answers": sum(int(what.split()[0]) for _, _, what in words if "old" in what),
        "killed": len(killed),
        "stopped": len(harmed) - len(killed),
        "takeover": max([w for w in waits if w is not None], default=0.0),
    }


def _owner(path):
    """The process that made a scratch folder, as text."""
    beside = path if path.name.endswith(".owner.json") else path.with_suffix(".owner.json")
    try:
        return str(json.loads(beside.read_text())["pid"])
    except FileNotFoundError:
        return "nobody"


def takeover_s(words, at, what):
    """Seconds from a kill to the next beginning of the same work; None if it was just finished."""
    later = [t for t, _, said in words if said == what and t > at]
    return min(later) - at if later else None


def ok(mode, seen):
    """Whether a round went as it must."""
    whole = seen["artifacts"] == seen["places"] == N_ARTIFACTS and not seen["damaged"]
    clean = not (seen["leases"] or seen["scratch"] or seen["beside"])
    same = seen["figures"] == 1 and not seen["failed"]
    once = seen["twice"] <= (0 if mode == "plain" else seen["killed"])
    return whole and clean and same and (mode == "stale" or once) and seen["takeover"] <= 30


MODES = {
    "plain": (False, None),
    "killed": (False, kill_holders),
    "stale": (True, lambda *a: kill_holders(*a, also_stop=True)),
}


def main():
    """Print a line per round; return 0 if all went well."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(MODES), default=list(MODES))
    arguments = parser.parse_args()
    import neurodecode.core.runner  # noqa: F401  (once, before the forks)

    good = True
    for mode in arguments.only:
        stale, harm = MODES[mode]
        for number in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                seed = arguments.seed + number
                seen = one_round(Path(folder), arguments.processes, stale, harm, seed)
            fine = ok(mode, seen)
            good &= fine
            seen["takeover"] = f"{seen['takeover']:.1f} s"
            told = ", ".join(f"{name} {value}" for name, value in seen.items())
            print(f"{mode} {number}: {'ok' if fine else 'WRONG'}: {told}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
