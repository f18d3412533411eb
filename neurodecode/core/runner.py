"""Walk an experiment's stages: reuse what is there, compute what is not, heal what is damaged."""

import dataclasses
import functools
import importlib.metadata
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from neurodecode import __version__
from neurodecode.core.blocks import file_damage
from neurodecode.core.build import check_targets, targets
from neurodecode.core.checks import dataclass_from, typed
from neurodecode.core.errors import ConfigError, DamagedArtifact, UserError
from neurodecode.core.fingerprint import fingerprint, moved
from neurodecode.core.key import digest, keyed_fields, stage_key
from neurodecode.core.lease import holds, lease
from neurodecode.core.progress import log
from neurodecode.core.resources import explained
from neurodecode.core.sealed import write_json
from neurodecode.core.stage import load_stage
from neurodecode.core.state import RunState
from neurodecode.core.store import MANIFEST, RawDigests, Store
from neurodecode.core.views import Folder, View

LIBRARIES = "numpy scipy torch nilearn nibabel mne scikit-learn himalaya open_clip_torch diffusers"
HEALINGS = 5
PRODUCTS = ("report.html", "score_card.json", "figures.json", "metrics.tsv", "comparisons.tsv")


class Pipeline:
    """One experiment on one store.

    Parameters
    ----------
    config : dict
        ``stages`` (list of names), ``subjects`` (list or None: all), and one node per stage.
    store : Store
    hardware : dict
        What changes the last bits of the numbers: ``{"device": "cpu", "threads": 2}``.
    run_folder : path or None
        Where ``run.json`` says at any time what is done, and where the products are copied.

    Raises
    ------
    ConfigError
        Before anything is computed: unknown stages, keys and targets, values of the wrong type.
    """

    def __init__(self, config, store, hardware, run_folder=None):
        if not typed(config["stages"], list[str], "stages"):
            raise ConfigError("stages: expected a list of stages, got []")
        self.stages = [load_stage(name) for name in config["stages"]]
        self.configs = {s.name: _typed_config(s, config) for s in self.stages}
        self.stages = [s for s in self.stages if s.applies(self.configs[s.name])]
        self.subjects = config.get("subjects")
        self.config, self.store, self.hardware = config, store, hardware
        self.artifacts, self.records = {}, {}
        self.memory = config.get("memory", "full")
        self.run_folder = Path(run_folder) if run_folder else None
        self.raw = RawDigests(store.root / "raw_digests.json")
        self.code = {s.name: _code(s, self.configs[s.name]) for s in self.stages}
        self.state = RunState(run_folder, store, config, [s.name for s in self.stages])
        _check_order(self.stages)

    def run(self):
        """Run every stage; return ``{stage: Artifact or {subject: Artifact}}``."""
        self.state.start()
        try:
            for stage in self.stages:
                self._run_stage(stage)
            self._healed(lambda: self._collect(), self.stages)
        except Exception as error:
            self.state.end("failed", f"{type(error).__name__}: {error}")
            raise
        except BaseException:
            self.state.end("interrupted")
            raise
        self.state.end("done")
        return self.artifacts

    def _run_stage(self, stage):
        before = self.stages[: self.stages.index(stage)]
        if stage.each is None:
            self.artifacts[stage.name] = self._healed(lambda: self._make(stage, None), before)
            return
        self.artifacts[stage.name] = {}
        for member in self._members():
            one = self._healed(lambda: self._make(stage, member), before)  # noqa: B023
            self.artifacts[stage.name][member] = one

    def _members(self):
        if "index" not in self.artifacts:
            raise ConfigError("stages: a stage that runs once per subject needs `index` before it")
        known = View(self.stages[0], self.artifacts).json("index", "subjects.json")
        for subject in self.subjects or ():
            if subject not in known:
                raise ConfigError(f"subjects: {subject!r} is not in the study: {', '.join(known)}")
        return list(self.subjects or known)

    def _healed(self, step, before):
        """Take a step; recompute whatever upstream turns out to be damaged on the way."""
        for _ in range(HEALINGS):
            try:
                return step()
            except DamagedArtifact as error:
                damage = error
                log.warning("%s; now discarded", damage)
                self._discard(damage)
                for stage in before:
                    self._run_stage(stage)
        raise UserError(f"{damage}, {HEALINGS} times over: check the disk")

    def _discard(self, damage):
        """Discard an artifact, if nobody else put a whole one in its place meanwhile."""
        artifact, name = damage.artifact, damage.name
        if file_damage(artifact.folder / name, artifact.files[name]) is not None:
            self.store.discard(artifact.folder)

    def place(self, stage, each):
        """Say where an artifact lies, or would lie, once its inputs are in ``self.artifacts``.

        Returns
        -------
        place : (str, str, str)
            Stage, key and digest of the code, as :class:`Store` asks for them.
        inputs : dict
            What entered the key of the inputs: digests of their bytes.
        """
        config, code = self.configs[stage.name], self.code[stage.name]
        inputs = {n.stage: self._input_digest(n, each) for n in _present(stage, self.artifacts)}
        if stage.external is not None:
            inputs["external"] = digest(self.raw.of(stage.external(config)))
        name = stage.name if each is None else f"{stage.name}/{each}"
        return (stage.name, stage_key(name, config, inputs, self.hardware), digest(code)), inputs

    def _make(self, stage, each):
        place, inputs = self.place(stage, each)
        found = self.store.find(*place)
        if found is None:
            found = self._compute_once(stage, each, place, inputs)
        else:
            self._tell(stage, each, "cached", found)
        self.records[stage.name, each] = read_record(found.folder)
        return found

    def _input_digest(self, need, each):
        found, pattern = self.artifacts[need.stage], need.pattern.replace("{each}", str(each))
        if not isinstance(found, dict):
            return found.digest(pattern)
        chosen = {each: found[each]} if each in found else found
        return {member: artifact.digest(pattern) for member, artifact in chosen.items()}

    def _compute_once(self, stage, each, place, inputs):
        path = self.store.lease_path(*place)
        done = lambda: self.store.find(*place) is not None
        wait = lambda who: log.info(
            "  %s: waiting for process %s on %s", stage.name, who["pid"], who["host"].split("/")[0]
        )
        while True:  # what others finished may be damaged, and gone, before it is looked at
            with lease(path, done, on_wait=wait) as held:
                if held:
                    try:
                        return self._compute(stage, each, place, inputs)
                    except Exception:
                        if holds(path):
                            raise
                        log.warning("  %s: taken for dead, and another goes on", stage.name)
            found = self.store.find(*place)
            if found is not None:
                return found

    def _compute(self, stage, each, place, inputs):
        code = self.code[stage.name]
        for old in self.store.siblings(*place)[:1]:
            log.info("  %s: code changed in %s", stage.name, ", ".join(moved(old["code"], code)))
        log.info("▸ %s", _label(stage, each))
        self.store.discard(self.store.folder(*place))  # what lies there is not whole
        self.state.begin(stage.name, each)
        sealed = {s.name: s.sealed for s in self.stages if s.name != stage.name}
        view = View(stage, self.artifacts, each, self.records, sealed, self.raw.one)
        scratch, started = self.store.scratch(), time.monotonic()
        try:
            work = functools.cache(lambda: self.store.work(*place))
            out = Folder(scratch, work, self.state.progress)
            stage(self.configs[stage.name], view, out)
            manifest = self._manifest(stage, each, place, inputs)
            artifact = self.store.publish(scratch, self.store.folder(*place), manifest)
        except Exception as error:
            told = explained(error, self.store.root, self.memory)
            if told is None:
                raise
            raise told from error
        finally:
            self.store.clear(scratch)
        _write_record(artifact.folder, time.monotonic() - started, view.openings)
        for left in self.store.works(artifact.folder):
            shutil.rmtree(left, ignore_errors=True)
        self._tell(stage, each, "computed", artifact)
        return artifact

    def _manifest(self, stage, each, place, inputs):
        return {
            "stage": stage.name,
            "each": each,
            "key": place[1],
            "config": keyed_fields(self.configs[stage.name]),
            "inputs": inputs,
            "hardware": self.hardware,
            "code": self.code[stage.name],
            "commit": commit(),
            "versions": versions(),
        }

    def _tell(self, stage, each, state, artifact):
        record = read_record(artifact.folder)
        after = "" if state == "cached" else f"  {record.get('seconds', 0):.1f} s"
        log.info(
            "%s %s  %s%s", "·" if state == "cached" else "✓", _label(stage, each), state, after
        )
        event = {"stage": stage.name, "each": each, "state": state, "folder": str(artifact.folder)}
        self.state.finish(event | {"digest": artifact.digest()} | record)

    def _collect(self):
        """Copy what people open into the run folder."""
        whole = [a for a in self.artifacts.values() if not isinstance(a, dict)]
        for artifact in whole if self.run_folder else ():
            for name in (n for n in PRODUCTS if n in artifact.files):
                shutil.copyfile(artifact.path(name), self.run_folder / name)


