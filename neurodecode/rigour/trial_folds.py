"""Folds of trials for classifiers: whole groups by default, and the published ways that leak.

A *piece* is what a classifier reads: a whole trial, or one of several overlapping windows of it.
All pieces of a trial carry its class, so a fold that cuts through trials lets a classifier know a
trial again instead of its class. `group_folds` never cuts through a group. `windows_dealt`,
`trials_dealt` and `along_time` do what published protocols did, to show what that is worth.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.run_draws import deal_labels

FEWEST_GROUPS = 2


@dataclass(frozen=True)
class Pieces:
    """Which part of which trial each piece is.

    Parameters
    ----------
    trial : ndarray of int, shape (n_pieces,)
    start : ndarray of int, shape (n_pieces,)
        First sample of the piece in its trial.
    n_samples : int
        Length of a piece.
    """

    trial: np.ndarray
    start: np.ndarray
    n_samples: int

    def __len__(self):
        return len(self.trial)

    @classmethod
    def of(cls, n_trials, starts, n_samples):
        """Cut every trial at the same samples `starts`, trial by trial."""
        starts = np.asarray(starts)
        trial = np.repeat(np.arange(n_trials), len(starts))
        return cls(trial, np.tile(starts, n_trials), n_samples)


def group_folds(labels, groups, n_folds, seed):
    """Deal whole groups to folds, the classes as evenly as groups allow.

    Parameters
    ----------
    labels : ndarray of int, shape (n_trials,)
    groups : ndarray, shape (n_trials,)
        What stays in one fold: run, stimulus or subject.
    n_folds : int
        Fewer where there are fewer groups.
    seed : int

    Returns
    -------
    fold : ndarray of int, shape (n_trials,)
        In which fold each trial is tested.

    Raises
    ------
    ValueError
        With a single group, or where a class is missing from the training trials of a fold.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    labels, groups = np.asarray(labels), np.asarray(groups)
    n_groups = len(np.unique(groups))
    if n_groups < FEWEST_GROUPS:
        raise ValueError(
            f"all {len(labels)} trials belong to the group {groups[0]}: folds need "
            f"{FEWEST_GROUPS} groups or more; choose another classify.folds"
        )
    n_folds = min(n_folds, n_groups)
    most = np.unique(labels, return_counts=True)[1].max()
    if n_folds == n_groups or most < n_folds:
        kind = GroupKFold(n_folds)
    else:
        kind = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed % 2**32)
    return _numbered(kind.split(labels, labels, groups), len(labels))


def honest(trial_fold, pieces):
    """Folds in which all pieces of a trial are on one side: list of (train, test) pieces."""
    return _sides(trial_fold[pieces.trial])


def windows_dealt(pieces, n_folds, seed):
    """Deal pieces to folds at random, whatever their trial: overlapping windows on both sides [1]_.

    References
    ----------
    .. [1] As RBTransformer's five folds over all windows of all subjects (arXiv 2511.13954).
    """
    from sklearn.model_selection import KFold

    dealt = KFold(min(n_folds, len(pieces)), shuffle=True, random_state=seed % 2**32)
    return _sides(_numbered(dealt.split(pieces.trial), len(pieces)))


def trials_dealt(labels, pieces, n_folds, seed):
    """Deal trials to folds at random within their class, whatever their run or stimulus.

    Presentations of one stimulus, and trials of one run, then stand on both sides [1]_.

    References
    ----------
    .. [1] As Du-IN's 80:10:10 of the trials of each word (NeurIPS 2024).
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    most = np.bincount(labels).max()
    kind = StratifiedKFold if most >= n_folds else KFold
    dealt = kind(min(n_folds, len(labels)), shuffle=True, random_state=seed % 2**32)
    return honest(_numbered(dealt.split(labels, labels), len(labels)), pieces)


def along_time(pieces, n_folds):
    """Test one stretch of time of every trial, train on the rest of the same trials [1]_.

    Pieces of a fold follow one another; training pieces that share samples with a tested piece of
    their trial are left out.

    References
    ----------
    .. [1] As HiSTN's subject-dependent folds within every film clip (arXiv 2408.15255).
    """
    starts = np.unique(pieces.start)
    n_folds = min(n_folds, len(starts))
    stretch = np.arange(len(starts)) * n_folds // len(starts)
    fold = stretch[np.searchsorted(starts, pieces.start)]
    found = []
    for k in range(n_folds):
        tested = starts[stretch == k]
        near = (pieces.start > tested[0] - pieces.n_samples) & (
            pieces.start < tested[-1] + pieces.n_samples
        )
        found.append((np.flatnonzero(~near), np.flatnonzero(fold == k)))
    if any(len(train) == 0 for train, _ in found):
        raise ValueError(
            "all windows of a trial overlap with those tested: give shorter windows "
            "(classify.window_s), of which more lie side by side"
        )
    return found


def label_units(labels, stimuli, subjects, runs):
    """Say what carries a class as one: dealing labels anew must keep it together.

    A stimulus, where each has one class and there are more stimuli than classes (in all subjects,
    or else in each); otherwise a trial, dealt within its run where classes vary there.

    Parameters
    ----------
    labels : ndarray of int, shape (n_trials,)
    stimuli, subjects, runs : ndarray of str, shape (n_trials,)

    Returns
    -------
    units : ndarray, shape (n_trials,)
    within : ndarray, shape (n_trials,)
        Units are dealt labels among those with the same value.
    """
    own = np.char.add(np.char.add(subjects.astype(str), "\n"), stimuli.astype(str))
    everywhere = np.zeros(len(labels), int)
    for units, within in ((stimuli, everywhere), (own, subjects)):
        one_class = all(len(np.unique(labels[units == u])) == 1 for u in np.unique(units))
        if one_class and len(np.unique(stimuli)) > len(np.unique(labels)):
            return units, within
    runs = np.char.add(np.char.add(subjects.astype(str), "\n"), runs.astype(str))
    varied = any(len(np.unique(labels[runs == r])) > 1 for r in np.unique(runs))
    return np.arange(len(labels)), runs if varied else subjects


def deal_units(labels, units, within, n_draws, rng):
    """Deal the labels of units anew: (n_draws, n_trials); trials of a unit keep one label."""
    _, first, which = np.unique(units, return_index=True, return_inverse=True)
    dealt = deal_labels(labels[first], np.asarray(within)[first], n_draws, rng)
    return dealt[:, which]


def check_classes(labels, folds, names):
    """Raise ValueError where a class is tested that the training pieces of a fold do not hold."""
    for k, (train, test) in enumerate(folds):
        absent = sorted(set(labels[test]) - set(labels[train]))
        if absent:
            told = ", ".join(str(names[c]) for c in absent[:5])
            raise ValueError(
                f"fold {k + 1} of {len(folds)} tests the class {told}, of which its training "
                "trials hold none: choose another classify.folds, a coarser classify.label, or "
                "more n_folds"
            )


def _numbered(splits, n_rows):
    fold = np.full(n_rows, -1)
    for k, (_, test) in enumerate(splits):
        fold[test] = k
    return np.unique(fold, return_inverse=True)[1]


def _sides(fold):
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(fold.max() + 1)]
