"""Feed malformed files to every reader, as its stage calls it, and count what happens.

Each case spoils a small valid file (`mutations`) and is read in a worker process: within 10 s of
computing and 2 GiB, it must be read, or refused by a message that names the file. Anything else is
a defect: another error, a message that does not name the file, a reader that hangs, fills the
memory, kills its process or leaves a file behind. A case is known by format, seed and number.

    python scripts/bench/fuzz.py --cases 200 --seed 0 [--format nifti …] [--case 17]
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]  # this checkout, and the helpers of its tests

import formats  # noqa: E402
import numpy as np  # noqa: E402

LIMIT_S, LIMIT_BYTES = 10.0, 2 << 30  # of computing: others may use the machine as well
WAIT_S = 60.0  # of waiting
CUTS = [
    0,
    1,
    2,
    4,
    6,
    8,
    10,
    16,
    20,
    64,
    118,
    126,
    128,
    132,
    255,
    256,
    344,
    347,
    348,
    352,
    512,
    540,
]
KINDS = ("read", "refused", "unforeseen", "unnamed", "hang", "memory", "died", "left behind")


def main(argv=None):
    """Run the cases that the command line names; return 1 if there is a defect."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=200, help="cases of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", nargs="+", choices=sorted(formats.FORMATS))
    parser.add_argument("--case", type=int, help="only this one, with its traceback")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the counts")
    asked = parser.parse_args(argv)
    names = asked.format or list(formats.FORMATS)
    numbers = range(asked.cases) if asked.case is None else [asked.case]
    found = run(names, numbers, asked.seed, asked.workers, tell=asked.case is not None)
    print(table(found))
    for line in defects(found):
        print(line)
    if asked.json:
        asked.json.write_text(json.dumps({n: counts(found[n]) for n in found}, indent=1) + "\n")
    return int(any(outcome["kind"] not in KINDS[:2] for of in found.values() for outcome in of))


def run(names, numbers, seed=0, workers=2, tell=False):
    """Run cases of some formats; return ``{format: [outcome]}``, outcomes in the order of cases.

    An outcome is a dict: case, way, kind, text, seconds, peak_mib.
    """
    _import_first(names)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        for name in names:
            home = folder / name
            home.mkdir()
            formats.FORMATS[name].make(home)
        _check_valid(folder, names)
        todo = [(name, number) for name in names for number in numbers]
        return _pool(folder, todo, seed, workers, tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _import_first(names):
    """Import in the parent what workers need, so that no import counts as a hang."""
    import mne  # noqa: F401
    import nibabel  # noqa: F401
    import nilearn.maskers  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pymatreader  # noqa: F401

    import neurodecode.cli  # noqa: F401

    if {"clip_json", "generator_json", "prior_json", "reader_json", "checkpoint"} & set(names):
        import open_clip  # noqa: F401
        import torch
        from diffusers import PixArtTransformer2DModel  # noqa: F401

        torch.set_num_threads(1)
    if any(name.endswith("_command") for name in names):
        import neurodecode.stages.group  # noqa: F401


def _check_valid(folder, names):
    """Read every example as it is: what is not spoilt is not refused."""
    for name in names:
        form, place = formats.FORMATS[name], folder / f"valid-{name}"
        shutil.copytree(folder / name, place)
        with contextlib.redirect_stdout(io.StringIO()):
            said = form.read(place)
        if said:
            raise SystemExit(f"{name}: the example itself is refused: {said}")
        shutil.rmtree(place)


def _pool(folder, todo, seed, workers, tell):
    """Deal the cases to forked workers, and replace a worker that hangs or dies."""
    context = multiprocessing.get_context("fork")
    found, todo, busy = {name: [] for name, _ in todo}, todo[::-1], {}
    while todo or busy:
        while todo and len(busy) < workers:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(folder, theirs, seed, tell), daemon=True)
            process.start()
            theirs.close()
            busy[ours] = [process, None, 0.0, 0.0]
            _deal(ours, busy, todo)
        for ours in multiprocessing.connection.wait(list(busy), timeout=0.5):
            process, case, *_ = busy[ours]
            try:
                found[case[0]].append(ours.recv())
                _deal(ours, busy, todo)
            except EOFError:
                process.join()
                found[case[0]].append(_lost(case, "died", f"exit code {process.exitcode}"))
                del busy[ours]
        now = time.monotonic()
        for ours, (process, case, since, before) in list(busy.items()):
            computed = _computed(process.pid) - before
            if case is not None and (computed > LIMIT_S or now - since > WAIT_S):
                process.kill()
                process.join()
                found[case[0]].append(_lost(case, "hang", f"{computed:.0f} s of computing"))
                del busy[ours]
    for outcomes in found.values():
        outcomes.sort(key=lambda outcome: outcome["case"])
    return found


