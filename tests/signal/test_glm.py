import nibabel
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import FirstLevelModel, make_first_level_design_matrix

from neurodecode.signal.glm import lsa, lss, nuisance_matrix, percent_change, zscore
from neurodecode.signal.hrf import trial_regressors

TR_S, N_VOLUMES, N_VOXELS = 2.0, 120, 24


@pytest.fixture
def run():
    """A run with trials every four seconds, motion-like confounds and autocorrelated noise."""
    rng = np.random.default_rng(3)
    onsets_s = 4.0 + 4.0 * np.arange(50) + rng.uniform(0, 1, 50)
    times_s = TR_S * np.arange(N_VOLUMES)
    regressors = trial_regressors(onsets_s, np.ones(50), times_s)
    confounds = rng.standard_normal((N_VOLUMES, 6)).cumsum(axis=0)
    noise = rng.standard_normal((N_VOLUMES, N_VOXELS))
    for t in range(1, N_VOLUMES):
        noise[t] += np.linspace(-0.1, 0.7, N_VOXELS) * noise[t - 1]
    betas = rng.standard_normal((50, N_VOXELS))
    bold = 100 + regressors @ betas + 0.5 * noise + confounds @ rng.normal(size=(6, N_VOXELS))
    return bold, regressors, nuisance_matrix(N_VOLUMES, TR_S, 0.01, confounds), betas


def nilearns_betas(bold, design, n_trials, noise_model):
    """Fit a design with nilearn's FirstLevelModel and return the first betas."""
    images = nibabel.Nifti1Image(bold.T.reshape(N_VOXELS, 1, 1, -1), np.eye(4))
    mask = nibabel.Nifti1Image(np.ones((N_VOXELS, 1, 1), np.uint8), np.eye(4))
    names = [f"c{i}" for i in range(design.shape[1])]
    model = FirstLevelModel(mask_img=mask, noise_model=noise_model, signal_scaling=False)
    model.fit(images, design_matrices=pd.DataFrame(design, columns=names))
    effects = [
        model.compute_contrast(f"c{i}", output_type="effect_size").get_fdata().ravel()
        for i in range(n_trials)
    ]
    return np.array(effects)


@pytest.mark.parametrize(("ar1", "noise_model"), [(False, "ols"), (True, "ar1")])
def test_lsa_agrees_with_nilearns_first_level_model(run, ar1, noise_model):
    bold, regressors, nuisance, _ = run
    theirs = nilearns_betas(bold, np.hstack([regressors, nuisance]), 50, noise_model)
    assert np.abs(lsa(bold, regressors, nuisance, ar1) - theirs).max() < 1e-6


def test_lss_agrees_with_one_nilearn_model_per_trial(run):
    bold, regressors, nuisance, _ = run
    ours = lss(bold, regressors, nuisance)
    for i in (0, 17, 49):
        others = np.delete(regressors, i, axis=1).sum(axis=1)
        design = np.column_stack([regressors[:, i], others, nuisance])
        assert np.abs(ours[i] - nilearns_betas(bold, design, 1, "ols")[0]).max() < 1e-6


def test_lss_agrees_with_an_explicit_loop_over_all_trials(run):
    bold, regressors, nuisance, _ = run
    for i, beta in enumerate(lss(bold, regressors, nuisance)):
        others = np.delete(regressors, i, axis=1).sum(axis=1)
        design = np.column_stack([regressors[:, i], others, nuisance])
        assert np.abs(beta - np.linalg.lstsq(design, bold, rcond=None)[0][0]).max() < 1e-8


@pytest.mark.parametrize("estimate", [lsa, lss])
def test_drifts_confounds_and_offset_do_not_touch_the_betas(run, estimate):
    bold, regressors, nuisance, _ = run
    spoilt = bold + 50 * nuisance @ np.random.default_rng(0).normal(size=(nuisance.shape[1], 1))
    before, after = (estimate(b, regressors, nuisance) for b in (bold, spoilt))
    assert np.allclose(before, after, atol=1e-8)


def test_lsa_without_noise_returns_what_was_planted(run):
    _, regressors, nuisance, betas = run
    assert np.allclose(lsa(7 + regressors @ betas, regressors, nuisance), betas, atol=1e-8)


def test_lss_is_nearer_to_the_truth_where_trials_overlap(run):
    bold, regressors, nuisance, betas = run
    right = [
        np.corrcoef(f(bold, regressors, nuisance).ravel(), betas.ravel())[0, 1] for f in (lsa, lss)
    ]
    assert right[1] > right[0] + 0.03


