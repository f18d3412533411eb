"""MindBridge's loss is its two published parts."""

import pytest
import torch

from neurodecode.contrastive.tied import SoftClipAndError
from tests.golden.rule import data, golden

GOLDEN = golden("mindbridge_softclip")


def pairs():
    """Brain and picture embeddings of the golden case."""
    unit = lambda rows: rows / rows.norm(dim=1, keepdim=True)
    clip = unit(torch.from_numpy(data("targ", (6, 10))))
    return unit(0.5 * clip + unit(torch.from_numpy(data("pred", (6, 10))))), clip


def test_softclip_alone_costs_the_golden_number():
    loss = SoftClipAndError(temperature=0.005, error=0)(*pairs(), 0, 1)
    assert loss.item() == pytest.approx(GOLDEN["loss"], rel=1e-8)


def test_the_error_is_that_of_unit_vectors_at_its_weight():
    brain, clip = pairs()
    both, alone = (SoftClipAndError(error=e)(3 * brain, clip, 0, 1) for e in (1e4, 0))
    cosine = (brain * clip).sum(dim=1).mean()
    assert (both - alone).item() == pytest.approx(1e4 * (2 - 2 * cosine.item()) / 10, rel=1e-8)


def test_the_temperature_counts_and_is_above_nought():
    warm, cold = (SoftClipAndError(temperature=t)(*pairs(), 0, 1) for t in (0.1, 0.01))
    assert warm < cold
    assert SoftClipAndError(0.1).temperature(3, 9) == 0.1
    with pytest.raises(ValueError, match="above 0"):
        SoftClipAndError(temperature=0)


def test_mixed_trials_are_refused():
    with pytest.raises(ValueError, match="mixed trials"):
        SoftClipAndError()(*pairs(), 0, 1, torch.arange(6), torch.ones(6))
