"""MindEye's brain network has the published keys, sizes and outputs."""

import numpy as np
import pytest
import torch

from neurodecode.models.mindeye1 import MindEye1
from tests.golden.rule import data, golden, parameter, probe

GOLDEN = golden("mindeye1_brainnetwork")


@pytest.fixture
def published():
    """The golden network: small, in float64 and eval mode, every parameter by the rule."""
    config = {k: v for k, v in GOLDEN["config"].items() if k != "mode"}
    model = MindEye1(**config).double().eval()
    state = {k: torch.from_numpy(parameter(k, v.shape)) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def test_state_dict_has_the_published_keys_and_shapes(published):
    assert {k: list(v.shape) for k, v in published.state_dict().items()} == GOLDEN["keys"]


def test_outputs_agree_with_the_golden_numbers(published):
    outputs = published(torch.from_numpy(data("input", (3, 20))))
    for output, name in zip(outputs, ("backbone", "projector"), strict=True):
        expected, output = GOLDEN["outputs"][name], output.detach().numpy()
        assert list(output.shape) == expected["shape"]
        assert output.sum() == pytest.approx(expected["sum"], rel=1e-8)
        assert np.sqrt((output**2).sum()) == pytest.approx(expected["l2"], rel=1e-8)
        assert probe(output) == pytest.approx(expected["probe"], rel=1e-8)
        np.testing.assert_allclose(output.ravel()[:4], expected["first"], rtol=1e-8)


@pytest.mark.parametrize(
    "n_voxels, n_parameters",
    [(15724, 947_579_904), (14278, 941_657_088), (13039, 936_582_144), (12682, 935_119_872)],
)
def test_full_network_has_as_many_parameters_as_published(n_voxels, n_parameters):
    with torch.device("meta"):  # shapes only
        model = MindEye1(n_voxels)
    assert sum(p.numel() for p in model.parameters()) == n_parameters


def test_tokens_must_fill_the_output():
    with pytest.raises(ValueError, match="not a multiple"):
        MindEye1(20, out_dim=41, clip_size=8)
