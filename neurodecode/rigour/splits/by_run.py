"""Hold out runs: for category studies, whose stimuli repeat in every run."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurodecode.rigour.splits.sides import SPLITS, check_classes, check_filled


@dataclass(frozen=True)
class RunSplit:
    """Hold out named runs: for category studies, whose stimuli repeat in every run.

    Parameters
    ----------
    test_runs : tuple of str
        Values of the ``run`` column that are tested, in every subject.
    val_runs : tuple of str
        Values of the ``run`` column that select, in every subject; none by default.
    class_column : str or None
        As in `StimulusSplit`.
    """

    holds_out: ClassVar[str] = "runs"

    test_runs: tuple[str, ...]
    val_runs: tuple[str, ...] = ()
    class_column: str | None = None

    def __call__(self, trials, stimuli, rng):
        """Label every trial by its run; `stimuli` and `rng` are not used."""
        runs = trials["run"].astype(str)
        _check_runs(self.test_runs, self.val_runs, sorted(set(runs)))
        labels = np.full(len(trials), "train", dtype="<U5")
        labels[runs.isin(list(self.val_runs)).to_numpy()] = "val"
        labels[runs.isin(list(self.test_runs)).to_numpy()] = "test"
        sides = SPLITS if self.val_runs else ("train", "test")
        check_filled(trials, labels, sides, self.class_column)
        return labels


def _check_runs(test_runs, val_runs, known):
    unknown = sorted({*test_runs, *val_runs} - set(known))
    if unknown:
        raise ValueError(f"no run is called {unknown}: the trials have runs {known}")
    both = sorted(set(test_runs) & set(val_runs))
    if both:
        raise ValueError(f"runs {both} are asked for both test and val: name each once")


def folds_by_run(trials, class_column=None):
    """Leave one run out: yield each fold's name and its train and test rows.

    For category studies, whose stimuli repeat in every run: only the run ties trials there. The run
    of that session and name is left out in all subjects at once.

    Yields
    ------
    name : str
        Session and run, e.g. ``"run-03"`` or ``"ses-01_run-03"``.
    train, test : ndarray of int
        Row numbers into `trials`.
    """
    session = trials["session"].fillna("").astype(str)
    name = (session + "_" + trials["run"].astype(str)).str.strip("_").to_numpy()
    runs = sorted(set(name))
    if len(runs) < 2:
        raise ValueError(f"leave-one-run-out needs at least 2 runs, the trials have {runs}")
    for run in runs:
        if class_column is not None:
            check_classes(trials, np.where(name == run, "test", "train"), class_column)
        yield run, np.flatnonzero(name != run), np.flatnonzero(name == run)
