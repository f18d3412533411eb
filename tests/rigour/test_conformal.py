"""Conformal sets: right at the stated rate, whatever the decoder is worth."""

import math

import numpy as np
import pytest

from neurodecode.rigour.conformal import (
    calibrate,
    candidate_sets,
    judge_sets,
    least_stimuli,
    promise,
    relative_similarity,
)


def study(n_validation, n_test, signal, rng, dim=16):
    """Similarities (rows by candidates) of both sides, and to a gallery of training pictures."""
    gallery, sides = rng.normal(size=(60, dim)), []
    for n in (n_validation, n_test):
        truth = rng.normal(size=(n, dim))
        predicted = signal * truth + rng.normal(size=(n, dim)) * rng.gamma(2, 0.5, (n, 1))
        sides.append((predicted @ truth.T, predicted @ gallery.T))
    return sides


@pytest.mark.parametrize("n_validation", [9, 19, 40])
@pytest.mark.parametrize("signal", [0.0, 1.0])
def test_mean_coverage_lies_between_the_level_and_one_part_more(n_validation, signal):
    rng = np.random.default_rng(n_validation)
    coverage = []
    for _ in range(400):
        (validation, near), (test, test_near) = study(n_validation, 25, signal, rng)
        relative = relative_similarity(validation, near)
        threshold = calibrate(relative, np.arange(n_validation), 0.9, rng)
        sets = candidate_sets(relative_similarity(test, test_near), threshold)
        coverage.append(judge_sets(sets, np.arange(25))["coverage"])
    error = np.std(coverage, ddof=1) / np.sqrt(400)
    assert 0.9 - 3 * error <= np.mean(coverage) <= 0.9 + 1 / (n_validation + 1) + 3 * error


def test_the_threshold_is_the_order_statistic_of_split_conformal():
    similarity = np.eye(19) * np.arange(1, 20)[:, None]
    threshold = calibrate(similarity, np.arange(19), 0.9, np.random.default_rng(0))
    assert threshold == 2  # ⌈.9 · 20⌉ = 18th largest of 19, …, 2, 1
    assert calibrate(similarity, np.arange(19), 0.5, np.random.default_rng(0)) == 10


def test_too_few_validation_pictures_leave_every_candidate_in():
    rng = np.random.default_rng(0)
    assert least_stimuli(0.9) == 9 and least_stimuli(0.95) == 19 and least_stimuli(0.5) == 1
    assert calibrate(rng.normal(size=(8, 8)), np.arange(8), 0.9, rng) == -math.inf
    assert math.isfinite(calibrate(rng.normal(size=(9, 9)), np.arange(9), 0.9, rng))
    sets = candidate_sets(rng.normal(size=(3, 50)), -math.inf)
    assert sets.all() and judge_sets(sets, np.arange(3))["mean_size"] == 50
    assert "every candidate is in every set" in promise(8, 0.9)
    assert "between 90.0% and 95.0%" in promise(19, 0.9)


def test_a_stronger_signal_gives_smaller_sets():
    size = {}
    for signal in (0.0, 0.5, 3.0):
        rng = np.random.default_rng(1)
        found = []
        for _ in range(30):
            (validation, near), (test, test_near) = study(40, 50, signal, rng)
            threshold = calibrate(relative_similarity(validation, near), np.arange(40), 0.9, rng)
            found.append(candidate_sets(relative_similarity(test, test_near), threshold).sum(1))
        size[signal] = np.mean(found)
    assert 40 < size[0.0] <= 50 and size[3.0] < 2 < size[0.5] < size[0.0]


def test_the_scale_of_a_row_is_taken_from_the_gallery():
    rng = np.random.default_rng(2)
    (similarity, near), _ = study(12, 5, 1.0, rng)
    scale, shift = rng.uniform(1, 9, (12, 1)), rng.normal(size=(12, 1))
    relative = relative_similarity(similarity, near)
    moved = relative_similarity(scale * similarity + shift, scale * near + shift)
    assert np.allclose(relative, moved)
    assert np.allclose(relative_similarity(near, near).std(axis=1), 1)
    assert (relative_similarity(similarity, np.ones((12, 4))) == 0).all()


def test_rows_of_one_picture_are_one_draw():
    """A picture shown a hundred times must not outvote nine others."""
    similarity = np.zeros((109, 10))
    own = np.r_[np.zeros(100, int), np.arange(1, 10)]
    similarity[np.arange(109), own] = np.r_[np.full(100, 9.0), np.arange(1, 10) / 10]
    assert calibrate(similarity, own, 0.9, np.random.default_rng(0)) == pytest.approx(0.1)
    drawn = {
        calibrate(np.array([[1.0], [2.0]]), np.zeros(2, int), 0.5, np.random.default_rng(seed))
        for seed in range(20)
    }
    assert drawn == {1.0, 2.0}
    sets = np.array([[True, False], [False, True], [False, True]])
    judged = judge_sets(sets, np.array([0, 0, 1]))
    assert judged["n"] == 2 and judged["coverage"] == 0.75 and judged["mean_size"] == 1


def test_a_collapsed_decoder_gets_all_candidates_in_spite_of_rounding():
    rng = np.random.default_rng(3)
    alike = 0.7 + 1e-13 * rng.normal(size=(20, 20))
    threshold = calibrate(alike, np.arange(20), 0.9, rng)
    assert candidate_sets(alike, threshold).all()


def test_the_interval_is_that_of_a_binomial_share():
    from scipy.stats import binomtest

    sets = np.eye(40, dtype=bool)
    sets[:6] = False
    judged = judge_sets(sets, np.arange(40))
    exact = binomtest(34, 40).proportion_ci(0.95, method="exact")
    assert (judged["lo"], judged["hi"]) == pytest.approx((exact.low, exact.high))
    assert judged["empty"] == 0.15
    assert judge_sets(np.ones((5, 5), bool), np.arange(5))["hi"] == 1.0
    assert judge_sets(np.zeros((5, 5), bool), np.arange(5))["lo"] == 0.0


@pytest.mark.parametrize(
    ("similarity", "own", "level", "words"),
    [
        (np.zeros((3, 4)), [0, 1, 4], 0.9, "names columns 0 to 4, but there are 4 candidates"),
        (np.zeros((3, 4)), [0, 1], 0.9, "expected .n_rows, n_candidates. and .n_rows,."),
        (np.full((3, 4), np.nan), [0, 1, 2], 0.9, "3 similarities are NaN"),
        (np.zeros((3, 4)), [0, 1, 2], 90, "a rate between 0 and 1"),
    ],
)
def test_what_cannot_be_calibrated_is_said(similarity, own, level, words):
    with pytest.raises(ValueError, match=words):
        calibrate(similarity, np.array(own), level, np.random.default_rng(0))


def test_a_gallery_of_other_rows_is_refused():
    with pytest.raises(ValueError, match="expected the same rows"):
        relative_similarity(np.zeros((3, 4)), np.zeros((2, 9)))