def run_stage(stage, config, upstream, store, each=None, hardware=None):
    """Run one stage on given inputs and return its Artifact: for tests and notebooks.

    Parameters
    ----------
    stage : Stage
    config : dict
        The stage's node, checked like a YAML one.
    upstream : dict
        ``{stage name: Artifact}`` or ``{stage name: {subject: Artifact}}``.
    store : Store
    each : str or None
        The subject, if the stage runs once per subject.
    """
    node = {"stages": [stage.module], stage.name: config}
    one = Pipeline.__new__(Pipeline)
    one.stages, one.configs = [stage], {stage.name: _typed_config(stage, node)}
    one.store, one.hardware, one.run_folder = store, hardware or {"device": "cpu"}, None
    one.artifacts, one.records, one.subjects = dict(upstream), {}, None
    one.state = RunState(None, store, node, [stage.name])
    one.memory = "full"
    one.raw = RawDigests(store.root / "raw_digests.json")
    one.code = {stage.name: _code(stage, one.configs[stage.name])}
    return one._make(stage, each)


def _typed_config(stage, config):
    node = config.get(stage.name) or {}
    check_targets(node, stage.name)
    return dataclass_from(node, stage.config, stage.name)


def _code(stage, config):
    """Digest the code of a stage and of its choices, also of those that nobody wrote down."""
    return fingerprint(stage.module, targets(dataclasses.asdict(config)))


