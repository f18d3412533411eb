"""The contrastive losses of M/EEG decoders agree with the published ones, and with closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neurodecode.contrastive.clip_family import (
    ClipLoss,
    hard_loss,
    same_picture,
    shared_credit,
    soft_loss,
)
from neurodecode.contrastive.losses import info_nce
from tests.golden.rule import data, golden, probe

GOLDEN = golden("clip_family")
RAW = math.log(1 / 0.07)  # CLIP's parameter, which some systems use without its exponential


def tensor(tag, shape):
    return torch.from_numpy(data(tag, shape))


@pytest.fixture
def pairs():
    return tensor("nice_pred", (5, 7)), F.normalize(tensor("nice_targ", (5, 7)), dim=1)


def loss_of(pairs, **options):
    return float(ClipLoss(**options)(*pairs, epoch=0, n_epochs=1))


def test_losses_of_nice_and_atm_agree_with_the_golden_numbers(pairs):
    expected = GOLDEN["eeg_image_clip_losses"]
    assert loss_of(pairs) == pytest.approx(expected["nice"], rel=1e-8)
    raw = loss_of(pairs, normalise_brain=False, scale=RAW)
    assert raw == pytest.approx(expected["atm_raw_scale"], rel=1e-8)


def test_loss_of_brainmagick_agrees_with_the_golden_numbers():
    expected = GOLDEN["brainmagick_cliploss"]
    estimate, candidate = tensor("estimate", (4, 5, 6)), tensor("candidate", (6, 5, 6))
    loss = ClipLoss(normalise_brain=False, symmetric=False, scale=1.0)
    scores = loss.scores(estimate, candidate).numpy()
    assert scores.sum() == pytest.approx(expected["scores"]["sum"], rel=1e-8)
    assert probe(scores) == pytest.approx(expected["scores"]["probe"], rel=1e-8)
    np.testing.assert_allclose(scores.ravel()[:4], expected["scores"]["first"], rtol=1e-8)
    assert float(loss(estimate, candidate, 0, 1)) == pytest.approx(expected["loss"], rel=1e-8)


@pytest.mark.parametrize(
    "picture, name", [([0, 0, 1, 1, 2, 0], "loss"), ([0] * 6, "loss_all_one_class")]
)
def test_shared_credit_of_cognition_capturer_agrees_with_the_golden_numbers(picture, name):
    brain, clip = tensor("eeg_emb", (6, 9)), F.normalize(tensor("img_emb", (6, 9)), dim=1)
    picture = torch.tensor(picture)
    weights = shared_credit(clip, picture[:, None] == picture, top_k=2)
    loss = soft_loss(RAW * brain @ clip.T, weights, symmetric=True)
    expected = GOLDEN["cognitioncapturer_clip_loss"][name]
    assert float(loss) == pytest.approx(expected, rel=1e-8)


def test_at_unit_length_it_is_info_nce(pairs):
    brain, clip = F.normalize(pairs[0], dim=1), pairs[1]
    assert loss_of(pairs, scale=5.0) == pytest.approx(float(info_nce(brain, clip, 1 / 5)))


def test_repeats_of_a_picture_share_the_credit_and_others_have_none():
    clip = tensor("clip", (3, 8))[[0, 1, 0, 2, 0]]
    weights = shared_credit(clip, same_picture(clip), top_k=7)
    third = 1 / 3
    expected = [
        [third, 0, third, 0, third],
        [0, 1, 0, 0, 0],
        [third, 0, third, 0, third],
        [0, 0, 0, 1, 0],
        [third, 0, third, 0, third],
    ]
    np.testing.assert_allclose(weights, expected, atol=1e-12)


def test_of_more_repeats_than_share_only_so_many_do():
    weights = shared_credit(torch.ones(6, 4), torch.ones(6, 6, dtype=bool), top_k=2)
    assert ((weights > 0).sum(dim=1) == 3).all()  # two and itself
    assert torch.allclose(weights.sum(dim=1), torch.ones(6))


def test_credit_shared_by_all_repeats_in_the_batch_is_the_plain_loss(pairs):
    brain, clip = pairs[0], pairs[1][[0, 1, 0, 0, 1]]
    assert loss_of((brain, clip), soft_top_k=7) == pytest.approx(loss_of((brain, clip)), rel=1e-12)


def test_credit_shared_by_some_repeats_only_is_another_loss(pairs):
    brain, clip = pairs[0], pairs[1][[0, 1, 0, 0, 1]]
    assert loss_of((brain, clip), soft_top_k=1) != pytest.approx(loss_of((brain, clip)), rel=1e-6)


def test_every_option_changes_the_loss(pairs):
    base = loss_of(pairs)
    assert loss_of(pairs, normalise_brain=False) != base
    assert loss_of(pairs, symmetric=False) != base
    assert loss_of(pairs, scale=1.0) != base
    repeated = pairs[0], pairs[1][[0, 1, 2, 0, 0]]
    assert loss_of(repeated, soft_top_k=1) != pytest.approx(loss_of(repeated), rel=1e-6)


def test_more_candidates_make_it_harder(pairs):
    brain, clip = pairs
    options = dict(normalise_brain=False, symmetric=False, scale=1.0)
    assert loss_of((brain[:3], clip), **options) > loss_of((brain[:3], clip[:3]), **options)


def test_inverse_temperature_is_what_cosines_are_multiplied_by(pairs):
    brain, clip = pairs
    lengths = brain.norm(dim=1)
    loss = ClipLoss(normalise_brain=False, scale=RAW)
    cosine = F.normalize(brain, dim=1) @ clip.T
    torch.testing.assert_close(loss.scores(brain, clip), RAW * lengths[:, None] * cosine)
    assert float(loss.inverse_temperature(brain)) == pytest.approx(float(RAW * lengths.mean()))
    assert float(ClipLoss().inverse_temperature(brain)) == pytest.approx(1 / 0.07)


def test_both_directions_average_those_of_either(pairs):
    logits = ClipLoss().scores(*pairs)
    both = (hard_loss(logits, False) + hard_loss(logits.T, False)) / 2
    assert float(both) == pytest.approx(float(hard_loss(logits, True)))


def test_what_it_cannot_do_is_refused(pairs):
    brain, clip = pairs
    with pytest.raises(ValueError, match="more candidates than brains need symmetric=false"):
        ClipLoss()(brain[:3], clip, 0, 1)
    with pytest.raises(ValueError, match="mixed trials"):
        ClipLoss()(brain, clip, 0, 1, torch.arange(5), torch.ones(5))
    with pytest.raises(ValueError, match="equally long"):
        ClipLoss()(brain[:, :4], clip, 0, 1)
    with pytest.raises(ValueError, match="above 0"):
        ClipLoss(scale=0.0)
    with pytest.raises(ValueError, match="one trial at least"):
        ClipLoss(soft_top_k=0)
    assert not ClipLoss().mixes(0, 1)
