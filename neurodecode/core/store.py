"""The store: every artifact is a folder that is whole or absent."""

import fnmatch
import functools
import json
import os
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurodecode.core.blocks import Blocks, CheckedArray, describe_file, file_damage
from neurodecode.core.claims import check_manifest, check_npy
from neurodecode.core.errors import DamagedArtifact, UserError
from neurodecode.core.key import digest, file_digest
from neurodecode.core.lease import me
from neurodecode.core.looking import listed
from neurodecode.core.sealed import read_sealed, write_json, write_sealed

MANIFEST = "manifest.json"
SCRATCH, RUNS, LEASES = "scratch", "runs", "leases"
OWNER, WORK, LOOK = ".owner.json", ".work", ".look"
OURS = {SCRATCH, RUNS, LEASES}


@dataclass(frozen=True)
class Artifact:
    """A finished folder and its manifest (config, inputs, versions, digest of each file)."""

    folder: Path
    manifest: dict = field(compare=False)

    @functools.cached_property
    def files(self):
        """Return ``{name: {"sha256": …, "size": …}}``, names relative and with forward slashes."""
        return self.manifest["files"]

    def digest(self, pattern="*"):
        """Digest the bytes of the files whose names match `pattern` (``*`` crosses folders)."""
        chosen = {n: f["sha256"] for n, f in self.files.items() if fnmatch.fnmatch(n, pattern)}
        if not chosen:
            raise UserError(
                f"{self.folder} holds no file {pattern!r}: it has {', '.join(self.files)}"
            )
        return digest(chosen)

    def path(self, name):
        """Return the path of a file, or of a folder of files, checked against its digests.

        Raises
        ------
        FileNotFoundError
            If the artifact never had such a file.
        DamagedArtifact
            If its bytes changed since they were written.
        """
        inside = [name] if name in self.files else _below(self.files, name)
        if not inside:
            known = ", ".join(sorted(self.files)[:12])
            raise FileNotFoundError(f"{self.folder} holds no {name!r}: it has {known}")
        for file in inside:
            check_file(self, file)
        return self.folder / name

    def array(self, name):
        """Memory-map an ``.npy`` file, read-only; of one over 64 MiB what is read is checked.

        Returns
        -------
        array : memmap or CheckedArray
        """
        if "blocks" not in self.files.get(name, {}):
            path = self.path(name)
            check_npy(path)
            return np.load(path, mmap_mode="r", allow_pickle=False)
        blocks = _blocks_of(self, name)
        if not blocks.all_good([0]):  # the header is trusted only then
            raise DamagedArtifact(self, name)
        check_npy(self.folder / name)
        array = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        return CheckedArray(array, blocks, lambda: DamagedArtifact(self, name))

    def looks_whole(self):
        """Say whether every file is there with its size; reading checks the bytes as well.

        Files are opened: on a network file system what `stat` says may be a minute old.
        """
        return all(_size(self.folder / n) == f["size"] for n, f in self.files.items())

    def is_at(self, stage, key, code):
        """Say whether this is the artifact that the place is for."""
        own = self.manifest
        return (own.get("stage"), own.get("key"), digest(own.get("code"))) == (stage, key, code)


def read_artifact(folder):
    """Return the artifact that a folder's manifest describes; None: there is none, or not whole."""
    manifest = read_sealed(folder / MANIFEST)
    if manifest is None:
        return None
    try:
        check_manifest(manifest, folder / MANIFEST)
    except UserError:
        return None
    return Artifact(Path(folder), manifest)


def damages(artifact):
    """Read every byte of an artifact and say what is not as it was written.

    Returns
    -------
    damages : dict of str to str
        What happened to each damaged file, by name; see :func:`file_damage`. Files that the
        manifest does not name are ``"not in the manifest"``.
    """
    if read_artifact(artifact.folder) is None:
        return {MANIFEST: "missing or changed"}
    found = {n: file_damage(artifact.folder / n, f) for n, f in artifact.files.items()}
    extra = {n: "not in the manifest" for n in _names(artifact.folder) if n not in found}
    return {name: what for name, what in found.items() if what} | extra


def _below(files, name):
    return [n for n in files if n.startswith(name.rstrip("/") + "/")]


def _names(folder):
    """List the files below a folder, relative, without its manifest."""
    paths = sorted(p for p in Path(folder).rglob("*") if not p.is_dir())
    return [n for p in paths if (n := p.relative_to(folder).as_posix()) != MANIFEST]


