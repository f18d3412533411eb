"""Ridge agrees with scikit-learn, finds the penalty of planted noise, and repeats its own bits."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neurodecode.models.ridge import fit_ridge, predict_ridge


def planted(n_trials, n_channels, n_targets=5, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_trials, n_channels)) + 2.0
    weights = rng.standard_normal((n_channels, n_targets)) / np.sqrt(n_channels)
    y = x @ weights + 3.0 + noise * rng.standard_normal((n_trials, n_targets))
    return x, y, np.repeat(np.arange(6), n_trials // 6)


@pytest.mark.parametrize("n_trials, n_channels", [(120, 30), (60, 100)])
def test_solution_is_that_of_scikit_learn_at_the_chosen_penalty(n_trials, n_channels):
    x, y, runs = planted(n_trials, n_channels)
    fit = fit_ridge(x, y, runs)
    oracle = Ridge(alpha=fit["alphas"]).fit(x, y)
    np.testing.assert_allclose(fit["weights"], oracle.coef_.T, atol=2e-4)
    np.testing.assert_allclose(predict_ridge(x, fit), oracle.predict(x), atol=2e-3)


@pytest.mark.parametrize("n_trials, n_channels", [(120, 30), (60, 100)])
def test_penalty_is_the_one_that_scikit_learn_finds_on_the_same_folds(n_trials, n_channels):
    from sklearn.model_selection import GroupKFold, cross_val_score

    x, y, runs = planted(n_trials, n_channels, n_targets=1, noise=2.0)
    fit = fit_ridge(x, y, runs, n_folds=3)
    centred = x - x.mean(axis=0)
    candidates = np.logspace(-3, 2, 11) * (centred**2).sum(axis=1).mean()
    scores = [
        cross_val_score(
            Ridge(alpha=a), x, y, groups=runs, cv=GroupKFold(3), scoring="neg_mean_squared_error"
        ).mean()
        for a in candidates
    ]
    assert fit["alphas"][0] == pytest.approx(candidates[np.argmax(scores)], rel=1e-5)


def test_noisier_targets_get_a_larger_penalty():
    x, y, runs = planted(300, 40, n_targets=1, noise=0.1)
    y = np.hstack([y, y + 5 * np.random.default_rng(1).standard_normal(y.shape)])
    clean, noisy = fit_ridge(x, y, runs)["alphas"]
    assert clean < noisy
    shared = fit_ridge(x, y, runs, alpha_per_target=False)["alphas"]
    assert shared[0] == shared[1]


def test_unit_of_the_responses_does_not_change_predictions():
    x, y, runs = planted(120, 30)
    percent, scanner = fit_ridge(x, y, runs), fit_ridge(900 * x, y, runs)
    np.testing.assert_allclose(
        predict_ridge(900 * x, scanner), predict_ridge(x, percent), atol=5e-3
    )


def test_same_data_give_the_same_bits():
    x, y, runs = planted(120, 30, n_targets=200)
    first, second = fit_ridge(x, y, runs), fit_ridge(x, y, runs)
    assert all(first[k].tobytes() == second[k].tobytes() for k in first)


def test_targets_of_any_shape_are_flattened():
    x, y, runs = planted(120, 30, n_targets=6)
    fit = fit_ridge(x, y.reshape(120, 2, 3), runs)
    assert predict_ridge(x[:4], fit).shape == (4, 6)
    np.testing.assert_array_equal(fit["weights"], fit_ridge(x, y, runs)["weights"])


@pytest.mark.parametrize("option", [{"fractions": (1e3,)}, {"n_folds": 2}])
def test_every_option_changes_the_fit(option):
    x, y, runs = planted(90, 60, n_targets=20, noise=2.0)
    assert not np.array_equal(
        fit_ridge(x, y, runs)["alphas"], fit_ridge(x, y, runs, **option)["alphas"]
    )


def test_one_run_cannot_choose_a_penalty():
    x, y, _ = planted(60, 10)
    with pytest.raises(ValueError, match="belong to one"):
        fit_ridge(x, y, np.zeros(60))


def test_other_channels_than_fitted_are_refused():
    x, y, runs = planted(60, 10)
    with pytest.raises(ValueError, match="9 channels but ridge was fitted on 10"):
        predict_ridge(x[:, :9], fit_ridge(x, y, runs))
