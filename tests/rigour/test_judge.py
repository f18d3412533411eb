"""Verdicts: trial scores first, one set of draws for all, pooling and pairing by stimulus."""

import numpy as np
import pytest

from neurodecode.metrics.identification import TwoWay
from neurodecode.metrics.retrieval import Retrieval
from neurodecode.metrics.score import Score, partners
from neurodecode.rigour.judge import (
    Draws,
    Panel,
    difference,
    interval_of,
    judge,
    number_stimuli,
    p_of_difference,
    pool,
)

RNG = np.random.default_rng(0)
N = 40
IDS = {s: [f"pic-{i:02d}" for i in range(N)] for s in ("sub-01", "sub-02")}


def verdicts(tables, ids=IDS, summary="mean"):
    _, rows, n_units = number_stimuli(ids)
    draws = Draws.make(n_units, 500, 200, np.random.default_rng(1))
    judged = [
        judge(Score("x", t, summary=summary), Panel.of(r, draws))
        for t, r in zip(tables, rows.values(), strict=True)
    ]
    return judged, rows, draws, n_units


def test_stimuli_are_numbered_across_subjects():
    truths, rows, n_units = number_stimuli({"a": ["q", "p", "q"], "b": ["r", "q"]})
    assert truths["a"].tolist() == ["p", "q"] and n_units == 3
    assert rows["a"].own.tolist() == [1, 0, 1] and rows["a"].unit.tolist() == [1, 0, 1]
    assert rows["b"].own.tolist() == [1, 0] and rows["b"].unit.tolist() == [2, 1]
    assert rows["a"].n_units == 2


@pytest.mark.parametrize("summary", ["mean", "median"])
def test_a_verdict_summarises_the_own_pairs(summary):
    table = RNG.random((N, N))
    (v, _), *_ = verdicts([table, table], summary=summary)
    np.testing.assert_array_equal(v.rows, np.diagonal(table))
    assert v.value == pytest.approx(getattr(np, summary)(np.diagonal(table)))
    off_diagonal = table[~np.eye(N, dtype=bool)].mean()
    assert v.chance == pytest.approx(off_diagonal) and v.n == N


def test_pooling_equal_subjects_changes_nothing_and_independent_ones_narrows():
    table, other = RNG.random((N, N)), RNG.random((N, N))
    twice, *_, n = verdicts([table, table])
    alone, pooled = (
        interval_of(twice[0], "percentile", 0.95),
        interval_of(pool(twice, n), "percentile", 0.95),
    )
    np.testing.assert_allclose(alone, pooled)
    apart, *_, n = verdicts([table, other])
    both = pool(apart, n)
    assert both.value == pytest.approx((apart[0].value + apart[1].value) / 2)
    assert np.ptp(interval_of(both, "percentile", 0.95)) < 0.85 * np.ptp(alone)


