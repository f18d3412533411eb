"""Hold out stimuli, and with them what they are tied to."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurodecode.core.ranges import PartShare
from neurodecode.rigour.splits.sides import SPLITS, check_filled
from neurodecode.rigour.splits.ties import check_untied, count_groups, take_groups, tied_groups


@dataclass(frozen=True)
class StimulusSplit:
    """Hold out whole stimuli, and with them the runs they were shown in.

    Trials that share a stimulus (in any subject) or a run are tied, directly or through others, and
    a tied group lies on one side. Stimuli that the study froze as ``test`` are the test side; a
    study that froze none gets a drawn one. ``val`` is drawn from the rest.

    Parameters
    ----------
    test_fraction : float
        Share of each subject's stimuli drawn for test where the study froze none.
    val_fraction : float
        Share of each subject's remaining stimuli drawn for val; 0 for no val side.
    ties : tuple of str
        What ties two trials: ``stimulus_id``, ``run`` (of one subject and session), ``session``
        or any column of the trial table. ``stimulus_id`` is always needed.
    class_column : str or None
        Column of the trial table whose values must each occur on the train and the test side of
        every subject that has them.
    frozen : bool
        Whether the study's own test set is honoured; if not, one is drawn in any case.
    """

    holds_out: ClassVar[str] = "stimuli"

    test_fraction: PartShare = 0.1
    val_fraction: PartShare = 0.1
    ties: tuple[str, ...] = ("stimulus_id", "run")
    class_column: str | None = None
    frozen: bool = True

    def __call__(self, trials, stimuli, rng):
        """Label every trial; see `split_by_stimulus`."""
        known = stimuli if self.frozen else stimuli.assign(partition="")
        labels = split_by_stimulus(
            trials, known, self.test_fraction, self.val_fraction, tuple(self.ties), rng
        )
        check_sides(trials, labels, self.val_fraction, self.class_column)
        return labels


def split_by_stimulus(trials, stimuli, test_fraction, val_fraction, ties, rng):
    """Label trials train, val or test so that nothing tied lies on two sides.

    Parameters
    ----------
    trials : DataFrame, n_trials rows
        Columns ``subject session run stimulus_id`` and whatever `ties` names.
    stimuli : DataFrame
        Columns ``stimulus_id partition``; partition ``"test"`` is the study's frozen test set.
    test_fraction, val_fraction : float in [0, 1)
        See `StimulusSplit`. The share that comes out is between half and twice the one asked:
        groups are taken whole.
    ties : tuple of str
        See `StimulusSplit`.
    rng : numpy.random.Generator

    Returns
    -------
    labels : ndarray of str, shape (n_trials,)

    Raises
    ------
    ValueError
        When ties make the split impossible, with the sizes of what is tied.
    """
    check_choices(trials, stimuli, test_fraction, val_fraction, ties)
    group = tied_groups(trials, ties)
    partition = stimuli.set_index("stimulus_id")["partition"]
    frozen = trials["stimulus_id"].map(partition).eq("test").to_numpy()
    if frozen.any():
        check_untied(trials, group, frozen, ties, "frozen test")
        test = frozen
    else:
        test = draw_groups(trials, group, test_fraction, "test", ties, rng)
    return with_val(trials, group, test, val_fraction, ties, rng)


def draw_groups(trials, group, fraction, side, ties, rng):
    """Draw whole groups until every subject has about `fraction` of its stimuli; trial mask."""
    counts = count_groups(trials, group)
    chosen = take_groups(counts, rng.permutation(len(counts)), fraction, side, ties)
    return np.isin(group, chosen)


def with_val(trials, group, test, val_fraction, ties, rng):
    """Draw the val side from what is not tested, and label every trial.

    Parameters
    ----------
    group : ndarray of int, shape (n_trials,)
        From `tied_groups`.
    test : ndarray of bool, shape (n_trials,)
    """
    val = np.zeros(len(trials), dtype=bool)
    if val_fraction > 0:
        val[~test] = draw_groups(trials[~test], group[~test], val_fraction, "val", ties, rng)
    return np.select([test, val], ["test", "val"], "train").astype("<U5")


def check_sides(trials, labels, val_fraction, class_column):
    """Raise ValueError where a subject lacks a side that was asked for, or a class has one."""
    check_filled(trials, labels, SPLITS if val_fraction > 0 else ("train", "test"), class_column)


def check_choices(trials, stimuli, test_fraction, val_fraction, ties):
    """Raise ValueError where shares, ties or stimuli cannot be."""
    for name, fraction in (("test_fraction", test_fraction), ("val_fraction", val_fraction)):
        if not 0 <= fraction < 1:
            raise ValueError(f"{name} is {fraction}: a share of the stimuli lies in [0, 1)")
    if "stimulus_id" not in ties:
        raise ValueError(
            f"ties are {list(ties)}: stimulus_id must be one of them, or a picture is trained on "
            "and tested; to hold out runs of a category study use the rule RunSplit"
        )
    missing = sorted(set(ties) - set(trials.columns))
    if missing:
        raise ValueError(f"ties {missing} are not columns of the trials {list(trials.columns)}")
    strangers = sorted(set(trials["stimulus_id"]) - set(stimuli["stimulus_id"]))
    if strangers:
        raise ValueError(
            f"{len(strangers)} stimuli of the trials are not in stimuli.tsv, e.g. {strangers[:3]}"
        )
