"""What the gate says of a leak: its kind, how often, between which sides, the first pairs."""

from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np

N_EXAMPLES = 5
STOPPING = ("duplicates", "stimuli", "windows")


@dataclass(frozen=True)
class Finding:
    """Something that stands on several sides.

    Parameters
    ----------
    kind : str
        One of `STOPPING` ends the run; ``captions``, ``neighbours``, ``runs`` and ``sessions`` are
        told.
    n : int
    sides : dict
        ``{"test-train": n}`` and so on.
    examples : list
        The first pairs of ids.
    words : str
        What was found, and what to do.
    """

    kind: str
    n: int
    sides: dict
    examples: list
    words: str

    @property
    def stops(self):
        """Whether the run ends where this kind is not allowed."""
        return self.kind in STOPPING

    def document(self):
        """As plain values, for JSON."""
        return asdict(self) | {"stops": self.stops}


def finding(kind, pairs, ids, labels, words):
    """Make a finding of pairs of rows.

    Parameters
    ----------
    pairs : ndarray of int, shape (n_pairs, 2)
    ids : array of str, shape (n_rows,)
    labels : array of str, shape (n_rows,)
    words : str

    Returns
    -------
    found : list of Finding
        One, or none where there are no pairs.
    """
    if not len(pairs):
        return []
    named, labels = np.asarray(ids)[pairs], np.asarray(labels)[pairs]
    sides = Counter("-".join(sorted(pair)) for pair in labels.tolist())
    examples = [list(map(str, pair)) for pair in named[:N_EXAMPLES]]
    return [Finding(kind, len(pairs), dict(sorted(sides.items())), examples, words)]


def told(found):
    """Say a finding in a line: how many, the first pairs, what to do."""
    pairs = ", ".join(" and ".join(pair) for pair in found.examples[:3])
    more = f", and {found.n - 3} more" if found.n > 3 else ""
    where = ", ".join(f"{n} {side}" for side, n in found.sides.items())
    return f"{found.n} {found.words.partition(':')[0]} ({where}): {pairs}{more}"


def refusal(findings, allowed):
    """Return the message that ends the run, or "" where every finding is allowed or only told."""
    stopping = [f for f in findings if f.stops and f.kind not in allowed]
    if not stopping:
        return ""
    kinds = sorted({*allowed, *(f.kind for f in stopping)})
    lines = "; ".join(f"{told(f)}. To mend it,{f.words.partition(':')[2]}" for f in stopping)
    return f"the split leaks: {lines}. Or split.allow_leaks=[{','.join(kinds)}]: the report says so"
