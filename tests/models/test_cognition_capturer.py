"""CognitionCapturer's encoder has the published keys, sizes and outputs."""

import math

import pytest
import torch

from neurodecode.models.base import Sizes
from neurodecode.models.cognition_capturer import Cogcap, CognitionCapturer, sin_cos
from tests.golden.rule import data, golden
from tests.models.published import agrees, filled, shapes

GOLDEN = golden("cognitioncapturer_encoder")
PARTS = {
    "attention_model": "attention_model",
    "subject_wise_linear.0": "subject_wise_linear_0",
    "enc_eeg": "enc_eeg",
    "proj_eeg": "proj_eeg",
}
SIZES = Sizes(
    {"sub-01": 6, "sub-02": 5}, dim=8, n_tokens=2, token_dim=3, blurry=(4, 4, 3), n_times=20
)
SMALL = {"kernel": 5, "pool": 5, "stride": 2, "filters": 4, "d_ff": 7}


def trials(n_channels=6):
    return torch.randn(3, n_channels, 20, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def published():
    """Every part filled by its own keys, as the golden case has it."""
    model = Cogcap().double().eval()
    for part in PARTS:
        filled(model.get_submodule(part))
    return model


def test_parts_have_the_published_keys_and_shapes(published):
    for part, name in PARTS.items():
        assert shapes(published.get_submodule(part)) == GOLDEN["keys"][name]


def test_outputs_agree_with_the_golden_numbers(published):
    eeg, expected = torch.from_numpy(data("eeg", (2, 63, 250))), GOLDEN["outputs"]
    attended = published.attention_model(eeg)
    linear = published.subject_wise_linear[0](attended)
    assert linear.shape == (2, 63, 250)
    agrees(attended, expected["attention"])
    agrees(linear, expected["linear"])
    agrees(published.enc_eeg(linear), expected["features"])
    agrees(published(eeg), expected["embedding"])


def test_full_network_has_as_many_parameters_as_its_golden_keys():
    with torch.device("meta"):  # shapes only
        model = Cogcap()
    listed = [k for part in GOLDEN["keys"].values() for k in part.items()]
    counted = sum(math.prod(s) for k, s in listed if "running" not in k and "num_batches" not in k)
    assert sum(p.numel() for p in model.parameters()) == counted


def test_the_table_of_time_has_a_sine_and_a_cosine_of_each_frequency():
    table = sin_cos(9, 7)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert table[5, 2].item() == pytest.approx(math.sin(5 / 10000 ** (2 / 7)))
    assert table[5, 3].item() == pytest.approx(math.cos(5 / 10000 ** (2 / 7)))


def test_a_pipeline_network_says_everything_that_is_asked():
    output = CognitionCapturer(SIZES, **SMALL)(trials(5), "sub-02")
    assert output.pooled.shape == (3, 8)
    assert output.tokens.shape == (3, 2, 3)
    assert output.blurry.shape == (3, 4, 4, 3)


def test_one_network_may_serve_all_subjects():
    equal = Sizes({"sub-01": 6, "sub-02": 6}, dim=8, n_times=20)
    model = CognitionCapturer(equal, shared=True, **SMALL).eval()
    said = [model(trials(), subject).pooled for subject in equal.channels]
    assert list(model.encoders) == ["shared"]
    torch.testing.assert_close(*said)


@pytest.mark.parametrize(
    "options", [{"filters": 3}, {"kernel": 3}, {"pool": 3}, {"stride": 3}, {"d_ff": 9}]
)
def test_every_size_changes_the_number_of_weights(options):
    make = lambda **more: CognitionCapturer(SIZES, **SMALL | more)
    count = lambda **more: sum(p.numel() for p in make(**more).parameters())
    assert count(**options) != count()


def test_dropout_acts_in_training_only():
    for dropout in (0.0, 0.5):
        model = CognitionCapturer(SIZES, dropout=dropout, **SMALL)
        pooled = lambda m=model: m(trials(), "sub-01").pooled
        assert torch.allclose(pooled(), pooled()) == (dropout == 0)
        model.eval()
        assert torch.allclose(pooled(), pooled())
