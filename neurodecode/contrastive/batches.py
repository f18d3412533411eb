"""An epoch in batches: every trial once, and no picture twice in a batch.

The same picture seen by two subjects, or twice by one, would be a negative of itself. Finding
batches without such pairs is colouring the edges of a graph with two sides: trials join subjects to
pictures, batches are colours, and no colour may meet twice at a picture. For any number of colours
that is at least the number of trials of the most frequent picture this can be done [1]_, with each
subject's trials spread evenly over the colours [2]_. Trials are dealt at random; the few pairs that
this leaves are separated by exchanging two batches along a chain of trials.

References
----------
.. [1] König (1916). Über Graphen und ihre Anwendung auf Determinantentheorie und Mengenlehre.
.. [2] de Werra (1971). Balanced schedules. INFOR 9.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.core.seeds import child_rng, child_seed


@dataclass(frozen=True)
class Batch:
    """Rows of each subject, and the seed of what is random in this batch."""

    rows: dict[str, np.ndarray]
    seed: int


def epoch_batches(
    stimulus: dict[str, np.ndarray], n_per_subject: int, seed: int, epoch: int
) -> list[Batch]:
    """Shuffle an epoch into batches in which no stimulus occurs twice.

    Parameters
    ----------
    stimulus : dict of ndarray of int
        Stimulus of every training row, for each subject.
    n_per_subject : int
        Rows of each subject in a batch, at most.
    seed, epoch : int
        The same seed and epoch give the same batches.

    Returns
    -------
    batches : list of Batch
        Every row of the subject with most rows exactly once. The others start over when they run
        out: each of their rows occurs as often as any other, or once more. All batches hold equally
        many rows of each subject, or one less; fewer than asked for where a stimulus is so frequent
        that more batches are needed to keep its rows apart.

    Raises
    ------
    ValueError
        If batches would be left in which a subject has no row.
    """
    rng = child_rng(seed, "order", epoch)
    n_rows = max(map(len, stimulus.values()))
    laps = {s: _laps(len(seen), n_rows, rng) for s, seen in stimulus.items()}
    shown = np.concatenate([stimulus[s][rows] for s, rows in laps.items()])
    _, shown = np.unique(shown, return_inverse=True)
    n_batches = max(-(-n_rows // n_per_subject), np.bincount(shown).max())
    if n_rows < n_batches:
        raise ValueError(
            f"the most frequent picture needs {n_batches} batches to be kept apart from itself, "
            f"but there are {n_rows} rows a subject: the study has fewer stimuli than subjects"
        )
    batch = _Colouring(shown, n_rows, n_batches, rng).found().reshape(len(laps), n_rows)
    parts = {
        subject: [rows[places] for places in _by_number(own, n_batches)]
        for (subject, rows), own in zip(laps.items(), batch, strict=True)
    }
    return [
        Batch({s: parts[s][i] for s in parts}, child_seed(seed, "batch", epoch, i))
        for i in range(n_batches)
    ]


def _by_number(numbers, n):
    """Places of 0, 1, … n - 1."""
    ends = np.cumsum(np.bincount(numbers, minlength=n))[:-1]
    return np.split(np.argsort(numbers, kind="stable"), ends)


def _laps(n, n_wanted, rng):
    """`n_wanted` of n rows in random order: whole laps, and a part of one."""
    laps = [rng.permutation(n) for _ in range(-(-n_wanted // n))]
    return np.concatenate(laps)[:n_wanted]


class _Colouring:
    """A colour (batch) for each edge (row): each picture meets a colour once at most.

    Parameters
    ----------
    picture : ndarray of int
        Of every edge; the first `n_rows` belong to the first subject, and so on.
    n_rows, n_colours : int
    rng : numpy.random.Generator

    A subject's edges are cut into knots of `n_colours` edges each, the last with what is left. If
    no knot meets a colour twice either, the subject's edges are spread evenly.
    """

    def __init__(self, picture, n_rows, n_colours, rng):
        self.picture, self.rng, self.n_colours = picture, rng, n_colours
        within = np.arange(len(picture)) % n_rows
        per_subject = -(-n_rows // n_colours)
        subject = np.arange(len(picture)) // n_rows
        self.knot = subject * per_subject + within // n_colours
        self.colour = within % n_colours  # rows are in random order already
        self.edge = np.full((self.knot[-1] + 1, n_colours), -1)
        self.edge[self.knot, self.colour] = np.arange(len(picture))
        self.of_picture = np.argsort(picture, kind="stable")
        self.first = np.searchsorted(picture[self.of_picture], np.arange(picture.max() + 2))

    def found(self):
        """Separate all pairs; return the colour of every edge."""
        loose = self._second_ones()
        self.edge[self.knot[loose], self.colour[loose]] = -1
        self.colour[loose] = -1
        for e in loose:
            self._place(e)
        return self.colour

    def _second_ones(self):
        """Edges whose colour an earlier edge of the same picture has."""
        pair = self.picture.astype(np.int64) * self.n_colours + self.colour
        first = np.unique(pair, return_index=True)[1]
        return np.setdiff1d(np.arange(len(pair)), first)

    def _place(self, e):
        """Colour one edge, exchanging two colours along a chain where no colour is free for it."""
        at_knot = np.flatnonzero(self.edge[self.knot[e]] < 0)
        taken = self.colour[self._edges(self.picture[e])]
        both = np.setdiff1d(at_knot, taken)
        if len(both):
            return self._paint(e, self.rng.choice(both))
        a = self.rng.choice(at_knot)
        b = self.rng.choice(np.setdiff1d(np.arange(self.n_colours), taken))
        chain = self._chain(self.picture[e], a, b)
        old = self.colour[chain]
        self.edge[self.knot[chain], old] = -1
        for other, colour in zip(chain, old, strict=True):
            self._paint(other, b if colour == a else a)
        return self._paint(e, a)

    def _chain(self, picture, a, b):
        """The edges from a picture on that are a, b, a, b …; at its end neither follows."""
        chain = []
        while True:
            e = self._with_colour(picture, a)
            if e is None:
                return chain
            chain.append(e)
            e = self.edge[self.knot[e], b]
            if e < 0:
                return chain
            chain.append(e)
            picture = self.picture[e]

    def _with_colour(self, picture, colour):
        edges = self._edges(picture)
        found = edges[self.colour[edges] == colour]
        return found[0] if len(found) else None

    def _edges(self, picture):
        return self.of_picture[self.first[picture] : self.first[picture + 1]]

    def _paint(self, e, colour):
        self.colour[e] = colour
        self.edge[self.knot[e], colour] = e
