"""Checkpoints in the published layouts of the EEG decoders find their way into our networks."""

import pytest
import torch

from neurodecode.models import atm, cognition_capturer, nice, ubp
from neurodecode.models.atm import ATMS
from neurodecode.models.base import Sizes
from neurodecode.models.cognition_capturer import Cogcap
from neurodecode.models.nice import Encoder
from neurodecode.models.ubp import EEGProject


def shapes_of(state):
    return {key: tuple(value.shape) for key, value in state.items()}


def loaded(system, state):
    """The network that `published` finds, with the weights it has a place for, and their number."""
    meta, names = system.published(shapes_of(state))
    model = meta.to_empty(device="cpu")
    there = {ours: state[theirs] for theirs, ours in names.items()}
    missing, unexpected = model.load_state_dict(there, strict=False)
    assert not unexpected
    return model.eval(), set(missing), set(state) - set(names)


def of_nice(**options):
    model = Encoder(**options, compat=True).eval()
    return model, model.Enc_eeg.state_dict() | model.Proj_eeg.state_dict()


@pytest.mark.parametrize("attention", ["none", "self", "graph"])
def test_both_files_of_nice_put_into_one_are_read(attention):
    published, state = of_nice(n_channels=6, n_times=95, dim=8, filters=4, attention=attention)
    model, missing, left = loaded(nice, state)
    assert (missing, left) == (set(), set())
    trials = torch.randn(2, 6, 95)
    torch.testing.assert_close(model(trials, "sub-01").pooled, published(trials))


def test_the_encoder_of_nice_alone_lacks_the_projection():
    published, _ = of_nice()
    model, missing, left = loaded(nice, published.Enc_eeg.state_dict())
    assert missing == {f"encoders.sub-01.Proj_eeg.{k}" for k in published.Proj_eeg.state_dict()}
    assert left == set()


@pytest.mark.parametrize("start", ["", "model."])
def test_a_checkpoint_of_atm_is_read_with_its_slips(start):
    small = {"n_channels": 6, "n_times": 95, "dim": 8, "n_subjects": 10, "d_ff": 7, "filters": 4}
    published = ATMS(**small, compat=True).eval()
    state = {start + key: value for key, value in published.state_dict().items()}
    state[f"{start}subject_wise_linear.0.weight"] = torch.zeros(95, 95)
    model, missing, left = loaded(atm, state)
    assert missing == set()
    assert left == {f"{start}subject_wise_linear.0.weight"}  # nothing ever reads it
    trials = torch.randn(2, 6, 95)
    expected = published.logit_scale * published(trials, torch.tensor([1, 1]))
    torch.testing.assert_close(model(trials, "sub-01").pooled, expected)


def test_a_checkpoint_of_ubp_is_read():
    published = EEGProject(8, 17, 250).eval()
    state = {f"brain.{key}": value for key, value in published.state_dict().items()}
    model, missing, left = loaded(ubp, state)
    assert (missing, left) == (set(), set())
    assert model.sizes == Sizes({"sub-01": 17}, 8, n_times=250)
    trials = torch.randn(2, 17, 250)
    expected = published.scale() * published(trials)
    torch.testing.assert_close(model(trials, "sub-01").pooled, expected)


def test_a_checkpoint_of_cognition_capturer_is_read():
    published = Cogcap(n_channels=6, n_times=95, dim=8, d_ff=7, filters=4).eval()
    state = {f"EEGmodel.{key}": value for key, value in published.state_dict().items()}
    state |= {"EEGmodel.subject_wise_linear.1.weight": torch.zeros(95, 95)}
    state |= {"logit_scale": torch.tensor(2.66)}
    model, missing, left = loaded(cognition_capturer, state)
    assert missing == set()
    assert left == {"EEGmodel.subject_wise_linear.1.weight", "logit_scale"}
    trials = torch.randn(2, 6, 95)
    torch.testing.assert_close(model(trials, "sub-01").pooled, published(trials))


@pytest.mark.parametrize(
    "system, words",
    [
        (nice, "tsconv.0.weight"),
        (atm, "encoder.enc_embedding.value_embedding.weight"),
        (ubp, "model.1.f.1.weight"),
        (cognition_capturer, "attention_model.transformer_encoder"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(system, words):
    with pytest.raises(ValueError, match=f"{words}.* is missing"):
        system.published({"lin0.0.weight": (16, 20)})


def test_the_older_form_of_atm_is_told_from_the_other():
    state = shapes_of(ATMS().state_dict())
    state["encoder.encoder.attn_layers.0.conv1.weight"] = (256, 250, 1)
    with pytest.raises(ValueError, match="an older form"):
        atm.published(state)


def test_convolutions_at_another_place_are_no_nice():
    with pytest.raises(ValueError, match=r"at 0.tsconv, or at 1.tsconv behind"):
        nice.published({"3.tsconv.0.weight": (40, 1, 1, 25)})