def _size(path):
    """Size of a file as its server knows it, -1 if it is not there."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return -1
    try:
        return os.fstat(handle).st_size
    finally:
        os.close(handle)


_checked = {}


def check_file(artifact, name):
    """Compare a file with its digest, once per process and per state of the file."""
    described = artifact.files[name]
    if "blocks" in described:
        whole = _blocks_of(artifact, name).all_good(range(len(described["blocks"])))
    else:
        whole = _once(artifact, name, lambda path: file_damage(path, described) is None)
    if not whole:
        _checked.clear()
        raise DamagedArtifact(artifact, name)


def _blocks_of(artifact, name):
    return _once(artifact, name, lambda path: Blocks(path, artifact.files[name]))


def _once(artifact, name, look):
    """Look at a file, or remember what was seen of it; its size is looked at every time."""
    path = artifact.folder / name
    if _size(path) != artifact.files[name]["size"]:
        raise DamagedArtifact(artifact, name)
    state = (str(path), artifact.files[name]["sha256"], os.stat(path).st_mtime_ns)
    if state not in _checked:
        _checked[state] = look(path)
    return _checked[state]


class Store:
    """Artifacts under one root: ``<stage>/<key>/<fingerprint>/``.

    Parameters
    ----------
    root : path
        Made if it is not there; must be on one file system, since publishing is a rename.
    """

    def __init__(self, root):
        if not str(root or ""):
            raise UserError("store is empty: name the folder that keeps artifacts, store=DIR")
        self.root = Path(root).expanduser().absolute()
        try:
            (self.root / SCRATCH).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write in the store {self.root} ({error.strerror}): give store=DIR, a "
                "folder that you may write in"
            ) from error

    @classmethod
    def looked_at(cls, root):
        """A store that is only read: nothing is made, not even the folder."""
        if not str(root or ""):
            raise UserError("store is empty: name the folder that keeps artifacts, store=DIR")
        store = cls.__new__(cls)
        store.root = Path(root).expanduser().absolute()
        return store

    def folder(self, stage, key, code):
        """Return where an artifact lies, or would lie."""
        return self.root / stage / key[:20] / code[:12]

    def find(self, stage, key, code):
        """Return the whole artifact at this place, or None; nothing is changed."""
        found = read_artifact(self.folder(stage, key, code))
        whole = found is not None and found.is_at(stage, key, code) and found.looks_whole()
        return found if whole else None

    def take(self, stage, key, code):
        """As `find`, for use: ``store gc`` lets be what was taken lately."""
        found = self.find(stage, key, code)
        return found if found is not None and _mark_used(found.folder) else None

    def find_anew(self, stage, key, code):
        """As `find`, and never by what this machine remembers of a network file system.

        A change of one's own to a folder makes the client ask the server for the rest of it.
        """
        parent = self.folder(stage, key, code).parent
        parent.mkdir(parents=True, exist_ok=True)
        probe = parent / f"{code[:12]}{LOOK}-{uuid.uuid4().hex[:8]}"
        probe.mkdir()
        probe.rmdir()
        return self.find(stage, key, code)

    def place_of(self, folder):
        """Name an artifact's folder relative to the store: ``stage/key/code``."""
        return "/".join(Path(folder).parts[-3:])

    def lease_path(self, stage, key, code):
        """Return where the lease of an artifact in the making lies."""
        return self.root / LEASES / f"{stage}-{key[:20]}-{code[:12]}"

    def register(self, name, entry):
        """Note a run in the register; what registered runs use is not freed."""
        (self.root / RUNS).mkdir(exist_ok=True)
        write_json(self.root / RUNS / f"{name}.json", entry)

    def registered(self, name):
        """Return the places of the artifacts that a run in the register uses."""
        try:
            entry = json.loads((self.root / RUNS / f"{name}.json").read_text(encoding="utf-8"))
            return frozenset(entry["artifacts"])
        except (OSError, ValueError, KeyError, TypeError):
            return frozenset()

    def artifacts(self):
        """Yield every artifact with an undamaged manifest."""
        for folder in artifact_folders(self.root):
            if (found := read_artifact(folder)) is not None:
                yield found

    def siblings(self, stage, key, code):
        """Return the manifests of the same key made by other code."""
        others = self.folder(stage, key, code).parent.glob(f"*/{MANIFEST}")
        found = (read_sealed(p) for p in others if p.parent.name != code[:12])
        return [manifest for manifest in found if manifest is not None]

    def scratch(self):
        """Return a fresh empty folder on the store's own file system, with its owner beside it."""
        folder = self.root / SCRATCH / uuid.uuid4().hex
        write_json(folder.with_suffix(OWNER), me())
        folder.mkdir()
        return folder

    def clear(self, scratch):
        """Remove a scratch folder, if it is still there, and the name of its owner."""
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.with_suffix(OWNER).unlink(missing_ok=True)

    def work(self, stage, key, code):
        """Return the private folder of an artifact in the making; it survives a kill.

        What a former process left is adopted: renamed, so that one that was only taken for dead
        finds its folder gone, and never writes into that of its successor.
        """
        folder = self.folder(stage, key, code)
        own = folder.with_name(f"{folder.name}{WORK}-{uuid.uuid4().hex[:8]}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        for former in sorted(self.works(folder), key=_modified, reverse=True):
            try:
                os.rename(former, own)
                return own
            except FileNotFoundError:
                continue
        own.mkdir()
        return own

    def works(self, folder):
        """List the folders in which unfinished attempts at an artifact may be gone on with."""
        return list(folder.parent.glob(f"{folder.name}{WORK}*"))

    def clear_beside(self, folder):
        """Remove what attempts left beside a finished artifact."""
        for left in [*self.works(folder), *folder.parent.glob(f"{folder.name}{LOOK}*")]:
            shutil.rmtree(left, ignore_errors=True)

    def publish(self, scratch, place, manifest):
        """Turn a scratch folder into an artifact in one rename; the first rename wins.

        Every file is digested and flushed to disk before the rename, so that a crash leaves
        nothing that looks finished.

        Parameters
        ----------
        scratch : Path
            As of :meth:`scratch`.
        place : (str, str, str)
            Stage, key and digest of the code.
        manifest : dict
            With the same ``stage``, ``key`` and ``code``.

        Returns
        -------
        artifact : Artifact
            Of whoever was first.
        """
        folder = self.folder(*place)
        manifest = manifest | {"files": describe(scratch)}
        write_sealed(scratch / MANIFEST, manifest)
        with ThreadPoolExecutor(16) as pool:  # a disk waits for many files as long as for one
            list(pool.map(_flush, (scratch, *scratch.rglob("*"))))
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(scratch, folder)
        except OSError:
            if self.find_anew(*place) is None:
                raise
        self.clear(scratch)
        _flush(folder.parent)
        return self.find_anew(*place)

    def discard(self, folder):
        """Take an artifact out of the store at once, then free its space."""
        grave = self.root / SCRATCH / f"discarded-{uuid.uuid4().hex}"
        try:
            os.rename(folder, grave)
        except FileNotFoundError:
            return
        shutil.rmtree(grave, ignore_errors=True)


def inside(root):
    """What lies in the folders of keys: artifacts, their records, unfinished work."""
    stages = [p for p in listed(root) if p.name not in OURS and p.is_dir()]
    keys = [p for stage in stages for p in listed(stage) if p.is_dir()]
    return [p for key in keys for p in listed(key)]


def artifact_folders(root):
    """Folders that are artifacts, or are in the place of one."""
    return [p for p in inside(root) if "." not in p.name and p.is_dir()]


def describe(folder):
    """Describe every file below a folder but its manifest, by name; see :func:`describe_file`."""
    return {name: describe_file(Path(folder) / name) for name in _names(folder)}


def _mark_used(folder):
    """Say when an artifact was last used, by its folder's time; False if it went meanwhile."""
    try:
        os.utime(folder)
    except FileNotFoundError:
        return False
    except OSError:  # a store that is only read
        pass
    return True


def _modified(folder):
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _flush(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class RawDigests:
    """sha256 of files outside the store, remembered by path, size and modification time."""

    def __init__(self, path):
        self.path = Path(path)
        self.known = (read_sealed(self.path) or {}).get("known", {})

    def of(self, paths):
        """Digest files, and every file below folders, by place in the list and name below it.

        Parameters
        ----------
        paths : iterable of path
            In a meaningful order. Where they lie is not part of the result: a moved data set
            keeps its digests.

        Returns
        -------
        digests : dict of str to str
        """
        before = len(self.known)
        out = {name: self.one(path) for name, path in named_files(paths)}
        if len(self.known) != before:
            write_sealed(self.path, {"known": self.known})
        return out

    def unread(self, paths):
        """List the files, of those that `of` would digest, whose digests are not remembered."""
        return [p for _, p in named_files(paths) if _state(p) not in self.known]

    def one(self, path):
        """Return the sha256 of one file, or of all that lies below a folder."""
        path = Path(path)
        if path.is_dir():
            return digest(self.of([path]))
        state = _state(path)
        if state not in self.known:
            self.known[state] = file_digest(path)
        return self.known[state]


def named_files(paths):
    """Yield (place in the list and name below it, file) of files and of all files in folders."""
    for place, root in enumerate(map(Path, paths)):
        below = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
        base = root if root.is_dir() else root.parent
        yield from ((f"{place}/{p.relative_to(base).as_posix()}", p) for p in below)


def _state(path):
    path = Path(path)
    stat = path.stat()
    return f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}"
