"""Commands around the store: `verify` a run, `store ls | du | gc`, `export` as BIDS."""

import argparse
import json
import os
from pathlib import Path

VERIFY = """\
reads every byte of every artifact of a run, and its raw files, and computes each key again.
Exit code 5: something is damaged, or stale: today's files or code would give another result.
docs/store.md has it in full."""

GC = """\
says what would go and frees nothing, unless --yes is given. What a registered run needs stays,
also of one that is unfinished or cannot be reached. Other hosts' leases go after a day, their
scratch after seven. docs/store.md has it in full.

neurodecode store gc --yes
neurodecode store gc --deleted-runs --runs /data/archive   free what deleted runs alone needed"""

EXPORT = """\
neurodecode export runs/demo/… --out derivatives/neurodecode

writes responses, trials, masks, predictions, pictures and scores as a BIDS derivative.
docs/store.md lists the files."""


def add_verify(add):
    """Add `verify` to the commands; `add` makes a parser of a name and a sentence."""
    parser = add("verify", "recompute a run's chain from raw files to report; name what is stale")
    parser.epilog = VERIFY
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--store", type=Path, help="where the store lies now, if it was moved")
    _json(parser)
    parser.set_defaults(action=_verify)


def add_store(add):
    """Add `store ls`, `store du` and `store gc`."""
    parser = add("store", "show what the store holds and free what no run needs: ls, du, gc")
    raw = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(required=True, metavar="ls | du | gc")
    make = lambda name, text: actions.add_parser(
        name, help=text, description=text, formatter_class=raw
    )
    ls = make("ls", "list runs and artifacts: size, age, who needs them")
    ls.add_argument("--stage", help="only artifacts of this stage")
    ls.add_argument("--run", help="only this run: its name or folder")
    ls.set_defaults(action=_ls)
    du = make("du", "add up bytes by stage and by run, and what gc would free")
    du.set_defaults(action=_du)
    gc = make("gc", "free what no run needs; without --yes only say what")
    gc.epilog = GC
    gc.add_argument("--yes", action="store_true", help="do it")
    gc.add_argument(
        "--older-than",
        type=_days,
        default=1.0,
        metavar="DAYS",
        help="keep unneeded artifacts for so long after their last use (default: 1)",
    )
    gc.add_argument(
        "--work-older-than",
        type=_days,
        default=14.0,
        metavar="DAYS",
        help="keep what unfinished stages go on from for so long (default: 14)",
    )
    gc.add_argument(
        "--deleted-runs", action="store_true", help="a run whose folder is gone needs nothing"
    )
    gc.set_defaults(action=_gc)
    for command in (ls, du, gc):
        command.add_argument(
            "--store",
            default=os.environ.get("NEURODECODE_STORE", "store"),
            metavar="DIR",
            help="default: $NEURODECODE_STORE, else ./store",
        )
        command.add_argument(
            "--runs", nargs="+", default=(), metavar="DIR", help="where more runs are"
        )
        _json(command)


def add_export(add):
    """Add `export`."""
    parser = add("export", "write a run's responses, predictions and scores as a BIDS derivative")
    parser.epilog = EXPORT
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    parser.add_argument("--store", type=Path, help="where the store lies now, if it was moved")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--copy", action="store_true", help="copy arrays (the default)")
    how.add_argument(
        "--link", action="store_true", help="hard links instead: the same disk, no more space"
    )
    parser.set_defaults(action=_export)


def _json(parser):
    parser.add_argument("--json", action="store_true", help="machine-readable")


def _days(text):
    days = float(text)
    if not days >= 0:
        raise argparse.ArgumentTypeError(f"{text}: expected 0 or more days")
    return days


def _verify(arguments):
    from neurodecode.core.verify import verify

    verdict = verify(arguments.run, arguments.store)
    _print(arguments, verdict.document, lambda: verdict_text(verdict))
    return 0 if verdict.whole else 5


def verdict_text(verdict):
    """Write what `verify` found for a terminal, the findings grouped by kind."""
    lines = [f"{verdict.folder}: {verdict.name or 'run'}, {verdict.status} {verdict.at}".rstrip()]
    if verdict.remark:
        lines.append(f"unfinished: {verdict.remark}")
    heads = {
        "damaged": "damaged: not the bytes that were written",
        "stale": "stale: whole, but what it was made from is not what is there now",
    }
    for kind, head in heads.items():
        found = [f for f in verdict.findings if f.kind == kind]
        lines += [head] if found else []
        for f in found:
            place = "" if f.path in ("", f.what) or f.path in f.what else f"\n      {f.path}"
            lines.append(f"  {f.where}: {f.what}: {f.why}{place}\n      {f.todo}")
    resting = [f.where for f in verdict.findings if f.kind == "rests"]
    if resting:
        lines.append(f"rest on these: {', '.join(resting)}")
    return "\n".join([*lines, _summary(verdict)])


def _summary(verdict):
    kinds = [f.kind for f in verdict.findings]
    words = {"damaged": "damaged", "stale": "stale", "rests": "resting on these"}
    counts = [f"{kinds.count(kind)} {word}" for kind, word in words.items() if kind in kinds]
    so_far = "whole" if verdict.status == "done" else "whole so far"
    return (
        f"{verdict.n_artifacts} artifacts, {verdict.n_files} files, {_size(verdict.n_bytes)} read: "
        f"{', '.join(counts) or so_far}"
    )


