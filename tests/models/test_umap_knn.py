"""UMAP and neighbours: planted groups are found, and test rows stay out of what is fitted."""

import sys
import types

import numpy as np
import pytest

from neurodecode.models.umap_knn import UmapKnn, channels_as_samples


class Plane:
    """In the place of UMAP, whose compiler takes long to start: two directions, fitted on rows."""

    made = []

    def __init__(self, **options):
        self.options = options
        Plane.made.append(self)

    def fit_transform(self, rows):
        self.fitted = rows
        rng = np.random.default_rng(self.options["random_state"])
        self.mean = rows.mean(axis=0)
        _, _, right = np.linalg.svd(rows - self.mean, full_matrices=False)
        self.map = right[: self.options["n_components"]].T * rng.choice([-1, 1])
        return self.transform(rows)

    def transform(self, rows):
        return (rows - self.mean) @ self.map


@pytest.fixture
def plane(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Plane))
    Plane.made.clear()
    return Plane


def groups_of(n, seed):
    """Trials around one of three patterns."""
    patterns = np.random.default_rng(7).standard_normal((3, 4, 20))
    y = np.arange(n) % 3
    x = 3 * patterns[y] + np.random.default_rng(seed).standard_normal((n, 4, 20))
    return x.astype(np.float32), y


def fit(model, x, y, also=None):
    return model.fit(x, y, np.arange(len(y)), 3, 200.0, 0, "cpu", also=also)


@pytest.mark.slow
def test_umap_finds_planted_groups():
    x, y = groups_of(90, 0)
    asked, truth = groups_of(45, 1)
    scores = fit(UmapKnn(highpass_hz=None), x, y)(asked)
    assert scores.shape == (45, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert (scores.argmax(1) == truth).mean() > 0.9
    np.testing.assert_array_equal(scores, fit(UmapKnn(highpass_hz=None), x, y)(asked))


def test_neighbours_in_an_embedding_find_planted_groups(plane):
    x, y = groups_of(60, 0)
    asked, truth = groups_of(45, 1)
    scores = fit(UmapKnn(highpass_hz=None), x, y)(asked)
    assert (scores.argmax(1) == truth).mean() > 0.9


def test_test_rows_stay_out_of_what_is_fitted(plane):
    x, y = groups_of(30, 0)
    asked, _ = groups_of(12, 1)
    fit(UmapKnn(highpass_hz=None), x, y)(asked)
    assert len(plane.made[0].fitted) == 30
    np.testing.assert_allclose(plane.made[0].fitted.mean(axis=0), 0, atol=1e-5)


def test_fits_on_all_fits_the_embedding_on_test_rows_too(plane):
    x, y = groups_of(30, 0)
    asked, _ = groups_of(12, 1)
    quirky = UmapKnn(highpass_hz=None, fits_on_all=True)
    assert not UmapKnn().fits_on_all
    predict = fit(quirky, x, y, also=asked)
    assert len(plane.made[0].fitted) == 42
    assert predict(asked).shape == (12, 3) and predict(x).shape == (30, 3)
    np.testing.assert_array_equal(predict(asked)[:5], predict(asked[:5]))


def test_options_reach_umap_and_the_vote(plane):
    x, y = groups_of(12, 0)
    model = UmapKnn(n_dims=3, umap_neighbors=30, min_dist=0.5, highpass_hz=None, n_neighbors=2)
    scores = fit(model, x, y)(x)
    assert set(np.unique(scores)) <= {0, 0.5, 1}
    options = plane.made[0].options
    assert options["n_components"] == 3 and options["min_dist"] == 0.5
    assert options["n_neighbors"] == 11 and options["init"] == "random"
    fit(UmapKnn(umap_neighbors=5, highpass_hz=None), x, y)
    assert plane.made[1].options["n_neighbors"] == 5


def test_power_is_what_is_embedded(plane):
    x, y = groups_of(12, 0)
    fitted = []
    for options in ({"highpass_hz": None}, {}, {"highpass_hz": 30.0}, {"lowpass_hz": 20.0}):
        fit(UmapKnn(**options), x, y)
        fitted.append(plane.made[-1].fitted)
    for i, one in enumerate(fitted):
        for other in fitted[i + 1 :]:
            assert np.abs(one - other).max() > 1e-3


def test_a_class_that_was_never_seen_gets_no_vote(plane):
    x, y = groups_of(12, 0)
    seen = y != 1
    assert (fit(UmapKnn(highpass_hz=None), x[seen], y[seen])(x)[:, 1] == 0).all()


def test_rows_of_channels_are_means_of_a_class():
    x, y = groups_of(9, 0)
    rows, classes, channels = channels_as_samples(x, y)
    assert rows.shape == (12, 1, 20)
    for row, k, c in zip(rows, classes, channels, strict=True):
        np.testing.assert_allclose(row[0], x[y == k, c].mean(axis=0), rtol=1e-5)
    assert len(set(zip(classes, channels, strict=True))) == 12


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    x, y = groups_of(12, 0)
    with pytest.raises(ValueError, match=r"umap-learn.*\[classifiers\]"):
        fit(UmapKnn(highpass_hz=None), x, y)
