"""Split by a hash of what was shown or said: the same everywhere, whatever else is in a study."""

import hashlib
import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurodecode.core.ranges import PartShare, Seed
from neurodecode.rigour.splits.by_stimulus import check_sides


@dataclass(frozen=True)
class HashSplit:
    """Deal stimuli by a number that follows from their name alone [1]_.

    A sentence stands on one side in every subject, session and study, and stays there when others
    are added. Runs are cut; the study's own test set is not honoured.

    Parameters
    ----------
    column : str
        Column of stimuli.tsv, or of the trials, whose values are dealt: ``stimulus_id``, or one
        that several stimuli share, as the sentence of a word.
    salt : int
        Added to the hash; another one deals anew. Published: 12.
    test_fraction, val_fraction : float
        Share of the values on each side, about. Published: .2 and .1.
    class_column : str or None
        As in `StimulusSplit`.

    References
    ----------
    .. [1] Défossez et al. (2023). Nature Machine Intelligence 5.
    """

    holds_out: ClassVar[str] = "stimuli"

    column: str = "stimulus_id"
    salt: Seed = 12
    test_fraction: PartShare = 0.2
    val_fraction: PartShare = 0.1
    class_column: str | None = None

    def __call__(self, trials, stimuli, rng):
        """Label every trial; `rng` is not used: nothing is drawn."""
        values = _values(trials, stimuli, self.column)
        shares = (self.test_fraction, self.val_fraction)
        sides = {v: side_of(v, self.salt, *shares) for v in sorted(set(values))}
        labels = np.array([sides[v] for v in values], dtype="<U5")
        check_sides(trials, labels, self.val_fraction, self.class_column)
        return labels


def hashed(name, salt=12):
    """Number in [0, 1) of a name: Python's first, from its SHA-256 plus the salt as the seed."""
    digest = int(hashlib.sha256(name.encode()).hexdigest(), 16)
    return random.Random(digest + salt).random()


def side_of(name, salt=12, test_fraction=0.2, val_fraction=0.1):
    """Side of a name: the lowest numbers are tested, the next ones select."""
    number = hashed(name, salt)
    if number < test_fraction:
        return "test"
    return "val" if number < test_fraction + val_fraction else "train"


def _values(trials, stimuli, column):
    """The value of each trial, as words."""
    if column in trials:
        return trials[column].astype(str)
    if column not in stimuli:
        raise ValueError(
            f"{column!r} is a column neither of the trials {list(trials.columns)} nor of "
            f"stimuli.tsv {list(stimuli.columns)}"
        )
    return trials["stimulus_id"].map(stimuli.set_index("stimulus_id")[column].astype(str))
