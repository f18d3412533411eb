"""Each run is tested in its turn: the split of a study that is cross-validated as a whole."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurodecode.rigour.splits import folds_by_run


@dataclass(frozen=True)
class EachRunInTurn:
    """Label every trial ``test``: each is held out once, with its run.

    Only a stage that may open test rows sees any of them; it must fit and choose within the
    training runs of each fold.

    Parameters
    ----------
    class_column : str
        Column of the trial table whose values must occur in the training runs and in the held-out
        run of every fold.
    """

    holds_out: ClassVar[str] = "runs"

    class_column: str = "stimulus_id"

    def __call__(self, trials, stimuli, rng):
        """Label the trials after checking every fold; `stimuli` and `rng` are not used."""
        for _, own in trials.groupby("subject"):
            for _ in folds_by_run(own, self.class_column):
                pass
        return np.full(len(trials), "test", dtype="<U5")
