"""Arrays that grow on disk some rows at a time, and go on after a kill where they stopped."""

import json
import os
import shutil

import numpy as np

from neurodecode.core import stop
from neurodecode.core.views import reserve


class Growing:
    """A few arrays with the same number of rows, in files of a folder that survives a kill.

    Rows are put in order. What was put is on disk, and counted only once it is: after a kill the
    rows of the last `put` at most are to be made again. Memory holds the rows of one `put`.

    Parameters
    ----------
    folder : Path
        Private to this stage, kept until its artifact is published.
    name : str
        Of the files.
    n_rows : int
        When all are there.
    """

    def __init__(self, folder, name, n_rows):
        self._base, self.n_rows = folder / name, n_rows
        folder.mkdir(parents=True, exist_ok=True)
        self._arrays, self.done = {}, 0
        self._open()

    def _open(self):
        try:
            about = json.loads(self._count.read_text())
            arrays = {part: np.load(self.file(part), mmap_mode="r+") for part in about["arrays"]}
        except (OSError, ValueError, KeyError, TypeError):
            return  # nothing there, or nothing whole: from the beginning
        if all(len(a) == self.n_rows for a in arrays.values()) and about["n"] == self.n_rows:
            self._arrays, self.done = arrays, about["done"]

    def file(self, part):
        """The file of one of the arrays."""
        return self._base.with_name(f"{self._base.name}.{part}.npy")

    @property
    def _count(self):
        return self._base.with_name(f"{self._base.name}.json")

    def put(self, **parts):
        """Add the next rows: arrays of equal length, the same names and types each time."""
        n = len(next(iter(parts.values())))
        for part, rows in parts.items():
            if part not in self._arrays:
                self._arrays[part] = self._new(part, rows)
            self._arrays[part][self.done : self.done + n] = rows
            self._arrays[part].flush()
        self.done += n
        partial = self._count.with_suffix(".part")
        about = {"n": self.n_rows, "done": self.done, "arrays": sorted(self._arrays)}
        with open(partial, "w") as file:
            file.write(json.dumps(about))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self._count)

    def fill(self, batch, make, progress):
        """Put all rows that are not there yet, some at a time; told to stop, it stops between.

        Parameters
        ----------
        batch : int
            Rows of one `put`.
        make : callable (slice) -> dict of ndarray
            The arrays of these rows.
        progress : callable (iterable) -> iterable
            Shows how far it is.
        """
        with stop.postponed():
            for first in progress(range(self.done, self.n_rows, batch)):
                self.put(**make(slice(first, first + batch)))
                if stop.asked():
                    stop.leave()

    def _new(self, part, rows):
        shape = (self.n_rows, *rows.shape[1:])
        array = np.lib.format.open_memmap(self.file(part), "w+", rows.dtype, shape)
        reserve(self.file(part))
        return array

    def array(self, part):
        """One of the arrays, mapped; rows that were not put yet are 0."""
        return self._arrays[part]

    def give(self, part, path):
        """Put a whole array at another place: the same bytes on disk, where that can be."""
        path.unlink(missing_ok=True)
        try:
            os.link(self.file(part), path)
        except OSError:  # another file system, or one without links
            shutil.copyfile(self.file(part), path)