def _deal(ours, busy, todo):
    if not todo:
        with contextlib.suppress(OSError):
            ours.send(None)
        del busy[ours]
        return
    busy[ours][1:] = [todo.pop(), time.monotonic(), _computed(busy[ours][0].pid)]
    ours.send(busy[ours][1])


def _computed(pid):
    """Seconds that a process has computed."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lost(case, kind, text):
    return {"case": case[1], "way": "", "kind": kind, "text": text, "seconds": 0, "peak_mib": 0}


def _work(folder, pipe, seed, tell):
    """Take cases until there are none."""
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(1000)
    held = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (held + 2 * LIMIT_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mine = Path(tempfile.mkdtemp(dir=folder))
    os.chdir(mine)
    while (case := pipe.recv()) is not None:
        pipe.send(one_case(folder / case[0], mine, *case, seed, tell))


def one_case(home, mine, name, number, seed, tell=False):
    """Spoil a copy of a format's files and read it; return the outcome."""
    form = formats.FORMATS[name]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    place = mine / f"{name}-{number}"
    shutil.copytree(home, place, symlinks=True)
    target = form.targets(place)[number % len(form.targets(place))]
    data = target.read_bytes()
    if number // len(form.targets(place)) < len(CUTS) and number % 4 == 3:
        way, spoilt = "boundary", data[: CUTS[number // len(form.targets(place))]]
    else:
        way, spoilt = form.spoil(data, rng)
    target.unlink()
    target.mkdir() if spoilt is None else target.write_bytes(spoilt)
    before, started = _listing(mine), time.process_time()
    _reset_peak()
    base = _status("VmHWM")
    kind, text = _outcome(form, place, target, tell)
    peak = _status("VmHWM") - base
    left = sorted(_listing(mine) - before - form.writes(place))
    if kind in KINDS[:2] and left:
        kind, text = "left behind", f"{left[:3]}"
    if kind in KINDS[:2] and peak > LIMIT_BYTES - (300 << 20):
        kind, text = "memory", f"{peak >> 20} MiB"
    shutil.rmtree(place, ignore_errors=True)
    for path in mine.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    seconds = round(time.process_time() - started, 2)
    return {
        "case": number,
        "way": f"{target.name}: {way}",
        "kind": kind,
        "text": text,
        "seconds": seconds,
        "peak_mib": peak >> 20,
    }


def _outcome(form, place, target, tell):
    from neurodecode.core.errors import UserError

    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            said = form.read(place)
        return ("read", "") if not said else ("refused", said)
    except formats.NotForeseen as error:
        return "unforeseen", str(error)
    except MemoryError as error:
        return "memory", f"MemoryError: {error}"
    except (UserError, ValueError, OSError) as error:
        if tell:
            traceback.print_exc()
        names = {target.name, target.parent.name, *form.names}
        if any(n in str(error) for n in names):
            return "refused", str(error)
        return "unnamed", f"{type(error).__name__}: {error}"
    except BaseException as error:
        if tell:
            traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)
        ours = [f for f in last if "neurodecode/" in f.filename] or last
        at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        return "unforeseen", f"{type(error).__name__}: {str(error)[:160]} ({at})"


def table(found):
    """Counts by format, one line each."""
    heads = ["format", "cases", *KINDS, "slowest s", "most MiB"]
    rows = [heads]
    for name, outcomes in found.items():
        count = counts(outcomes)
        slow = max((o["seconds"] for o in outcomes), default=0)
        most = max((o["peak_mib"] for o in outcomes), default=0)
        rows.append([name, len(outcomes), *(count[k] for k in KINDS), f"{slow:.1f}", most])
    every = [o for outcomes in found.values() for o in outcomes]
    count = counts(every)
    slow, most = (max((o[k] for o in every), default=0) for k in ("seconds", "peak_mib"))
    rows.append(["all", len(every), *(count[k] for k in KINDS), f"{slow:.1f}", most])
    widths = [max(len(str(r[i])) for r in rows) for i in range(len(heads))]
    pad = lambda value, w, first: str(value).ljust(w) if first else str(value).rjust(w)
    line = lambda row: "  ".join(pad(v, w, v is row[0]) for v, w in zip(row, widths, strict=True))
    return "\n".join(map(line, rows))


def counts(outcomes):
    """How many outcomes there are of each kind."""
    count = Counter(outcome["kind"] for outcome in outcomes)
    return {kind: count[kind] for kind in KINDS}


def defects(found):
    """A line for each defect, with what runs it again."""
    for name, outcomes in found.items():
        for o in outcomes:
            if o["kind"] not in KINDS[:2]:
                text = " ".join(o["text"].split())[:220]
                yield f"{o['kind']}: --format {name} --case {o['case']} ({o['way']}): {text}"


def _listing(folder):
    return {str(p) for p in folder.rglob("*")}


def _status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    return 0


def _reset_peak():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    sys.exit(main())
