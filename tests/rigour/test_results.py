"""The result lines: every subject and the pooled one, ceilings, only what all subjects have."""

import numpy as np
import pytest

from neurodecode.metrics.score import Score
from neurodecode.rigour.judge import Draws, Panel, judge, number_stimuli
from neurodecode.rigour.results import (
    ALL,
    comparison_lines,
    differences,
    metric_lines,
    pool_subjects,
)

RNG = np.random.default_rng(0)
N = 25
KINDS = {"model": "model", "shuffled": "control", "true_features": "ceiling"}
KEY, SMALL = ("embedding", "hit", N), ("embedding", "hit", 10)
_, ROWS, _ = number_stimuli({s: [f"p{i:02d}" for i in range(N)] for s in ("sub-01", "sub-02")})
DRAWS = Draws.make(N, 200, 99, RNG)
PANELS = {subject: Panel.of(rows, DRAWS) for subject, rows in ROWS.items()}
GAIN = {"model": 0.5, "shuffled": 0.0, "true_features": 5.0}
VERDICTS = {
    (subject, condition): {
        key: judge(Score("hit", RNG.random((N, N)) + GAIN[condition] * np.eye(N)), panel)
        for key in (KEY, SMALL)
    }
    for subject, panel in PANELS.items()
    for condition in KINDS
}


def test_lines_name_subjects_conditions_and_their_ceiling():
    lines = metric_lines(pool_subjects(VERDICTS, N), KINDS)
    assert len(lines) == 3 * 3 * 2
    for line in lines:
        (top,) = [
            x["value"]
            for x in lines
            if x["condition"] == "true_features"
            and (x["subject"], x["set_size"]) == (line["subject"], line["set_size"])
        ]
        assert line["ceiling"] == top and line["lo"] <= line["value"] <= line["hi"]
        assert line["kind"] == KINDS[line["condition"]] and line["n"] == N


def test_without_a_ceiling_there_is_none():
    only = {k: v for k, v in VERDICTS.items() if k[1] == "model"}
    assert all(np.isnan(line["ceiling"]) for line in metric_lines(only, {"model": "model"}))


def test_the_pooled_line_is_the_mean_of_subjects_and_of_what_all_have():
    less = VERDICTS | {("sub-02", "model"): {KEY: VERDICTS["sub-02", "model"][KEY]}}
    pooled = pool_subjects(less, N)[ALL, "model"]
    assert list(pooled) == [KEY]
    values = [VERDICTS[s, "model"][KEY].value for s in PANELS]
    assert pooled[KEY].value == pytest.approx(np.mean(values))


def test_a_line_does_not_depend_on_the_lines_beside_it():
    both = metric_lines(VERDICTS, KINDS, seed=3)
    alone = metric_lines(
        {k: {KEY: v[KEY]} for k, v in VERDICTS.items() if k[0] == "sub-02"}, KINDS, seed=3
    )
    wanted = [x for x in both if x["subject"] == "sub-02" and x["set_size"] == N]
    own = lambda lines: [{k: v for k, v in x.items() if k not in ("p_max", "q")} for x in lines]
    assert own(alone) == own(wanted), "but for what is corrected for the others"


def test_only_claims_are_corrected_and_by_all_claims_of_their_subject():
    lines = metric_lines(pool_subjects(VERDICTS, N), KINDS)
    claims = [x for x in lines if x["kind"] == "model"]
    assert all(np.isnan(x["p_max"]) and np.isnan(x["q"]) for x in lines if x not in claims)
    assert all(1 / 100 <= x["p_max"] <= 1 and x["p"] <= x["q"] <= 1 for x in claims)
    assert all(x["p_max"] < 0.05 for x in claims), "half a unit of gain is found"


def test_comparisons_cover_every_pair_and_subject_of_what_is_kept():
    pairs = [("model", "shuffled"), ("model", "true_features")]
    lines = comparison_lines(differences(VERDICTS, pairs, PANELS, N, lambda key: key == KEY))
    assert {(x["subject"], x["a"], x["b"]) for x in lines} == {
        (s, *pair) for s in (*PANELS, ALL) for pair in pairs
    }
    for line in lines:
        better = line["b"] == "shuffled"
        assert (line["lo"] > 0) == better and (line["hi"] < 0) == (not better)
        assert line["p"] <= 0.05
    assert comparison_lines(differences(VERDICTS, [], PANELS, N)) == []


def test_equivalence_is_told_where_a_margin_is_named():
    judged = differences(VERDICTS, [("model", "shuffled")], PANELS, N)
    plain, wide, narrow = (comparison_lines(judged, margin=m) for m in (None, 5.0, 0.01))
    assert all(np.isnan(line["p_equivalent"]) for line in plain)
    assert all(line["p_equivalent"] < 0.05 for line in wide), "half a unit is within five"
    assert all(line["p_equivalent"] > 0.5 for line in narrow)
