"""Permutation p-values: uniform under the null however coarse the score, exact on a tiny study."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kstest

from neurodecode.metrics.identification import two_way
from neurodecode.metrics.pixel import PixCorr
from neurodecode.metrics.retrieval import Retrieval, brain_to_image
from neurodecode.metrics.score import Score, cosine
from neurodecode.rigour.judge import (
    Draws,
    Panel,
    Rows,
    difference,
    judge,
    p_of,
    p_of_difference,
    pool,
)
from neurodecode.rigour.permutation import permutation_p, permuted_stimuli, permuted_truths


def null_p_values(make_score, n_studies=400, n=30, n_permutations=199, seed=0):
    rng, p = np.random.default_rng(seed), []
    rows = Rows(np.arange(n), np.arange(n))
    for _ in range(n_studies):
        draws = Draws.make(n, 1, n_permutations, rng)
        p.append(p_of(judge(make_score(rng, n), Panel.of(rows, draws)), rng))
    return np.array(p)


def embeddings(rng, n):
    return rng.normal(size=(n, 6)), rng.normal(size=(n, 6)) + 0.7 * rng.normal(size=6)


NULLS = {
    "top1, coarse": lambda rng, n: Score("", brain_to_image(cosine(*embeddings(rng, n)))),
    "two-way": lambda rng, n: Score("", two_way(cosine(*embeddings(rng, n)))),
    "rank": lambda rng, n: Retrieval()(*embeddings(rng, n))[-1],
    "pixels": lambda rng, n: PixCorr()(rng.random((n, 2, 2, 3)), rng.random((n, 2, 2, 3)))[0],
    "collapsed": lambda rng, n: Score("", brain_to_image(np.ones((n, n)))),
}


@pytest.mark.parametrize("name", NULLS)
def test_p_values_are_uniform_under_the_null(name):
    p = null_p_values(NULLS[name])
    assert kstest(p, "uniform").pvalue > 0.01
    false_alarms = (p <= 0.05).mean()
    assert false_alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p))


def test_p_is_small_where_there_is_something_to_find():
    p = null_p_values(lambda rng, n: Score("", two_way(np.eye(n) + rng.random((n, n)))), 20)
    assert (p == 1 / 200).all()


def test_p_is_the_share_of_all_pairings_on_a_tiny_study():
    values = np.random.default_rng(1).normal(size=(5, 5)) + 0.5 * np.eye(5)
    scores = [values[list(order), range(5)].mean() for order in permutations(range(5))]
    exact = np.mean(np.array(scores) >= np.diagonal(values).mean())
    rng = np.random.default_rng(2)
    rows = Rows(np.arange(5), np.arange(5))
    p = p_of(judge(Score("", values, 0.0), Panel.of(rows, Draws.make(5, 1, 20000, rng))), rng)
    assert p == pytest.approx(exact, abs=0.02)


def test_p_counts_ties_evenly_and_is_never_zero():
    rng = np.random.default_rng(3)
    tied = [permutation_p(0.5, np.full(99, 0.5), rng) for _ in range(2000)]
    assert kstest(tied, "uniform").pvalue > 0.01
    assert permutation_p(1.0, np.zeros(99), rng) == 0.01
    assert permutation_p(1.0, np.zeros(99), rng, better="lower") == 1
    with pytest.raises(ValueError, match="higher or lower"):
        permutation_p(1.0, np.zeros(9), rng, better="up")


def test_rounding_does_not_break_ties():
    null = np.full(99, 0.3) + 1e-16
    p = [permutation_p(0.1 + 0.2, null, np.random.default_rng(seed)) for seed in range(50)]
    assert len(set(p)) > 30


def test_subjects_with_the_same_stimuli_are_permuted_alike():
    keys = np.random.default_rng(4).random((50, 10))
    np.testing.assert_array_equal(
        permuted_truths(keys, np.arange(10)), np.argsort(keys, axis=1, kind="stable")
    )
    some = np.array([1, 4, 7])
    dealt = permuted_truths(keys[:, some], np.arange(3))
    assert (np.sort(dealt, axis=1) == np.arange(3)).all()


def test_the_difference_of_equal_conditions_has_uniform_p():
    rng, n, p = np.random.default_rng(5), 30, []
    rows = Rows(np.arange(n), np.arange(n))
    for _ in range(400):
        panel = Panel.of(rows, Draws.make(n, 1, 199, rng))
        truth = rng.normal(size=(n, 6))
        a, b = (
            judge(
                Score("", brain_to_image(cosine(truth, truth + 3 * rng.normal(size=(n, 6))))),
                panel,
            )
            for _ in range(2)
        )
        p.append(p_of_difference(difference(a, b, panel), rng))
    assert kstest(p, "uniform").pvalue > 0.01


def test_pooled_p_stays_uniform_when_all_subjects_err_alike():
    rng, n, p = np.random.default_rng(6), 30, []
    rows = Rows(np.arange(n), np.arange(n))
    for _ in range(400):
        panel = Panel.of(rows, Draws.make(n, 1, 199, rng))
        truth, common = rng.normal(size=(n, 6)), rng.normal(size=(n, 6))
        subjects = [common + 0.2 * rng.normal(size=(n, 6)) for _ in range(3)]
        judged = [judge(Score("", two_way(cosine(truth, x))), panel) for x in subjects]
        p.append(p_of(pool(judged, n), rng))
    assert kstest(p, "uniform").pvalue > 0.01


def test_p_values_by_permuted_training_are_uniform_without_signal():
    rng, p = np.random.default_rng(0), []
    names = [f"{i:02d}" for i in range(20)]
    for _ in range(400):  # ridge from noise to pictures, then to pictures dealt anew
        x, truth = rng.standard_normal((30, 12)), rng.standard_normal((30, 4))

        def score(taken, x=x, truth=truth):
            fit = np.linalg.solve(x[:20].T @ x[:20] + np.eye(12), x[:20].T @ truth[taken])
            return np.diagonal(cosine(truth[20:], x[20:] @ fit)).mean()

        dealt = [permuted_stimuli(names, rng) for _ in range(19)]
        null = [score([int(one[name]) for name in names]) for one in dealt]
        p.append(permutation_p(score(np.arange(20)), np.array(null), rng))
    assert kstest(p, "uniform").pvalue > 0.01
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 0.033  # 3 standard errors


def test_stimuli_are_permuted_whatever_the_order_and_number_of_their_trials():
    one, other = (
        permuted_stimuli(ids, np.random.default_rng(0)) for ids in ("abcd", list("dcbaabbb"))
    )
    assert one == other and sorted(one) == sorted(one.values()) == list("abcd")
