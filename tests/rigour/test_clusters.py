"""Clusters are found where they are planted, and in no more studies of noise than they may."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.stats import binom, ttest_1samp

from neurodecode.metrics.identification import own_two_way
from neurodecode.metrics.score import cosine
from neurodecode.models.over_time import fit_over_time, predict_over_time
from neurodecode.rigour.clusters import clusters_above_chance


def noise(rng, *shape):
    """Noise that is smooth along the last axis."""
    smooth = gaussian_filter1d(rng.standard_normal(shape), 2.0, axis=-1)
    return smooth / smooth.std()


def test_a_planted_cluster_is_found_where_it_is():
    rng = np.random.default_rng(0)
    scores = 0.5 + 0.2 * noise(rng, 40, 60)
    scores[:, 20:30] += 0.25
    strong = [c for c in clusters_above_chance(scores, 0.5, 500, rng) if c.p <= 0.05]
    assert len(strong) == 1
    assert 18 <= strong[0].first <= 21 and 28 <= strong[0].last <= 31
    assert strong[0].p == pytest.approx(1 / 500)


def test_the_mass_is_the_sum_of_t_values():
    rng = np.random.default_rng(1)
    scores = 0.5 + 0.2 * rng.standard_normal((30, 20))
    scores[:, 5:9] += 0.3
    (found,) = [c for c in clusters_above_chance(scores, 0.5, 50, rng) if c.first <= 6 <= c.last]
    t = ttest_1samp(scores, 0.5).statistic[found.first : found.last + 1]
    assert found.mass == pytest.approx(t.sum(), rel=0.01)


def test_scores_below_chance_are_no_cluster():
    rng = np.random.default_rng(0)
    assert clusters_above_chance(0.3 + 0.1 * noise(rng, 40, 60), 0.5, 50, rng) == []


def test_a_laxer_threshold_makes_wider_clusters():
    rng = np.random.default_rng(0)
    scores = 0.5 + 0.2 * noise(rng, 40, 60)
    scores[:, 20:30] += 0.25
    n_times = [
        sum(c.last - c.first + 1 for c in clusters_above_chance(scores, 0.5, 50, rng, forming_p=p))
        for p in (0.2, 0.001)
    ]
    assert n_times[0] > n_times[1] > 0


def test_scores_that_are_all_equal_are_certain_not_infinite():
    scores = np.full((20, 10), 0.5)
    scores[:, 4:6] = 1.0
    (found,) = clusters_above_chance(scores, 0.5, 50, np.random.default_rng(0))
    assert (found.first, found.last) == (4, 5) and np.isfinite(found.mass)


def test_one_unit_cannot_be_tested():
    with pytest.raises(ValueError, match="at least 2 stimuli or subjects, not 1"):
        clusters_above_chance(np.ones((1, 5)), 0.5, 10, np.random.default_rng(0))


def two_way_of_noise(seed, n_windows=40, n_train=60, n_test=25, dim=6, n_channels=5):
    """Decode noise: every part is that of the stage, only the responses say nothing."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((4, dim))  # stimuli come in categories
    targets = rng.standard_normal((n_train + n_test, dim))
    targets += centres[np.arange(len(targets)) % 4]
    targets -= targets[:n_train].mean(axis=0)
    x = noise(rng, n_train + n_test, n_channels, n_windows).transpose(2, 0, 1)
    fit = fit_over_time(x[:, :n_train], targets[:n_train], np.arange(n_train) % 4)
    said = predict_over_time(x[:, n_train:], fit)
    return np.stack([own_two_way(cosine(targets[n_train:], one)) for one in said], axis=1), rng


@pytest.mark.slow
def test_studies_of_noise_have_a_cluster_no_more_often_than_they_may():
    n_studies, found, level = 300, 0, 0
    for seed in range(n_studies):
        scores, rng = two_way_of_noise(seed)
        clusters = clusters_above_chance(scores, 0.5, 200, rng)
        found += min((c.p for c in clusters), default=1.0) <= 0.05
        level += scores.mean()
    low, high = binom.interval(0.99, n_studies, 0.05)
    assert low <= found <= high
    assert level / n_studies == pytest.approx(0.5, abs=0.01)
