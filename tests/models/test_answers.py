"""Decoders of every kind are asked in one way."""

import numpy as np
import pytest
import torch

from neurodecode.models.answers import network_answers, own_fit, ridge_answers
from neurodecode.models.base import Sizes
from neurodecode.models.baseline import fit_baseline, predict_baseline
from neurodecode.models.residual_mlp import ResidualMLP

RESPONSES = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)


def test_a_network_answers_with_what_it_has_and_with_a_code_if_one_is_read():
    net = ResidualMLP(Sizes({"sub-01": 7}, 6, 2, 3), hidden=8).eval()
    said = network_answers(net)(RESPONSES, "sub-01")
    assert said["pooled"].shape == (5, 6) and said["tokens"].shape == (5, 2, 3)
    assert "blurry" not in said and "code" not in said
    expected = net(torch.from_numpy(RESPONSES), "sub-01").tokens.detach().numpy()
    np.testing.assert_array_equal(said["tokens"], expected)
    coded = network_answers(net, lambda tokens: tokens.sum(dim=2))(RESPONSES, "sub-01")
    np.testing.assert_allclose(coded["code"], expected.sum(axis=2), rtol=1e-5, atol=1e-6)


def test_ridge_answers_with_the_fit_of_the_subject():
    rng, groups = np.random.default_rng(1), np.repeat(np.arange(5), 8)
    fits, alone = {}, {}
    for subject in ("sub-01", "sub-02"):
        x, y = rng.standard_normal((40, 7)), rng.standard_normal((40, 3))
        alone[subject] = fit_baseline(x, {"pooled": y}, groups, 4)
        fits |= {f"{subject}/{name}": array for name, array in alone[subject].items()}
    said = ridge_answers(fits)(RESPONSES, "sub-02")["pooled"]
    np.testing.assert_array_equal(said, predict_baseline(RESPONSES, alone["sub-02"])["pooled"])
    with pytest.raises(ValueError, match="sub-01, sub-02, not to 'sub-03'"):
        own_fit(fits, "sub-03")
