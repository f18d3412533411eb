"""Ridge from sums over blocks of trials: the same as himalaya's, on data where both can be had."""

from functools import partial

import numpy as np
import pytest

from neurodecode.core import lazy
from neurodecode.core.lazy import Lazy, Mapped
from neurodecode.models.baseline import components, fit_baseline, predict_baseline
from neurodecode.models.baseline_in_blocks import components_in_blocks, fit_baseline_in_blocks
from neurodecode.models.ridge import fit_ridge
from neurodecode.models.ridge_in_blocks import fit_ridge_in_blocks
from neurodecode.models.symmetric import OnDevice, OnProcessor


def scratch(name, shape):
    return np.full(shape, np.nan, order="F")


def loaded(path):
    return np.load(path, mmap_mode="r")


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """``on_disk(array)``: its rows, lazily, in blocks of a few."""

    def saved(array):
        monkeypatch.setattr(lazy, "BLOCK", 4 * 23 * array[0].size)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npy"
        np.save(path, array)
        return Lazy(Mapped(partial(loaded, path)))

    return saved


def linear(n_trials, n_channels, offset=0.0, seed=0):
    """Correlated responses, targets of which some are drowned in noise, and runs."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n_trials, 8)) @ rng.standard_normal((8, n_channels))
    x = 2 * common + rng.standard_normal((n_trials, n_channels)) + offset
    y = x[:, :10] @ rng.standard_normal((10, 7))
    y += rng.standard_normal(y.shape) * np.geomspace(1, 60, 7)
    return x.astype(np.float32), y.astype(np.float32), np.arange(n_trials) // (n_trials // 8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_trials", "n_channels"), [(400, 60), (100, 160), (300, 299)])
@pytest.mark.parametrize("alpha_per_target", [True, False])
def test_penalties_and_weights_are_himalayas(on_disk, n_trials, n_channels, seed, alpha_per_target):
    x, y, runs = linear(n_trials, n_channels, offset=3.0, seed=seed)
    plain = fit_ridge(x, y, runs, alpha_per_target=alpha_per_target)
    found = fit_ridge_in_blocks(
        on_disk(x), on_disk(y), runs, scratch, alpha_per_target=alpha_per_target
    )
    np.testing.assert_allclose(found["alphas"], plain["alphas"], rtol=1e-5)
    np.testing.assert_allclose(
        found["weights"], plain["weights"], atol=1e-4 * np.abs(plain["weights"]).max()
    )
    np.testing.assert_allclose(found["intercepts"], plain["intercepts"], atol=2e-3)
    assert {n: (a.shape, a.dtype) for n, a in found.items()} == {
        n: (a.shape, a.dtype) for n, a in plain.items()
    }
    if alpha_per_target:
        assert len(np.unique(found["alphas"])) > 1


def test_folds_and_penalties_are_those_asked_for(on_disk):
    x, y, runs = linear(240, 30)
    how = {"fractions": (0.01, 1.0), "n_folds": 3}
    plain, found = fit_ridge(x, y, runs, **how), fit_ridge_in_blocks(x, y, runs, scratch, **how)
    np.testing.assert_allclose(found["alphas"], plain["alphas"], rtol=1e-5)


@pytest.mark.parametrize(("n_trials", "n_channels"), [(240, 30), (80, 120)])
def test_a_device_solves_the_same_systems(on_disk, n_trials, n_channels, monkeypatch):
    x, y, runs = linear(n_trials, n_channels)
    plain = fit_ridge_in_blocks(on_disk(x), y, runs, scratch)
    monkeypatch.setattr("neurodecode.models.ridge_in_blocks.solvers_of", OnDevice)
    monkeypatch.setattr("neurodecode.models.symmetric.COLUMNS", 7)
    found = fit_ridge_in_blocks(on_disk(x), y, runs, scratch)
    np.testing.assert_array_equal(found["alphas"], plain["alphas"])
    largest = np.abs(plain["weights"]).max()
    np.testing.assert_allclose(found["weights"], plain["weights"], atol=1e-6 * largest)


@pytest.mark.parametrize("solvers", [OnProcessor(), OnDevice("cpu")], ids=["processor", "device"])
def test_a_system_that_is_not_definite_has_no_solver(solvers):
    system = np.asfortranarray(np.diag([2.0, -1.0, 3.0]))
    assert solvers.solver(system.copy(order="F")) is None
    solve = solvers.solver(np.asfortranarray(np.diag([2.0, 1.0, 3.0])))
    np.testing.assert_allclose(solve(np.ones((3, 1), order="F")).ravel(), [0.5, 1.0, 1 / 3])


def test_few_loud_trials_among_silent_ones_do_not_break_it():
    """Sums of float32 products were not positive definite here, with as good as equal trials."""
    rng = np.random.default_rng(0)
    x, runs = np.full((6000, 120), -0.08, np.float32), np.arange(6000) // 60
    x[::300] += 12 * rng.standard_normal((20, 120)).astype(np.float32)
    y = rng.standard_normal((6000, 3)).astype(np.float32)
    found = fit_ridge_in_blocks(x, y, runs, scratch)
    assert np.isfinite(found["weights"]).all() and np.isfinite(found["alphas"]).all()


def test_what_cannot_be_fitted_is_refused():
    x, y, runs = linear(80, 10)
    with pytest.raises(ValueError, match="do not match"):
        fit_ridge_in_blocks(x, y[:-1], runs, scratch)
    with pytest.raises(ValueError, match="belong to one"):
        fit_ridge_in_blocks(x, y, np.zeros(80), scratch)
    x[3, 4] = np.nan
    with pytest.raises(ValueError, match="1 channels hold values that are not finite"):
        fit_ridge_in_blocks(x, y, runs, scratch)


@pytest.fixture
def study():
    """Responses, tables of 90 stimuli (some shown twice, one never), which was shown, runs."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((90, 5)) * [5, 4, 3, 2, 1]
    grid = (latent @ rng.standard_normal((5, 40)) + 1.0).reshape(90, 10, 4)
    grid += 0.01 * rng.standard_normal(grid.shape)
    tables = {"pooled": latent[:, :3], "tokens": grid, "blurry": latent[:, None, :2]}
    tables = {name: table.astype(np.float32) for name, table in tables.items()}
    shown = np.append(np.arange(89), np.arange(31))
    x = latent[shown] @ rng.standard_normal((5, 30)) + rng.standard_normal((120, 30))
    return x.astype(np.float32), tables, shown, np.arange(120) // 15


