"""Verify a run: recompute the chain from the raw files to the report, and name what does not hold.

Nothing is written and nothing remembered is believed: every byte of every artifact is read, raw
files are digested anew, and each key is computed again from what its inputs are now.
"""

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.blocks import file_damage
from neurodecode.core.errors import ConfigError, UserError
from neurodecode.core.findings import AGAIN, Finding, Verdict
from neurodecode.core.fingerprint import moved
from neurodecode.core.finished import read_state
from neurodecode.core.key import canonical, digest, file_digest, keyed_fields
from neurodecode.core.lease import is_dead
from neurodecode.core.progress import progress
from neurodecode.core.runner import PRODUCTS, Pipeline
from neurodecode.core.state import STATE
from neurodecode.core.store import (
    MANIFEST,
    Artifact,
    RawDigests,
    Store,
    damages,
    named_files,
    read_artifact,
)

N_READERS = 8  # a disk serves several files as fast as one


def verify(folder, store=None):
    """Recompute a run's chain of keys and digests from raw files to products.

    Parameters
    ----------
    folder : path
        Of the run, with its run.json.
    store : path, optional
        Where the store lies now, if it was moved.

    Returns
    -------
    verdict : Verdict

    Raises
    ------
    UserError
        If this is no folder of a run, or its store is not there.
    """
    folder = Path(folder).expanduser()
    state = read_state(folder)
    root = _store_of(folder, state, store)
    verdict = Verdict(
        folder.absolute(),
        root,
        str((state.get("config") or {}).get("name", "")),
        state["status"],
        state.get("at", ""),
        _remark(state),
    )
    places = _places(state, root)
    read = _read_all(places, verdict)
    chain = _Chain(state, root, places, read, verdict)
    chain.follow()
    _check_products(folder, chain, verdict)
    return verdict


def _store_of(folder, state, store):
    root = Path(store or state.get("store", "")).expanduser().absolute()
    if not root.is_dir():
        asked = "there is no such folder" if store else "that is no longer there"
        raise UserError(
            f"{folder}: its store is {root}, and {asked}: say where the store is now, --store DIR"
        )
    return root


def _remark(state):
    if state["status"] == "done":
        return ""
    reached = _label(*_of(state["done"][-1])) if state["done"] else "nothing"
    error = f" ({state['error']})" if state.get("error") else ""
    status = "killed" if state["status"] == "running" and _is_gone(state) else state["status"]
    return f"{status}{error}; it has come to {reached}, and only that can be verified"


def _is_gone(state):
    """Whether the process of a run that says it is running is no more."""
    return "holder" in state and is_dead(state["holder"])


def _of(event):
    return event["stage"], event["each"]


def _label(stage, each):
    return f"{stage} {each}" if each else stage


def _places(state, root):
    """Where each artifact of the run lies in the store, in the order of work."""
    folders = {_of(event): Path(event["folder"]) for event in state["done"]}
    return {which: root.joinpath(*folder.parts[-3:]) for which, folder in folders.items()}


@dataclass(frozen=True)
class _Read:
    """An artifact with the digests that its files have now, and how they differ from written."""

    artifact: Artifact | None
    damages: dict


def _read_all(places, verdict):
    """Read every byte of every artifact, several at a time."""
    found = {}
    with ThreadPoolExecutor(min(N_READERS, 2 * (os.cpu_count() or 1))) as pool:
        jobs = {pool.submit(_read, folder): which for which, folder in places.items()}
        for job in progress(as_completed(jobs), len(jobs), "artifacts read"):
            found[jobs[job]] = job.result()
    for one in found.values():
        files = one.artifact.files if one.artifact else {}
        verdict.n_artifacts += one.artifact is not None
        verdict.n_files += len(files)
        verdict.n_bytes += sum(f["size"] for f in files.values())
    return found


def _read(folder):
    artifact = read_artifact(folder)
    if artifact is None:
        what = "missing" if not folder.exists() else "missing or changed"
        return _Read(None, {"" if what == "missing" else MANIFEST: what})
    damaged = damages(artifact)
    now = {n: f for n, f in artifact.files.items() if n not in damaged}
    for name in damaged:
        path = folder / name
        if path.is_file():
            now[name] = {"sha256": file_digest(path), "size": path.stat().st_size}
    return _Read(Artifact(folder, artifact.manifest | {"files": now}), damaged)


