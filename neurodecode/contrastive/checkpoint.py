"""States of a training on disk: whole or noticed.

A file is what torch writes, and the sha256 of it in the last 32 bytes. It is written under a name
of its own and renamed, so that a kill leaves the old state or the new one; bytes that changed since
are noticed before anything is parsed.
"""

import hashlib
import io
import logging
import mmap
import os
import re
import socket
import uuid
from pathlib import Path

import torch

N_DIGEST = 32
PART = re.compile(r".*\.(?P<host>[^.]+)\.(?P<pid>\d+)\.[0-9a-f]{32}\.part")
log = logging.getLogger("neurodecode")


def save(state: dict, path: Path) -> None:
    """Write tensors and plain values to a file, all of it or nothing."""
    part = path.with_name(f"{path.name}.{_host()}.{os.getpid()}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "wb") as file:
            digested = _Digested(file)
            torch.save(state, digested)
            file.write(digested.sha256.digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path, device) -> dict | None:
    """Read a state back, to a device; None, and a warning, if there is none that is whole.

    Only tensors and plain values are read (`weights_only`), and nothing of a file whose bytes are
    not those that were written.
    """
    _sweep(path)
    if not path.exists():
        return None
    if path.stat().st_size <= N_DIGEST:
        return _damaged(path)
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole,
        memoryview(whole) as view,
        view[:-N_DIGEST] as body,
    ):
        if hashlib.sha256(body).digest() != whole[-N_DIGEST:]:
            return _damaged(path)
        return torch.load(_Slice(body), map_location=device, weights_only=True)


def _damaged(path):
    log.warning("%s is damaged (its bytes are not those written): training starts anew", path)
    return None


def _sweep(path):
    """Remove what processes of this host left half-written when they were killed."""
    for part in path.parent.glob(f"{path.name}.*.part"):
        made = PART.fullmatch(part.name)
        if made and made["host"] == _host() and not _lives(int(made["pid"])):
            part.unlink(missing_ok=True)


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _host():
    return re.sub(r"[^\w-]", "_", socket.gethostname())


class _Digested(io.RawIOBase):
    """A file that is digested while it is written, in order."""

    def __init__(self, file):
        self.file, self.sha256 = file, hashlib.sha256()

    def writable(self):
        return True

    def write(self, data):
        self.sha256.update(data)
        return self.file.write(data)


class _Slice(io.RawIOBase):
    """A file that lies in a part of the memory."""

    def __init__(self, view):
        self.view, self.place = view, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        self.place = offset + {0: 0, 1: self.place, 2: len(self.view)}[whence]
        return self.place

    def tell(self):
        return self.place

    def readinto(self, buffer):
        n = max(0, min(len(buffer), len(self.view) - self.place))
        memoryview(buffer).cast("B")[:n] = self.view[self.place : self.place + n]
        self.place += n
        return n
