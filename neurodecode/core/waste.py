"""What of a store can go: what no run needs, and what the dead left behind."""

import json
import time
from dataclasses import dataclass, field

from neurodecode.core.looking import (
    DAY_S,
    HOUR_S,
    changed_s,
    days,
    listed,
    n_bytes_of,
    newest_s,
    peek_json,
    place_in,
)
from neurodecode.core.registered import abandoned, known_runs
from neurodecode.core.shelf import items, work_folders
from neurodecode.core.store import (
    LEASES,
    LOOK,
    MANIFEST,
    OWNER,
    RUNS,
    SCRATCH,
    inside,
    read_artifact,
)

LEASE_S = DAY_S  # of another host: its counter beats every ten seconds
ABROAD_S = 7 * DAY_S  # of another host, or of nobody: scratch is written at the end of a stage
PARTS_S = HOUR_S  # a file is written and renamed within moments


@dataclass(frozen=True)
class Policy:
    """What may go.

    Parameters
    ----------
    older_than_s : float
        Artifacts that no run needs stay for so long after their last use.
    work_older_than_s : float
        So do the folders that unfinished stages go on from.
    deleted_runs : bool
        Whether a run whose folder is gone needs nothing any more.
    folders : tuple of path
        Where runs are that the register does not know.
    """

    older_than_s: float = DAY_S
    work_older_than_s: float = 14 * DAY_S
    deleted_runs: bool = False
    folders: tuple = ()


@dataclass(frozen=True)
class Waste:
    """Something that nobody needs.

    Attributes
    ----------
    kind : {"artifact", "work", "scratch", "lease", "file", "run"}
        ``run`` is an entry of the register whose folder is gone.
    path : str
        Relative to the store.
    n_bytes : int
    why : str
    mark : str or float or None
        What it looked like; it is let be if it looks different when it is to go.
    """

    kind: str
    path: str
    n_bytes: int
    why: str
    mark: object = field(default=None, compare=False)


def plan(store, policy, now=None):
    """Say what can go, and what was considered.

    Parameters
    ----------
    store : Store
    policy : Policy
    now : float, optional
        Seconds of the epoch.

    Returns
    -------
    waste : list of Waste
    notes : list of str
        What stays although it looks as if it could go, and why.
    """
    now = time.time() if now is None else now
    runs = known_runs(store, policy.folders)
    leases = _leases(store, now)
    held = {name for name, (_, free) in leases.items() if not free}
    waste = [
        *_artifacts(store, runs, policy, held, now),
        *_works(store, policy, held, now),
        *_scratch(store, now),
        *(found for _, found in leases.values() if found),
        *_loose_files(store, now),
    ]
    if policy.deleted_runs:
        gone = [run for run in runs if run.fate == "gone"]
        waste += [Waste("run", place_in(r.entry, store), 0, f"{r.folder} is gone") for r in gone]
    return waste, _notes(store, runs, policy)


def counts(run, policy):
    """Whether what a run needs has to stay."""
    return run.fate != "gone" or not policy.deleted_runs


def _notes(store, runs, policy):
    told = []
    if not runs:
        told.append(
            "which runs use this store is not known: no artifact goes unless --runs DIR names "
            "where runs are"
        )
    for run in runs:
        if run.fate == "unknown":
            told.append(f"{run.entry} cannot be read, nor what it needs: no artifact goes")
        elif run.fate == "unreachable":
            told.append(f"{run.folder} cannot be reached (is it mounted?): what it needs stays")
        elif run.fate == "gone" and not policy.deleted_runs:
            told.append(
                f"{run.folder} was deleted or moved: what it needs stays. --deleted-runs lets it "
                "go, --runs DIR says where it is now"
            )
        elif run.running:
            told.append(f"{run.folder} is running: what was used in the last day stays")
    return told


def _artifacts(store, runs, policy, held, now):
    if not runs or any(run.fate == "unknown" for run in runs):
        return []
    needed = {place for run in runs if counts(run, policy) for place in run.places}
    age_s = policy.older_than_s
    if any(run.running for run in runs):
        age_s = max(age_s, DAY_S)
    waste = []
    for item in items(store, runs):
        old = now - item.used_s > age_s
        if item.place in needed or not old or item.place.replace("/", "-") in held:
            continue
        sealed = read_artifact(store.root / item.place) is not None
        if sealed or policy.folders:  # else of a version before the register: who knows
            why = f"no run needs it; last used {days(now - item.used_s)} ago"
            waste.append(Waste("artifact", item.place, item.n_bytes, why, item.used_s))
    return waste


def _works(store, policy, held, now):
    for folder in work_folders(store.root):
        place = place_in(folder.with_name(folder.name.partition(".")[0]), store)
        if place.replace("/", "-") in held:
            continue
        age_s = now - newest_s(folder)
        if LOOK in folder.name:
            if age_s < PARTS_S:
                continue
            why = "left behind"
        elif (store.root / place / MANIFEST).is_file():
            why = "its artifact is finished"
        elif age_s > policy.work_older_than_s:
            why = f"unfinished, and untouched for {days(age_s)}"
        else:
            continue
        yield Waste("work", place_in(folder, store), n_bytes_of(folder), why, place)


def _scratch(store, now):
    folder = store.root / SCRATCH
    found = [p.name for p in listed(folder) if not p.name.endswith(".part")]
    names = {name.removesuffix(OWNER) for name in found}
    for name in sorted(names):
        path, owner = folder / name, peek_json(folder / f"{name}{OWNER}")
        age_s = now - max(newest_s(path), changed_s(folder / f"{name}{OWNER}"))
        why = "discarded" if name.startswith("discarded-") else abandoned(owner, age_s, ABROAD_S)
        if why:
            yield Waste("scratch", place_in(path, store), n_bytes_of(path), why)


def _leases(store, now):
    """Return ``{name: (path, Waste or None)}`` of all leases; None: somebody may hold it."""
    found = {}
    for path in listed(store.root / LEASES):
        holder, age_s = peek_json(path), now - changed_s(path)
        name = path.name
        if "." in name.rpartition("-")[2] or ".dead-" in name:  # being written, or being taken
            free = "left behind" if age_s > PARTS_S else ""
        else:
            free = abandoned(holder, age_s, LEASE_S)
        waste = Waste("lease", place_in(path, store), 0, free, json.dumps(holder))
        found[name] = (path, waste if free else None)
    return found


def _loose_files(store, now):
    """Half-written files, and records of artifacts that are not there."""
    root = store.root
    within = inside(root)
    beside = [p for at in (root, root / RUNS, root / SCRATCH) for p in listed(at)]
    for path in (p for p in [*beside, *within] if p.name.endswith(".part")):
        if now - changed_s(path) > PARTS_S:
            yield Waste("file", place_in(path, store), n_bytes_of(path), "half-written")
    for path in (p for p in within if p.name.endswith(".record.json")):
        alone = not path.with_name(path.name.removesuffix(".record.json")).exists()
        if alone and now - changed_s(path) > DAY_S:
            yield Waste(
                "file", place_in(path, store), n_bytes_of(path), "of an artifact that is gone"
            )
