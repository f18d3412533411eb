"""The denoiser agrees with published numbers, keys and parameter counts."""

import numpy as np
import pytest
import torch

from neurodecode.diffusion.prior_network import (
    PriorNetwork,
    RelativePositionBias,
    SinusoidalEmbedding,
    StableNorm,
    _chosen_buckets,
    distance_buckets,
    relative_position_buckets,
)
from tests.golden.rule import data, golden, parameter, probe

GOLDEN = golden("diffusion_prior")
CASE = GOLDEN["dalle2_prior_network"]


def golden_network(dtype, compat=True):
    c = CASE["config"]
    net = PriorNetwork(
        c["num_tokens"], c["dim"], c["depth"], c["heads"], c["dim_head"], compat=compat
    ).to(dtype)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.endswith("freqs"):  # a table: evaluated in float64, not filled by the rule
                value.copy_(torch.as_tensor(10_000.0 ** (-2 * np.arange(len(value)) / 8)))
            else:
                value.copy_(torch.as_tensor(parameter(key, tuple(value.shape))))
    return net.eval()


def golden_inputs(dtype):
    t = torch.tensor(CASE["config"]["timesteps"])
    image, brain = (
        torch.as_tensor(data(tag, CASE["inputs"][tag]), dtype=dtype)
        for tag in ("image_embed", "brain_embed")
    )
    return image, t, brain


def assert_golden(output, facts, tolerance):
    output = output.detach().double().numpy()
    assert list(output.shape) == facts["shape"]
    np.testing.assert_allclose(output.ravel()[:4], facts["first"], rtol=tolerance, atol=tolerance)
    assert probe(output) == pytest.approx(facts["probe"], rel=tolerance)
    assert np.linalg.norm(output) == pytest.approx(facts["l2"], rel=tolerance)


def test_prediction_in_float64_agrees_with_the_golden_numbers():
    output = golden_network(torch.float64)(*golden_inputs(torch.float64))
    assert_golden(output, CASE["outputs"]["pred_float64_eps1e5"], 1e-8)


def test_prediction_in_float32_agrees_with_the_published_code():
    output = golden_network(torch.float32)(*golden_inputs(torch.float32))
    assert_golden(output, CASE["outputs"]["pred_float32_reference"], 2e-5)


def test_prediction_with_brain_and_image_dropped_agrees_with_the_golden_numbers():
    none = torch.zeros(3, dtype=torch.bool)
    output = golden_network(torch.float64)(*golden_inputs(torch.float64), none, none)
    assert_golden(output, CASE["outputs"]["pred_all_dropped_float64"], 1e-8)


def test_the_repaired_norm_differs_as_the_published_note_says():
    inputs = golden_inputs(torch.float64)
    repaired = golden_network(torch.float64, compat=False)(*inputs)
    published = golden_network(torch.float64, compat=True)(*inputs)
    assert (repaired - published).abs().max().item() == pytest.approx(2.4e-5, rel=0.05)


def test_keys_and_shapes_are_those_of_published_checkpoints():
    ours = {
        key: list(value.shape) for key, value in golden_network(torch.float32).state_dict().items()
    }
    assert ours == CASE["keys"]


@pytest.mark.parametrize(
    "n_tokens, dim, heads, dim_head, n_parameters",
    [(257, 768, 12, 64, 56_055_184), (256, 1664, 32, 52, 259_865_216)],
)
def test_published_sizes_have_the_published_number_of_parameters(
    n_tokens, dim, heads, dim_head, n_parameters
):
    with torch.device("meta"):
        net = PriorNetwork(n_tokens, dim, 6, heads, dim_head)
    assert sum(p.numel() for p in net.parameters()) == n_parameters


def test_time_embedding_agrees_with_the_golden_numbers():
    facts = GOLDEN["sinusoidal_pos_emb_dim16"]
    t = torch.tensor(facts["inputs"]["t"], dtype=torch.float64)
    assert_golden(SinusoidalEmbedding(16)(t), facts["outputs"]["emb"], 1e-8)


def test_relative_position_buckets_agree_with_the_golden_numbers():
    facts = GOLDEN["relpos_buckets"]
    assert relative_position_buckets(5, 6).tolist() == facts["table_5x6"]
    assert distance_buckets(np.array(facts["n"])).tolist() == facts["bucket"]


@pytest.mark.parametrize("shape", [(5, 6), (40, 41)])
def test_the_position_bias_and_its_gradient_are_those_of_indexing_by_bucket(shape):
    bias = RelativePositionBias(3)
    weight = bias.relative_attention_bias.weight
    buckets = torch.from_numpy(relative_position_buckets(*shape))
    found, expected = bias(*shape), weight[buckets].permute(2, 0, 1)
    assert torch.equal(found, expected)
    factor = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    gradients = [torch.autograd.grad((b * factor).sum(), weight)[0] for b in (found, expected)]
    assert torch.allclose(*gradients, atol=1e-4)


def test_half_precision_attends_as_float32_does():
    torch.manual_seed(0)
    net = PriorNetwork(24, 32, depth=2, heads=4, dim_head=8)
    weight = net.causal_transformer.rel_pos_bias.relative_attention_bias.weight
    x, brain, factor = torch.randn(3, 3, 24, 32)
    found = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = net(x, torch.tensor([1, 50, 99]), brain).float()
        found.append((out, *torch.autograd.grad((factor * out).sum(), weight)))
    for full, half in zip(*found, strict=True):
        assert 0 < (half - full).norm() < 0.15 * full.norm()


def test_a_network_that_has_sampled_can_be_trained():
    net = golden_network(torch.float32)
    x = torch.randn(2, net.n_tokens, CASE["config"]["dim"])
    _chosen_buckets.cache_clear()
    with torch.inference_mode():
        net(x, torch.tensor([1, 2]), x)
    net(x, torch.tensor([1, 2]), x).sum().backward()
    assert net.causal_transformer.rel_pos_bias.relative_attention_bias.weight.grad is not None


def test_a_row_whose_maximum_is_negative_is_flipped_only_under_compat():
    row = torch.tensor([[-4.0, -1.0, -2.0]])
    published, repaired = (StableNorm(3, compat)(row) for compat in (True, False))
    assert torch.equal(published.sign(), -repaired.sign())


def test_a_row_of_zeros_stays_zero():
    assert StableNorm(3, compat=False)(torch.zeros(1, 3)).abs().max() == 0


def test_half_precision_norms_use_the_coarser_epsilon_only_under_compat():
    row = torch.tensor([[0.01, -0.01]], dtype=torch.bfloat16)  # variance 1e-4 counts against 1e-3
    published, repaired = (
        golden_network(torch.bfloat16, compat).causal_transformer.layers[0][0].norm
        for compat in (True, False)
    )
    row = row.repeat(1, 8)
    assert published(row).abs().mean() < 0.5 * repaired(row).abs().mean()


def test_dropout_acts_in_training_only():
    net = PriorNetwork(3, 8, 1, 2, 4, dropout=0.5)
    inputs = torch.ones(2, 3, 8), torch.tensor([0, 5]), torch.ones(2, 3, 8)
    assert torch.equal(net.eval()(*inputs), net(*inputs))
    assert not torch.equal(net.train()(*inputs), net(*inputs))
