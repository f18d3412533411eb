"""On noise, whole groups held out stay at chance, and what was published does not."""

import numpy as np
import pytest

from neurodecode.rigour.bootstrap import mean_interval
from tests.scripts import load_script

bench = load_script("bench/published_leaks.py")
LEAKS = {  # leak and noise: does the published protocol rise above chance?
    ("overlapping windows across folds", "white"): True,
    ("overlapping windows across folds", "trials have a state"): True,
    ("same clip on both sides", "white"): False,
    ("same clip on both sides", "trials have a state"): True,
    ("epoch chosen on test trials", "white"): True,
    ("epoch chosen on test pictures, top 1 of 50", "white"): True,
}


def interval(values):
    return mean_interval(values, np.arange(len(values)), 2000, np.random.default_rng(0), 0.999)


def test_published_protocols_name_noise_and_ours_does_not():
    lines = bench.table(8, 40, with_umap=False)
    assert {(line.leak, line.noise) for line in lines} == set(LEAKS)
    for line in lines:
        low, high = interval(line.honest)
        assert low <= line.chance <= high, f"{line.leak}, {line.noise}, honest"
        rises = interval(line.published)[0] > line.chance
        assert rises == LEAKS[line.leak, line.noise], f"{line.leak}, {line.noise}, as published"


@pytest.mark.slow
def test_umap_on_all_rows_names_nothing_and_channels_of_averages_do():
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    fitted = np.array([bench.umap_on_all(40, rng) for _ in range(6)])
    assert np.abs(fitted.mean(axis=0) - 0.5).max() < 0.12
    honest, published = np.array([bench.channels_as_samples(40, rng) for _ in range(6)]).T
    assert published.mean() > 0.85 and honest.mean() < 0.7