def test_subjects_may_have_stimuli_of_their_own():
    ids = {"sub-01": [f"a{i}" for i in range(N)], "sub-02": [f"b{i}" for i in range(N // 2)]}
    judged, *_, n = verdicts([RNG.random((N, N)), RNG.random((N // 2, N // 2))], ids)
    assert n == N + N // 2 and [v.n for v in judged] == [N, N // 2]
    low, high = interval_of(pool(judged, n), "percentile", 0.95)
    assert low < pool(judged, n).value < high


def test_several_rows_of_a_stimulus_move_together():
    ids = {"sub-01": np.repeat([f"pic-{i}" for i in range(8)], 3)}
    (v,), rows, draws, _ = verdicts([RNG.random((8, 24))], ids)
    assert v.n == 8
    whole = np.tile(np.repeat(RNG.random(8), 3), (8, 1))  # a row earns the same whatever is dealt
    (constant,), *_ = verdicts([whole], ids)
    np.testing.assert_allclose(constant.null, constant.value)


def test_a_paired_difference_sees_what_two_intervals_do_not():
    easy = RNG.random((N, 1)) * np.ones((1, N))  # stimuli differ a lot, conditions little
    (a, b), rows, draws, _ = verdicts([easy + 0.02 + 0.01 * RNG.random((N, N)), easy])
    gap = difference(a, b, Panel.of(rows["sub-01"], draws))
    assert gap.value == pytest.approx(a.value - b.value)
    assert interval_of(gap, "percentile", 0.95)[0] > 0.015
    assert interval_of(a, "percentile", 0.95)[0] < interval_of(b, "percentile", 0.95)[1]
    assert p_of_difference(gap, np.random.default_rng(2)) == pytest.approx(1 / 201)


@pytest.mark.parametrize("summary", ["mean", "median"])
def test_swapping_a_and_b_flips_the_difference(summary):
    (a, b), rows, draws, _ = verdicts([RNG.random((N, N)), RNG.random((N, N))], summary=summary)
    forth, back = (difference(*pair, Panel.of(rows["sub-01"], draws)) for pair in ((a, b), (b, a)))
    assert forth.value == -back.value
    np.testing.assert_allclose(forth.draws, -back.draws)
    p = [p_of_difference(d, np.random.default_rng(3)) for d in (forth, back)]
    assert p[0] == p[1]


def test_bca_is_for_means_and_unknown_kinds_are_refused():
    (v, _), *_ = verdicts([RNG.random((N, N)) ** 6] * 2)
    assert interval_of(v, "bca", 0.95) != interval_of(v, "percentile", 0.95)
    (m, _), *_ = verdicts([RNG.random((N, N)) ** 6] * 2, summary="median")
    assert interval_of(m, "bca", 0.95) == interval_of(m, "percentile", 0.95)
    with pytest.raises(ValueError, match="wilson, percentile or bca"):
        interval_of(v, "normal", 0.95)


def test_wilsons_interval_is_for_means_between_0_and_1():
    hits = (RNG.random((N, N)) < 0.05).astype(float)
    (v, _), *_, n = verdicts([hits] * 2)
    assert interval_of(v, "wilson", 0.95)[0] > interval_of(v, "percentile", 0.95)[0] - 1e-9
    assert interval_of(v, "wilson", 0.95) != interval_of(v, "percentile", 0.95)
    (beyond, other), *_ = verdicts([2 * hits, hits])
    (m, _), *_ = verdicts([hits] * 2, summary="median")
    for verdict in (beyond, m, pool([beyond, other], n)):
        assert interval_of(verdict, "wilson", 0.95) == interval_of(verdict, "percentile", 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("common", [0.0, 3.0])  # what predictions share: 3 times the noise
def test_intervals_cover_the_expected_score_of_other_studies(common):
    rng, n = np.random.default_rng(4), 100
    _, rows, _ = number_stimuli({"sub-01": [f"{i:03d}" for i in range(n)]})
    shared, found = common * rng.normal(size=16), []
    for _ in range(200):
        truth = rng.normal(size=(n, 16))
        predicted = 0.3 * truth + shared + (0.3 if common else 1.0) * rng.normal(size=(n, 16))
        panel = Panel.of(rows["sub-01"], Draws.make(n, 400, 1, rng))
        judged = [
            judge(s, panel) for s in (*Retrieval()(truth, predicted), *TwoWay()(truth, predicted))
        ]
        means = [v for v in judged if v.summary == "mean"]
        found.append([(v.value, *interval_of(v, "percentile", 0.95)) for v in means])
    value, low, high = np.moveaxis(np.array(found), -1, 0)
    covered = ((low <= value.mean(axis=0)) & (value.mean(axis=0) <= high)).mean(axis=0)
    moderate = value.mean(axis=0) < 0.97  # beyond, failures are too rare to be resampled
    assert moderate.sum() >= 10 and (covered[moderate] >= 0.9).all(), covered
    assert common or (covered <= 0.99).all(), covered


def test_a_sampled_score_is_judged_as_the_whole_one():
    table = RNG.random((N, N)) + 0.3 * np.eye(N)
    which = partners(np.arange(N), N, N - 1)
    sampled = Score("x", table[which, np.arange(N)], sampled=True)
    _, rows, n_units = number_stimuli(IDS)
    panel = Panel.of(rows["sub-01"], Draws.make(n_units, 500, 2000, np.random.default_rng(1)))
    whole, some = judge(Score("x", table), panel), judge(sampled, panel)
    assert (some.value, some.chance) == pytest.approx((whole.value, whole.chance))
    assert some.null.mean() == pytest.approx(whole.null.mean(), abs=0.01)
    assert some.null.std() == pytest.approx(whole.null.std(), rel=0.15)
