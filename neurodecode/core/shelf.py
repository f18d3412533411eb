"""The shelf: what lies in a store, how large it is, and which runs need it."""

from dataclasses import dataclass

from neurodecode.core.errors import UserError
from neurodecode.core.looking import changed_s, n_bytes_of, place_in
from neurodecode.core.store import (
    LOOK,
    MANIFEST,
    OURS,
    SCRATCH,
    WORK,
    Store,
    artifact_folders,
    inside,
    read_artifact,
)


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
    found = (_item(f, store, by_place) for f in artifact_folders(store.root))
    return sorted((i for i in found if i), key=lambda i: (i.stage, i.made_s))


def _item(folder, store, by_place):
    artifact = read_artifact(folder)
    place = place_in(folder, store)
    try:
        used_s = folder.stat().st_mtime
    except FileNotFoundError:
        return None
    if artifact is None:
        size, made_s, each, state = n_bytes_of(folder), used_s, None, "damaged"
    else:
        size = sum(f["size"] for f in artifact.files.values()) + n_bytes_of(folder / MANIFEST)
        made_s, each = changed_s(folder / MANIFEST), artifact.manifest.get("each")
        state = "whole"
    runs = tuple(by_place.get(place, ()))
    return Item(place, place.split("/")[0], each, size, made_s, used_s, runs, state)


def work_folders(root):
    """Folders beside artifacts: unfinished work, and what looking anew left when it was killed."""
    return [p for p in inside(root) if (WORK in p.name or LOOK in p.name) and p.is_dir()]
