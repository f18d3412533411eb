"""Taking out of a store what can go: renamed first, looked at again, and only then deleted."""

import json
import os
import shutil
import uuid

from neurodecode.core.lease import holder_of, me, take_away
from neurodecode.core.looking import age_s_of, changed_s, peek_json
from neurodecode.core.registered import abandoned, known_runs, register_found, registered_run
from neurodecode.core.sealed import write_json
from neurodecode.core.store import LEASES, OWNER, RUNS, SCRATCH
from neurodecode.core.waste import LEASE_S, Policy, counts


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
            register_found(store, run)
    needs = _Needs(store, policy)
    act = {"artifact": _take_artifact, "work": _take_work, "lease": _take_lease}
    act |= {"scratch": _take_scratch, "file": _take_file, "run": _take_run}
    return [one for one in waste if act[one.kind](store, one, needs)]


class _Needs:
    """What runs need at this moment; the register is read again whenever it changed."""

    def __init__(self, store, policy):
        self.store, self.policy = store, policy
        self._seen, self._runs = None, []

    def needed(self, place):
        """Whether a run needs a place by now."""
        entries = sorted((self.store.root / RUNS).glob("*.json"))
        seen = [(p, changed_s(p)) for p in entries]
        if seen != self._seen:
            self._seen = seen
            self._runs = [run for run in map(registered_run, entries) if run is not None]
        return any(place in run.places for run in self._runs if counts(run, self.policy))

    def leased(self, place):
        """Whether somebody may be at work on an artifact."""
        name = place.replace("/", "-")
        path = self.store.root / LEASES / name
        return path.exists() and not abandoned(peek_json(path), age_s_of(path), LEASE_S)


def _take_artifact(store, one, needs):
    """Rename an artifact away, look again whether it is needed, and only then delete it."""
    folder = store.root / one.path
    taken_up = lambda at: (
        changed_s(at) != one.mark or needs.leased(one.path) or needs.needed(one.path)
    )
    if taken_up(folder):
        return False
    grave = _moved_away(store, folder)
    if grave is None:
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
    grave = _moved_away(store, folder)
    if grave is None:
        return False
    _bury(grave)
    return True


def _take_scratch(store, one, needs):
    path = store.root / one.path
    _bury(path)
    return not path.exists()


def _take_lease(store, one, needs):
    path = store.root / one.path
    if json.dumps(peek_json(path)) != one.mark:
        return False
    take_away(path, holder_of(path))
    return not path.exists()


def _take_file(store, one, needs):
    (store.root / one.path).unlink(missing_ok=True)
    return True


def _take_run(store, one, needs):
    entry = store.root / one.path
    run = registered_run(entry)
    if run is None or run.fate != "gone":
        return False
    entry.unlink(missing_ok=True)
    return True


def _moved_away(store, folder):
    """Rename a folder out of its place; return where it lies, or None if it is gone already."""
    grave = _grave(store)
    try:
        os.rename(folder, grave)
    except OSError:
        _bury(grave)
        return None
    return grave


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
