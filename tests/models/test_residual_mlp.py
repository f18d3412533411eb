"""The residual network: its shapes, its straight path, and that every option and subject counts."""

import numpy as np
import pytest
import torch

from neurodecode.core.build import build
from neurodecode.models.base import Sizes
from neurodecode.models.residual_mlp import ResidualMLP

SIZES = Sizes({"sub-01": 30, "sub-02": 25}, dim=8, n_tokens=4, token_dim=6, blurry=(5, 5, 3))
SMALL = {"hidden": 16, "projector_hidden": 12}


def network(sizes=SIZES, **options):
    torch.manual_seed(0)
    return ResidualMLP(sizes, **SMALL | options)


def trials(n=7, n_channels=30, seed=1):
    return torch.randn(n, n_channels, generator=torch.Generator().manual_seed(seed))


def test_outputs_have_the_sizes_the_data_decide():
    output = network()(trials(), "sub-01")
    assert output.tokens.shape == (7, 4, 6)
    assert output.pooled.shape == (7, 8)
    assert output.blurry.shape == (7, 5, 5, 3)


def test_targets_without_tokens_and_pictures_have_no_such_heads():
    model = network(Sizes({"sub-01": 30}, dim=8))
    output = model(trials(), "sub-01")
    assert output.tokens is None and output.blurry is None and output.pooled.shape == (7, 8)
    assert not [k for k in model.state_dict() if "tokens" in k or "blurry" in k]


def test_without_blocks_tokens_and_picture_are_a_linear_function_of_the_trial():
    model = network(n_blocks=0).eval()
    a, b = trials(seed=1), trials(seed=2)
    zero = model(torch.zeros(7, 30), "sub-01")
    for name in ("tokens", "blurry"):
        f = [getattr(model(x, "sub-01"), name) - getattr(zero, name) for x in (a, b, 2 * a - b)]
        torch.testing.assert_close(f[2], 2 * f[0] - f[1], rtol=1e-4, atol=1e-5)


def test_it_starts_as_the_linear_decoders_it_is_given():
    net = network(n_blocks=0).eval()
    rng = torch.Generator().manual_seed(2)
    sizes = net.sizes
    draw = lambda *shape: torch.randn(shape, generator=rng)
    linear = {s: (draw(n, 3), draw(3)) for s, n in sizes.channels.items()}
    back = draw(3, sizes.n_tokens * sizes.token_dim)
    for scale in (1.0, 5.0):
        net.start_at(linear, back, scale)
        for subject, (weights, intercepts) in linear.items():
            x = trials(n_channels=sizes.channels[subject])
            expected = (x @ weights + intercepts) @ back
            torch.testing.assert_close(
                net(x, subject).tokens.flatten(1), expected, rtol=1e-4, atol=1e-4
            )
    with pytest.raises(ValueError, match="hidden=99"):
        net.start_at({}, draw(99, 4))
    with pytest.raises(ValueError, match="linear_path=true"):
        network(linear_path=False).start_at(linear, back)


def test_a_trial_is_decoded_alike_in_any_batch():
    model = network().eval()
    x = trials()
    together, alone = model(x, "sub-01"), model(x[2:3], "sub-01")
    torch.testing.assert_close(together.pooled[2:3], alone.pooled)


def test_subjects_share_all_but_their_input_layer():
    model = network()
    model(trials(), "sub-01").pooled.sum().backward()
    assert model.inputs["sub-02"].weight.grad is None
    assert model.blocks[0][0].weight.grad.abs().sum() > 0


def test_gradients_reach_every_parameter_and_are_finite():
    model = network()
    for subject, n in SIZES.channels.items():
        output = model(trials(n_channels=n), subject)
        sum(part.square().mean() for part in output).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "option",
    [
        {"hidden": 24},
        {"n_blocks": 1},
        {"input_dropout": 0.1},
        {"dropout": 0.0},
        {"projector_hidden": 20},
        {"linear_path": False},
    ],
)
def test_every_option_changes_the_output_in_training(option):
    def pooled(**options):
        model = network(**options)
        torch.manual_seed(1)
        return model(trials(), "sub-01").pooled.detach().numpy()

    assert np.array_equal(pooled(), pooled())
    assert not np.array_equal(pooled(), pooled(**option))


def test_the_shipped_configuration_builds():
    model = build({"_target_": "neurodecode.models.residual_mlp.ResidualMLP"} | SMALL, sizes=SIZES)
    assert model(trials(), "sub-01").pooled.shape == (7, 8)


def test_unknown_subjects_and_other_masks_are_refused():
    with pytest.raises(ValueError, match="sub-01, sub-02, not 'sub-03'"):
        network()(trials(), "sub-03")
    with pytest.raises(ValueError, match="sub-02 has 30 channels .* 25"):
        network()(trials(), "sub-02")
