"""An epoch shows every trial once, and no picture twice in a batch, whatever the study is."""

import numpy as np
import pytest

from neurodecode.contrastive.batches import epoch_batches


def seen_twice():
    """Two subjects who saw the same 40 pictures; the first saw ten of them twice."""
    return {"sub-01": np.r_[np.arange(40), np.arange(10)], "sub-02": np.arange(40)}


def check(stimulus, batches, n_per_subject):
    """The contract, written the slow way."""
    n_rows = max(map(len, stimulus.values()))
    for subject, seen in stimulus.items():
        times = np.bincount([r for b in batches for r in b.rows[subject]], minlength=len(seen))
        assert times.sum() == n_rows and times.max() - times.min() <= 1
        assert len(seen) < n_rows or set(times) == {1}
    sizes = [len(rows) for batch in batches for rows in batch.rows.values()]
    assert 0 < min(sizes) and max(sizes) - min(sizes) <= 1 and max(sizes) <= n_per_subject
    for batch in batches:
        shown = np.concatenate([stimulus[s][rows] for s, rows in batch.rows.items()])
        assert len(set(shown.tolist())) == len(shown)


def test_every_trial_once_and_no_picture_twice_in_a_batch():
    for epoch in range(5):
        batches = epoch_batches(seen_twice(), 8, seed=0, epoch=epoch)
        check(seen_twice(), batches, 8)
        assert len(batches) == 7  # 50 rows of the first subject


def test_subjects_with_equally_many_trials_all_show_each_of_them_once():
    stimulus = {s: np.repeat(np.arange(30), 3) for s in ("sub-01", "sub-02", "sub-03")}
    batches = epoch_batches(stimulus, 8, seed=0, epoch=0)
    check(stimulus, batches, 8)
    assert len(batches) == 12  # 90 rows, the remainder of 2 among them


def test_the_contract_holds_for_studies_at_random():
    rng = np.random.default_rng(0)
    n_kept = 0
    for epoch in range(150):
        n_stimuli = rng.integers(3, 40)
        stimulus = {
            f"sub-{s}": rng.integers(0, n_stimuli, size=rng.integers(1, 80))
            for s in range(rng.integers(1, 5))
        }
        n = int(rng.integers(1, 12))
        try:
            batches = epoch_batches(stimulus, n, seed=0, epoch=epoch)
        except ValueError as error:
            assert "fewer stimuli than subjects" in str(error)
            continue
        check(stimulus, batches, n)
        n_kept += 1
    assert n_kept > 120


def test_a_batch_can_hold_every_picture_there_is():
    """Half of the pictures for each of two subjects: only one arrangement in many fits."""
    stimulus = {s: np.arange(40) for s in ("sub-01", "sub-02")}
    for epoch in range(20):
        batches = epoch_batches(stimulus, 20, seed=0, epoch=epoch)
        check(stimulus, batches, 20)
        assert len(batches) == 2


def test_the_order_follows_from_seed_and_epoch_alone():
    def order(seed, epoch):
        return [b.rows["sub-01"].tolist() for b in epoch_batches(seen_twice(), 8, seed, epoch)]

    assert order(0, 3) == order(0, 3) != order(0, 4) and order(0, 3) != order(1, 3)


def test_trials_meet_at_random():
    """Over epochs, two trials of different pictures share a batch as often as any two."""
    stimulus = {"sub-01": np.repeat(np.arange(12), 2)}
    met = np.zeros((24, 24))
    for epoch in range(400):
        for batch in epoch_batches(stimulus, 6, seed=0, epoch=epoch):
            met[np.ix_(batch.rows["sub-01"], batch.rows["sub-01"])] += 1
    same = stimulus["sub-01"][:, None] == stimulus["sub-01"]
    others = met[~same] / 400
    # 6 of 24 in a batch, and the other trial of one's own picture is never there: 5 of 22
    assert met[same & ~np.eye(24, dtype=bool)].max() == 0
    assert abs(others.mean() - 5 / 22) < 1e-9
    assert np.abs(others - 5 / 22).max() < 5 * np.sqrt(5 / 22 * 17 / 22 / 400)


def test_a_batch_shrinks_to_the_pictures_there_are():
    batches = epoch_batches({"sub-01": np.arange(40) % 8}, 64, seed=0, epoch=0)
    assert {len(batch.rows["sub-01"]) for batch in batches} == {8} and len(batches) == 5


def test_more_subjects_than_pictures_is_refused():
    with pytest.raises(ValueError, match="fewer stimuli than subjects"):
        epoch_batches({s: np.array([0]) for s in "ab"}, 1, seed=0, epoch=0)