class _Chain:
    """Walks the artifacts in the order of work, computing each key from what its inputs are now."""

    def __init__(self, state, root, places, read, verdict):
        self.places, self.read, self.verdict = places, read, verdict
        self.used = {_of(e): e["digest"] for e in state["done"] if "digest" in e}
        self.wrong = {}  # (stage, each) -> what is wrong with it itself, or what it rests on
        self.artifacts = {}
        self.pipeline = self._pipeline(state, root)

    def _pipeline(self, state, root):
        """The pipeline that the run's configuration makes today; None where it makes none."""
        try:
            pipeline = Pipeline(state.get("config") or {}, Store.looked_at(root), {})
        except (ConfigError, KeyError, ImportError) as error:
            self._say(
                "stale",
                "run",
                "configuration",
                f"the code that is installed cannot read it: {error}",
                "run with the version that made it, or mend the configuration and run again",
                path=str(self.verdict.folder / STATE),
            )
            return None
        remembered = RawDigests(root / "raw_digests.json").known
        pipeline.raw = self.raw = _Anew(remembered)
        return pipeline

    def follow(self):
        """Check every artifact of the run."""
        for (stage, each), one in self.read_in_order():
            if self._check_bytes(stage, each, one) and self.pipeline is not None:
                self._check_making(stage, each, one.artifact)
            self._add(stage, each, one.artifact)
        if self.pipeline is not None:
            self._check_complete()
            self.verdict.n_files += len(self.raw.digests)
            self.verdict.n_bytes += self.raw.n_bytes

    def _check_complete(self):
        """Of a run that is done every stage has its artifacts, of every subject."""
        subjects = {each for _, each in self.places if each is not None}
        for stage in self.pipeline.stages if self.verdict.status == "done" else ():
            for each in sorted(subjects) if stage.each else [None]:
                if (stage.name, each) not in self.places:
                    why = f"it names no {_label(stage.name, each)}"
                    path = str(self.verdict.folder / STATE)
                    self._say("damaged", "run", STATE, why, path=path)

    def read_in_order(self):
        """The artifacts as the run made them."""
        return [(which, self.read[which]) for which in self.places]

    def _upstream(self, stage, each):
        """The inputs of an artifact that are not what they should be."""
        made = self._stage(stage)
        if made is None:
            return []
        needs = {need.stage for need in made.inputs}
        # where a stage has an artifact of this subject, that one alone is read
        other = lambda w: (w[0], each) in self.places and w[1] != each
        return [w for w in self.wrong if w[0] in needs and not other(w)]

    def _stage(self, name):
        stages = self.pipeline.stages if self.pipeline else ()
        return next((s for s in stages if s.name == name), None)

    def _check_bytes(self, stage, each, one):
        """Say what of an artifact is damaged, its place in the store included."""
        where, folder = _label(stage, each), self.places[stage, each]
        for name, what in sorted(one.damages.items()):
            self._say("damaged", where, name or "artifact", what, path=str(folder / name))
        if one.artifact is not None and not _belongs(one.artifact, stage, each):
            why = "it is another artifact than its folder's name says"
            self._say("damaged", where, MANIFEST, why, path=str(folder / MANIFEST))
        elif not one.damages:
            if self.used.get((stage, each), one.artifact.digest()) != one.artifact.digest():
                self._stale(stage, each, "artifact", "it has other bytes than the run made or read")
            return True
        self.wrong[stage, each] = "damaged"
        return False

    def _check_making(self, stage, each, artifact):
        """Compare what an artifact was made from with today's code, configuration and inputs."""
        made, manifest = self._stage(stage), artifact.manifest
        if made is None:
            self._stale(stage, each, "configuration", "run.json no longer names this stage")
            return
        if names := moved(manifest["code"], self.pipeline.code[stage]):
            self._stale(stage, each, "code", f"it changed in {', '.join(names)}")
        self._check_config(stage, each, manifest)
        self._check_raw(stage, each, manifest, made)
        upstream = self._upstream(stage, each)
        if (stage, each) in self.wrong:
            return
        if upstream:
            why = f"rests on {', '.join(_label(*w) for w in upstream)}"
            self._say("rests", _label(stage, each), "inputs", why)
            self.wrong[stage, each] = "rests"
        else:
            self._check_key(stage, each, manifest, made)

    def _check_key(self, stage, each, manifest, made):
        """Compute the key again, from what the inputs are now."""
        pipeline = self.pipeline
        pipeline.artifacts, pipeline.hardware = self.artifacts, manifest["hardware"]
        (_, key, _), inputs = pipeline.place(made, each)
        before = manifest["inputs"]
        for name in sorted(before.keys() | inputs.keys()):
            if name not in inputs:
                self._stale(stage, each, f"input {name}", "it is an input no more")
            elif name not in before:
                self._stale(stage, each, f"input {name}", "it was no input then")
            elif before[name] != inputs[name]:
                self._stale(stage, each, f"input {name}", "it has other bytes than were read")
        if key != manifest["key"] and (stage, each) not in self.wrong:
            self._stale(stage, each, "key", "today it has another")

    def _check_raw(self, stage, each, manifest, made):
        """Name the files outside the store that changed, came or went."""
        if made.external is None:
            return
        try:
            external = list(made.external(self.pipeline.configs[stage]))
            paths, now = dict(named_files(external)), self.raw.of(external)
        except (OSError, ValueError, UserError) as error:
            todo = "bring the files back, or give the folder where they lie now and run again"
            self._stale(stage, each, "raw files", f"they cannot be read: {error}", todo)
            return
        if digest(now) == manifest["inputs"].get("external"):
            return
        for what, path, todo in self.raw.told(manifest.get("external"), now, paths):
            self._stale(stage, each, f"raw file {path}", what, todo, str(path))
        if (stage, each) not in self.wrong:
            self._stale(stage, each, "raw files", "they are not those that were read")

    def _check_config(self, stage, each, manifest):
        before = manifest["config"]
        now = keyed_fields(self.pipeline.configs[stage])
        names = [n for n in sorted(before.keys() | now.keys()) if _text(before, n) != _text(now, n)]
        for name in names:
            why = f"{_text(before, name)} when it was made, {_text(now, name)} in run.json"
            self._stale(stage, each, f"{stage}.{name}", why)

    def _add(self, stage, each, artifact):
        if artifact is None:
            return
        if each is None:
            self.artifacts[stage] = artifact
        else:
            self.artifacts.setdefault(stage, {})[each] = artifact

    def _stale(self, stage, each, what, why, todo=AGAIN, path=""):
        self.wrong[stage, each] = "stale"
        place = path or str(self.places[stage, each])
        self._say("stale", _label(stage, each), what, why, todo, place)

    def _say(self, kind, where, what, why, todo=AGAIN, path=""):
        self.verdict.findings.append(Finding(kind, where, what, why, todo, path))


