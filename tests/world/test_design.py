"""The design: every picture as often as asked, nothing on two sides, every response recorded."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from neurodecode.world import design

TRAIN = np.array([f"train-{i}" for i in range(200)])
TEST = np.array([f"test-{i}" for i in range(70)])


@pytest.fixture(scope="module")
def blocks():
    return design.make_blocks(TRAIN, TEST, 30, 3, np.random.default_rng(0))


@pytest.fixture(scope="module")
def sessions(blocks):
    return [design.schedule(blocks, 3.0, 4.0, np.random.default_rng(s)) for s in (1, 2)]


def test_every_picture_is_shown_as_often_as_asked(sessions):
    for trials in sessions:
        counts = trials["stimulus_id"].value_counts()
        assert set(counts[TEST]) == {3}
        assert (counts[TRAIN] == 3).sum() == 30
        assert (counts[TRAIN] == 1).sum() == 170


def test_no_picture_comes_twice_in_a_run(sessions):
    for trials in sessions:
        assert not trials.duplicated(["run", "stimulus_id"]).any()


def test_test_pictures_have_runs_of_their_own(sessions):
    for trials in sessions:
        is_test = trials["stimulus_id"].isin(TEST)
        assert set(is_test.groupby(trials["run"]).mean()) == {0, 1}


def test_runs_tied_by_pictures_in_any_subject_are_the_blocks(blocks, sessions):
    shown = pd.concat([t.assign(run=t["run"] + 1000 * i) for i, t in enumerate(sessions)])
    run, picture = shown["run"].factorize()[0], shown["stimulus_id"].factorize()
    n = run.max() + 1 + len(picture[1])
    ties = coo_array((np.ones(len(run)), (run, picture[0] + run.max() + 1)), shape=(n, n))
    part = connected_components(ties, directed=False)[1][run.max() + 1 :]
    tied = {frozenset(picture[1][part == p]) for p in np.unique(part)}
    assert tied == {frozenset([*block.once, *block.every]) for block in blocks}
    assert len(blocks) == design.TRAIN_BLOCKS + 2


def test_subjects_have_orders_of_their_own(sessions):
    first, second = (trials["stimulus_id"].tolist() for trials in sessions)
    assert first != second


def test_runs_are_not_longer_than_a_person_bears(sessions):
    for trials in sessions:
        assert trials["run"].value_counts().max() <= design.TRIALS_PER_RUN
        assert sorted(trials["run"].unique()) == list(range(1, trials["run"].max() + 1))


def test_trials_keep_their_distance_and_blanks_move_them_off_the_grid():
    onsets = design.onset_times(60, 4.0, np.random.default_rng(3))
    gaps = np.diff(onsets)
    assert gaps.min() >= 4.0 - 1e-9
    after_blank = np.flatnonzero(gaps > 5.9)
    assert len(after_blank) == pytest.approx(9, abs=1)  # 0.15 of the trials
    assert np.diff(after_blank).max() < 2 * 7  # never a long stretch without
    assert len(np.unique(np.round(onsets % 2.0, 3))) > 3


def test_the_last_response_is_recorded():
    onsets = np.array([6.0, 10.0])
    assert design.n_volumes(onsets, 4.0, 2.0) * 2.0 >= 10 + 4 + design.TAIL_S
    assert design.n_volumes(onsets, 4.0, 0.7) * 0.7 >= 10 + 4 + design.TAIL_S


def test_few_pictures_make_few_blocks_and_no_empty_run():
    blocks = design.make_blocks(TRAIN[:4], TEST[:2], 1, 2, np.random.default_rng(4))
    trials = design.schedule(blocks, 3.0, 4.0, np.random.default_rng(5))
    assert len(trials) == 4 + 2 * 1 + 2 * 2
    assert trials["run"].value_counts().min() >= 1
