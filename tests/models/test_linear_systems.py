"""Published ridge systems: sklearn's regression, spread given back, regions that hold."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from neurodecode.models.base import Sizes
from neurodecode.models.linear_systems import (
    LinearSystem,
    averaged_repeats,
    held_out_moments,
)
from neurodecode.models.ridge import fit_ridge, fit_ridge_at

ALPHAS = {"pooled": 30.0, "tokens": 60.0, "blurry": 50.0}
SIZES = {"dim": 4, "n_tokens": 2, "token_dim": 3, "blurry": (2, 2, 3)}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def study(rng, n=60, noise=0.5, channels=10, n_times=None):
    """Responses of one subject that carry its targets linearly, in six runs."""
    shape = (channels, n_times) if n_times else (channels,)
    x = rng.normal(size=(n, *shape)).astype(np.float32) * 3 + 5
    x[:, 0] = 7.0  # a channel that says nothing
    y = {}
    for name, size in (("pooled", (4,)), ("tokens", (2, 3)), ("blurry", (2, 2, 3))):
        weights = rng.normal(size=(x[0].size, int(np.prod(size))))
        rows = x.reshape(n, -1) @ weights + noise * rng.normal(size=(n, weights.shape[1]))
        y[name] = rows.reshape(n, *size).astype(np.float32)
    return x, y, np.arange(n) // (n // 6)


def fitted(x, y, runs, **options):
    n_times = x.shape[2] if x.ndim == 3 else None
    sizes = Sizes({"a": x.shape[1]}, **SIZES, n_times=n_times)
    system = LinearSystem(sizes, **{"alphas": ALPHAS} | options)
    system.prepare({"a": x}, {"a": y}, {"a": runs})
    return system


def said(system, x):
    output = system(torch.as_tensor(x), "a")._asdict()
    return {name: rows.detach().numpy() for name, rows in output.items()}


def z_scored(x, by):
    flat, by = x.reshape(len(x), -1), by.reshape(len(by), -1)
    spread = by.std(axis=0)
    return (flat - by.mean(axis=0)) / np.where(spread > 0, spread, 1)


# ---- ridge at given penalties


def test_ridge_at_given_penalties_agrees_with_its_normal_equations(rng):
    for n, p in ((30, 8), (8, 30)):
        x, y = rng.normal(size=(n, p)), rng.normal(size=(n, 3))
        fit = fit_ridge_at(x, y, np.array([0.5, 20.0, 0.5]))
        xc, yc = x - x.mean(axis=0), y - y.mean(axis=0)
        for k, alpha in enumerate((0.5, 20.0, 0.5)):
            weights = np.linalg.solve(xc.T @ xc + alpha * np.eye(p), xc.T @ yc[:, k])
            np.testing.assert_allclose(fit["weights"][:, k], weights, rtol=2e-4, atol=1e-5)
            intercept = y[:, k].mean() - x.mean(axis=0) @ weights
            np.testing.assert_allclose(fit["intercepts"][k], intercept, rtol=2e-3, atol=1e-5)


def test_tiny_penalties_are_solved_precisely(rng):
    x, w = rng.normal(size=(20, 50)), rng.normal(size=(50, 2))  # fewer trials than channels
    y = x @ w
    fit = fit_ridge(x, y, np.arange(20) // 4, fractions=[1e-8, 1e-7])
    np.testing.assert_allclose(x @ fit["weights"] + fit["intercepts"], y, atol=1e-4)


# ---- the system


def test_without_restandardising_it_is_sklearns_ridge_on_z_scored_channels(rng):
    x, y, runs = study(rng)
    answers = said(fitted(x, y, runs, restandardise=False), x[:9])
    for name, alpha in ALPHAS.items():
        flat = y[name].reshape(len(x), -1)
        model = Ridge(alpha=alpha).fit(z_scored(x, x), flat)
        expected = model.predict(z_scored(x[:9], x)).reshape(9, *y[name].shape[1:])
        np.testing.assert_allclose(answers[name], expected, rtol=1e-3, atol=2e-3)


def test_compat_is_the_published_recipe_on_the_rows_that_are_asked_together(rng):
    x, y, runs = study(rng)
    test = rng.normal(size=(25, 10)).astype(np.float32) + 5
    answers = said(fitted(x, y, runs, compat=True), test)
    truth = y["tokens"].reshape(len(x), -1)
    model = Ridge(alpha=60.0).fit(z_scored(x, x), truth)
    predicted = model.predict(z_scored(test, x))
    predicted = (predicted - predicted.mean(axis=0)) / predicted.std(axis=0)
    expected = predicted * truth.std(axis=0) + truth.mean(axis=0)
    np.testing.assert_allclose(answers["tokens"].reshape(25, -1), expected, rtol=1e-3, atol=1e-2)


def test_compat_lets_rows_depend_on_each_other_and_the_default_does_not(rng):
    x, y, runs = study(rng)
    alone, together = (said(fitted(x, y, runs, compat=c), x[:8])["pooled"] for c in (False, True))
    fewer = [said(fitted(x, y, runs, compat=c), x[:4])["pooled"] for c in (False, True)]
    np.testing.assert_allclose(fewer[0], alone[:4], rtol=1e-5)
    assert not np.allclose(fewer[1], together[:4], rtol=0.01)


def test_compat_answers_equal_rows_by_the_mean(rng):
    x, y, runs = study(rng)
    answers = said(fitted(x, y, runs, compat=True), np.repeat(x[:1], 5, axis=0))
    np.testing.assert_allclose(answers["pooled"], np.tile(y["pooled"].mean(0), (5, 1)), rtol=1e-4)


def test_answers_to_new_trials_have_the_mean_and_the_spread_of_true_features(rng):
    x, y, runs = study(rng, n=600, noise=3.0)
    old, new = slice(0, 300), slice(300, 600)
    cut = {name: rows[old] for name, rows in y.items()}
    heavy = {"alphas": {name: 3000.0 for name in ALPHAS}}
    restored = said(fitted(x[old], cut, runs[old], **heavy), x[new])["tokens"]
    shrunken = said(fitted(x[old], cut, runs[old], restandardise=False, **heavy), x[new])["tokens"]
    truth = y["tokens"][new]
    np.testing.assert_allclose(restored.std(axis=0), truth.std(axis=0), rtol=0.15)
    assert (shrunken.std(axis=0) < 0.4 * truth.std(axis=0)).all()
    np.testing.assert_allclose(
        restored.mean(axis=0), truth.mean(axis=0), atol=0.25 * truth.std(axis=0).max()
    )


def test_moments_are_of_runs_that_were_left_out(rng):
    x, y, runs = study(rng)
    z, flat = z_scored(x, x), y["pooled"]
    predicted = np.empty_like(flat, np.float64)
    spreads = 0
    for seen, out in GroupKFold(5).split(z, groups=runs):
        predicted[out] = Ridge(alpha=30.0 * len(seen) / 60).fit(z[seen], flat[seen]).predict(z[out])
        spreads = spreads + len(out) * predicted[out].var(axis=0)
    mean, spread = held_out_moments(z, flat, runs, np.full(4, 30.0))
    np.testing.assert_allclose(mean, predicted.mean(axis=0), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(spread, np.sqrt(spreads / len(z)), rtol=1e-3)


def test_a_list_of_penalties_is_chosen_from_on_left_out_runs(rng):
    x, y, runs = study(rng, noise=60.0)
    z = z_scored(x, x)
    best = fit_ridge(z, y["tokens"], runs, np.array([1e-3, 1e4]) / (z**2).sum(1).mean())
    answers = said(
        fitted(x, y, runs, alphas=ALPHAS | {"tokens": [1e-3, 1e4]}, restandardise=False), x[:5]
    )
    expected = z[:5] @ best["weights"] + best["intercepts"]
    np.testing.assert_allclose(answers["tokens"].reshape(5, -1), expected, rtol=1e-3, atol=1e-2)
    unnamed = fitted(x, y, runs, alphas={}, restandardise=False)
    free = fit_ridge(z, y["pooled"], runs)
    expected = z[:5] @ free["weights"] + free["intercepts"]
    np.testing.assert_allclose(said(unnamed, x[:5])["pooled"], expected, rtol=1e-2, atol=5e-2)


def test_penalties_are_those_of_as_many_channels_as_is_said(rng):
    x, y, runs = study(rng)
    as_published = fitted(x, y, runs, like_channels=20, restandardise=False)  # 10 of 20: half
    half = fitted(x, y, runs, alphas={n: a / 2 for n, a in ALPHAS.items()}, restandardise=False)
    np.testing.assert_allclose(
        said(as_published, x)["pooled"], said(half, x)["pooled"], rtol=1e-4, atol=1e-4
    )
    plain = fitted(x, y, runs, restandardise=False)
    assert not np.allclose(said(as_published, x)["pooled"], said(plain, x)["pooled"], rtol=1e-3)


def test_each_target_is_regressed_from_its_own_regions(rng):
    x, y, runs = study(rng)
    regions = {"a": {"early": [1, 2, 3], "ventral": [4, 5], "high": [6]}}
    chosen = {"blurry": ["early"], "tokens": ["ventral", "high"]}
    system = LinearSystem(Sizes({"a": 10}, **SIZES, regions=regions), ALPHAS, regions=chosen)
    system.prepare({"a": x}, {"a": y}, {"a": runs})
    before = said(system, x)
    for channel, name in ((2, "blurry"), (5, "tokens"), (6, "tokens"), (9, None)):
        moved = x.copy()
        moved[:, channel] += 3
        changed = {n for n, a in said(system, moved).items() if not np.allclose(a, before[n])}
        assert changed == ({name} if name else set()) | {"pooled"}  # that one reads all


def test_regions_that_are_not_there_are_named(rng):
    sizes = Sizes({"a": 10}, **SIZES, regions={"a": {"early": [1]}})
    with pytest.raises(ValueError, match="names 'ventral', and a has early"):
        LinearSystem(sizes, ALPHAS, regions={"tokens": ["ventral"]})
    with pytest.raises(ValueError, match="a has no regions"):
        LinearSystem(Sizes({"a": 10}, **SIZES), ALPHAS, regions={"tokens": ["early"]})
    with pytest.raises(ValueError, match="regions names 'words'"):
        LinearSystem(sizes, ALPHAS, regions={"words": ["early"]})
    with pytest.raises(ValueError, match="alphas.words"):
        LinearSystem(sizes, {"words": 3.0})
    with pytest.raises(ValueError, match="alphas.tokens is -1"):
        LinearSystem(sizes, {"tokens": -1.0})


def test_repeats_of_a_picture_are_averaged_before_the_fit(rng):
    x, y, runs = study(rng, n=24)
    again = rng.permutation(24)
    twice = {name: np.concatenate([rows, rows[again]]) for name, rows in y.items()}
    noisy = np.concatenate([x, x[again] + rng.normal(size=x.shape).astype(np.float32)])
    both_runs = np.concatenate([runs, runs + 6])
    mean, targets, first_runs = averaged_repeats(noisy, twice, both_runs)
    second = noisy[24:][np.argsort(again)]
    np.testing.assert_allclose(mean, (x + second) / 2, rtol=1e-5)
    assert (targets["tokens"] == y["tokens"]).all()
    assert (first_runs == runs).all()
    averaged = fitted(noisy, twice, both_runs)
    by_hand = fitted(mean.astype(np.float32), y, runs, average_repeats=False)
    np.testing.assert_allclose(said(averaged, x)["pooled"], said(by_hand, x)["pooled"], rtol=1e-3)
    single = fitted(noisy, twice, both_runs, average_repeats=False)
    assert not np.allclose(said(averaged, x)["pooled"], said(single, x)["pooled"], rtol=1e-3)


def test_each_channel_at_each_time_is_a_feature(rng):
    x, y, runs = study(rng, n=120, channels=6, n_times=3, noise=0.01)
    light = {"alphas": {name: 1e-3 for name in ALPHAS}}
    system = fitted(x, y, runs, restandardise=False, **light)
    np.testing.assert_allclose(said(system, x)["pooled"], y["pooled"], atol=0.5)


def test_nothing_of_it_is_trained_and_all_of_it_is_kept(rng):
    x, y, runs = study(rng)
    system = fitted(x, y, runs)
    assert not any(weight.requires_grad for weight in system.parameters())
    again = LinearSystem(Sizes({"a": 10}, **SIZES), ALPHAS)
    again.load_state_dict(system.state_dict())
    assert (said(again, x)["tokens"] == said(system, x)["tokens"]).all()


def test_published_regressions_have_as_many_weights_as_voxels_times_latents():
    voxels, tokens, vdvae = 15_724, 257 * 768, 91_168
    with torch.device("meta"):
        system = LinearSystem(
            Sizes({"sub-01": voxels}, 768, 257, 768, (1, 1, vdvae)), {"tokens": 6e4}
        )
    count = sum(p.numel() for n, p in system.named_parameters() if n.endswith("weights"))
    assert count == voxels * (768 + tokens + vdvae)
