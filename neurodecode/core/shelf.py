"""The shelf: what lies in a store, which runs need it, what can go, and taking it away.

Every run writes into the store's register (``runs/*.json``) where its folder is and which
artifacts it uses. What a run needs stays, also of one that is unfinished, or out of reach.
"""

import json
import os
import shutil
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from neurodecode.core.errors import UserError
from neurodecode.core.key import digest
from neurodecode.core.lease import _steal, is_dead, me
from neurodecode.core.sealed import write_json
from neurodecode.core.state import STATE
from neurodecode.core.store import LOOK, MANIFEST, OWNER, RUNS, SCRATCH, WORK, Store, read_artifact

LEASES = "leases"
OURS = {SCRATCH, RUNS, LEASES}
HOUR_S, DAY_S = 3600.0, 86400.0
LEASE_S = DAY_S  # of another host: its counter beats every ten seconds
ABROAD_S = 7 * DAY_S  # of another host, or of nobody: scratch is written at the end of a stage
RUN_S = DAY_S  # of another host: a run touches its run.json every twenty seconds
PARTS_S = HOUR_S  # a file is written and renamed within moments


@dataclass(frozen=True)
class KnownRun:
    """A run that used the store.

    Attributes
    ----------
    name, folder, status, at : str
        As registered; the status of one whose process is gone is ``killed``.
    fate : {"kept", "unreachable", "gone", "unknown"}
        ``unreachable``: the file system of its folder is not mounted. ``gone``: the folder was
        deleted, or moved. ``unknown``: the register's entry cannot be read.
    places : frozenset of str
        What it needs: ``stage/key/code``.
    entry : Path or None
        In the register; None for a run that was found by its folder.
    """

    name: str
    folder: str
    status: str
    at: str
    fate: str
    places: frozenset
    entry: Path | None = None

    @property
    def running(self):
        """Whether it may be at work now."""
        return self.status == "running"


@dataclass(frozen=True)
class Item:
    """An artifact on the shelf.

    Attributes
    ----------
    place : str
        ``stage/key/code``, relative to the store.
    each : str or None
        The subject.
    n_bytes : int
    made_s, used_s : float
        When it was published and last used, in seconds of the epoch.
    runs : tuple of str
        Names of the runs that need it.
    state : {"whole", "damaged"}
        By its manifest; `neurodecode verify` reads the bytes.
    """

    place: str
    stage: str
    each: str | None
    n_bytes: int
    made_s: float
    used_s: float
    runs: tuple
    state: str


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


def open_shelf(root):
    """Return a store to look at; nothing is made.

    Raises
    ------
    UserError
        If there is none.
    """
    store = Store.looked_at(root)
    if not store.root.is_dir():
        raise UserError(f"there is no store {store.root}: name one, --store DIR")
    if not any((store.root / name).is_dir() for name in OURS):
        if any(store.root.iterdir()):
            raise UserError(f"{store.root} is no store: it has no folder {SCRATCH}/")
    return store


def known_runs(store, folders=()):
    """List the runs that use a store: those registered, and those found in `folders`.

    Beside the folders of registered runs are looked for those that were renamed, or are not
    registered.
    """
    entries = sorted((store.root / RUNS).glob("*.json"))
    runs = [_registered(entry) for entry in entries]
    runs = [run for run in runs if run is not None]
    folders_of = {Path(run.folder) for run in runs if run.fate != "unknown"}
    beside = {
        p for place in {(f.parent, f.parent.parent) for f in folders_of} for p in _beside(*place)
    }
    files = {p for folder in folders for p in _run_files(folder)} | beside
    there = {os.path.realpath(run.folder) for run in runs if run.fate == "kept"}
    found = (_found(p, store) for p in sorted(files) if os.path.realpath(p.parent) not in there)
    return runs + [run for run in found if run is not None]


def items(store, runs):
    """List the artifacts of a store with the runs that need them.

    Parameters
    ----------
    store : Store
    runs : list of KnownRun

    Returns
    -------
    items : list of Item
        By stage and time.
    """
    by_place = {}
    for run in runs:
        for place in run.places:
            by_place.setdefault(place, []).append(run.name)
    found = (_item(f, store, by_place) for f in _artifact_folders(store.root))
    return sorted((i for i in found if i), key=lambda i: (i.stage, i.made_s))


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
        waste += [Waste("run", _relative(r.entry, store), 0, f"{r.folder} is gone") for r in gone]
    return waste, _notes(store, runs, policy)


