"""Bytes that are checked when they are read: digests of files, and of the blocks of large ones.

A small file is compared with its digest as a whole when a process first opens it. A large one (a
study's responses) has a digest for every 8 MiB, so that reading some of its rows costs the check of
these rows' blocks alone.
"""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from neurodecode.core.key import file_digest

BLOCK = 8 << 20
WHOLE = 64 << 20  # files up to this size have one digest only


def describe_file(path):
    """Return ``{"sha256", "size"}`` of a file; over 64 MiB also ``"blocks"``, one sha256 per 8 MiB.

    The file is read once.
    """
    size = os.stat(path).st_size
    if size <= WHOLE:
        return {"sha256": file_digest(path), "size": size}
    whole, blocks = hashlib.sha256(), []
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            whole.update(block)
            blocks.append(hashlib.sha256(block).hexdigest())
    return {"sha256": whole.hexdigest(), "size": size, "blocks": blocks}


def file_damage(path, described):
    """Read a whole file and say how it differs from what was described; None: it does not.

    Parameters
    ----------
    path : path
    described : dict
        As of :func:`describe_file`.

    Returns
    -------
    damage : str or None
        ``"missing"``, ``"10 bytes instead of 20"``, ``"bytes changed"``, or which blocks did.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != described["size"]:
                return f"{size} bytes instead of {described['size']}"
            if "blocks" not in described:
                same = hashlib.file_digest(file, "sha256").hexdigest() == described["sha256"]
                return None if same else "bytes changed"
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return "missing"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    changed = Blocks(path, described).changed()
    told = ", ".join(f"{i} ({i * BLOCK >> 20} to {(i + 1) * BLOCK >> 20} MiB)" for i in changed[:8])
    more = f" and {len(changed) - 8} more" if len(changed) > 8 else ""
    return f"bytes changed in block {told}{more}" if changed else None


class Blocks:
    """Which blocks of one file have the bytes they were written with; each is read once.

    Parameters
    ----------
    path : path
    described : dict
        As of :func:`describe_file`, with ``blocks``.
    """

    def __init__(self, path, described):
        self.path, self.digests = Path(path), described["blocks"]
        self._good = np.zeros(len(self.digests), bool)
        self._lock = threading.Lock()

    def all_good(self, wanted):
        """Check the blocks of these numbers, those that were not checked before."""
        wanted = np.asarray(wanted)
        with self._lock:
            todo = wanted[~self._good[wanted]]
            with ThreadPoolExecutor(min(4, max(1, len(todo)))) as pool:  # hashing frees the lock
                good = list(pool.map(self._is_good, todo))
            self._good[todo] = good
        return all(good)

    def changed(self):
        """Return the numbers of all blocks that changed, every byte read anew."""
        with ThreadPoolExecutor(4) as pool:
            good = list(pool.map(self._is_good, range(len(self.digests))))
        return [i for i, fine in enumerate(good) if not fine]

    def _is_good(self, number):
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(int(number) * BLOCK)
                block = file.read(BLOCK)
        except OSError:
            return False
        return hashlib.sha256(block).hexdigest() == self.digests[number]


class CheckedArray:
    """A memory-mapped array whose blocks are checked when they are first read.

    Indexing and ``np.asarray`` work as on an array; what they return is one.

    Parameters
    ----------
    array : memmap
        C-ordered.
    blocks : Blocks
    damaged : callable () -> Exception
        Makes what is raised when a block is not what was written.

    Attributes
    ----------
    shape, dtype, ndim, size, nbytes
        As of an array.
    """

    def __init__(self, array, blocks, damaged):
        self._array, self._blocks, self._damaged = array, blocks, damaged
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.size, self.nbytes = array.size, array.nbytes
        self._check(np.zeros(1, int))  # the header: shape and type are read from it

    def __len__(self):
        return len(self._array)

    def __getitem__(self, index):
        self._check(self._touched(index))
        return np.asarray(self._array[index])

    def __array__(self, dtype=None, copy=None):
        found = self[:]
        if dtype is None or found.dtype == dtype:
            return found.copy() if copy else found
        return found.astype(dtype)

    def _check(self, numbers):
        if not self._blocks.all_good(numbers):
            raise self._damaged()

    def _touched(self, index):
        """Numbers of the blocks that hold the rows of an index."""
        rows = index[0] if isinstance(index, tuple) and len(index) else index
        by_rows = self._array.flags.c_contiguous
        if rows is None or rows is Ellipsis or not len(self) or not by_rows:
            return np.arange(len(self._blocks.digests))
        rows = np.unique(np.atleast_1d(np.arange(len(self))[rows]))
        if not len(rows):
            return rows
        row_bytes = self.nbytes // len(self)
        start = self._array.offset + rows * row_bytes
        first, last = start // BLOCK, (start + max(row_bytes, 1) - 1) // BLOCK
        if len(rows) == rows[-1] - rows[0] + 1:
            return np.arange(first[0], last[-1] + 1)
        spans = zip(first, last, strict=True) if row_bytes > BLOCK else ()
        between = [np.arange(a, b + 1) for a, b in spans]
        return np.unique(np.concatenate([first, last, *between]))
