"""NeuroPictor's encoder is the transformer it should be; a map shows channels in their places."""

import numpy as np
import pytest
import torch

from neurodecode.models.base import Sizes
from neurodecode.models.flat_map import FlatMap, layouts, plane
from neurodecode.models.neuropictor import (
    FlatMapEncoder,
    Modulation,
    NeuroPictor,
    PublishedNeuroPictor,
    SemanticBranch,
    published,
    sincos_positions,
)

SMALL = {"map_px": 16, "patch_px": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def sizes(rng, **more):
    """Two subjects of 30 and 24 channels in a cloud that is widest along x and y."""
    places = {s: rng.normal(size=(n, 3)) * [40, 25, 5] for s, n in (("a", 30), ("b", 24))}
    positions = {s: p.tolist() for s, p in places.items()}
    defaults = {"dim": 6, "n_tokens": 3, "token_dim": 5, "blurry": (4, 4, 3)}
    return Sizes({"a": 30, "b": 24}, **defaults | {"positions": positions} | more)


def small(sizes, **options):
    torch.manual_seed(0)
    return NeuroPictor(sizes, **SMALL | {"modulation_channels": 6, "modulation_px": 8} | options)


def perturb(network):
    """Every weight anew, so that nothing that begins at zero hides a mistake."""
    torch.manual_seed(1)
    for weight in network.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.3)
    return network.double().eval()


# ---- the published modules


def test_encoder_agrees_with_torchs_own_transformer_layers():
    encoder = perturb(FlatMapEncoder(**SMALL))
    maps = torch.randn(3, 1, 16, 16, dtype=torch.float64)
    cut = maps.reshape(3, 4, 4, 4, 4).permute(0, 1, 3, 2, 4).reshape(3, 16, 16)  # patches by rows
    proj = encoder.patch_embed.proj
    patches = cut @ proj.weight.flatten(1).T + proj.bias + encoder.pos_embed[:, 1:]
    x = torch.cat([encoder.cls_token.expand(3, -1, -1), patches], dim=1)
    for block in encoder.blocks:
        layer = torch.nn.TransformerEncoderLayer(
            16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64
        ).eval()
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": block.attn.qkv.weight,
                "self_attn.in_proj_bias": block.attn.qkv.bias,
                "self_attn.out_proj.weight": block.attn.proj.weight,
                "self_attn.out_proj.bias": block.attn.proj.bias,
                "linear1.weight": block.mlp.fc1.weight,
                "linear1.bias": block.mlp.fc1.bias,
                "linear2.weight": block.mlp.fc2.weight,
                "linear2.bias": block.mlp.fc2.bias,
                "norm1.weight": block.norm1.weight,
                "norm1.bias": block.norm1.bias,
                "norm2.weight": block.norm2.weight,
                "norm2.bias": block.norm2.bias,
            }
        )
        x = layer(x)
    expected = torch.nn.functional.layer_norm(x, (16,), encoder.norm.weight, encoder.norm.bias)
    torch.testing.assert_close(encoder(maps), expected, rtol=1e-9, atol=1e-9)


def test_fixed_positions_are_sines_and_cosines_of_column_and_row():
    found = sincos_positions(3, 8).numpy()
    rate = np.array([1.0, 0.01])  # 10000 ** -(k / 2)
    for index, (row, column) in enumerate(np.ndindex(3, 3)):
        waves = [f(at * rate) for at in (column, row) for f in (np.sin, np.cos)]
        np.testing.assert_allclose(found[index], np.concatenate(waves), atol=1e-12)
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos_positions(2, 6)


def test_semantic_branch_maps_tokens_then_values_and_adds_the_extra_branch():
    branch = perturb(SemanticBranch(n_codes=5, embed_dim=4, n_tokens=3, token_dim=6))
    codes = torch.randn(2, 5, 4, dtype=torch.float64)
    mix = lambda layers, x: torch.stack(
        [layers[1](layers[0](x[..., k : k + 1]))[..., 0] for k in range(x.shape[2])], dim=2
    )
    words = branch.norm(branch.dim_mapper(mix(branch.channel_mapper, codes)))
    extra = branch.extra_clip[3](branch.extra_clip[2](mix(branch.extra_clip, codes)))
    tokens, said = branch(codes)
    torch.testing.assert_close(said, words)
    torch.testing.assert_close(tokens, words + branch.extra_clip_out(extra))


def test_untrained_branches_add_nothing_through_their_zero_convolutions():
    codes = torch.randn(2, 9, 8)
    tokens, words = SemanticBranch(9, 8, n_tokens=4, token_dim=8)(codes)
    assert torch.equal(tokens, words)
    modulation = Modulation(9, 8, out_channel=6, out_dim=4)(codes)
    assert modulation.shape == (2, 6, 4, 4)
    assert not modulation.any()