def sweep(store, waste, policy=None):
    """Take things away: each is renamed out of its place first, then deleted.

    What has changed since it was planned, or is needed by now, is let be. Runs that were found by
    their folder are registered, so that they are known from now on.

    Returns
    -------
    freed : list of Waste
    """
    policy = policy or Policy()
    for run in known_runs(store, policy.folders):
        if run.entry is None:
            _register(store, run)
    needs = _Needs(store, policy)
    act = {"artifact": _take_artifact, "work": _take_work, "lease": _take_lease}
    act |= {"scratch": _take_scratch, "file": _take_file, "run": _take_run}
    return [one for one in waste if act[one.kind](store, one, needs)]


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
    aside = _listed(store.root / SCRATCH) + _work_folders(store.root)
    return {
        "stages": _by_stage(found),
        "runs": [_of_run(run, found) for run in runs],
        "artifacts": sum(i.n_bytes for i in found),
        "unneeded": sum(i.n_bytes for i in found if not i.runs),
        "aside": sum(_bytes(p) for p in aside),
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


# --- runs


def _registered(entry):
    """Read one entry of the register; None if it went meanwhile."""
    try:
        told = json.loads(entry.read_text(encoding="utf-8"))
        folder, places = Path(told["folder"]), frozenset(told["artifacts"])
        status = told["status"]
        if status == "running" and _abandoned(
            told["holder"], min(_age(entry), _age(folder / STATE)), RUN_S
        ):
            status = "killed"
        fate = _fate(folder, told["st_dev"], status)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError):
        return KnownRun(entry.stem, "", "", "", "unknown", frozenset(), entry)
    places |= _places_of(folder / STATE)
    return KnownRun(_named(folder), str(folder), status, told["at"], fate, places, entry)


def _named(folder):
    """What a run is called in lists: ``demo/2026-01-31_12-00-00``."""
    return "/".join(folder.parts[-2:])


def _fate(folder, st_dev, status):
    """Whether a run's folder is there, out of reach, or gone."""
    try:
        if status == "running" or folder.exists():
            return "kept"
        near = folder
        while not near.exists():
            near = near.parent
        return "gone" if near.stat().st_dev == st_dev else "unreachable"
    except OSError:
        return "unreachable"


def _places_of(file):
    """The artifacts that a run.json names; none where it cannot be read."""
    try:
        done = json.loads(file.read_text(encoding="utf-8"))["done"]
        return frozenset("/".join(Path(event["folder"]).parts[-3:]) for event in done)
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def _run_files(folder):
    """Every run.json below a folder."""
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"--runs: there is no folder {folder}")
    return list(folder.rglob(STATE))


def _beside(parent, above):
    """Every run.json where a renamed folder is likely: under a run's parent and above it."""
    try:
        return [*parent.glob(f"*/{STATE}"), *above.glob(f"*/*/{STATE}")]
    except OSError:
        return []


