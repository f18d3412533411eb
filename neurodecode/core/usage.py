"""How many bytes of a store are whose: of which stage, which run, and of nobody."""

from dataclasses import asdict

from neurodecode.core.looking import listed, n_bytes_of
from neurodecode.core.registered import known_runs
from neurodecode.core.shelf import items, work_folders
from neurodecode.core.store import SCRATCH
from neurodecode.core.waste import plan


def usage(store, policy):
    """Add up the bytes of a store: by stage, by run, and what `gc` would free.

    Returns
    -------
    usage : dict
        ``stages`` ``{stage: {n, n_bytes}}``; ``runs``, a list of ``{name, folder, status, fate,
        n, n_bytes, own_bytes, shared_bytes}``, where own is what no other run needs; ``artifacts``,
        ``unneeded`` and ``aside`` (scratch and unfinished work), in bytes; ``free``, ``{n,
        n_bytes}``.
    """
    runs = known_runs(store, policy.folders)
    found = items(store, runs)
    waste, _ = plan(store, policy)
    aside = listed(store.root / SCRATCH) + work_folders(store.root)
    return {
        "stages": _by_stage(found),
        "runs": [_of_run(run, found) for run in runs],
        "artifacts": sum(i.n_bytes for i in found),
        "unneeded": sum(i.n_bytes for i in found if not i.runs),
        "aside": sum(n_bytes_of(p) for p in aside),
        "free": {"n": len(waste), "n_bytes": sum(w.n_bytes for w in waste)},
    }


def _by_stage(found):
    stages = {}
    for item in found:
        line = stages.setdefault(item.stage, {"n": 0, "n_bytes": 0})
        line["n"] += 1
        line["n_bytes"] += item.n_bytes
    return stages


def _of_run(run, found):
    mine = [i for i in found if i.place in run.places]
    own = sum(i.n_bytes for i in mine if len(i.runs) == 1)
    total = sum(i.n_bytes for i in mine)
    about = {n: v for n, v in asdict(run).items() if n in ("name", "folder", "status", "fate")}
    return about | {
        "n": len(mine),
        "n_bytes": total,
        "own_bytes": own,
        "shared_bytes": total - own,
    }
