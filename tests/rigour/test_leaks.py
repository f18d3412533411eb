"""Leaks: copies of pictures, windows of time and shared states are found where they are planted."""

import os

import numpy as np
import pandas as pd
import pytest

from neurodecode.rigour.leaks import duplicates, hashing, pixels
from neurodecode.rigour.leaks.duplicates import near_duplicates
from neurodecode.rigour.leaks.findings import finding, refusal, told
from neurodecode.rigour.leaks.neighbours import equal_captions, unusual_neighbours
from neurodecode.rigour.leaks.state import shared_state
from neurodecode.rigour.leaks.windows import overlapping_windows, time_windows
from neurodecode.world.scenes import render, sample_scenes
from scripts.bench import duplicates as bench
from scripts.bench import leaks

# ---- pictures


@pytest.fixture(scope="module")
def pictures():
    """Every fifth tile of scikit-image's photographs."""
    return [*bench.photographs(160)][::5]


def test_no_two_different_photographs_are_duplicates(pictures):
    found = near_duplicates(bench.thumbnails(pictures))
    assert len(found.pairs) == 0 and found.n_compared == len(pictures) * (len(pictures) - 1) // 2


@pytest.mark.parametrize("name", bench.TRANSFORMATIONS)
def test_a_treated_copy_is_found(name, pictures):
    recall, wrong = bench.planted(pictures, bench.TRANSFORMATIONS[name], np.random.default_rng(0))
    assert recall * len(pictures) > len(pictures) - 2.5, "plain ones, if cropped, may be missed"
    assert wrong == 0


@pytest.mark.slow
def test_recall_and_false_alarms_over_all_photographs_and_a_folder_of_ones_own():
    # NEURODECODE_STIMULI names the folder, such as that of Haxby's faces and houses
    pictures = [*bench.photographs(160), *bench.own_pictures()]
    n_pairs = len(pictures) * (len(pictures) - 1) // 2
    assert len(near_duplicates(bench.thumbnails(pictures)).pairs) <= 1e-3 * n_pairs
    rng = np.random.default_rng(0)
    figures = [bench.planted(pictures, f, rng) for f in bench.TRANSFORMATIONS.values()]
    recall, wrong = np.array(figures).T
    assert recall.mean() >= 0.98 and recall.min() >= 0.95 and wrong.max() <= 1e-3
    assert os.environ.get("NEURODECODE_STIMULI") is None or len(pictures) > 150


def test_rendered_scenes_that_resemble_each_other_are_no_duplicates():
    scenes = render(sample_scenes(300, np.random.default_rng(0)))
    found = near_duplicates(scenes)
    assert found.n_candidates > 300 and len(found.pairs) == 0


def test_copies_are_named_with_their_mirroring_and_only_across_sides(pictures):
    small = bench.thumbnails(pictures[:8])
    all_ = np.concatenate([small, small[2:3, :, ::-1], small[5:6]])
    found = near_duplicates(all_)
    assert found.pairs.tolist() == [[2, 8], [5, 9]] and found.mirrored.tolist() == [True, False]
    assert (found.pixels > 0.99).all() and (found.details > 0.99).all()
    sides = np.array(["test"] * 8 + ["train", "test"])
    assert near_duplicates(all_, sides).pairs.tolist() == [[2, 8]]
    sides[8] = ""
    assert len(near_duplicates(all_, sides).pairs) == 0


def test_a_plain_picture_is_a_copy_of_itself_and_of_no_other():
    plain = np.zeros((3, pixels.SIDE, pixels.SIDE, 3), np.uint8)
    plain[:2, 20:30, 20:30] = 255
    plain[2, 22:32, 20:30] = 255
    assert near_duplicates(plain).pairs.tolist() == [[0, 1]]


def test_blocks_change_nothing(pictures, monkeypatch):
    both = np.concatenate([bench.thumbnails(pictures)] * 2)
    whole = near_duplicates(both)
    for module, name, value in (
        (hashing, "BLOCK", 7),
        (hashing, "PICTURES", 5),
        (pixels, "PICTURES", 5),
        (duplicates, "BATCH", 3),
    ):
        monkeypatch.setattr(module, name, value)
    small = near_duplicates(both)
    assert (whole.pairs == small.pairs).all() and whole.n_candidates == small.n_candidates
    np.testing.assert_allclose(whole.pixels, small.pixels, atol=1e-5)


def test_a_candidate_from_elsewhere_is_looked_at_too(pictures, monkeypatch):
    both = np.concatenate([bench.thumbnails(pictures[:4])] * 2)
    monkeypatch.setattr(hashing, "BITS", -1)  # the hash finds nothing
    assert len(near_duplicates(both).pairs) == 0
    assert near_duplicates(both, also=[(5, 1), (0, 7)]).pairs.tolist() == [[1, 5]]


def test_the_hash_is_the_cosine_transform_of_scipy():
    from scipy.fft import dctn

    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (3, pixels.SIDE, pixels.SIDE, 3), dtype=np.uint8)
    codes, _ = hashing.hashes(small)
    waves = dctn(small @ hashing.LUMINANCE, axes=(1, 2))[:, :8, :8].reshape(3, 64) > 0
    waves[:, 0] = False
    assert (codes[:, 0] == np.packbits(waves, axis=1).view(np.uint64)[:, 0]).all()


