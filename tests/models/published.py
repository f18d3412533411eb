"""How published networks are compared with the golden numbers."""

import numpy as np
import pytest
import torch

from tests.golden.rule import parameter, probe


def shapes(module):
    """Keys and shapes of a state dict, as the golden cases list them."""
    return {key: list(value.shape) for key, value in module.state_dict().items()}


def filled(module):
    """The module with every parameter by the rule; integer buffers and scalars as they are."""
    state = module.state_dict()
    by_rule = lambda v: v.is_floating_point() and v.ndim > 0
    made = {k: torch.from_numpy(parameter(k, v.shape)) for k, v in state.items() if by_rule(v)}
    module.load_state_dict(state | made)
    return module


def agrees(output, expected, rel=1e-8):
    """Assert that an output has the stored shape, sum, length, probe and first values."""
    output = output.detach().numpy()
    assert list(output.shape) == expected["shape"]
    assert output.sum() == pytest.approx(expected["sum"], rel=rel)
    assert np.sqrt((output**2).sum()) == pytest.approx(expected["l2"], rel=rel)
    assert probe(output) == pytest.approx(expected["probe"], rel=rel)
    np.testing.assert_allclose(output.ravel()[:4], expected["first"], rtol=rel)
    assert output.ravel()[-1] == pytest.approx(expected["last"], rel=rel)
