"""The brain-attributable score: 0 without a brain, 1 for an oracle, and no number on thin ice."""

import numpy as np
import pytest

from neurodecode.rigour.attributable import attributable
from neurodecode.rigour.bootstrap import (
    percentile_interval,
    resample_counts,
    weighted_mean,
    weighted_median,
)


def study(rng, gained=0.0, possible=0.4, n=200):
    """Scores of n pictures, some harder than others for everybody."""
    hard = 0.15 * rng.normal(size=n)
    score = lambda mean: mean + hard + 0.15 * rng.normal(size=n)
    return score(0.5 + gained), score(0.5), score(0.5 + possible)


def test_it_is_the_quotient_of_mean_differences_in_every_draw():
    rng = np.random.default_rng(0)
    model, prior, ceiling = study(rng, 0.2)
    counts = resample_counts(200, 50, rng)
    value, draws = attributable(model, prior, ceiling, counts)
    assert value == pytest.approx((model - prior).sum() / (ceiling - prior).sum(), abs=1e-12)
    picked = np.repeat(np.arange(200), counts[7].astype(int))
    by_hand = (model - prior)[picked].mean() / (ceiling - prior)[picked].mean()
    assert draws[7] == pytest.approx(by_hand, abs=1e-12)


def test_noise_scores_zero_and_an_oracle_one():
    rng = np.random.default_rng(1)
    counts = resample_counts(200, 100, rng)
    values = [attributable(*study(rng), counts)[0] for _ in range(200)]
    assert abs(np.mean(values)) < 0.02  # four standard errors: the spread of one study is .05
    _, prior, ceiling = study(rng)
    value, draws = attributable(ceiling, prior, ceiling, counts)
    assert value == 1 and (draws == 1).all()


def test_it_rises_with_the_signal():
    rng = np.random.default_rng(2)
    counts = resample_counts(200, 10, rng)
    signal = np.linspace(0, 0.4, 5)
    values = [np.mean([attributable(*study(rng, s), counts)[0] for _ in range(30)]) for s in signal]
    np.testing.assert_allclose(values, signal / 0.4, atol=0.04)


def test_scores_of_which_lower_is_better_give_the_same_number():
    rng = np.random.default_rng(3)
    model, prior, ceiling = study(rng, 0.2)
    counts = resample_counts(200, 100, rng)
    higher = attributable(model, prior, ceiling, counts)
    lower = attributable(-model, -prior, -ceiling, counts, better="lower")
    assert higher[0] == lower[0] and (higher[1] == lower[1]).all()
    assert np.isnan(attributable(model, prior, ceiling, counts, better="lower")[0])


@pytest.mark.parametrize("possible", [0.0, -0.2, 0.01])
def test_there_is_no_number_where_the_ceiling_is_not_clearly_above_prior_only(possible):
    rng = np.random.default_rng(4)
    model, prior, ceiling = study(rng, 0.2, possible)
    value, draws = attributable(model, prior, ceiling, resample_counts(200, 1000, rng))
    assert np.isnan(value) and np.isnan(draws).all()


@pytest.mark.parametrize("possible", [0.4, 0.1])
def test_intervals_cover_the_true_quotient(possible):
    """.95 of studies, of those that get a number; within 3 Monte-Carlo errors of .93 to .97."""
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(200):
        scores = study(rng, possible / 2, possible)
        counts = rng.multinomial(
            200, np.full(200, 1 / 200), size=400
        )  # faster than resample_counts
        value, draws = attributable(*scores, counts)
        if np.isfinite(value):
            low, high = percentile_interval(draws)
            covered.append(low <= 0.5 <= high)
    error = np.sqrt(0.05 * 0.95 / len(covered))
    assert len(covered) > 150
    assert 0.93 - 3 * error <= np.mean(covered) <= 0.97 + 3 * error


def test_medians_are_summarised_as_medians():
    rng = np.random.default_rng(6)
    model, prior, ceiling = study(rng, 0.2, n=201)
    counts = resample_counts(201, 20, rng)
    value, _ = attributable(model, prior, ceiling, counts, summary=weighted_median)
    expected = np.median(model) - np.median(prior), np.median(ceiling) - np.median(prior)
    assert value == pytest.approx(expected[0] / expected[1])
    assert value != attributable(model, prior, ceiling, counts, summary=weighted_mean)[0]


def test_draws_without_a_row_are_left_out():
    rng = np.random.default_rng(7)
    counts = resample_counts(200, 10, rng)
    counts[3] = 0
    value, draws = attributable(*study(rng, 0.2), counts)
    assert np.isfinite(value) and list(np.flatnonzero(np.isnan(draws))) == [3]


def test_mistakes_are_told():
    counts = np.ones((3, 4))
    with pytest.raises(ValueError, match="higher or lower"):
        attributable(*np.ones((3, 4)), counts, better="more")
    with pytest.raises(ValueError, match="one score per row"):
        attributable(np.ones(5), np.ones(4), np.ones(4), counts)
