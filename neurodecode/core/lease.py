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
LENGTH = 256  # bytes of a lease, so that counting changes no size


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
    handle = _acquire(path, is_done, ttl_s, poll_s, on_wait)
    if handle is None:
        yield False
        return
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(handle, stop), daemon=True)
    beating.start()
    try:
        yield True
    finally:
        stop.set()
        beating.join()
        os.close(handle)
        if _is_mine(holder_of(path)):
            path.unlink(missing_ok=True)


def _acquire(path, is_done, ttl_s, poll_s, on_wait):
    seen, since, given_back = None, time.monotonic(), None
    while True:
        if is_done():
            if given_back is not None:  # its holder may have let go just while it was away
                take_away(path, given_back)
            return None
        if (handle := _create(path)) is not None:
            if not is_done():  # the former holder may have finished between the two looks
                return handle
            os.close(handle)
            path.unlink(missing_ok=True)
            return None
        holder = holder_of(path)
        if holder is None and not _spoilt(path, since, ttl_s):  # gone, or not to be seen yet
            time.sleep(poll_s / 10)
            continue
        if holder is None:
            take_away(path, None)
            continue
        if on_wait is not None:
            on_wait(holder)
            on_wait = None
        if holder != seen:
            seen, since = holder, time.monotonic()
        if is_dead(holder) or time.monotonic() - since > ttl_s:
            given_back = take_away(path, holder) or given_back
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
    return _is_mine(holder_of(Path(path)))


def bury(path):
    """Take away the lease of a process of this host that is gone; say whether there was one."""
    holder = holder_of(Path(path))
    dead = holder is not None and is_dead(holder)
    if dead:
        take_away(Path(path), holder)
    return dead


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


def _content(count):
    return json.dumps(me() | {"count": count}).ljust(LENGTH).encode()


def _create(path):
    """Make the lease, exclusively; return it open for the heart-beat, or None: it is there."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        os.pwrite(handle, _content(0), 0)
        os.fsync(handle)
        os.link(temporary, path)  # exclusive and complete at once, on NFS too
        return handle
    except FileExistsError:
        os.close(handle)
        return None
    finally:
        os.unlink(temporary)


def holder_of(path):
    """Who holds a lease; None: nobody, or it cannot be told from what stands there."""
    try:
        holder = json.loads(path.read_text())
        return holder if {"host", "pid", "started"} <= set(holder) else None
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _spoilt(path, since, ttl_s):
    """Whether a lease lies there that nobody can read, longer than a lease lives unchanged."""
    return time.monotonic() - since > ttl_s and path.exists()


def _is_mine(holder):
    return holder is not None and {k: holder[k] for k in ("host", "pid", "started")} == me()


def _beat(handle, stop):
    """Count in the file that was made, not at its path: another's lease is never written over."""
    count = 0
    while not stop.wait(BEAT_S):
        count += 1
        try:
            os.pwrite(handle, _content(count), 0)
            os.fsync(handle)
        except OSError:  # stolen, and the file system forgot it
            return


def take_away(path, holder):
    """Take away the lease of this holder; what was somebody else's by now is given back, and said.

    Renaming is by name, whoever holds it: so it is looked at afterwards.
    """
    grave = path.with_name(f"{path.name}.dead-{uuid.uuid4().hex[:8]}")
    try:
        os.rename(path, grave)
    except FileNotFoundError:
        return None
    taken = holder_of(grave)
    if taken != holder:
        with contextlib.suppress(FileExistsError):
            os.link(grave, path)
    grave.unlink()
    return None if taken == holder else taken