def test_parts_have_as_many_parameters_as_their_published_shapes_give():
    with torch.device("meta"):
        network = PublishedNeuroPictor({}, {}, {})
    count = lambda part: sum(p.numel() for p in part.parameters())
    block = 4 * 1024**2 + 4 * 1024 + 8 * 1024**2 + 4096 + 1024 + 4 * 1024
    patches, places = 16 * 16 * 1024 + 1024, 257 * 1024
    assert count(network.encoder) == 24 * block + patches + 1024 + places + 2048 == 302_838_784
    mixers = lambda a, b, c: a * b + b + b * c + c
    linear = 1024 * 1024 + 1024
    semantic = 2 * (mixers(257, 128, 77) + linear + 2048) + 77 * 77 * 3 + 77
    assert count(network.semantic) == semantic == 2_207_074
    modulation = mixers(257, 514, 320) + 1024 * 4096 + 4096 + 320 * 320 * 3 + 320
    assert count(network.modulation) == modulation == 4_803_332


def layout_of_a_checkpoint(network):
    """Keys and shapes as published, with parts that are not read."""
    prefixes = {"encoder": "fmri_encoder.transformer.", "semantic": "cond_stage."}
    prefixes["modulation"] = "control_model.fmri_mapper."
    state = {
        prefixes[part] + key: tuple(values.shape)
        for part in prefixes
        for key, values in getattr(network, part).state_dict().items()
    }
    return state | {"fmri_encoder.transformer.mask_token": (1, 1, 8), "cond_stage_model.x": (3,)}


def test_a_published_checkpoint_tells_its_sizes_and_takes_its_names():
    own = PublishedNeuroPictor(
        {"map_px": 32, "patch_px": 8, "embed_dim": 64, "depth": 2, "num_heads": 1},
        {"n_codes": 17, "embed_dim": 64, "n_tokens": 5, "token_dim": 12},
        {"n_codes": 17, "embed_dim": 64, "out_channel": 10, "out_dim": 4},
    )
    state = layout_of_a_checkpoint(own)
    network, names = published(state, num_heads=4)
    shapes = {key: tuple(values.shape) for key, values in network.state_dict().items()}
    assert {names[key]: shape for key, shape in state.items() if key in names} == shapes
    assert shapes == {key: tuple(values.shape) for key, values in own.state_dict().items()}
    assert names["cond_stage.extra_clip_out.weight"] == "semantic.extra_clip_out.weight"
    del state["fmri_encoder.transformer.blocks.1.norm2.bias"]
    with pytest.raises(ValueError, match="no fmri_encoder.transformer.blocks.1.norm2.bias"):
        published(state)
    with pytest.raises(ValueError, match="no checkpoint of NeuroPictor"):
        published({"voxel2clip.lin0.0.weight": (3, 4)})


def test_names_of_the_published_parts_are_those_of_the_pipelines_network(rng):
    network = small(sizes(rng))
    with torch.device("meta"):
        parts = PublishedNeuroPictor(
            SMALL,
            {"n_codes": 17, "embed_dim": 16, "n_tokens": 3, "token_dim": 5},
            {"n_codes": 17, "embed_dim": 16, "out_channel": 6, "out_dim": 8},
        )
    own = {key: values.shape for key, values in network.state_dict().items()}
    for key, values in parts.state_dict().items():
        assert own[key] == values.shape


# ---- the map


def test_a_map_shows_each_channel_in_its_place(rng):
    corners = np.array([[0.0, 0, 0], [90, 0, 0], [0, 60, 0], [90, 60, 0]])
    found = layouts({"a": corners}, side=10, reach=1)["a"]
    shown = FlatMap(4, 10, found)(torch.tensor([[1.0, 2, 3, 4]]))[0, 0]
    assert shown[[0, 0, 9, 9], [0, 9, 0, 9]].tolist() == [1, 2, 3, 4]
    assert shown[0, 1] == 1  # an empty cell beside it
    assert shown[5, 5] == 0  # too far from any


def test_channels_of_one_cell_are_averaged_and_unknown_places_left_out():
    corners = [[0.0, 0, 0], [100, 0, 0], [0, 60, 0], [100, 60, 0]]
    places = np.array([*corners, *corners, [np.nan] * 3])
    found = layouts({"a": places}, side=5, reach=0.5)["a"]
    shown = FlatMap(9, 5, found)(torch.tensor([[1.0, 1, 1, 2, 1, 1, 1, 4, 900]]))[0, 0]
    assert shown[4, 4] == 3
    assert shown.sum() == 3 + 3