def _text(config, name):
    return canonical(config[name]) if name in config else "not there"


def _belongs(artifact, stage, each):
    """Whether a manifest is of the artifact whose folder it lies in; its key is computed again."""
    own = artifact.manifest
    name = stage if each is None else f"{stage}/{each}"
    parts = {"stage": name, "config": own["config"], "inputs": own["inputs"], "on": own["hardware"]}
    key, code = digest(parts), digest(own["code"])
    place = (own["stage"], own["key"][:20], code[:12])
    return (own["each"], own["key"]) == (each, key) and artifact.folder.parts[-3:] == place


class _Anew:
    """Digests of raw files as they are now, each read once; stands in for `RawDigests`."""

    def __init__(self, remembered):
        self.digests, self.n_bytes = {}, 0
        self._before = {}  # path -> digests that it had
        for state, known in remembered.items():
            self._before.setdefault(state.rsplit("|", 2)[0], []).append(known)
        self._known = remembered

    def of(self, paths):
        """Digest files, by the names that `RawDigests.of` gives them."""
        named = dict(named_files(paths))
        todo = sorted({p for p in named.values() if p not in self.digests})
        with ThreadPoolExecutor(N_READERS) as pool:
            found = zip(todo, pool.map(file_digest, todo), strict=True)
            for path, known in progress(found, len(todo), "raw files read"):
                self.digests[path] = known
                self.n_bytes += path.stat().st_size
        return {name: self.digests[path] for name, path in named.items()}

    def told(self, before, now, paths):
        """Yield (what happened, path, what to do) of the raw files that are not as they were.

        Parameters
        ----------
        before : dict of str to str, or None
            Digests when the artifact was made; None: it was made by a version that kept none.
        now, paths : dict
            Digests and files, by the same names.
        """
        if before is None:
            before = {n: self._latest(p, now[n]) for n, p in paths.items()}
        elsewhere = set(before) - set(now)
        for name in sorted(before.keys() | now.keys()):
            if name in elsewhere:
                yield "it is gone", name, "bring it back, or run again without it"
            elif name not in before:
                yield "it is new", paths[name], AGAIN
            elif before[name] != now[name]:
                yield "its bytes changed", paths[name], self._todo(paths[name], now[name])

    def _latest(self, path, now):
        known = self._before.get(str(path.absolute()), [now])
        return now if now in known else known[-1]

    def _todo(self, path, now):
        """A run trusts a raw file's size and time: what changed behind them it does not see."""
        stat = path.stat()
        state = f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}"
        if self._known.get(state, now) == now:
            return AGAIN
        return "its size and time are as before: restore it, or `touch` it and run again"


def _check_products(folder, chain, verdict):
    """Compare the files that a run copied into its folder with those of its artifacts."""
    whole = [a for a in chain.artifacts.values() if not isinstance(a, dict)]
    copied = {n: a for a in whole for n in PRODUCTS if n in a.manifest["files"]}
    for name, artifact in copied.items():
        path = folder / name
        if verdict.status != "done" and not path.exists():
            continue
        verdict.n_files += path.is_file()
        verdict.n_bytes += path.stat().st_size if path.is_file() else 0
        if what := file_damage(path, read_artifact(artifact.folder).files[name]):
            why = f"{what}; the artifact's own is at {artifact.folder / name}"
            verdict.findings.append(Finding("damaged", "run", name, why, AGAIN, str(path)))
