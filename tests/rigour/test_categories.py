"""Clusters of embeddings: planted groups are found, small studies get few."""

import numpy as np
from sklearn.metrics import adjusted_rand_score

from neurodecode.rigour.categories import clusters


def test_planted_groups_are_found_the_largest_first():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10), np.arange(20, 40, 2))
    centres = 5 * rng.normal(size=(10, 16))
    names = clusters(centres[group] + 0.3 * rng.normal(size=(len(group), 16)))
    assert adjusted_rand_score(group, names) == 1
    assert set(names[group == 9]) == {"cluster 1"}


def test_a_small_study_has_few_clusters_of_ten_on_average():
    rng = np.random.default_rng(1)
    assert len(set(clusters(rng.normal(size=(35, 4))))) <= 3
    assert set(clusters(rng.normal(size=(7, 4)))) == {"cluster 1"}
