"""UBP's network has the published keys, sizes and outputs."""

import pytest
import torch
from torch.nn import functional as F

from neurodecode.contrastive.clip_family import ClipLoss
from neurodecode.models.base import Sizes
from neurodecode.models.ubp import UBP, EEGProject
from tests.golden.rule import data, golden
from tests.models.published import agrees, filled, shapes

GOLDEN = golden("ubp_eegproject")
SIZES = Sizes(
    {"sub-01": 6, "sub-02": 5}, dim=8, n_tokens=2, token_dim=3, blurry=(4, 4, 3), n_times=20
)


def trials(n_channels=6):
    return torch.randn(3, n_channels, 20, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def published():
    return filled(EEGProject(z_dim=32, channels=5, samples=12).double().eval())


def test_state_dict_has_the_published_keys_and_shapes(published):
    assert shapes(published) == GOLDEN["keys"]


def test_outputs_agree_with_the_golden_numbers(published):
    embedding = published(torch.from_numpy(data("eeg", (3, 5, 12))))
    assert embedding.shape == (3, 32)
    agrees(embedding, GOLDEN["outputs"]["embedding"])


def test_scale_and_loss_agree_with_the_golden_numbers(published):
    assert published.scale().item() == pytest.approx(GOLDEN["outputs"]["scale"], rel=1e-8)
    embedding = published(torch.from_numpy(data("eeg", (3, 5, 12))))
    image = F.normalize(torch.from_numpy(data("image", (3, 32))), dim=1)
    loss = ClipLoss(normalise_brain=False, scale=1.0)(published.scale() * embedding, image, 0, 1)
    assert loss.item() == pytest.approx(GOLDEN["outputs"]["loss"], rel=1e-8)


@pytest.mark.parametrize(
    "channels, samples, n_parameters", [(17, 250, 5_404_673), (271, 201, 56_830_977)]
)
def test_full_network_has_as_many_parameters_as_published(channels, samples, n_parameters):
    with torch.device("meta"):  # shapes only
        model = EEGProject(1024, channels, samples)
    assert sum(p.numel() for p in model.parameters()) == n_parameters


def test_a_pipeline_network_says_everything_that_is_asked():
    output = UBP(SIZES)(trials(5), "sub-02")
    assert output.pooled.shape == (3, 8)
    assert output.tokens.shape == (3, 2, 3)
    assert output.blurry.shape == (3, 4, 4, 3)


def test_pooled_is_the_embedding_times_the_learnt_scale():
    model = UBP(SIZES).eval()
    network = model.encoders["sub-01"]
    pooled = model(trials(), "sub-01").pooled
    torch.testing.assert_close(pooled, F.softplus(network.logit_scale) * network(trials()))
    pooled.norm(dim=1).mean().backward()
    assert network.logit_scale.grad is not None


def test_one_network_may_serve_all_subjects():
    model = UBP(Sizes({"sub-01": 6, "sub-02": 6}, dim=8, n_times=20), shared=True).eval()
    said = [model(trials(), subject).pooled for subject in ("sub-01", "sub-02")]
    assert list(model.encoders) == ["shared"]
    torch.testing.assert_close(*said)
    with pytest.raises(ValueError, match="sub-01 6, sub-02 5"):
        UBP(SIZES, shared=True)


def test_dropout_acts_in_training_only():
    for dropout in (0.0, 0.5):
        model = UBP(SIZES, dropout=dropout)
        pooled = lambda m=model: m(trials(), "sub-01").pooled
        assert torch.allclose(pooled(), pooled()) == (dropout == 0)
        model.eval()
        assert torch.allclose(pooled(), pooled())