def _ls(arguments):
    from neurodecode.core.errors import ConfigError
    from neurodecode.core.shelf import items, known_runs, open_shelf

    store = open_shelf(arguments.store)
    runs = known_runs(store, arguments.runs)
    found = items(store, runs)
    if arguments.run:
        wanted = {arguments.run, os.path.abspath(arguments.run)}
        runs = [r for r in runs if wanted & {r.name, r.folder, Path(r.folder).name}]
        if not runs:
            raise ConfigError(f"--run: no run of this store is called {arguments.run!r}")
        found = [i for i in found if any(i.place in r.places for r in runs)]
    if arguments.stage:
        known = sorted({i.stage for i in found})
        if arguments.stage not in known:
            raise ConfigError(f"--stage: there is none of {arguments.stage!r}: {', '.join(known)}")
        found = [i for i in found if i.stage == arguments.stage]
    document = lambda: {
        "store": str(store.root),
        "runs": [_run_document(r) for r in runs],
        "artifacts": [i.__dict__ for i in found],
    }
    _print(arguments, document, lambda: _ls_text(store, runs, found))


def _run_document(run):
    return {k: v for k, v in run.__dict__.items() if k not in ("places", "entry")} | {
        "artifacts": sorted(run.places)
    }


def _ls_text(store, runs, found):
    import time

    now = time.time()
    ago = lambda then: _age(now - then)
    told = [[r.name, r.status, r.fate, str(len(r.places)), r.folder] for r in runs]
    lines = [f"store {store.root}", "", *_table(["run", "state", "", "artifacts", "folder"], told)]
    rows = [
        [
            i.stage,
            i.each or "",
            _size(i.n_bytes),
            ago(i.made_s),
            ago(i.used_s),
            i.state,
            ", ".join(i.runs) or "no run",
            i.place,
        ]
        for i in found
    ]
    heads = ["stage", "subject", "size", "made", "used", "state", "needed by", "where"]
    total = f"{len(found)} artifacts, {_size(sum(i.n_bytes for i in found))}"
    return "\n".join([*lines, "", *_table(heads, rows), "", total])


def _du(arguments):
    from neurodecode.core.shelf import Policy, open_shelf, usage

    store = open_shelf(arguments.store)
    used = usage(store, Policy(folders=tuple(arguments.runs)))
    _print(arguments, lambda: used, lambda: _du_text(store, used))


def _du_text(store, used):
    stages = [[s, str(v["n"]), _size(v["n_bytes"])] for s, v in used["stages"].items()]
    runs = [
        [r["name"], r["status"], *(_size(r[k]) for k in ("n_bytes", "own_bytes", "shared_bytes"))]
        for r in used["runs"]
    ]
    return "\n".join(
        [
            f"store {store.root}",
            "",
            *_table(["stage", "artifacts", "size"], stages),
            "",
            *_table(["run", "state", "size", "its own", "shared"], runs),
            "",
            f"artifacts {_size(used['artifacts'])}, of which no run needs "
            f"{_size(used['unneeded'])}; scratch and unfinished work {_size(used['aside'])}",
            f"gc would free {_size(used['free']['n_bytes'])}",
        ]
    )


def _gc(arguments):
    from neurodecode.core.shelf import DAY_S, Policy, open_shelf, plan, sweep

    store = open_shelf(arguments.store)
    policy = Policy(
        arguments.older_than * DAY_S,
        arguments.work_older_than * DAY_S,
        arguments.deleted_runs,
        tuple(arguments.runs),
    )
    waste, notes = plan(store, policy)
    done = sweep(store, waste, policy) if arguments.yes else waste
    document = lambda: {
        "store": str(store.root),
        "freed": arguments.yes,
        "n_bytes": sum(w.n_bytes for w in done),
        "waste": [{k: v for k, v in w.__dict__.items() if k != "mark"} for w in done],
        "notes": notes,
    }
    _print(arguments, document, lambda: _gc_text(done, notes, arguments.yes))


def _gc_text(waste, notes, done):
    rows = [[w.kind, _size(w.n_bytes), w.path, w.why] for w in waste]
    total = f"{len(waste)} things, {_size(sum(w.n_bytes for w in waste))}"
    if not waste:
        last = "nothing to free"
    else:
        last = f"freed {total}" if done else f"would free {total}: --yes does it"
    table = _table(["what", "size", "where", "why"], rows) if rows else []
    return "\n".join([*table, *(f"note: {note}" for note in notes), last])


def _export(arguments):
    from neurodecode.stages.bids_derivative import export

    made = export(arguments.run, arguments.out, arguments.store, arguments.link)
    if made.withheld:
        print(f"left out what shows the true pictures: {made.withheld}")
    print(f"wrote {made.folder}: {made.n_subjects} subjects, {made.n_files} files")


def _print(arguments, document, text):
    print(json.dumps(document(), indent=1, ensure_ascii=False) if arguments.json else text())


def _table(heads, rows):
    """Align columns; sizes and counts to the right."""
    right = {"size", "its own", "shared", "artifacts", "made", "used"}
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    place = lambda h, w, cell: cell.rjust(w) if h in right else cell.ljust(w)
    return [
        "  ".join(place(h, w, c) for h, w, c in zip(heads, widths, row, strict=True)).rstrip()
        for row in [heads, *rows]
    ]


def _size(n_bytes):
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} B"


def _age(seconds):
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
