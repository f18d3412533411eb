"""The store: every artifact is a folder that is whole or absent."""

import fnmatch
import functools
import json
import os
import shutil
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from neurodecode.core.claims import check_manifest
from neurodecode.core.documents import read_json
from neurodecode.core.errors import DamagedArtifact, UserError
from neurodecode.core.key import digest, file_digest

MANIFEST = "manifest.json"


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

    def looks_whole(self):
        """Say whether every file is there with its size; reading checks the bytes as well."""
        paths = ((self.folder / n, f["size"]) for n, f in self.files.items())
        return all(p.is_file() and p.stat().st_size == size for p, size in paths)


def read_artifact(folder):
    """Return the artifact that a folder's manifest describes, or None where there is none."""
    try:
        manifest = read_json(folder / MANIFEST)
        check_manifest(manifest, folder / MANIFEST)
    except (OSError, ValueError, UserError):
        return None
    return Artifact(folder, manifest)


def _below(files, name):
    return [n for n in files if n.startswith(name.rstrip("/") + "/")]


_checked = set()


def check_file(artifact, name):
    """Compare a file with its digest, once per process and per state of the file."""
    path = artifact.folder / name
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise DamagedArtifact(artifact, name) from None
    state = (str(path), stat.st_size, stat.st_mtime_ns)
    if state not in _checked:
        if file_digest(path) != artifact.files[name]["sha256"]:
            raise DamagedArtifact(artifact, name)
        _checked.add(state)


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
            (self.root / "scratch").mkdir(parents=True, exist_ok=True)
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
        """Return the whole artifact at this place, or None; what is not whole is cleared away."""
        found, folder = self.look(stage, key, code), self.folder(stage, key, code)
        if found is None and folder.exists():
            self.discard(folder)
        return found

    def look(self, stage, key, code):
        """Return the whole artifact at this place, or None, and change nothing."""
        found = read_artifact(self.folder(stage, key, code))
        return found if found is not None and found.looks_whole() else None

    def siblings(self, stage, key, code):
        """Return the manifests of the same key made by other code."""
        others = self.folder(stage, key, code).parent.glob(f"*/{MANIFEST}")
        return [
            json.loads(p.read_text(encoding="utf-8")) for p in others if p.parent.name != code[:12]
        ]

    def scratch(self):
        """Return a fresh empty folder on the store's own file system."""
        return Path(tempfile.mkdtemp(dir=self.root / "scratch"))

    def work(self, stage, key, code):
        """Return the private folder of an artifact in the making; it survives a kill."""
        folder = self.folder(stage, key, code).with_suffix(".work")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, scratch, folder, manifest):
        """Turn a scratch folder into an artifact in one rename; the first rename wins.

        Every file is digested and flushed to disk before the rename, so that a crash leaves
        nothing that looks finished.
        """
        manifest = manifest | {"files": describe(scratch)}
        write_json(scratch / MANIFEST, manifest)
        with ThreadPoolExecutor(16) as pool:  # a disk waits for many files as long as for one
            list(pool.map(_flush, (p for p in scratch.rglob("*") if p.is_file())))
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(scratch, folder)
        except OSError:
            if not (folder / MANIFEST).is_file():
                raise
            shutil.rmtree(scratch)
        _flush(folder.parent)
        return Artifact(folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))

    def discard(self, folder):
        """Take an artifact out of the store at once, then free its space."""
        grave = self.root / "scratch" / f"discarded-{uuid.uuid4().hex}"
        try:
            os.rename(folder, grave)
        except FileNotFoundError:
            return
        shutil.rmtree(grave, ignore_errors=True)


def describe(folder):
    """Return ``{name: {"sha256", "size"}}`` of every file below a folder but its manifest."""
    own = Path(folder) / MANIFEST
    paths = sorted(p for p in Path(folder).rglob("*") if p.is_file() and p != own)
    return {
        p.relative_to(folder).as_posix(): {"sha256": file_digest(p), "size": p.stat().st_size}
        for p in paths
    }


def write_json(path, obj):
    """Write JSON for people and machines: sorted, indented, in one replace."""
    temporary = Path(f"{path}.{uuid.uuid4().hex[:8]}.part")
    text = json.dumps(obj, indent=1, sort_keys=True, ensure_ascii=False, default=str)
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)


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
        try:
            self.known = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self.known = {}

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
            write_json(self.path, self.known)
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