@pytest.mark.parametrize("estimate", [lsa, lss])
def test_whitening_lowers_the_error_under_autocorrelation(run, estimate):
    _, regressors, nuisance, betas = run
    rng = np.random.default_rng(8)
    noise = rng.standard_normal((N_VOLUMES, 400))
    for t in range(1, N_VOLUMES):
        noise[t] += 0.8 * noise[t - 1]
    far = regressors[:, ::5]  # few trials: residuals that can tell the noise
    errors = [np.square(estimate(noise, far, nuisance, ar1)).mean() for ar1 in (False, True)]
    assert errors[1] < 0.95 * errors[0]


@pytest.mark.parametrize("estimate", [lsa, lss])
@pytest.mark.parametrize("ar1", [False, True])
def test_a_constant_voxel_has_no_response(run, estimate, ar1):
    bold, regressors, nuisance, _ = run
    bold = bold.copy()
    bold[:, 2] = 5.0
    assert np.allclose(estimate(bold, regressors, nuisance, ar1)[:, 2], 0, atol=1e-10)


def test_a_single_trial_is_the_same_to_both():
    rng = np.random.default_rng(0)
    x = trial_regressors([20.0], [1.0], TR_S * np.arange(60))
    nuisance, bold = nuisance_matrix(60, TR_S), rng.standard_normal((60, 5))
    assert np.allclose(lsa(bold, x, nuisance), lss(bold, x, nuisance))


def test_two_trials_at_once_cannot_be_told_apart(run):
    bold, regressors, nuisance, _ = run
    twins = np.column_stack([regressors, regressors[:, 7]])
    with pytest.raises(ValueError, match="cannot be told apart"):
        lsa(bold, twins, nuisance)


def test_a_trial_at_the_very_end_is_refused(run):
    bold, regressors, nuisance, _ = run
    late = trial_regressors([TR_S * N_VOLUMES - 0.1], [1.0], TR_S * np.arange(N_VOLUMES))
    with pytest.raises(ValueError, match="number 51"):
        lss(bold, np.hstack([regressors, late]), nuisance)


def test_more_nuisance_than_volumes_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no room"):
        lsa(rng.normal(size=(20, 3)), rng.normal(size=(20, 2)), rng.normal(size=(20, 19)))


@pytest.mark.parametrize("high_pass_hz", [0.004, 0.01, 0.03])
def test_the_drifts_are_nilearns(high_pass_hz):
    times_s = TR_S * np.arange(N_VOLUMES)
    theirs = make_first_level_design_matrix(times_s, high_pass=high_pass_hz, hrf_model="glover")
    assert np.allclose(nuisance_matrix(N_VOLUMES, TR_S, high_pass_hz), theirs.to_numpy())


def test_confounds_that_repeat_or_stand_still_change_nothing(run):
    bold, regressors, _, _ = run
    confounds = np.random.default_rng(1).normal(size=(N_VOLUMES, 2))
    padded = np.column_stack([confounds, confounds[:, :1], np.full(N_VOLUMES, 3.0)])
    plain, more = (nuisance_matrix(N_VOLUMES, TR_S, 0.01, c) for c in (confounds, padded))
    assert np.allclose(lsa(bold, regressors, plain), lsa(bold, regressors, more), atol=1e-8)


def test_a_cut_off_above_half_the_sampling_rate_is_refused():
    with pytest.raises(ValueError, match="half the sampling rate"):
        nuisance_matrix(100, 2.0, 0.3)


def test_percent_change_is_free_of_the_voxels_gain():
    bold = 100 + np.random.default_rng(0).normal(size=(50, 3))
    assert np.allclose(percent_change(bold), percent_change(bold * [1, 10, 1000]))
    assert (percent_change(np.column_stack([bold, np.zeros(50)]))[:, 3] == 0).all()


def test_percent_of_a_centred_run_is_refused():
    bold = np.random.default_rng(0).normal(size=(50, 30))
    with pytest.raises(ValueError, match="standardise"):
        percent_change(bold - bold.mean(axis=0))


def test_zscore_is_zero_for_a_constant_voxel():
    bold = np.random.default_rng(0).normal(5, 3, size=(50, 3))
    bold[:, 1] = 4
    z = zscore(bold)
    assert np.allclose(z.std(axis=0), [1, 0, 1]) and np.allclose(z.mean(axis=0), 0)
