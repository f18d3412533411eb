"""Folds of trials: whole groups by default, and the published ways that cut through them."""

import numpy as np
import pytest

from neurodecode.rigour.trial_folds import (
    Pieces,
    along_time,
    check_classes,
    deal_units,
    group_folds,
    honest,
    label_units,
    trials_dealt,
    windows_dealt,
)

LABELS = np.tile([0, 1], 20)
GROUPS = np.repeat(np.arange(10), 4)
PIECES = Pieces.of(40, [0, 3, 6, 9], 5)


def whole(folds, values):
    """Whether no value stands on both sides of any fold."""
    return all(not set(values[train]) & set(values[test]) for train, test in folds)


def test_whole_groups_stay_on_one_side_and_every_piece_is_tested_once():
    folds = honest(group_folds(LABELS, GROUPS, 5, seed=0), PIECES)
    assert len(folds) == 5 and whole(folds, GROUPS[PIECES.trial]) and whole(folds, PIECES.trial)
    tested = np.concatenate([test for _, test in folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(PIECES)))
    assert len(np.unique(group_folds(LABELS, GROUPS, 50, seed=0))) == 10


def test_classes_are_spread_over_folds():
    labels = np.repeat([0, 1], 20)
    fold = group_folds(labels, np.arange(40), 5, seed=1)
    assert all(np.bincount(labels[fold == k]).tolist() == [4, 4] for k in range(5))
    assert (fold != group_folds(labels, np.arange(40), 5, seed=2)).any()


def test_one_group_makes_no_folds():
    with pytest.raises(ValueError, match="all 40 trials belong to the group 0"):
        group_folds(LABELS, np.zeros(40, int), 5, seed=0)


def test_windows_dealt_put_a_trial_on_both_sides():
    folds = windows_dealt(PIECES, 5, seed=0)
    assert len(folds) == 5 and not whole(folds, PIECES.trial)


def test_trials_dealt_put_a_group_on_both_sides_but_no_trial():
    folds = trials_dealt(LABELS, PIECES, 5, seed=0)
    assert whole(folds, PIECES.trial) and not whole(folds, GROUPS[PIECES.trial])
    assert all(np.bincount(LABELS[PIECES.trial[test]]).tolist() == [16, 16] for _, test in folds)


def test_stretches_of_time_share_no_sample_with_training():
    folds = along_time(PIECES, 4)
    assert len(folds) == 4 and not whole(folds, PIECES.trial)
    for train, test in folds:
        gap = np.abs(PIECES.start[train][:, None] - PIECES.start[test])
        assert gap.min() >= PIECES.n_samples
    with pytest.raises(ValueError, match="all windows of a trial overlap"):
        along_time(Pieces.of(4, [0, 1], 5), 2)


def test_what_carries_a_class_is_dealt_as_one():
    stimuli = np.array([f"s{i}" for i in np.tile(np.arange(8), 3)])
    subjects, runs = np.repeat(["a", "b", "c"], 8), np.array(["r"] * 24)
    labels = np.tile(np.arange(8) % 2, 3)
    units, within = label_units(labels, stimuli, subjects, runs)
    dealt = deal_units(labels, units, within, 20, np.random.default_rng(0))
    assert (dealt[:, :8] == dealt[:, 8:16]).all(), "a stimulus has one class in all subjects"
    assert (dealt.sum(axis=1) == labels.sum()).all() and len(np.unique(dealt, axis=0)) > 5


def test_where_the_class_is_the_persons_own_it_is_dealt_within_them():
    stimuli = np.array([f"s{i}" for i in np.tile(np.arange(8), 2)])
    subjects, runs = np.repeat(["a", "b"], 8), np.array(["r"] * 16)
    labels = np.array([0] * 4 + [1] * 4 + [1] * 6 + [0] * 2)
    units, within = label_units(labels, stimuli, subjects, runs)
    dealt = deal_units(labels, units, within, 20, np.random.default_rng(0))
    assert (dealt[:, :8].sum(axis=1) == 4).all() and (dealt[:, 8:].sum(axis=1) == 6).all()


def test_where_the_stimulus_is_the_class_trials_are_dealt_within_runs():
    stimuli = np.tile(["x", "y"], 8)
    subjects, runs = np.array(["a"] * 16), np.repeat(["r1", "r2"], 8)
    labels = (stimuli == "y").astype(int)
    units, within = label_units(labels, stimuli, subjects, runs)
    dealt = deal_units(labels, units, within, 20, np.random.default_rng(0))
    assert (dealt[:, :8].sum(axis=1) == 4).all() and len(np.unique(dealt, axis=0)) > 5
    blocks = np.repeat(["r1", "r2"], 8)
    constant = (blocks == "r2").astype(int)
    _, within = label_units(constant, np.where(constant, "x", "y"), subjects, blocks)
    assert set(within) == {"a"}, "runs of one class are dealt as wholes among each other"


def test_a_class_without_training_trials_is_named():
    folds = [(np.array([0, 1]), np.array([2]))]
    with pytest.raises(ValueError, match="fold 1 of 1 tests the class happy"):
        check_classes(np.array([0, 0, 1]), folds, ["sad", "happy"])
