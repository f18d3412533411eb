"""Brainmagick's contrastive loss: over features and times, of the brain's own length, one way."""

import pytest
import torch

from neurodecode.contrastive.clip_family import ClipLoss
from tests.golden.rule import data, golden
from tests.models.test_brainmagick import agrees

GOLDEN = golden("brainmagick_cliploss")


@pytest.fixture
def said_and_heard():
    """Four answers over 5 features and 6 times, their targets, and two other sounds."""
    return tuple(torch.from_numpy(data(k, GOLDEN["inputs"][k])) for k in ("estimate", "candidate"))


@pytest.fixture
def loss():
    return ClipLoss(normalise_brain=False, symmetric=False, scale=1.0)


def test_scores_agree_with_the_golden_numbers(loss, said_and_heard):
    assert agrees(loss.scores(*said_and_heard), GOLDEN["scores"])


def test_the_loss_agrees_with_the_golden_number(loss, said_and_heard):
    assert float(loss(*said_and_heard, 0, 1)) == pytest.approx(GOLDEN["loss"], rel=1e-8)


def test_the_order_of_features_and_times_does_not_matter(loss, said_and_heard):
    """The pipeline's rows are token by token, the published ones feature by feature."""
    turned = [part.transpose(1, 2) for part in said_and_heard]
    assert float(loss(*turned, 0, 1)) == pytest.approx(GOLDEN["loss"], rel=1e-8)
