"""MindEye2's network has the published keys, sizes and outputs, and a mixer that is not inert."""

import numpy as np
import pytest
import torch

from neurodecode.diffusion.prior_network import PriorNetwork
from neurodecode.models.base import Sizes
from neurodecode.models.mindeye2 import BrainNetwork, MindEye2, published
from tests.golden.rule import data, golden, parameter, probe
from tests.models.published_layouts import filled, old_attention, randomly, shapes

CASES = {
    name: golden(f"mindeye2_{name}")
    for name in ("brainnetwork_seq1", "brainnetwork_seq2", "blurry_head")
}
SIZES = Sizes({"sub-01": 20, "sub-02": 17}, dim=40, n_tokens=5, token_dim=8, blurry=(8, 8, 3))
SMALL = {"hidden": 16, "n_blocks": 2, "low_width": 4}


def golden_network(case, **changed):
    """The network of a golden case: in float64 and eval mode, every parameter by the rule."""
    config = case["config"]
    names = {name: config[name] for name in ("h", "seq_len", "n_blocks", "clip_size", "out_dim")}
    latent = (28, 28, 4) if config["blurry_recon"] else None
    model = BrainNetwork(latent=latent, **({"compat": True} | names | changed)).double().eval()
    state = {k: torch.from_numpy(parameter(k, v.shape)) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def golden_input(case):
    return torch.from_numpy(data("input", tuple(case["input"]["shape"])))


def made(sizes=SIZES, **changed):
    torch.manual_seed(0)
    return MindEye2(sizes, **(SMALL | changed)).eval()


def trials(n_channels, n=3):
    return torch.from_numpy(data("input", (n, n_channels))).float()


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_state_dict_has_the_published_keys_and_shapes(case):
    state = golden_network(case).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == case["keys"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_outputs_agree_with_the_golden_numbers(case):
    network, x = golden_network(case), golden_input(case)
    with torch.no_grad():
        found = dict(zip(("backbone", "clip_proj", "latent"), network(x), strict=True))
        if network.latent is not None:
            found["aux"] = network.auxiliary(network.mixed(x))
    for name, expected in case["outputs"].items():
        output = found[name].numpy()
        assert list(output.shape) == expected["shape"]
        assert output.sum() == pytest.approx(expected["sum"], rel=1e-8)
        assert np.sqrt((output**2).sum()) == pytest.approx(expected["l2"], rel=1e-8)
        assert probe(output) == pytest.approx(expected["probe"], rel=1e-8)
        np.testing.assert_allclose(output.ravel()[:4], expected["first"], rtol=1e-8)


@pytest.mark.parametrize("blocks", ["mixer_blocks1", "mixer_blocks2"])
@pytest.mark.parametrize("seq", ["brainnetwork_seq1", "brainnetwork_seq2"])
def test_the_mixer_counts_unless_it_is_the_published_one_of_one_position(seq, blocks):
    case = CASES[seq]
    change = {}
    for compat in (True, False):
        network, x = golden_network(case, compat=compat), golden_input(case)
        before = network.mixed(x)
        for p in getattr(network, blocks).parameters():
            p.data *= 1.5 if p.ndim == 1 else -1.0
        moved = network.mixed(x) - before
        change[compat] = (moved - moved.mean()).abs().max().item()  # beside a constant
    assert change[False] > 0.1
    assert change[True] < 1e-12 if seq == "brainnetwork_seq1" else change[True] > 0.1


def test_without_its_mixer_the_published_network_of_one_position_says_the_same():
    case = CASES["brainnetwork_seq1"]
    network, x = golden_network(case), golden_input(case)
    before = network(x)
    for p in network.mixer_blocks1.parameters():
        p.data.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before[:2], network(x)[:2], strict=True))


def test_the_repaired_mixer_is_one_residual_stream_of_normalised_features():
    network = golden_network(CASES["brainnetwork_seq2"], n_blocks=1, compat=False)
    x = golden_input(CASES["brainnetwork_seq2"])
    (norm, features), (gain, positions) = network.mixer_blocks1[0], network.mixer_blocks2[0]
    unit = lambda x: (x - x.mean(2, True)) / (x.var(2, False, True) + 1e-5).sqrt()
    middle = x + features(unit(x) * norm.weight + norm.bias)
    normed = unit(middle) * gain.weight[:, None] + gain.bias[:, None]
    expected = middle + torch.einsum("nhs->nsh", positions(torch.einsum("nsh->nhs", normed)))
    torch.testing.assert_close(network.mixed(x), expected.flatten(1))


def test_the_full_network_has_as_many_parameters_as_published():
    with torch.device("meta"):
        network = BrainNetwork()
    parts = {name: count(part) for name, part in network.named_children()}
    assert count(network) == 1_903_020_028
    assert parts == {
        "mixer_blocks1": 134_283_264,
        "mixer_blocks2": 24,
        "backbone_linear": 1_745_256_448,
        "clip_proj": 8_321_664,
        "blin1": 12_848_192,
        "bdropout": 0,
        "bnorm": 128,
        "bupsampler": 1_750_692,
        "b_maps_projector": 559_616,
    }