def test_weighted_correlation_is_numpys_where_weights_are_equal():
    a, b = np.random.default_rng(0).normal(size=(2, 1, 30))
    expected = np.corrcoef(a[0], b[0])[0, 1]
    assert pixels.correlation(a, b, 1.0)[0] == pytest.approx(expected, abs=1e-9)
    assert pixels.correlation(a, np.ones_like(a), 1.0)[0] == 0


def test_thumbnails_of_another_size_are_refused():
    with pytest.raises(ValueError, match="not"):
        near_duplicates(np.zeros((2, 32, 32, 3), np.uint8))


# ---- embeddings and captions


def test_a_planted_neighbour_is_unusual_and_none_in_a_study_of_similar_pictures():
    alarms, found = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        embeddings = rng.normal(size=(20, 32))[rng.integers(20, size=300)]
        embeddings = embeddings + rng.lognormal(-1, 0.7, (300, 1)) * rng.normal(size=(300, 32))
        sides = np.where(np.arange(300) < 40, "test", "train")
        alarms += len(unusual_neighbours(embeddings, sides))
        embeddings[7] = embeddings[200] + 1e-4 * rng.normal(size=32)
        found += [7, 200] in unusual_neighbours(embeddings, sides).tolist()
    assert alarms == 0 and found == 20


def test_equal_captions_are_one_pair_each_and_empty_ones_none():
    captions, sides = (
        ["a cat", "a cat", "", "", "a dog"],
        ["test", "train", "test", "train", "test"],
    )
    assert equal_captions(captions, sides).tolist() == [[0, 1]]


# ---- time


def shown(onsets, labels, duration=2.0, run="run-1"):
    table = pd.DataFrame({"onset_s": onsets, "duration_s": duration, "run": run})
    return table.assign(subject="sub-01", session=""), np.array(labels)


def test_windows_that_overlap_across_sides_are_found_and_ones_that_touch_are_not():
    trials, labels = shown([0.0, 2.0, 4.0], ["train", "test", "test"])
    assert overlapping_windows(trials, labels)[0].tolist() == []
    assert overlapping_windows(trials, labels, response_s=0.5)[0].tolist() == [[0, 1]]
    assert overlapping_windows(trials, np.array(["test"] * 3), 9.0)[0].tolist() == []
    other = trials.assign(run=["run-1", "run-2", "run-2"])
    assert overlapping_windows(other, labels, 9.0)[0].tolist() == []


def test_overlaps_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    trials, labels = shown(rng.uniform(0, 60, 40), rng.choice(["train", "val", "test"], 40))
    trials = trials.assign(duration_s=rng.uniform(0, 4, 40))
    onset, end = trials["onset_s"].to_numpy(), (trials["onset_s"] + trials["duration_s"]).to_numpy()
    reaching = {
        i
        for i in range(40)
        for j in range(40)
        if labels[i] != labels[j] and onset[i] <= onset[j] < end[i]
    }
    pairs, n_compared = overlapping_windows(trials, labels)
    assert set(pairs[:, 0]) == reaching and n_compared == 40
    assert (labels[pairs[:, 0]] != labels[pairs[:, 1]]).all()


def test_unknown_onsets_are_not_compared():
    trials, labels = shown([0.0, np.nan], ["train", "test"])
    pairs, n_compared = overlapping_windows(trials, labels, 100.0)
    assert len(pairs) == 0 and n_compared == 1


def test_windows_of_time_are_numbered_within_runs():
    trials, _ = shown([0.0, 9.0, 11.0, 0.0], [""] * 4, run=["a", "a", "a", "b"])
    assert time_windows(trials, 10.0).tolist() == [0, 0, 1, 2]


# ---- state


@pytest.mark.parametrize("kind", ["window", "run", "subject"])
def test_a_planted_state_is_found_and_one_that_is_not_there_rarely(kind):
    rng = np.random.default_rng(0)
    assert leaks.share_found(kind, 0.05, 20, rng) >= 0.95
    assert leaks.share_found(kind, 0.0, 60, rng) <= 0.15  # 5 % and three errors


def test_planted_overlaps_are_always_found():
    assert leaks.share_overlapping(20, np.random.default_rng(0)).tolist() == [1.0, 0.0]


def test_where_no_group_is_cut_nothing_can_be_shared():
    groups = np.repeat(["run-1", "run-2"], 10)
    sides = np.where(groups == "run-1", "train", "test")
    rng = np.random.default_rng(0)
    found = shared_state(rng.normal(size=(20, 4)), groups, sides, rng)
    assert found.n == 0 and np.isnan(found.p)


# ---- what is said


def test_a_finding_counts_sides_and_shows_the_first_pairs():
    ids, labels = ["a", "b", "c", "d"], ["test", "train", "train", "val"]
    pairs = np.array([[0, 1], [0, 2], [0, 3], [1, 3]])
    (found,) = finding("duplicates", pairs, ids, labels, "pairs are the same: leave one out")
    assert found.sides == {"test-train": 2, "test-val": 1, "train-val": 1} and found.n == 4
    assert "4 pairs are the same" in told(found) and "a and b, a and c" in told(found)
    message = refusal([found], ())
    assert "leave one out" in message and "split.allow_leaks=[duplicates]" in message
    assert refusal([found], ("duplicates",)) == ""
    (captions,) = finding("captions", pairs, ids, labels, "captions are equal")
    assert refusal([captions], ()) == "" and finding("windows", pairs[:0], ids, labels, "") == []
