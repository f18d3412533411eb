"""Which runs use a store: those in its register, and those that are found by their folder.

Every run writes into the register (``runs/*.json``) where its folder is and which artifacts it
uses. What a run needs stays, also of one that is unfinished, or out of reach.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.errors import UserError
from neurodecode.core.key import digest
from neurodecode.core.lease import is_dead, me
from neurodecode.core.looking import DAY_S, age_s_of, days
from neurodecode.core.state import STATE
from neurodecode.core.store import RUNS

RUN_S = DAY_S  # of another host: a run touches its run.json every twenty seconds


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


def known_runs(store, folders=()):
    """List the runs that use a store: those registered, and those found in `folders`.

    Beside the folders of registered runs are looked for those that were renamed, or are not
    registered.
    """
    entries = sorted((store.root / RUNS).glob("*.json"))
    runs = [registered_run(entry) for entry in entries]
    runs = [run for run in runs if run is not None]
    folders_of = {Path(run.folder) for run in runs if run.fate != "unknown"}
    beside = {
        p for place in {(f.parent, f.parent.parent) for f in folders_of} for p in _beside(*place)
    }
    files = {p for folder in folders for p in _run_files(folder)} | beside
    there = {os.path.realpath(run.folder) for run in runs if run.fate == "kept"}
    found = (_found(p, store) for p in sorted(files) if os.path.realpath(p.parent) not in there)
    return runs + [run for run in found if run is not None]


def register_found(store, run):
    """Write a run that was found into the register."""
    entry = {"folder": run.folder, "st_dev": os.stat(run.folder).st_dev, "name": run.name}
    entry |= {"at": run.at, "holder": {}, "status": run.status, "artifacts": sorted(run.places)}
    store.register(digest(run.folder)[:12], entry)


def abandoned(holder, age_s, limit_s):
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
    return f"{who}, and untouched for {days(age_s)}"


def registered_run(entry):
    """Read one entry of the register; None if it went meanwhile."""
    try:
        told = json.loads(entry.read_text(encoding="utf-8"))
        folder, places = Path(told["folder"]), frozenset(told["artifacts"])
        status = told["status"]
        if status == "running" and abandoned(
            told["holder"], min(age_s_of(entry), age_s_of(folder / STATE)), RUN_S
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
        if status == "running" and abandoned(state.get("holder"), age_s_of(file), RUN_S):
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
