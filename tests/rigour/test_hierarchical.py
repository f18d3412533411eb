"""Intervals over subjects and stimuli: textbook variances, coverage, and whom they speak of."""

import numpy as np
import pytest
from scipy.stats import t

from neurodecode.rigour.hierarchical import (
    draws,
    generalises_to,
    population_interval,
    row_counts,
)


def crossed(n_subjects, n_stimuli):
    return np.repeat(np.arange(n_subjects), n_stimuli), np.tile(np.arange(n_stimuli), n_subjects)


def test_counts_cross_stimuli_with_subjects():
    who, what = crossed(4, 6)
    counts = row_counts(who, None, what, "both", 50, np.random.default_rng(0)).reshape(50, 4, 6)
    for one in counts:  # an outer product: the same stimuli for everybody
        assert np.linalg.matrix_rank(one) == 1
        assert one.sum() == 4 * 6
    fixed = row_counts(who, None, what, "stimuli", 50, np.random.default_rng(0)).reshape(50, 4, 6)
    assert (fixed == fixed[:, :1]).all() and (fixed.sum(axis=2) == 6).all()


def test_sessions_are_drawn_within_their_subjects():
    who, session = np.repeat([0, 1], 6), np.tile(np.repeat([1, 2, 3], 2), 2)
    counts = row_counts(who, session, np.arange(12), "subjects", 400, np.random.default_rng(1))
    assert (counts[:, ::2] == counts[:, 1::2]).all()  # rows of a session stay together
    per_subject = counts.reshape(400, 2, 6).sum(axis=2)
    assert set(np.unique(per_subject)) == {0, 6, 12} and (per_subject.sum(axis=1) == 12).all()


def test_draws_spread_as_crossed_effects_do():
    rng = np.random.default_rng(2)
    who, what = crossed(30, 40)
    a, b = rng.standard_normal(30), rng.standard_normal(40)
    values = a[who] + b[what]
    spread = lambda population: draws(values, who, None, what, population, 4000, rng).var()
    assert spread("stimuli") == pytest.approx(b.var() / 40, rel=0.1)
    assert spread("subjects") == pytest.approx(a.var() / 30, rel=0.1)
    assert spread("both") == pytest.approx(a.var() / 30 + b.var() / 40, rel=0.1)


def test_the_interval_over_subjects_is_students():
    rng = np.random.default_rng(3)
    who, what = crossed(9, 20)
    values = rng.standard_normal(9)[who] + rng.standard_normal(len(who))
    mean, low, high = population_interval(values, who, what, "subjects", rng)
    means = values.reshape(9, 20).mean(axis=1)
    half = t.ppf(0.975, 8) * means.std(ddof=1) / 3
    assert (mean, low, high) == pytest.approx((means.mean(), mean - half, mean + half))


@pytest.mark.parametrize("population", ["stimuli", "subjects", "both"])
def test_intervals_hold_the_truth_as_often_as_they_say(population):
    rng, held, n_studies = np.random.default_rng(4), 0, 400
    who, what = crossed(20, 50)
    people, pictures = 0.3 * rng.standard_normal(20), 0.4 * rng.standard_normal(50)
    for _ in range(n_studies):
        truth = 0.0
        a = 0.3 * rng.standard_normal(20) if population != "stimuli" else people
        b = 0.4 * rng.standard_normal(50) if population != "subjects" else pictures
        truth += people.mean() if population == "stimuli" else 0
        truth += pictures.mean() if population == "subjects" else 0
        values = a[who] + b[what] + rng.standard_normal(len(who))
        _, low, high = population_interval(values, who, what, population, rng, n_draws=300)
        held += low <= truth <= high
    assert abs(held / n_studies - 0.95) < 0.02 + 2 * np.sqrt(0.05 * 0.95 / n_studies)


def test_stimuli_of_ones_own_are_nested():
    rng = np.random.default_rng(5)
    who = np.repeat(np.arange(12), 10)
    values = rng.standard_normal(12)[who] + rng.standard_normal(120)
    _, *both = population_interval(values, who, np.arange(120), "both", rng)
    _, *subjects = population_interval(values, who, np.arange(120), "subjects", rng)
    assert np.ptp(both) == pytest.approx(np.ptp(subjects), rel=0.05)


def test_hits_have_wilsons_interval():
    rng = np.random.default_rng(6)
    _, low, high = population_interval(np.ones(40), np.zeros(40), np.arange(40), "stimuli", rng)
    assert 0.9 < low < 1 and high == pytest.approx(1)


def test_words_say_of_whom():
    assert generalises_to(1).startswith("this subject only")
    assert generalises_to(7, "subjects").startswith("these 7 subjects only: fewer than 8")
    assert generalises_to(8) == "these 8 subjects only, seeing other stimuli"
    assert generalises_to(8, "subjects") == "other subjects like these 8, seeing these stimuli"
    assert generalises_to(20, "both") == "other subjects like these 20, seeing other stimuli"


def test_one_subject_does_not_speak_of_others_and_populations_have_names():
    values, rng = np.arange(5.0), np.random.default_rng(7)
    assert np.isnan(population_interval(values, np.zeros(5), range(5), "both", rng)[1:]).all()
    with pytest.raises(ValueError, match="choose one of stimuli, subjects, both"):
        population_interval(values, np.zeros(5), range(5), "people", rng)