def _check_order(stages):
    names = [s.name for s in stages]
    if len(set(names)) < len(names):
        raise ConfigError(f"stages: one stage is named twice in {', '.join(names)}")
    for i, stage in enumerate(stages):
        for need in stage.inputs:
            if not need.optional and need.stage not in names[:i]:
                raise ConfigError(f"stages: {stage.name} needs {need.stage} before it")


def _present(stage, artifacts):
    return [n for n in stage.inputs if n.stage in artifacts]


def _label(stage, each):
    return f"{stage.name} {each}" if each else stage.name


def _record_path(folder):
    return folder.with_suffix(".record.json")


def read_record(folder):
    """Return how an artifact was made (seconds, peak_mib, host, test openings); may be empty."""
    import json

    try:
        return json.loads(_record_path(folder).read_text())
    except (FileNotFoundError, ValueError):
        return {}


def _write_record(folder, seconds, openings):
    scale = 1024 if sys.platform != "darwin" else 1024**2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    record = {"seconds": round(seconds, 2), "peak_mib": round(peak), "host": socket.gethostname()}
    write_json(_record_path(folder), record | {"pid": os.getpid(), "test_openings": openings})


def versions():
    """Return the versions of Python and of the libraries that decide numbers."""
    found = {"python": platform.python_version(), "neurodecode": __version__}
    for name in LIBRARIES.split():
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit():
    """Return the commit of the checkout that runs, with ``+changes`` if it is not clean; or ""."""
    here = Path(__file__).parent
    if not (here.parents[1] / ".git").exists():
        return ""
    git = lambda *a: subprocess.run(["git", "-C", here, *a], capture_output=True, text=True).stdout
    return git("rev-parse", "--short=12", "HEAD").strip() + (
        "+changes" if git("status", "--porcelain", "-uno") else ""
    )


__all__ = ["MANIFEST", "Pipeline", "Store", "commit", "run_stage", "versions"]
