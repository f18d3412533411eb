"""Rows of an array that lies on disk, read in blocks, so that memory does not grow with the study.

What is small enough (`IN_MEMORY`) is read at once, as arrays. The limit is a number of bytes and
nothing of the machine: which way a study goes, and so its last bits, must not depend on where.
"""

import math

import numpy as np

IN_MEMORY = 256 << 20  # bytes (float32) of a study's responses or targets that are read at once
BLOCK = 32 << 20  # bytes (float32) of one block; a handful of copies of it are held at a time


class Mapped:
    """An array on disk that another process can open again: it is sent without its handle.

    Parameters
    ----------
    opened : callable () -> array
        Opens it, e.g. as a memory map; a function that other processes can import, or a partial
        of one.
    """

    def __init__(self, opened):
        self.opened = opened
        self._array = None

    @property
    def array(self):
        """The file's values, read-only; nothing is read before it is asked for."""
        if self._array is None:
            self._array = self.opened()
        return self._array

    def __getstate__(self):
        return self.__dict__ | {"_array": None}


class Lazy:
    """Some rows of an array on disk, in order, each transformed when it is read.

    Indexed along its first axis, by slices, arrays of int or masks, it gives ndarrays.

    Parameters
    ----------
    source : Mapped, or anything with an ``array``
    rows : ndarray of int, optional
        Which rows of the array, in which order; default all.
    steps : tuple of callable (ndarray) -> ndarray
        Applied one after the other to the rows that were read, each row by itself. They must be
        functions that other processes can import, or partials of such.
    """

    def __init__(self, source, rows=None, steps=()):
        self.source, self.steps = source, tuple(steps)
        self.rows = np.arange(len(source.array)) if rows is None else np.asarray(rows)
        example = self._applied(np.zeros((1, *source.array.shape[1:]), source.array.dtype))
        self.shape, self.dtype = (len(self.rows), *example.shape[1:]), example.dtype
        self.ndim = len(self.shape)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        rows = self.rows[index]
        if np.ndim(rows) != 1:
            raise TypeError(f"rows are chosen by a slice, a mask or an array of int, not {index!r}")
        if len(rows) and len(rows) == rows[-1] - rows[0] + 1 and (np.diff(rows) == 1).all():
            block = np.array(self.source.array[rows[0] : rows[-1] + 1])  # one stretch of the file
        else:
            block = np.asarray(self.source.array[rows])
        return self._applied(block)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype)

    def then(self, step):
        """The same rows with one more step applied to them."""
        return Lazy(self.source, self.rows, (*self.steps, step))

    def take(self, rows):
        """Some of these rows, unread."""
        return Lazy(self.source, self.rows[rows], self.steps)

    def part(self, index):
        """Read ``rows[:, index]`` (a slice, or a tuple of slices) of all rows, block by block."""
        index = (slice(None), *(index if isinstance(index, tuple) else (index,)))
        shape = np.broadcast_to(np.float32(0), (1, *self.shape[1:]))[index].shape[1:]
        out = np.empty((len(self), *shape), self.dtype)
        for some in slices(self):
            out[some] = self[some][index]
        return out

    def _applied(self, block):
        for step in self.steps:
            block = step(block)
        return block


def each_row(step, rows):
    """Apply what treats each row by itself: now to an array, when they are read to `Lazy` rows."""
    return rows.then(step) if isinstance(rows, Lazy) else step(rows)


def taken(rows, index):
    """Some rows: an array of those of an array, unread ones of `Lazy` rows."""
    return rows.take(index) if isinstance(rows, Lazy) else rows[index]


def row_bytes(rows):
    """Bytes of one row as float32."""
    return 4 * math.prod(rows.shape[1:])


def slices(rows, n_rows=None, n_bytes=None):
    """Cut all, or the first `n_rows`, rows (`Lazy` or ndarray) into blocks of about so many bytes.

    Returns a list of slices.
    """
    step = max(1, (n_bytes or BLOCK) // max(1, row_bytes(rows)))
    n_rows = len(rows) if n_rows is None else n_rows
    return [slice(first, min(first + step, n_rows)) for first in range(0, n_rows, step)]


def moments(rows, weights=None):
    """Mean and population variance of each feature over rows, in one pass of float64 [1]_.

    Parameters
    ----------
    rows : Lazy or ndarray, shape (n_rows, ...)
    weights : ndarray, shape (n_rows,), optional
        How often each row counts.

    Returns
    -------
    mean, variance : ndarray of float64, shape (...)

    References
    ----------
    .. [1] Chan, Golub, LeVeque (1983). Algorithms for computing the sample variance. American
       Statistician 37. (Merging the moments of blocks.)
    """
    n, mean, squares = 0.0, np.zeros(rows.shape[1:]), np.zeros(rows.shape[1:])
    with np.errstate(invalid="ignore"):  # of what is not finite, NaN
        for part in slices(rows):
            block = np.asarray(rows[part], np.float64)
            own = np.ones(len(block)) if weights is None else np.asarray(weights[part], np.float64)
            if own.sum() == 0:
                continue
            own_mean = np.tensordot(own / own.sum(), block, axes=1)
            block -= own_mean
            apart, total = own_mean - mean, n + own.sum()
            squares += np.tensordot(own, np.square(block, out=block), axes=1)
            squares += apart**2 * (n * own.sum() / total)
            mean += apart * (own.sum() / total)
            n = total
    return mean, squares / max(n, 1)