def _found(file, store):
    """A run that was found by its folder; None if nothing of it is in this store."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        name, status, at = _named(file.parent.absolute()), state["status"], state.get("at", "")
        if status == "running" and _abandoned(state.get("holder"), _age(file), RUN_S):
            status = "killed"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    other = Path(state.get("store") or store.root)
    if other.is_dir() and not other.samefile(store.root):
        return None
    places = frozenset(p for p in _places_of(file) if (store.root / p).is_dir())
    return (
        KnownRun(name, str(file.parent.absolute()), status, at, "kept", places) if places else None
    )


def _register(store, run):
    """Write a run that was found into the register."""
    entry = {"folder": run.folder, "st_dev": os.stat(run.folder).st_dev, "name": run.name}
    entry |= {"at": run.at, "holder": {}, "status": run.status, "artifacts": sorted(run.places)}
    store.register(digest(run.folder)[:12], entry)


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


# --- what can go


def _artifacts(store, runs, policy, held, now):
    if not runs or any(run.fate == "unknown" for run in runs):
        return []
    needed = {place for run in runs if _counts(run, policy) for place in run.places}
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
            why = f"no run needs it; last used {_days(now - item.used_s)} ago"
            waste.append(Waste("artifact", item.place, item.n_bytes, why, item.used_s))
    return waste


def _counts(run, policy):
    """Whether what a run needs has to stay."""
    return run.fate != "gone" or not policy.deleted_runs


def _works(store, policy, held, now):
    for folder in _work_folders(store.root):
        place = _relative(folder.with_name(folder.name.partition(".")[0]), store)
        if place.replace("/", "-") in held:
            continue
        age_s = now - _newest(folder)
        if LOOK in folder.name:
            if age_s < PARTS_S:
                continue
            why = "left behind"
        elif (store.root / place / MANIFEST).is_file():
            why = "its artifact is finished"
        elif age_s > policy.work_older_than_s:
            why = f"unfinished, and untouched for {_days(age_s)}"
        else:
            continue
        yield Waste("work", _relative(folder, store), _bytes(folder), why, place)


def _scratch(store, now):
    folder = store.root / SCRATCH
    found = [p.name for p in _listed(folder) if not p.name.endswith(".part")]
    names = {name.removesuffix(OWNER) for name in found}
    for name in sorted(names):
        path, owner = folder / name, _read(folder / f"{name}{OWNER}")
        age_s = now - max(_newest(path), _time(folder / f"{name}{OWNER}"))
        why = "discarded" if name.startswith("discarded-") else _abandoned(owner, age_s, ABROAD_S)
        if why:
            yield Waste("scratch", _relative(path, store), _bytes(path), why)


def _leases(store, now):
    """Return ``{name: (path, Waste or None)}`` of all leases; None: somebody may hold it."""
    found = {}
    for path in _listed(store.root / LEASES):
        holder, age_s = _read(path), now - _time(path)
        name = path.name
        if "." in name.rpartition("-")[2] or ".dead-" in name:  # being written, or being taken
            free = "left behind" if age_s > PARTS_S else ""
        else:
            free = _abandoned(holder, age_s, LEASE_S)
        waste = Waste("lease", _relative(path, store), 0, free, json.dumps(holder))
        found[name] = (path, waste if free else None)
    return found


def _abandoned(holder, age_s, limit_s):
    """Why a thing's holder is taken for gone; "" if it may live."""
    try:
        here = holder["host"] == me()["host"]
        if is_dead(holder):
            return f"process {holder['pid']} is gone"
    except (KeyError, TypeError):
        here, holder = False, None
    if here or age_s <= limit_s:
        return ""
    who = f"of {holder['host']}" if holder else "of nobody"
    return f"{who}, and untouched for {_days(age_s)}"


def _loose_files(store, now):
    """Half-written files, and records of artifacts that are not there."""
    root = store.root
    inside = _inside(root)
    beside = [p for at in (root, root / RUNS, root / SCRATCH) for p in _listed(at)]
    for path in (p for p in [*beside, *inside] if p.name.endswith(".part")):
        if now - _time(path) > PARTS_S:
            yield Waste("file", _relative(path, store), _bytes(path), "half-written")
    for path in (p for p in inside if p.name.endswith(".record.json")):
        alone = not path.with_name(path.name.removesuffix(".record.json")).exists()
        if alone and now - _time(path) > DAY_S:
            yield Waste("file", _relative(path, store), _bytes(path), "of an artifact that is gone")


def _inside(root):
    """What lies in the folders of keys: artifacts, their records, unfinished work."""
    stages = [p for p in _listed(root) if p.name not in OURS and p.is_dir()]
    keys = [p for stage in stages for p in _listed(stage) if p.is_dir()]
    return [p for key in keys for p in _listed(key)]


def _artifact_folders(root):
    return [p for p in _inside(root) if "." not in p.name and p.is_dir()]


def _work_folders(root):
    """Folders beside artifacts: unfinished work, and what looking anew left when it was killed."""
    return [p for p in _inside(root) if (WORK in p.name or LOOK in p.name) and p.is_dir()]


