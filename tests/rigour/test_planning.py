"""Plans come true: half widths and power of simulated studies are those that were foretold."""

import numpy as np
import pytest
from scipy.stats import norm

from neurodecode.metrics.identification import two_way
from neurodecode.metrics.retrieval import brain_to_image
from neurodecode.metrics.score import Score, cosine
from neurodecode.rigour.hierarchical import population_interval
from neurodecode.rigour.judge import Draws, Panel, interval_of, judge, number_stimuli, p_of, pool
from neurodecode.rigour.planning import Averaged, People, Ranked, components, least_stimuli, plan


def similarity(n, separation, rng, hard=0.0, shared=0.0):
    table = rng.standard_normal((n, n))
    own = np.sqrt(shared) * hard + np.sqrt(1 - shared) * rng.standard_normal(n)
    table[np.arange(n), np.arange(n)] = separation + own
    return table


def score_of(kind, table):
    if kind.candidates == 2:
        return Score("two_way", two_way(table), 0.5)
    m = min(kind.candidates, len(table))
    return Score("top", brain_to_image(table, kind.top, m), kind.top / m, m)


@pytest.mark.parametrize(
    ("kind", "n_stimuli", "n_subjects"),
    [
        (Ranked(0.3, 1, 80), 80, 1),
        (Ranked(0.06, 1, 50), 50, 1),
        (Ranked(0.3, 5, 40), 80, 1),
        (Ranked(0.56, 1, 2), 60, 2),
    ],
)
def test_half_width_and_power_are_those_of_simulated_studies(kind, n_stimuli, n_subjects):
    rng, found = np.random.default_rng(0), []
    names = {f"{s}": [f"{i:03d}" for i in range(n_stimuli)] for s in range(n_subjects)}
    _, rows, _ = number_stimuli(names)
    panel = Panel.of(rows["0"], Draws.make(n_stimuli, 200, 199, rng))
    for _ in range(150):
        tables = [similarity(n_stimuli, kind.separation, rng) for _ in range(n_subjects)]
        whole = pool([judge(score_of(kind, table), panel) for table in tables], n_stimuli)
        low, high = interval_of(whole, "wilson", 0.95)
        found.append((whole.value, (high - low) / 2, p_of(whole, rng) <= 0.05))
    score, half, power = np.mean(found, axis=0)
    told = plan(kind, People(), n_stimuli, 1, n_subjects)
    assert told["score"] == pytest.approx(score, rel=0.08)
    assert told["half_width"] == pytest.approx(half, rel=0.07)
    assert told["power"] == pytest.approx(power, abs=0.13)  # 3 standard errors, and .01


def test_intervals_over_subjects_are_as_wide_as_foretold():
    rng, kind, half = np.random.default_rng(1), Ranked(0.4, 1, 40), []
    who, what = np.repeat(np.arange(12), 40), np.tile(np.arange(40), 12)
    for _ in range(40):
        skill, hard = 0.4 * rng.standard_normal(12), rng.standard_normal(40)
        rows = [
            np.diagonal(brain_to_image(similarity(40, kind.separation + s, rng, hard, 0.4)))
            for s in skill
        ]
        found = components(np.concatenate(rows), who, what)
        people = People(found["shared"], found["sd"], "both")
        told = plan(Ranked(0.4, 1, 40), people, 40, 1, 12)["half_width"]
        _, low, high = population_interval(np.concatenate(rows), who, what, "both", rng)
        half.append((told, (high - low) / 2))
    told, seen = np.mean(half, axis=0)
    assert told == pytest.approx(seen, rel=0.07)


def test_repeats_raise_the_score_as_averaging_does():
    rng, n, dim, noise, found = np.random.default_rng(2), 60, 200, 5.0, {}
    for n_repeats in (1, 4):
        hits = []
        for _ in range(60):
            truth = rng.standard_normal((n, dim))
            said = truth + noise / np.sqrt(n_repeats) * rng.standard_normal((n, dim))
            hits.append(np.diagonal(brain_to_image(cosine(truth, said))).mean())
        found[n_repeats] = np.mean(hits)
    kind = Ranked(found[1], 1, n, reliability=1 / (1 + noise**2))
    assert plan(kind, People(), n, 4, 1)["score"] == pytest.approx(found[4], abs=0.03)


def test_the_separation_of_two_way_scores_has_a_closed_form():
    assert Ranked(0.8).separation == pytest.approx(np.sqrt(2) * norm.ppf(0.8), rel=1e-4)


def test_a_plain_mean_is_planned_by_its_spread():
    told = plan(Averaged(0.2, 0.0, 1.0), People(), 100, 1, 4)
    assert told["half_width"] == pytest.approx(1.96 * 1.0 / 20, rel=1e-3)
    assert told["power"] == pytest.approx(norm.sf(norm.isf(0.05) - 0.2 * 20), rel=1e-6)


def test_the_fewest_pictures_are_enough_and_one_less_is_not():
    kind = Ranked(0.3, 1, 20)
    line = least_stimuli(kind, People(), 1, 2, within=0.05, power=0.9)
    less = plan(kind, People(), line["stimuli"] - 1, 1, 2)
    assert line["half_width"] <= 0.05 < less["half_width"] and line["power"] >= 0.9


def test_no_number_of_pictures_makes_up_for_few_subjects():
    people = People(sd=0.1, population="both")
    assert least_stimuli(Ranked(0.3, 1, 20), people, 1, 4, within=0.05) is None
    assert least_stimuli(Ranked(0.3, 1, 20), people, 1, 40, within=0.05) is not None


def test_components_are_those_that_were_planted():
    rng = np.random.default_rng(3)
    who, what = np.repeat(np.arange(40), 300), np.tile(np.arange(300), 40)
    a, b = 0.2 * rng.standard_normal(40), 0.6 * rng.standard_normal(300)
    found = components(a[who] + b[what] + 0.8 * rng.standard_normal(len(who)), who, what)
    assert found["sd"] == pytest.approx(a.std(ddof=1), rel=0.1)
    assert found["shared"] == pytest.approx(0.36, abs=0.05)
    assert found["row"] == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Ranked(0.01, 1, 100), "above chance"),
        (lambda: Ranked(0.5, 5, 5), "the top are fewer"),
        (lambda: Ranked(0.5, reliability=1.0), "less than 1"),
        (lambda: plan(Ranked(0.8), People(), 50, 3, 1), "reliability="),
        (lambda: plan(Averaged(0.8, 0, 1), People(), 50, 3, 1), "repeats=3"),
        (lambda: plan(Ranked(0.8), People(population="both"), 50, 1, 1), "cannot speak of others"),
        (lambda: plan(Ranked(0.5, 5, 50), People(), 4, 1, 1), "needs more than that"),
        (lambda: People(population="all"), "one of stimuli, subjects, both"),
        (lambda: People(shared=2), "shared from 0 to 1"),
    ],
)
def test_plans_that_make_no_sense_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
