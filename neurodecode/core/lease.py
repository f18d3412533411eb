"""One process computes an artifact, the others wait: leases as files, without a database."""

import contextlib
import functools
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path

BEAT_S = 10.0


@contextlib.contextmanager
def lease(path, is_done, ttl_s=300.0, poll_s=0.5, on_wait=None):
    """Hold the lease at `path`, or learn that the work was done meanwhile.

    Parameters
    ----------
    path : path
        The lease file; created exclusively, with a counter that beats while it is held.
    is_done : callable () -> bool
        Whether another process has finished the work.
    ttl_s : float
        A holder on another host whose counter stands still for this long, by the waiter's own
        clock, is taken for dead. On this host the process itself is asked.
    poll_s : float
        Seconds between looks.
    on_wait : callable (holder) or None
        Called once if somebody else holds the lease.

    Yields
    ------
    held : bool
        True: do the work. False: it is done.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = _acquire(path, is_done, ttl_s, poll_s, on_wait)
    stop = threading.Event()
    if held:
        threading.Thread(target=_beat, args=(path, stop), daemon=True).start()
    try:
        yield held
    finally:
        stop.set()
        if held:
            _release(path)


def _acquire(path, is_done, ttl_s, poll_s, on_wait):
    seen, since = None, time.monotonic()
    while True:
        if is_done():
            return False
        if _create(path):
            if not is_done():  # the former holder may have finished between the two looks
                return True
            _release(path)
            return False
        holder = _read(path)
        if holder is None:
            continue
        if on_wait is not None:
            on_wait(holder)
            on_wait = None
        if holder != seen:
            seen, since = holder, time.monotonic()
        if is_dead(holder) or time.monotonic() - since > ttl_s:
            _steal(path, holder)
        else:
            time.sleep(poll_s)


def me():
    """Return who this process is, for others: ``host``, ``pid`` and ``started``.

    A host is a kernel since its last start, and the table of processes that a container sees.
    """
    pid = os.getpid()
    return {"host": _host(), "pid": pid, "started": _started(pid)}


def holds(path):
    """Say whether this process holds the lease, or has lost it to one that took it for dead."""
    return _is_mine(_read(Path(path)))


def is_dead(holder):
    """Say whether a process on this host, as of :func:`me`, is gone; of others nobody knows."""
    return holder["host"] == _host() and _started(holder["pid"]) != holder["started"]


@functools.cache
def _host():
    name = socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        return f"{name}/{boot}/{os.readlink('/proc/self/ns/pid')[5:-1]}"
    except OSError:
        return name


def _started(pid):
    """Return the kernel's start time of a process, None if it is gone, "" where unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        if Path("/proc/self").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def _write(path, content):
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    temporary.write_text(json.dumps(content))
    return temporary


def _create(path):
    temporary = _write(path, me() | {"count": 0})
    try:
        os.link(temporary, path)  # exclusive and complete at once, on NFS too
        return True
    except FileExistsError:
        return False
    finally:
        temporary.unlink()


def _read(path):
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _is_mine(holder):
    return holder is not None and {k: holder[k] for k in ("host", "pid", "started")} == me()


def _beat(path, stop):
    count = 0
    while not stop.wait(BEAT_S):
        count += 1
        if not _is_mine(_read(path)):
            return
        os.replace(_write(path, me() | {"count": count}), path)


def _steal(path, holder):
    grave = path.with_name(f"{path.name}.dead-{uuid.uuid4().hex[:8]}")
    try:
        os.rename(path, grave)
    except FileNotFoundError:
        return
    taken = _read(grave)
    if taken != holder:  # somebody else was quicker and holds it by now: give it back
        with contextlib.suppress(FileExistsError):
            os.link(grave, path)
    grave.unlink()


def _release(path):
    if _is_mine(_read(path)):
        path.unlink(missing_ok=True)