def _listed(folder):
    """What is in a folder, in order; nothing if it is gone: others are at work in a store."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _item(folder, store, by_place):
    artifact = read_artifact(folder)
    place = _relative(folder, store)
    try:
        used_s = folder.stat().st_mtime
    except FileNotFoundError:
        return None
    if artifact is None:
        size, made_s, each, state = _bytes(folder), used_s, None, "damaged"
    else:
        size = sum(f["size"] for f in artifact.files.values()) + _bytes(folder / MANIFEST)
        made_s, each = _time(folder / MANIFEST), artifact.manifest.get("each")
        state = "whole"
    runs = tuple(by_place.get(place, ()))
    return Item(place, place.split("/")[0], each, size, made_s, used_s, runs, state)


# --- taking it away


class _Needs:
    """What runs need at this moment; the register is read again whenever it changed."""

    def __init__(self, store, policy):
        self.store, self.policy = store, policy
        self._seen, self._runs = None, []

    def needed(self, place):
        """Whether a run needs a place by now."""
        entries = sorted((self.store.root / RUNS).glob("*.json"))
        seen = [(p, _time(p)) for p in entries]
        if seen != self._seen:
            self._seen = seen
            self._runs = [run for run in map(_registered, entries) if run is not None]
        return any(place in run.places for run in self._runs if _counts(run, self.policy))

    def leased(self, place):
        """Whether somebody may be at work on an artifact."""
        name = place.replace("/", "-")
        path = self.store.root / LEASES / name
        return path.exists() and not _abandoned(_read(path), _age(path), LEASE_S)


def _take_artifact(store, one, needs):
    """Rename an artifact away, look again whether it is needed, and only then delete it."""
    folder = store.root / one.path
    taken_up = lambda at: _time(at) != one.mark or needs.leased(one.path) or needs.needed(one.path)
    if taken_up(folder):
        return False
    grave = _grave(store)
    try:
        os.rename(folder, grave)
    except OSError:
        _bury(grave)
        return False
    if taken_up(grave):
        try:
            os.rename(grave, folder)  # somebody took it up between the two looks
        except OSError:  # and has made another by now
            _bury(grave)
        grave.with_name(f"{grave.name}{OWNER}").unlink(missing_ok=True)
        return False
    folder.with_name(f"{folder.name}.record.json").unlink(missing_ok=True)
    _bury(grave)
    return True


def _take_work(store, one, needs):
    if needs.leased(one.mark):
        return False
    return _take_folder(store, store.root / one.path)


def _take_folder(store, folder):
    grave = _grave(store)
    try:
        os.rename(folder, grave)
    except OSError:
        _bury(grave)
        return False
    _bury(grave)
    return True


def _take_scratch(store, one, needs):
    path = store.root / one.path
    _bury(path)
    return not path.exists()


def _take_lease(store, one, needs):
    path = store.root / one.path
    if json.dumps(_read(path)) != one.mark:
        return False
    _steal(path, _read(path))
    return not path.exists()


def _take_file(store, one, needs):
    (store.root / one.path).unlink(missing_ok=True)
    return True


def _take_run(store, one, needs):
    entry = store.root / one.path
    run = _registered(entry)
    if run is None or run.fate != "gone":
        return False
    entry.unlink(missing_ok=True)
    return True


def _grave(store):
    """Name a grave of this process: should it be killed here, the next `gc` knows by whom."""
    grave = store.root / SCRATCH / f"gc-{uuid.uuid4().hex}"
    grave.parent.mkdir(exist_ok=True)
    write_json(grave.with_name(f"{grave.name}{OWNER}"), me())
    return grave


def _bury(grave):
    if grave.is_dir():
        shutil.rmtree(grave, ignore_errors=True)
    else:
        grave.unlink(missing_ok=True)
    grave.with_name(f"{grave.name}{OWNER}").unlink(missing_ok=True)


# --- looking


def _relative(path, store):
    return path.relative_to(store.root).as_posix()


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _time(path):
    """When a file or folder was last changed; 0 if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _age(path):
    return time.time() - _time(path)


def _newest(path):
    """When anything in a folder was last changed."""
    within = [_newest(p) for p in _listed(path)] if path.is_dir() else []
    return max([_time(path), *within])


def _bytes(path):
    """Bytes of a file, or of all files in a folder."""
    try:
        return sum(map(_bytes, _listed(path))) if path.is_dir() else path.stat().st_size
    except OSError:
        return 0


def _days(seconds):
    return f"{seconds / DAY_S:.1f} days" if seconds > DAY_S else f"{seconds / HOUR_S:.1f} hours"