def test_times_are_maps_of_their_own(rng):
    responses = torch.tensor(rng.normal(size=(3, 30, 2)), dtype=torch.float32)
    of = FlatMap(30, 8, layouts({"a": rng.normal(size=(30, 3))}, 8, 2)["a"])
    both = of(responses)
    assert both.shape == (3, 2, 8, 8)
    assert torch.equal(both[:, 1:], of(responses[..., 1]))


def test_the_plane_does_not_depend_on_the_order_of_channels(rng):
    places = rng.normal(size=(40, 3)) * [9, 5, 1]
    order = rng.permutation(40)
    np.testing.assert_allclose(plane(places)[order], plane(places[order]), atol=1e-9)
    np.testing.assert_allclose(plane(places).var(axis=0).sum(), places.var(axis=0).sum(), rtol=0.1)


def test_subjects_share_one_plane(rng):
    places = rng.normal(size=(20, 3)) * [9, 5, 1]
    found = layouts({"a": places, "b": places[::-1]}, side=16, reach=1)
    assert (found["a"]["cell"] == found["b"]["cell"][::-1]).all()


def test_a_subject_without_places_is_refused(rng):
    with pytest.raises(ValueError, match="b: no channel's place is known"):
        layouts({"a": rng.normal(size=(5, 3)), "b": np.full((4, 3), np.nan)}, 8, 1)
    with pytest.raises(ValueError, match="no subject's positions are known"):
        small(sizes(rng, positions=None))


# ---- the pipeline's network


def test_network_answers_all_that_is_asked(rng):
    network = small(sizes(rng)).eval()
    for subject, n in (("a", 30), ("b", 24)):
        tokens, pooled, blurry = network(torch.randn(4, n), subject)
        assert tokens.shape == (4, 3, 5)
        assert pooled.shape == (4, 6)
        assert blurry.shape == (4, 4, 4, 3)
    with pytest.raises(ValueError, match="made for 24"):
        network(torch.randn(4, 30), "b")


def test_network_leaves_out_what_has_no_target_and_says_tokens_as_the_embedding(rng):
    output = small(sizes(rng, n_tokens=0, token_dim=0, blurry=None))(torch.randn(2, 30), "a")
    assert output.tokens is None
    assert output.blurry is None
    output = small(sizes(rng, dim=15)).eval()(torch.randn(2, 30), "a")
    assert torch.equal(output.pooled, output.tokens.flatten(1))
    output = small(sizes(rng, n_times=4))(torch.randn(2, 30, 4), "a")
    assert output.tokens.shape == (2, 3, 5)


def test_network_learns_a_planted_map(rng):
    network = small(sizes(rng, blurry=None), dropout=0.0)
    responses = torch.tensor(rng.normal(size=(64, 30)), dtype=torch.float32)
    wanted = responses @ torch.tensor(rng.normal(size=(30, 6)), dtype=torch.float32) / 30**0.5
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    costs = []
    for _ in range(150):
        cost = (network(responses, "a").pooled - wanted).square().mean()
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
        costs.append(cost.item())
    assert costs[-1] < 0.2 * costs[0]


def test_weights_come_back_from_a_file_of_sizes_and_a_state(rng):
    network = small(sizes(rng)).eval()
    again = small(sizes(rng)).eval()  # the second cloud of the same generator: other places
    again.load_state_dict(network.state_dict())
    trials = torch.randn(3, 30)
    assert torch.equal(network(trials, "a").pooled, again(trials, "a").pooled)


@pytest.mark.parametrize(
    "option, value",
    [
        ("map_px", 32),
        ("patch_px", 8),
        ("embed_dim", 32),
        ("depth", 1),
        ("num_heads", 4),
        ("reach", 6.0),
        ("modulation_channels", 4),
        ("modulation_px", 4),
    ],
)
def test_every_option_changes_the_answer(option, value, rng):
    data, trials = sizes(rng), torch.randn(3, 30, generator=torch.Generator().manual_seed(2))
    answers = []
    for options in ({}, {option: value}):
        network = small(data, **options)
        if network.modulation is not None:
            torch.nn.init.ones_(network.modulation.out.weight)
        answers.append(network.eval()(trials, "a"))
    changed = [not torch.allclose(a, b) for a, b in zip(*answers, strict=True)]
    assert any(changed)


def test_dropout_acts_in_training_alone(rng):
    data, trials = sizes(rng), torch.randn(3, 30)
    noisy, still = small(data, dropout=0.5), small(data, dropout=0.0)
    assert torch.equal(still(trials, "a").pooled, noisy.eval()(trials, "a").pooled)
    assert not torch.equal(noisy.train()(trials, "a").pooled, still(trials, "a").pooled)
