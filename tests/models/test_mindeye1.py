"""MindEye's brain networks have the published keys, sizes and outputs, and decode every subject."""

import numpy as np
import pytest
import torch

from neurodecode.models import mindeye1, mindeye1_low
from neurodecode.models.base import Sizes
from neurodecode.models.mindeye1 import MindEye1, MindEye1PerSubject
from neurodecode.models.mindeye1_low import MindEye1Low, VoxelsToLatents
from tests.golden.rule import data, golden, parameter, probe
from tests.models.published_layouts import filled, old_attention, randomly, shapes

GOLDEN = golden("mindeye1_brainnetwork")
SIZES = Sizes({"sub-01": 20, "sub-02": 17}, dim=40, n_tokens=5, token_dim=8, blurry=(8, 8, 3))
SMALL = {"hidden": 16, "n_blocks": 2, "projector_hidden": 12, "low_hidden": 16, "low_width": 4}


@pytest.fixture
def published():
    """The golden network: small, in float64 and eval mode, every parameter by the rule."""
    config = {k: v for k, v in GOLDEN["config"].items() if k != "mode"}
    model = MindEye1(**config).double().eval()
    state = {k: torch.from_numpy(parameter(k, v.shape)) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def made(sizes=SIZES, **changed):
    torch.manual_seed(0)
    return MindEye1PerSubject(sizes, **(SMALL | changed)).eval()


def trials(n_channels, n=3):
    return torch.from_numpy(data("input", (n, n_channels))).float()


def count(network):
    return sum(p.numel() for p in network.parameters())


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
    assert count(model) == n_parameters


def test_parts_of_the_full_network_have_as_many_parameters_as_published():
    with torch.device("meta"):
        parts = {name: count(part) for name, part in MindEye1(15724).named_children()}
    expected = {"lin0": 64_417_792, "mlp": 67_158_016, "lin1": 808_649_472, "projector": 7_354_624}
    assert parts == expected


def test_the_low_level_network_has_the_published_layers_and_the_parameters_they_add_up_to():
    with torch.device("meta"):
        network = VoxelsToLatents(15724)
    parts = {name: count(part) for name, part in network.named_children()}
    state = shapes(network.state_dict())
    assert parts["lin0"] == 15724 * 4096 + 2 * 4096
    assert parts["mlp"] == 4 * (4096**2 + 2 * 4096)
    assert state["lin1.weight"] == (16384, 4096) and "lin1.bias" not in state
    assert parts["norm"] == 2 * 64
    assert parts["maps_projector"] == 559_616  # as in MindEye2, whose count was published
    assert {k.split(".")[1] for k in state if k.startswith("maps_projector")} == set("01346")
    assert network.auxiliary(torch.empty(2, 4096, device="meta")).shape == (2, 256, 512)


def test_the_low_level_network_is_what_its_layers_say():
    torch.manual_seed(0)
    network, x = VoxelsToLatents(20, h=16, n_blocks=1, shape=(8, 8, 4), width=4).eval(), trials(20)
    functional = torch.nn.functional
    enter = functional.silu(functional.layer_norm(x @ network.lin0[0].weight.T, (16,)))
    block = functional.silu(functional.layer_norm(enter @ network.mlp[0][0].weight.T, (16,)))
    maps = ((enter + block) @ network.lin1.weight.T).reshape(3, 64, 2, 2)
    maps = (maps - maps.mean((1, 2, 3), True)) / (maps.var((1, 2, 3), False, True) + 1e-5).sqrt()
    expected = network.upsampler(maps[:, :, None].squeeze(2))
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_tokens_must_fill_the_output():
    with pytest.raises(ValueError, match="not a multiple"):
        MindEye1(20, out_dim=41, clip_size=8)


def test_each_subject_has_a_network_of_its_own():
    network, x = made(), trials(20)
    before = network(x, "sub-01")
    for p in network.networks["sub-02"].parameters():
        p.data.zero_()
    after = network(x, "sub-01")
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert [tuple(part.shape) for part in after] == [(3, 5, 8), (3, 40), (3, 8, 8, 3)]


def test_all_tokens_flat_are_the_projectors_answer():
    network, x = made(), trials(20)
    backbone, projected = network.networks["sub-01"](x)
    answer = network(x, "sub-01")
    assert torch.equal(answer.pooled, projected.flatten(1))
    assert torch.equal(answer.tokens.flatten(1), backbone)


def test_another_embedding_is_read_from_the_mean_of_the_projected_tokens():
    network = made(Sizes({"sub-01": 20}, dim=6, n_tokens=5, token_dim=8))
    answer, head = network(trials(20), "sub-01"), network.pooled["sub-01"]
    projected = network.networks["sub-01"](trials(20))[1]
    expected = projected.mean(dim=1) @ head.weight.T + head.bias
    torch.testing.assert_close(answer.pooled, expected)
    assert answer.blurry is None


def test_a_target_without_tokens_is_decoded_as_one():
    answer = made(Sizes({"sub-01": 20}, dim=6))(trials(20), "sub-01")
    assert answer.tokens is None and answer.pooled.shape == (3, 6)


@pytest.mark.parametrize("shape", [(16, 16, 3), (8, 8, 4), (10, 7, 3)])
def test_the_low_level_picture_has_the_shape_of_its_target(shape):
    sizes = Sizes({"sub-01": 20}, dim=40, n_tokens=5, token_dim=8, blurry=shape)
    assert made(sizes)(trials(20), "sub-01").blurry.shape == (3, *shape)


def test_without_a_low_level_network_no_picture_is_decoded():
    network = made(low_hidden=None)
    assert network.low_level is None
    assert network(trials(20), "sub-01").blurry is None


OPTIONS = {"hidden": 24, "n_blocks": 1, "projector_hidden": 20, "low_hidden": 24, "low_width": 8}


@pytest.mark.parametrize("option, value", OPTIONS.items())
def test_every_width_makes_another_network(option, value):
    assert count(made(**{option: value})) != count(made())


@pytest.mark.parametrize("option", ["input_dropout", "dropout"])
def test_dropout_is_a_share_of_what_is_hidden_in_training(option):
    rest = {"input_dropout": 0.0, "dropout": 0.0}
    dropped = made(**(rest | {option: 0.9})).train()
    kept = made(**rest).train()
    assert torch.equal(kept(trials(20), "sub-01").tokens, made(**rest)(trials(20), "sub-01").tokens)
    assert not torch.equal(dropped(trials(20), "sub-01").tokens, kept(trials(20), "sub-01").tokens)


def low(**changed):
    torch.manual_seed(0)
    return MindEye1Low(SIZES, **({"hidden": 16, "n_blocks": 1, "width": 4} | changed))


def test_nothing_but_its_own_loss_trains_the_low_level_network():
    network = low()
    answer = network(trials(20), "sub-01")
    assert answer.blurry.shape == (3, 8, 8, 3) and answer.tokens.shape == (3, 5, 8)
    (answer.pooled.sum() + answer.tokens.sum()).backward()
    assert all(p.grad is None for p in network.networks.parameters())
    assert network.pooled["sub-01"].weight.grad is not None


def test_the_auxiliary_head_is_built_and_not_trained():
    network = low()
    answer = network(trials(20), "sub-01")
    answer.blurry.sum().backward()
    auxiliary = network.networks["sub-01"].maps_projector
    assert all(not p.requires_grad and p.grad is None for p in auxiliary.parameters())
    assert network.networks["sub-01"].lin1.weight.grad is not None


@pytest.mark.parametrize("option, value", [("hidden", 24), ("n_blocks", 2), ("width", 8)])
def test_every_width_makes_another_low_level_network(option, value):
    assert count(low(**{option: value})) != count(low())


def test_a_study_without_pictures_has_no_low_level_network():
    with pytest.raises(ValueError, match="the study shows none"):
        MindEye1Low(Sizes({"sub-01": 20}, dim=6))


@pytest.mark.parametrize("start", ["voxel2clip.", ""])
def test_a_checkpoint_in_the_published_layout_finds_its_place(start):
    theirs = MindEye1(20, 40, 8, h=16, n_blocks=3, projector_hidden=12).eval()
    state = randomly(theirs.state_dict(), start)
    prior = {"net.learned_query": torch.zeros(5, 8)}
    network, names = mindeye1.published(shapes(state | prior))
    theirs.load_state_dict({k.removeprefix(start): v for k, v in state.items()})
    assert set(names) == set(state)
    answer = filled(network, names, state)(trials(20), "sub-01")
    assert torch.equal(answer.pooled, theirs(trials(20))[1].flatten(1))


def test_a_low_level_checkpoint_with_old_names_of_attention_finds_its_place():
    theirs = VoxelsToLatents(20, h=16, n_blocks=2, shape=(8, 8, 4), width=4).eval()
    state = randomly(theirs.state_dict())
    theirs.load_state_dict(state)
    old = {old_attention(key): value for key, value in state.items()}
    network, names = mindeye1_low.published(shapes(old))
    assert "upsampler.mid_block.attentions.0.query.weight" in names and set(names) == set(old)
    ours = filled(network, names, old)["networks"]["sub-01"]
    assert torch.equal(ours(trials(20)), theirs(trials(20)))


@pytest.mark.parametrize("read", [mindeye1.published, mindeye1_low.published])
def test_another_checkpoint_is_refused(read):
    with pytest.raises(ValueError, match=r"lin0\.0\.weight is missing"):
        read({"encoder.weight": (3, 3)})