@pytest.mark.parametrize("wide", [False, True])
def test_the_baseline_answers_as_the_one_in_memory(on_disk, study, wide, monkeypatch):
    x, tables, shown, runs = study
    if wide:
        monkeypatch.setattr("neurodecode.models.baseline_in_blocks.NARROW", 10)
    plain = fit_baseline(x, {name: table[shown] for name, table in tables.items()}, runs, 4)
    rows = {name: on_disk(table) for name, table in tables.items()}
    found = fit_baseline_in_blocks(on_disk(x), rows, shown, runs, 4, scratch)
    assert {n: (a.shape, a.dtype) for n, a in found.items()} == {
        n: (a.shape, a.dtype) for n, a in plain.items()
    }
    said, expected = predict_baseline(x, found), predict_baseline(x, plain)
    for name, values in expected.items():
        np.testing.assert_allclose(said[name], values, atol=1e-3 * np.abs(values).max())


@pytest.mark.parametrize("wide", [False, True])
def test_components_are_scikit_learns(on_disk, study, wide, monkeypatch):
    if wide:
        monkeypatch.setattr("neurodecode.models.baseline_in_blocks.NARROW", 10)
    _, tables, shown, _ = study
    scores, mean, basis = components(tables["tokens"][shown], 4)
    counts = np.bincount(shown, minlength=90)
    found = components_in_blocks(on_disk(tables["tokens"]), counts, 4)
    np.testing.assert_allclose(found[1].ravel(), mean, atol=1e-5)
    np.testing.assert_allclose(found[2].reshape(4, -1), basis, atol=1e-4)
    np.testing.assert_allclose(found[0][shown], scores, atol=1e-3)