def test_the_published_notebook_and_this_count_the_same_parameters():
    sizes = Sizes({"sub-01": 15724}, 256 * 1664, 256, 1664, (28, 28, 4))
    with torch.device("meta"):
        network = MindEye2(sizes, hidden=1024, low_level=False)
        prior = PriorNetwork(256, 1664, heads=32, dim_head=52)
    assert (count(network.ridge), count(network.backbone)) == (16_102_400, 453_360_280)
    assert count(prior) == 259_865_216
    assert count(network) + count(prior) == 729_327_896


def test_the_ridge_of_the_full_network_has_as_many_parameters_as_published():
    with torch.device("meta"):
        network = MindEye2(Sizes({"sub-01": 15724}, 256 * 1664, 256, 1664, (28, 28, 4)))
    assert count(network.ridge) == 64_409_600
    assert count(network) == 64_409_600 + 1_903_020_028


def test_subjects_share_all_but_their_ridge():
    network, x = made(), trials(20)
    network.ridge["sub-02"] = torch.nn.Linear(20, 16)
    network.ridge["sub-02"].load_state_dict(network.ridge["sub-01"].state_dict())
    network.sizes.channels["sub-02"] = 20
    first, second = network(x, "sub-01"), network(x, "sub-02")
    network.sizes.channels["sub-02"] = 17
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert [tuple(part.shape) for part in first] == [(3, 5, 8), (3, 40), (3, 8, 8, 3)]


def test_another_embedding_is_read_from_the_mean_of_the_projected_tokens():
    network = made(Sizes({"sub-01": 20}, dim=6, n_tokens=5, token_dim=8))
    answer = network(trials(20), "sub-01")
    projected = network.backbone(network.ridge["sub-01"](trials(20))[:, None])[1]
    torch.testing.assert_close(answer.pooled, network.pooled(projected.mean(dim=1)))
    assert answer.blurry is None


def test_a_target_without_tokens_is_decoded_as_one():
    answer = made(Sizes({"sub-01": 20}, dim=6))(trials(20), "sub-01")
    assert answer.tokens is None and answer.pooled.shape == (3, 6)


@pytest.mark.parametrize("shape", [(16, 16, 3), (8, 8, 4), (10, 7, 3)])
def test_the_low_level_picture_has_the_shape_of_its_target(shape):
    sizes = Sizes({"sub-01": 20}, dim=40, n_tokens=5, token_dim=8, blurry=shape)
    assert made(sizes)(trials(20), "sub-01").blurry.shape == (3, *shape)


def test_without_a_low_level_head_no_picture_is_decoded():
    answer = made(low_level=False)(trials(20), "sub-01")
    assert answer.blurry is None and answer.tokens.shape == (3, 5, 8)


@pytest.mark.parametrize("option, value", [("hidden", 24), ("n_blocks", 1), ("low_width", 8)])
def test_every_width_makes_another_network(option, value):
    assert count(made(**{option: value})) != count(made())


def test_dropout_is_a_share_of_what_the_mixer_hides_in_training():
    quiet, loud = made(dropout=0.0).train(), made(dropout=0.9).train()
    assert torch.equal(
        quiet(trials(20), "sub-01").tokens, made(dropout=0.0)(trials(20), "sub-01").tokens
    )
    assert not torch.equal(loud(trials(20), "sub-01").tokens, quiet(trials(20), "sub-01").tokens)


def test_under_compat_another_answer_comes_of_the_same_weights():
    old, new = made(compat=True), made()
    new.load_state_dict(old.state_dict())
    assert not torch.allclose(old(trials(20), "sub-01").tokens, new(trials(20), "sub-01").tokens)


def test_the_auxiliary_head_is_built_and_not_trained():
    network = made()
    network(trials(20), "sub-01").blurry.sum().backward()
    auxiliary = network.backbone.b_maps_projector
    assert all(not p.requires_grad and p.grad is None for p in auxiliary.parameters())
    assert network.backbone.blin1.weight.grad is not None


def checkpoint(low_level):
    """A small MindEye2, and its weights in the published layout with those of a prior."""
    theirs = made(SIZES, compat=True, low_level=low_level)
    state = {
        **randomly(theirs.backbone.state_dict(), "backbone.", old_attention),
        "ridge.linears.0.weight": torch.randn(16, 20),
        "ridge.linears.0.bias": torch.randn(16),
        "ridge.linears.1.weight": torch.randn(16, 17),
        "ridge.linears.1.bias": torch.randn(16),
    }
    return theirs, state


@pytest.mark.parametrize("low_level", [True, False])
def test_a_checkpoint_in_the_published_layout_finds_its_place(low_level):
    theirs, state = checkpoint(low_level)
    backbone = randomly(theirs.backbone.state_dict())
    theirs.backbone.load_state_dict(backbone)
    theirs.ridge["sub-02"].weight.data = state["ridge.linears.1.weight"]
    theirs.ridge["sub-02"].bias.data = state["ridge.linears.1.bias"]
    prior = {"diffusion_prior.net.learned_query": (5, 8)}
    network, names = published(shapes(state) | prior)
    assert set(names) == set(state)
    answer = filled(network, names, state)(trials(17), "sub-02")
    expected = theirs(trials(17), "sub-02")
    assert torch.equal(answer.tokens, expected.tokens)
    assert low_level == (answer.blurry is not None)
    assert not low_level or torch.equal(answer.blurry, expected.blurry)


def test_another_checkpoint_is_refused():
    with pytest.raises(ValueError, match=r"ridge\.linears\.0\.weight is missing"):
        published({"lin0.0.weight": (3, 3)})
