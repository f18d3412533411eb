"""Consistency: what is planted in two versions of some rows is found, and nothing else."""

import numpy as np
import pytest

from neurodecode.metrics.consistency import (
    likeness_scores,
    mean_pairwise,
    pixel_spread,
    spread_map,
    two_groups,
    unit_pictures,
)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def halves(correlation, n=60, dim=200, seed=0):
    """Two versions of rows whose unit vectors have this expected cosine."""
    rng = np.random.default_rng(seed)
    shared, *noise = rng.normal(size=(3, n, dim))
    mix = [np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * e for e in noise]
    return [unit(half) for half in mix]


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
def test_the_planted_correlation_of_halves_is_found(correlation):
    first, second = halves(correlation)
    like, top, two = likeness_scores(second @ first.T)
    assert np.diagonal(like.values).mean() == pytest.approx(correlation, abs=0.03)
    if correlation == 0:
        assert np.diagonal(two.values).mean() == pytest.approx(0.5, abs=0.1)
        assert np.diagonal(top.values).mean() < 0.1 and top.chance == 1 / 60
    else:
        assert np.diagonal(two.values).mean() > 0.99


def test_versions_that_all_look_alike_score_chance():
    _, top, two = likeness_scores(np.ones((7, 7)))
    assert np.diagonal(top.values).mean() == pytest.approx(1 / 7)
    assert np.diagonal(two.values).mean() == pytest.approx(0.5)


def test_one_row_alone_has_no_others():
    with pytest.raises(ValueError, match="two or more"):
        likeness_scores(np.ones((1, 1)))


def test_pairwise_cosines_are_those_counted_one_by_one():
    row = np.array([0, 0, 1, 1, 1])
    units = unit(np.random.default_rng(0).normal(size=(5, 4)))
    pairs = {r: [units[a] @ units[b] for a in range(5) for b in range(a) if row[a] == row[b] == r]
             for r in (0, 1)}  # fmt: skip
    assert np.allclose(mean_pairwise(units, row), [np.mean(pairs[0]), np.mean(pairs[1])])


def test_groups_of_even_and_odd_samples_give_mean_products():
    row, sample = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    units = np.random.default_rng(0).normal(size=(5, 3))
    even, odd = two_groups(units, row, sample)
    assert np.allclose(even[0] @ odd[0], np.mean([units[0] @ units[1], units[2] @ units[1]]))
    assert np.allclose(even[1] @ odd[1], units[3] @ units[4])


def test_products_of_unit_pictures_are_pixel_correlations():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    units = unit_pictures(pictures)
    assert np.allclose(units @ units.T, np.corrcoef(pictures.reshape(3, -1)), atol=1e-5)
    assert not unit_pictures(np.full((1, 8, 8, 3), 9, np.uint8)).any()


def test_large_pictures_are_correlated_by_block_means():
    small = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    large = small.repeat(4, axis=1).repeat(4, axis=2)
    assert np.allclose(unit_pictures(small), unit_pictures(large), atol=1e-6)


def test_the_planted_spread_of_samples_is_found_pixel_by_pixel():
    rng = np.random.default_rng(0)
    sd = np.full((8, 8, 1), 0.02)
    sd[:4] = 0.1
    samples = np.clip(0.5 + sd * rng.normal(size=(400, 8, 8, 3)), 0, 1)
    found = spread_map(np.rint(255 * samples).astype(np.uint8))
    assert np.allclose(found, sd[..., 0], rtol=0.15)
    both = np.concatenate([samples, 0.5 + 0 * samples])
    per_row = pixel_spread(np.rint(255 * both).astype(np.uint8), np.repeat([0, 1], 400))
    assert per_row[0] == pytest.approx(0.06, rel=0.1)
    assert per_row[1] == pytest.approx(0, abs=1e-5)
