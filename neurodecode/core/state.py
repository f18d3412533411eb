"""What a run's folder, and its store, say of it at any time: done, running, waiting."""

import contextlib
import datetime
import os
import threading
import time
from pathlib import Path

from neurodecode.core.key import digest
from neurodecode.core.lease import me
from neurodecode.core.sealed import write_json

STATE = "run.json"
BEAT_S = 20.0
EVERY_S = 2.0


class RunState:
    """Keeps ``run.json`` in a run's folder, and the run's entry in the register of its store.

    The register is what ``neurodecode store gc`` goes by: what a registered run uses is kept. A run
    without a folder is not registered.

    Parameters
    ----------
    folder : path or None
        Of the run; None: nothing is written.
    store : Store
    config : dict
        As composed; it stands in run.json.
    stages : list of str
        In their order.
    """

    def __init__(self, folder, store, config, stages):
        self.folder = Path(folder).absolute() if folder else None
        self.store, self.config, self.stages = store, config, stages
        self.done, self.running, self.status, self.error = {}, None, "running", None
        self._told, self._ended, self._before = -EVERY_S, threading.Event(), frozenset()

    def start(self):
        """Say that the run has begun; from here on run.json is touched every 20 s.

        What an earlier run in the folder used stays registered until this one is done.
        """
        if self.folder is not None:
            self._before = self.store.registered(self._name())
        self.note("running")
        if self.folder is not None:
            threading.Thread(target=self._beat, daemon=True).start()

    def begin(self, stage, each):
        """Say which stage runs, and for whom."""
        self.running = {"stage": stage, "each": each, "since": _now()}
        self.note("running")

    def progress(self, label, done, total, left_s):
        """Say how far the running stage is; written every two seconds at most."""
        if self.running is None or time.monotonic() - self._told < EVERY_S:
            return
        left_s = None if left_s is None else round(left_s)
        self.running |= {"label": label, "done": done, "total": total, "left_s": left_s}
        with contextlib.suppress(OSError):  # what is computed matters more than what is said of it
            self.note("running")

    def finish(self, event):
        """Take down an artifact: an event with ``stage``, ``each``, ``state`` and ``folder``."""
        known = self.done.get((event["stage"], event["each"]), {})
        again = known.get("folder") == event["folder"] and event["state"] == "cached"
        self.done[event["stage"], event["each"]] = known if again else event
        self.running = None
        self.note("running")

    def end(self, status, error=None):
        """Say how the run ended: ``done``, ``failed`` or ``interrupted``."""
        self._ended.set()
        self.note(status, error)

    def note(self, status, error=None):
        """Write run.json, and the register."""
        self.status, self.error, self._told = status, error, time.monotonic()
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        seen = {stage for stage, _ in self.done} | {(self.running or {}).get("stage")}
        state = {
            "status": status,
            "at": _now(),
            "holder": me(),
            "stages": self.stages,
            "done": list(self.done.values()),
            "running": self.running if status == "running" else None,
            "waiting": [s for s in self.stages if s not in seen],
            "error": error,
            "store": str(self.store.root),
            "config": self.config,
        }
        write_json(self.folder / STATE, state)
        self._register()

    def _name(self):
        return digest(str(self.folder))[:12]

    def _register(self):
        used = {self.store.place_of(e["folder"]) for e in self.done.values()}
        entry = {
            "folder": str(self.folder),
            "st_dev": os.stat(self.folder).st_dev,
            "name": self.config.get("name"),
            "at": _now(),
            "holder": me(),
            "status": self.status,
            "artifacts": sorted(used if self.status == "done" else used | self._before),
        }
        self.store.register(self._name(), entry)

    def _beat(self):
        while not self._ended.wait(BEAT_S):
            with contextlib.suppress(OSError):  # out of reach for now, perhaps
                os.utime(self.folder / STATE)


def _now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
