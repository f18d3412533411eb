"""Aligners recover planted maps, agree with other implementations, and find nothing in noise."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group
from sklearn.linear_model import Ridge

from neurodecode.align.identity import Identity
from neurodecode.align.procrustes import Procrustes
from neurodecode.align.ridge import RidgeAligner
from neurodecode.align.shared import mean_correlation

LINEAR = [Procrustes(), Procrustes(scaling=True), RidgeAligner()]


def shared_code(n=200, n_source=12, n_reference=12, noise=0.0, seed=0):
    """Two subjects' noisy views of one latent code, offset from zero."""
    rng = np.random.default_rng(seed)
    code = rng.standard_normal((n, max(n_source, n_reference)))
    turn = ortho_group.rvs(code.shape[1], random_state=seed)
    views = (code @ turn)[:, :n_source] + 2.0, code[:, :n_reference] - 1.0
    source, reference = (v + noise * rng.standard_normal(v.shape) for v in views)
    return source, reference, turn.T


def test_identity_is_a_no_op():
    source, reference, _ = shared_code(n_source=9)
    state = Identity().fit(source, reference)
    assert state == {}
    assert Identity().transform(source, state) is source


def test_procrustes_recovers_a_planted_rotation():
    source, reference, turn = shared_code()
    state = Procrustes().fit(source, reference)
    np.testing.assert_allclose(state["map"], turn, atol=1e-6)
    np.testing.assert_allclose(Procrustes().transform(source, state), reference, atol=1e-5)


def test_procrustes_agrees_with_scipy_on_noisy_responses():
    source, reference, _ = shared_code(noise=1.0)
    x, y = source - source.mean(axis=0), reference - reference.mean(axis=0)
    rotation, total = orthogonal_procrustes(x, y)
    np.testing.assert_allclose(Procrustes().fit(source, reference)["map"], rotation, atol=1e-6)
    scaled = Procrustes(scaling=True).fit(source, reference)["map"]
    np.testing.assert_allclose(scaled, rotation * total / (x**2).sum(), atol=1e-6)


@pytest.mark.parametrize("n_source, n_reference", [(15, 10), (10, 15)])
def test_rectangular_maps_are_isometries_as_far_as_they_can_be(n_source, n_reference):
    source, reference, _ = shared_code(n_source=n_source, n_reference=n_reference, noise=0.5)
    R = Procrustes().fit(source, reference)["map"]
    assert R.shape == (n_source, n_reference)
    gram = R.T @ R if n_source > n_reference else R @ R.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)


@pytest.mark.parametrize("n_source, n_reference", [(15, 10), (10, 15)])
def test_ridge_agrees_with_scikit_learn_at_its_penalty(n_source, n_reference):
    source, reference, _ = shared_code(n_source=n_source, n_reference=n_reference, noise=0.5)
    state = RidgeAligner().fit(source, reference)
    oracle = Ridge(alpha=float(state["alpha"])).fit(source, reference)
    mapped = RidgeAligner().transform(source, state)
    np.testing.assert_allclose(mapped, oracle.predict(source), atol=1e-4)


def test_noisier_responses_get_a_larger_penalty():
    alphas = [
        float(RidgeAligner().fit(*shared_code(noise=noise)[:2])["alpha"]) for noise in (0.1, 5.0)
    ]
    assert alphas[0] < alphas[1]


@pytest.mark.parametrize("aligner", LINEAR, ids=lambda a: f"{type(a).__name__}-{vars(a)}")
def test_order_of_the_stimuli_does_not_matter(aligner):
    source, reference, _ = shared_code(noise=1.0)
    order = np.random.default_rng(1).permutation(len(source))
    state, again = aligner.fit(source, reference), aligner.fit(source[order], reference[order])
    np.testing.assert_allclose(state["map"], again["map"], atol=1e-6)


@pytest.mark.parametrize("aligner", LINEAR, ids=lambda a: f"{type(a).__name__}-{vars(a)}")
def test_what_subjects_share_is_gained_on_held_out_stimuli(aligner):
    source, reference, _ = shared_code(n=300, noise=1.0)
    state = aligner.fit(source[:200], reference[:200])
    mapped = aligner.transform(source[200:], state)
    assert mean_correlation(mapped, reference[200:]) > 0.4  # 0.5 at the true map
    assert mean_correlation(source[200:], reference[200:]) < 0.2


@pytest.mark.parametrize("aligner", LINEAR, ids=lambda a: f"{type(a).__name__}-{vars(a)}")
def test_subjects_of_pure_noise_gain_nothing_on_held_out_stimuli(aligner):
    gains = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        source, reference = rng.standard_normal((2, 120, 12))
        state = aligner.fit(source[:80], reference[:80])
        gains.append(mean_correlation(aligner.transform(source[80:], state), reference[80:]))
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert abs(np.mean(gains)) < 3 * error


def test_every_option_changes_the_map():
    source, reference, _ = shared_code(noise=1.0)
    plain = Procrustes().fit(source, reference)["map"]
    assert not np.allclose(plain, Procrustes(scaling=True).fit(source, reference)["map"])
    weak, strong = (RidgeAligner([f]).fit(source, reference)["map"] for f in (0.01, 100.0))
    assert np.abs(strong).sum() < np.abs(weak).sum()


@pytest.mark.parametrize("aligner", LINEAR, ids=lambda a: f"{type(a).__name__}-{vars(a)}")
def test_subjects_without_shared_stimuli_are_told_what_to_do(aligner):
    with pytest.raises(ValueError, match="share 0 training stimuli.*aligner=identity"):
        aligner.fit(np.zeros((0, 3)), np.zeros((0, 4)))
    with pytest.raises(ValueError, match="rows must correspond"):
        aligner.fit(np.zeros((5, 3)), np.zeros((4, 3)))


def test_penalties_must_be_positive():
    with pytest.raises(ValueError, match="above 0"):
        RidgeAligner([0.0, 1.0])
