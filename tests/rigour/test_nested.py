"""Inner folds choose without the held-out run."""

import numpy as np
import pytest

from neurodecode.rigour.nested import choose, nested_scores, ranks, top_hits

RUNS = np.repeat(["a", "b", "c", "d"], 3)
LABELS = np.tile(np.arange(3), 4)


def oracle(right_in):
    """A candidate that names rows rightly in the runs of `right_in`, and wrongly elsewhere."""
    good = np.isin(RUNS, list(right_in))
    return np.eye(3)[np.where(good, LABELS, (LABELS + 1) % 3)]


def test_the_held_out_run_has_no_say_in_what_is_chosen_for_it():
    candidates = np.stack([oracle("a"), oracle("bcd")])
    scores, chosen = nested_scores(lambda train, test: candidates[:, test], LABELS, RUNS)
    assert chosen["a"] == 1  # though the other one would have been right there
    assert (scores[RUNS == "a"].argmax(axis=1) != LABELS[RUNS == "a"]).all()


def test_a_fold_is_never_trained_on_the_rows_it_scores():
    seen = []

    def score(train, test):
        seen.append((set(RUNS[train]), set(RUNS[test])))
        return np.zeros((1, len(test), 3))

    nested_scores(score, LABELS, RUNS)
    assert all(not train & test for train, test in seen)
    assert len(seen) == 4 * (3 + 1)


def test_equal_accuracy_is_decided_by_the_rank_of_the_truth_and_then_by_order():
    far = np.eye(3)[(LABELS + 1) % 3] * 2 + np.eye(3)[(LABELS + 2) % 3]
    near = np.eye(3)[(LABELS + 1) % 3] * 2 + np.eye(3)[LABELS]
    pick = lambda *c: choose(lambda tr, te: np.stack(c)[:, te], LABELS, RUNS, np.arange(12))
    assert pick(far, near) == 1 and pick(near, far) == 0 and pick(far, far) == 0


def test_fewer_than_three_runs_are_refused():
    with pytest.raises(ValueError, match="need 3 runs, there are 2"):
        nested_scores(None, LABELS[:6], RUNS[:6])


def test_a_decoder_that_cannot_tell_is_at_chance():
    flat = np.zeros((12, 3))
    assert (ranks(flat, LABELS) == 1).all()
    assert np.allclose(top_hits(flat, LABELS), 1 / 3)
    assert (top_hits(oracle("abcd"), LABELS) == 1).all() and (ranks(oracle(""), LABELS) > 0).all()
