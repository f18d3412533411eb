"""Intervals resample runs or classes; labels are dealt within runs."""

import numpy as np

from neurodecode.rigour.run_draws import deal_labels, dealt_scores, pair_score, pooled, run_score

RUNS = np.repeat(np.arange(6), 4)
LABELS = np.tile(np.arange(4), 6)


def test_labels_are_dealt_within_their_run():
    labels = LABELS + 10 * RUNS
    dealt = deal_labels(labels, RUNS, 50, np.random.default_rng(0))
    assert (dealt // 10 == RUNS).all()
    assert (np.sort(dealt.reshape(50, 6, 4)) == np.sort(labels.reshape(6, 4))).all()
    assert (dealt != labels).any(axis=1).all()


def test_dealt_scores_look_up_what_a_row_earns_against_its_dealt_label():
    values = np.arange(4.0)[:, None] * np.ones(24)  # a label earns its own number
    dealt = deal_labels(LABELS, RUNS, 5, np.random.default_rng(0))
    assert np.allclose(dealt_scores(values, dealt), 1.5)


def test_rows_of_a_run_are_resampled_together():
    same = run_score(np.repeat([0.0, 1.0], 12), RUNS, 4000, np.random.default_rng(0))
    spread = run_score(np.tile([0.0, 1.0], 12), RUNS, 4000, np.random.default_rng(0))
    assert same.value == spread.value == 0.5
    assert spread.draws.std() < 1e-12  # every run has half
    assert abs(same.draws.std() - np.sqrt(0.25 / 6)) < 0.01


def test_pairs_are_resampled_by_their_classes():
    pairs = [(i, j) for i in range(8) for j in range(i + 1, 8)]
    with_first = np.array([1.0 if i == 0 else 0.0 for i, _ in pairs])
    score = pair_score(with_first, pairs, 4000, np.random.default_rng(0))
    assert score.n == 28 and score.value == 0.25
    naive = np.sqrt(0.25 * 0.75 / 28)
    assert score.draws.std() > 1.5 * naive  # one class decides: pairs are not independent


def test_pooling_averages_subjects_draw_by_draw():
    a, b = (run_score(np.full(24, v), RUNS, 10, np.random.default_rng(0), [v, v]) for v in (0, 1))
    both = pooled([a, b])
    assert both.value == 0.5 and both.n == 48 and (both.draws == 0.5).all()
    assert both.null.tolist() == [0.5, 0.5] and both.interval(0.95) == (0.5, 0.5)


def test_without_permutations_there_is_no_p():
    score = run_score(np.ones(24), RUNS, 10, np.random.default_rng(0))
    assert np.isnan(score.p(np.random.default_rng(0), "higher"))
