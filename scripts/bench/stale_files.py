"""A network file system at its worst, for one process: it remembers what it saw, for a minute.

`stat`, `listdir` and the like answer from memory; a file that was not there when it was looked for
stays absent to `open` as well. What the process changes itself it sees at once, with the folder
around it: then the client asks the server again. Links, renames and exclusive creation always
happen on the server. So the rules of NFS version 3 with default options are obeyed, or broken to
one's disadvantage.

Renames of leases wait for a moment first, so that two thieves meet.
"""

import builtins
import io
import os
import random
import time


class StaleFiles:
    """Patch this process's view of everything below a folder.

    Parameters
    ----------
    root : path
    remember_s : float
        How long an answer is given again.
    race_s : float
        Largest pause before a lease is renamed.
    """

    def __init__(self, root, remember_s=60.0, race_s=0.05):
        self.root, self.remember_s, self.race_s = os.fspath(root), remember_s, race_s
        self.memory, self.real = {}, {}
        self.served = 0  # answers from memory

    def install(self):
        """Replace the functions of `os` and `open`; there is no way back in this process."""
        for name in ("stat", "lstat", "listdir", "scandir"):
            self._remembering(name)
        for name in ("mkdir", "rmdir", "unlink", "remove", "utime"):
            self._changing(name, 1)
        for name in ("rename", "replace", "link"):
            self._changing(name, 2)
        self._opening()

    def _mine(self, path):
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.root)

    def _remembering(self, name):
        real = self.real[name] = getattr(os, name)

        def remembered(path=".", *args, **kwargs):
            if not self._mine(path) or kwargs.get("dir_fd") is not None:
                return real(path, *args, **kwargs)
            key = (name, os.fspath(path), args, tuple(kwargs.items()))
            answer = self._recall(key)
            if answer is None:
                answer = self.memory[key] = (time.monotonic(), *_outcome(real, path, args, kwargs))
                if isinstance(answer[2], FileNotFoundError):
                    self.memory["absent", os.fspath(path)] = answer[:1]
            else:
                self.served += 1
            if isinstance(answer[2], OSError):
                raise type(answer[2])(*answer[2].args)
            return _Listing(answer[1]) if name == "scandir" else answer[1]

        setattr(os, name, remembered)

    def _recall(self, key):
        answer = self.memory.get(key)
        fresh = answer is not None and time.monotonic() - answer[0] < self.remember_s
        return answer if fresh else None

    def _forget(self, path):
        path = os.fspath(path)
        parent = os.path.dirname(path)
        within = lambda known: known in (path, parent) or known.startswith(path + "/")
        beside = lambda known: os.path.dirname(known) == parent
        self.memory = {k: a for k, a in self.memory.items() if not (within(k[1]) or beside(k[1]))}

    def _changing(self, name, n_paths):
        real = self.real[name] = getattr(os, name)

        def changed(*args, **kwargs):
            paths = [p for p in args[:n_paths] if self._mine(p)]
            if name == "rename" and paths and "/leases/" in os.fspath(paths[0]):
                time.sleep(random.uniform(0, self.race_s))
            try:
                return real(*args, **kwargs)
            finally:
                for path in paths:
                    self._forget(path)

        setattr(os, name, changed)

    def _opening(self):
        really, real_os = builtins.open, os.open

        def opened(file, mode="r", *args, **kwargs):
            if not self._mine(file):
                return really(file, mode, *args, **kwargs)
            if any(letter in mode for letter in "wxa+"):
                self._forget(file)
                return really(file, mode, *args, **kwargs)
            return self._found(file, lambda: really(file, mode, *args, **kwargs))

        def opened_by_os(path, flags, *args, **kwargs):
            if not self._mine(path) or kwargs.get("dir_fd") is not None:
                return real_os(path, flags, *args, **kwargs)
            if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                self._forget(path)
                return real_os(path, flags, *args, **kwargs)
            return self._found(path, lambda: real_os(path, flags, *args, **kwargs))

        builtins.open = io.open = opened
        os.open = opened_by_os

    def _found(self, path, look):
        """Open a file, or say again that it is not there."""
        key = ("absent", os.fspath(path))
        if self._recall(key) is not None:
            self.served += 1
            raise FileNotFoundError(2, "No such file or directory", os.fspath(path))
        try:
            return look()
        except FileNotFoundError:
            self.memory[key] = (time.monotonic(),)
            raise


class _Listing:
    """What `os.scandir` returns, from memory."""

    def __init__(self, entries):
        self._entries = iter(entries)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Nothing is open."""


def _outcome(real, path, args, kwargs):
    try:
        found = real(path, *args, **kwargs)
        return (list(found) if hasattr(found, "close") else found), None
    except OSError as error:
        return None, error
