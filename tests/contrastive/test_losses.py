"""The losses agree with published numbers, with closed forms, and with each other's limits."""

import math

import numpy as np
import pytest
import torch

from neurodecode.contrastive.losses import (
    InfoNCELoss,
    MindEyeLoss,
    bi_mixco,
    info_nce,
    mixture_weights,
    soft_clip,
    soft_cont,
    softclip_temperature,
)
from tests.golden.rule import data, golden

GOLDEN = golden("contrastive")


def unit(rows):
    return torch.as_tensor(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.fixture
def pairs():
    clip = unit(data("targ", (6, 10)))
    brain = unit(0.5 * clip.numpy() + unit(data("pred", (6, 10))).numpy())
    return brain, clip


@pytest.fixture
def mixture():
    return torch.tensor(GOLDEN["perm"]), torch.tensor(GOLDEN["lam"], dtype=torch.float64)


@pytest.mark.parametrize("name, tau", [("tau006", 0.006), ("tau1", 1.0)])
def test_info_nce_and_published_bi_mixco_agree_with_the_golden_numbers(pairs, mixture, name, tau):
    outputs = GOLDEN["outputs"]
    assert float(info_nce(*pairs, tau)) == pytest.approx(outputs[f"infonce_{name}"], rel=1e-8)
    assert float(bi_mixco(*pairs, tau, *mixture, compat=True)) == pytest.approx(
        outputs[f"bimixco_{name}"], rel=1e-8
    )


@pytest.mark.parametrize(
    "name, tau",
    [("tau004", 0.004), ("tau0075", 0.0075), ("tau1", 1.0), ("mindbridge_tau005", 0.005)],
)
def test_soft_clip_agrees_with_the_golden_numbers(pairs, name, tau):
    expected = GOLDEN["outputs"][f"softclip_{name}"]
    assert float(soft_clip(*pairs, tau)) == pytest.approx(expected, rel=1e-8)


def test_soft_cont_agrees_with_the_golden_number(pairs):
    found = float(soft_cont(*pairs, unit(data("aug", (6, 10))), 0.2))
    assert found == pytest.approx(GOLDEN["outputs"]["soft_cont_tau2"], rel=1e-8)


def test_mixture_weights_agree_with_the_golden_loss_in_one_direction(pairs, mixture):
    brain, clip = pairs
    weights = mixture_weights(*mixture, compat=True)
    found = -(weights * (brain @ clip.T).log_softmax(dim=1)).sum(dim=1).mean()
    expected = GOLDEN["outputs"]["mixco_one_directional_tau1"]
    assert float(found) == pytest.approx(expected, rel=1e-8)


def test_soft_cont_of_pictures_that_were_not_changed_is_soft_clip(pairs):
    brain, clip = pairs
    assert torch.allclose(soft_cont(brain, clip, clip, 0.1), soft_clip(brain, clip, 0.1))


def test_published_targets_lose_a_trial_that_is_its_own_partner(mixture):
    published = mixture_weights(*mixture, compat=True)
    np.testing.assert_allclose(published, GOLDEN["target_matrix"], atol=1e-15)
    assert published[2].sum() == 0


def test_repaired_targets_give_every_trial_its_whole_weight(mixture):
    repaired = mixture_weights(*mixture)
    np.testing.assert_allclose(repaired.sum(dim=1), np.ones(6), atol=1e-15)
    assert repaired[2, 2] == 1
    published = torch.tensor(GOLDEN["target_matrix"])
    np.testing.assert_allclose(repaired[[0, 1, 3, 4, 5]], published[[0, 1, 3, 4, 5]], atol=1e-15)


def test_bi_mixco_of_unmixed_trials_is_info_nce(pairs):
    order, alone = torch.randperm(6, generator=torch.Generator().manual_seed(0)), torch.ones(6)
    assert torch.allclose(bi_mixco(*pairs, 0.1, order, alone), info_nce(*pairs, 0.1))


def test_soft_clip_of_orthogonal_pictures_tends_to_info_nce_as_temperature_falls():
    brain = unit(data("pred", (6, 10)))
    clip = torch.eye(6, 10, dtype=torch.float64)
    assert torch.allclose(soft_clip(brain, clip, 0.02), info_nce(brain, clip, 0.02))


def test_chance_loss_is_the_logarithm_of_the_number_of_pairs():
    same = torch.ones(8, 3) / math.sqrt(3)
    assert float(info_nce(same, same, 0.07)) == pytest.approx(math.log(8), rel=1e-6)


@pytest.mark.parametrize("family, epochs, soft", [("mindeye1", 240, 161), ("mindeye2", 150, 101)])
def test_temperature_schedule_agrees_with_the_published_runs(family, epochs, soft):
    facts = GOLDEN["schedule"][family]
    loss = MindEyeLoss()
    assert sum(loss.mixes(e, epochs) for e in range(epochs)) == facts["bimixco_epochs"]
    for i in (0, soft // 2, soft - 1):  # the published numbers were float32
        assert softclip_temperature(i, soft) == pytest.approx(facts[f"t{i}"], rel=1e-6)
        epoch = facts["bimixco_epochs"] + i
        assert loss.temperature(epoch, epochs) == softclip_temperature(i, soft)


def test_temperature_schedule_is_exact_at_its_ends_and_defined_for_one_epoch():
    assert softclip_temperature(0, 5) == 0.004
    assert softclip_temperature(4, 5) == 0.0075
    assert softclip_temperature(0, 1) == 0.004
    with pytest.raises(ValueError, match="there are 5"):
        softclip_temperature(5, 5)


def test_mindeye_loss_walks_through_its_phases(pairs, mixture):
    loss = MindEyeLoss()
    mixed = loss(*pairs, epoch=0, n_epochs=10, permutation=mixture[0], lam=mixture[1])
    assert torch.allclose(mixed, bi_mixco(*pairs, 0.006, *mixture))
    assert torch.allclose(loss(*pairs, epoch=0, n_epochs=10), info_nce(*pairs, 0.006))
    assert torch.allclose(loss(*pairs, epoch=9, n_epochs=10), soft_clip(*pairs, 0.0075))


def test_losses_flatten_and_scale_what_they_are_given(pairs):
    brain, clip = pairs
    loss = MindEyeLoss(mixco_fraction=0.0)
    grown = loss(3 * brain.reshape(6, 5, 2), 2 * clip.reshape(6, 5, 2), epoch=0, n_epochs=2)
    assert torch.allclose(grown, loss(brain, clip, epoch=0, n_epochs=2))


@pytest.mark.parametrize(
    "option",
    [
        {"mixco_fraction": 0.9},
        {"tau": 0.5},
        {"soft_start": 0.5},
        {"soft_end": 0.5},
        {"brain_temperature": 0.5},
        {"compat": True},
    ],
)
def test_every_option_of_mindeye_loss_changes_the_loss(pairs, mixture, option):
    def course(loss):
        mixed = loss(*pairs, epoch=0, n_epochs=6, permutation=mixture[0], lam=mixture[1])
        return [float(mixed), *(float(loss(*pairs, epoch=e, n_epochs=6)) for e in range(6))]

    assert course(MindEyeLoss()) != course(MindEyeLoss(**option))


def test_temperature_of_info_nce_loss_changes_the_loss(pairs):
    a, b = InfoNCELoss(0.07), InfoNCELoss(0.1)
    assert not a.mixes(0, 10)
    assert a(*pairs, epoch=0, n_epochs=1) != b(*pairs, epoch=0, n_epochs=1)
    with pytest.raises(ValueError, match="mixed trials"):
        a(*pairs, epoch=0, n_epochs=1, permutation=torch.arange(6), lam=torch.ones(6))


@pytest.mark.parametrize(
    "option",
    [{"tau": 0.0}, {"soft_end": -1.0}, {"brain_temperature": 0.0}, {"mixco_fraction": 1.5}],
)
def test_impossible_options_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        MindEyeLoss(**option)


def test_gradients_stay_finite_at_the_lowest_temperature(mixture):
    brain = unit(data("pred", (6, 10))).requires_grad_()
    clip = unit(-data("pred", (6, 10)))  # the worst case: every pair points in opposite directions
    for loss in (info_nce(brain, clip, 0.004), soft_clip(brain, clip, 0.004)):
        (gradient,) = torch.autograd.grad(loss, brain)
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0
    (gradient,) = torch.autograd.grad(bi_mixco(brain, clip, 0.004, *mixture), brain)
    assert torch.isfinite(gradient).all()


def test_soft_clip_with_sharp_targets_is_info_nce_at_the_brains_temperature(pairs):
    brain, clip = pairs
    soft = soft_clip(brain, clip, temperature=1e-3, brain_temperature=0.1)
    assert torch.allclose(soft, info_nce(brain, clip, 0.1))
    assert soft_clip(*pairs, 0.1, 0.1) == soft_clip(*pairs, 0.1)
