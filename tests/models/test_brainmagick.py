"""Brainmagick's network: published keys, sizes and outputs, and what the pipeline makes of it."""

import dataclasses

import numpy as np
import pytest
import torch

from neurodecode.models.base import Sizes
from neurodecode.models.brainmagick import Brainmagick, SimpleConv, at_times, published
from neurodecode.models.spatial_attention import ChannelMerger, fourier_basis, layout
from tests.golden.rule import data, golden, parameter, probe

GOLDEN = golden("brainmagick_simpleconv")
SHARED = ("hidden", "initial_linear", "merger_channels", "merger_pos_dim", "n_subjects", "depth")
REST = ("dilation_period", "kernel_size", "glu", "glu_context", "out")
N_TIMES = 20
SMALL = {"hidden": 12, "channels": 8, "basis": 18, "depth": 4}


def filled(model):
    """The same in float64 and eval mode, every parameter by the rule."""
    model = model.double().eval()
    state = model.state_dict()
    kept = {k: v for k, v in state.items() if v.ndim == 0}
    made = {k: torch.from_numpy(parameter(k, v.shape)) for k, v in state.items() if v.ndim}
    model.load_state_dict(kept | made)
    return model


@pytest.fixture(scope="module")
def golden_net():
    return filled(SimpleConv(**{k: GOLDEN["config"][k] for k in SHARED + REST}))


@pytest.fixture(scope="module")
def golden_inputs():
    places = (torch.from_numpy(data("positions", (2, 12, 2))) + 1) / 2
    places[1, 10:] = -0.1
    return torch.from_numpy(data("meg", (2, 12, 40))), places, torch.tensor([2, 0])


def agrees(output, expected):
    """Whether an output has the golden numbers."""
    output = output.detach().numpy()
    found = [output.sum(), np.sqrt((output**2).sum()), probe(output), output.ravel()[-1]]
    wanted = [expected[k] for k in ("sum", "l2", "probe", "last")]
    same = list(output.shape) == expected["shape"]
    return same and np.allclose(
        [*found, *output.ravel()[:4]], [*wanted, *expected["first"]], rtol=1e-8, atol=1e-9
    )


def positions(n, seed=0):
    """Sensors on the upper half of a head, mm."""
    points = np.random.default_rng(seed).standard_normal((n, 3))
    points[:, 2] = np.abs(points[:, 2])
    return 95 * points / np.linalg.norm(points, axis=1, keepdims=True)


def sizes(dim=24, n_tokens=4, token_dim=6, blurry=None, n_times=N_TIMES):
    channels = {"sub-02": 7, "sub-01": 9}
    where = {s: positions(n) for s, n in channels.items()}
    return Sizes(channels, dim, n_tokens, token_dim, blurry, n_times, where)


def trials(n=5, channels=9, seed=1):
    return torch.randn(n, channels, N_TIMES, generator=torch.Generator().manual_seed(seed))


def test_state_dict_has_the_published_keys_and_shapes(golden_net):
    assert {k: list(v.shape) for k, v in golden_net.state_dict().items()} == GOLDEN["keys"]


def test_the_fourier_basis_agrees_with_the_golden_numbers(golden_inputs):
    basis = fourier_basis(golden_inputs[1], 32)
    assert agrees(basis, GOLDEN["outputs"]["fourier_emb"])


def test_spatial_attention_agrees_with_the_golden_numbers(golden_net, golden_inputs):
    merged = golden_net.merger(*golden_inputs[:2])
    assert agrees(merged, GOLDEN["outputs"]["merger"])


def test_the_network_agrees_with_the_golden_numbers(golden_net, golden_inputs):
    assert agrees(golden_net(*golden_inputs), GOLDEN["outputs"]["final"])


@pytest.mark.parametrize("n_subjects", [27, 96, 19, 33])
def test_full_network_has_as_many_parameters_as_published(n_subjects):
    with torch.device("meta"):
        net = SimpleConv(out=1024, n_subjects=n_subjects)
    count = lambda module: sum(p.numel() for p in module.parameters())
    assert count(net) == 7_596_754 + 72_900 * n_subjects
    if n_subjects == 27:
        assert count(net) == 9_565_054
    published_millions = {27: 9.57, 96: 14.6, 19: 8.98, 33: 10.0}[n_subjects]
    assert count(net) / 1e6 == pytest.approx(published_millions, abs=0.05)


def test_each_part_has_as_many_parameters_as_published():
    with torch.device("meta"):
        net = SimpleConv(out=1024, n_subjects=27)
    count = lambda module: sum(p.numel() for p in module.parameters())
    assert (count(net.merger), count(net.initial_linear)) == (552_960, 73_170)
    layers = [[count(part) for part in layer] for layer in net.encoders["meg"].sequence]
    assert layers == [[259_520, 640, 0]] + 9 * [[307_520, 640, 0]]
    assert [count(g) for g in net.encoders["meg"].glus.values()] == 5 * [615_040]
    assert [count(part) for part in net.final] == [205_440, 0, 656_384]


def test_layers_are_dilated_with_a_period():
    with torch.device("meta"):
        net = SimpleConv(out=8, n_subjects=2)
    assert [layer[0].dilation[0] for layer in net.encoders["meg"].sequence] == 2 * [1, 2, 4, 8, 16]


def test_a_sensor_of_unknown_place_has_weight_exactly_0():
    merger = ChannelMerger(5, 18).double()
    places = torch.from_numpy(layout(np.vstack([positions(6), [[np.nan] * 3]]))).double()
    x = trials(3, 7).double()
    other = x.clone()
    other[:, 6] = 1e6
    for training in (True, False):
        merger.train(training)
        torch.manual_seed(0)
        first = merger(x, places[None])
        torch.manual_seed(0)
        assert torch.equal(first, merger(other, places[None]))


def test_weights_of_sensors_add_up_to_one():
    merger = ChannelMerger(5, 18).eval()
    same = torch.ones(2, 9, 3) * torch.tensor([1.0, 2.0, 3.0])
    merged = merger(same, torch.from_numpy(layout(positions(9)))[None])
    torch.testing.assert_close(merged, same[:, :5])


def test_training_hides_sensors_within_the_radius_of_one_point_and_testing_none():
    places = torch.from_numpy(layout(positions(60)))[None]
    merger = ChannelMerger(1, 2, radius=0.2)
    marks = torch.eye(60)[None].repeat(3, 1, 1)  # the merged times are the sensors' weights
    torch.manual_seed(3)
    weights = merger.train()(marks, places)
    torch.manual_seed(3)
    centre = torch.rand(2)
    near = (places[0] - centre).norm(dim=1) <= 0.2
    assert near.any() and torch.equal(weights[:, 0] == 0, near.expand(3, -1))
    assert (merger.eval()(marks, places) > 0).all()


def test_where_a_disc_would_hide_all_sensors_none_is_hidden():
    merger = ChannelMerger(2, 2, radius=1.0).train()
    places = torch.tensor([[[0.5, 0.5], [0.4, 0.5]]])
    assert torch.isfinite(merger(torch.ones(2, 2, 4), places)).all()


def test_a_layout_keeps_front_and_left_and_is_azimuthal_equidistant():
    """Electrodes on a sphere at known angles from the vertical lie at those distances."""
    angle = np.deg2rad([0, 30, 60, 90, 90, 90, 90])
    around = np.deg2rad([0, 90, 90, 90, 270, 0, 180])  # Cz, three to the front, back, right, left
    head = np.stack([np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around), np.cos(angle)])
    places = layout(90 * head.T + [3, -12, 40])
    expected = [[0.5, 0.5], [0.5, 2 / 3], [0.5, 5 / 6], [0.5, 1], [0.5, 0], [1, 0.5], [0, 0.5]]
    np.testing.assert_allclose(places, expected, atol=1e-5)


def test_a_layout_is_close_to_mnes():
    """mne projects around the head's origin, this around the sphere that fits the electrodes."""
    import mne

    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(montage.ch_names, 100.0, "eeg", verbose=False).set_montage(montage)
    boxes = mne.channels.find_layout(info)
    assert boxes.names == montage.ch_names
    theirs = boxes.pos[:, :2] - boxes.pos[:, :2].min(axis=0)
    theirs /= theirs.max(axis=0)
    own = layout(1000 * np.array([channel["loc"][:3] for channel in info["chs"]]))
    assert np.abs(own - theirs).max() < 0.1
    assert all(np.corrcoef(own[:, axis], theirs[:, axis])[0, 1] > 0.99 for axis in (0, 1))


def test_a_layout_fills_the_square_whatever_the_size_of_the_head():
    small, large = layout(positions(20)), layout(1.3 * positions(20) + 5)
    np.testing.assert_allclose(small, large, atol=1e-5)
    assert small.min() == 0 and small.max() == 1
    np.testing.assert_array_equal(layout(np.ones((2, 3))), np.full((2, 2), 0.5, np.float32))


def test_positions_are_asked_for():
    with pytest.raises(ValueError, match="sub-02 has no positions"):
        Brainmagick(dataclasses.replace(sizes(), positions=None), **SMALL)
    with pytest.raises(ValueError, match="none of 4 channels"):
        layout(np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="7 channels and 3 positions"):
        wrong = {"sub-01": positions(9), "sub-02": positions(3)}
        Brainmagick(dataclasses.replace(sizes(), positions=wrong), **SMALL)
    with pytest.raises(ValueError, match="twice a square"):
        fourier_basis(torch.zeros(1, 2), 30)


def test_tokens_over_time_are_what_was_said_at_the_nearest_sample():
    said = torch.arange(6.0).expand(1, 2, 6)
    assert at_times(said, 3)[0, :, 0].tolist() == [0, 2, 4]
    assert at_times(said, 12)[0, :, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert torch.equal(at_times(said, 6), said.transpose(1, 2))


def test_pooled_over_time_is_all_tokens_or_their_mean():
    flat = Brainmagick(sizes(dim=24), **SMALL).eval()(trials(), "sub-01")
    assert torch.equal(flat.pooled, flat.tokens.flatten(1)) and flat.tokens.shape == (5, 4, 6)
    mean = Brainmagick(sizes(dim=6), **SMALL).eval()(trials(), "sub-01")
    assert torch.equal(mean.pooled, mean.tokens.mean(dim=1))
    with pytest.raises(ValueError, match="readout=mean"):
        Brainmagick(sizes(dim=7), **SMALL)


def test_without_times_in_the_targets_pooled_is_the_mean_over_time():
    net = Brainmagick(sizes(7, blurry=(3, 3, 3)), readout="mean", **SMALL).eval()
    output = net(trials(), "sub-01")
    said = net.net(trials(), net.subjects.places_0, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(output.pooled, said.mean(dim=2))
    assert output.tokens.shape == (5, 4, 6) and output.blurry.shape == (5, 3, 3, 3)
    assert (output.blurry == 0.5).all()  # it starts grey
    plain = Brainmagick(sizes(7, 0, 0), readout="mean", **SMALL)(trials(), "sub-01")
    assert plain.tokens is None and plain.blurry is None


def test_subjects_together_are_one_batch_of_the_batch_norms_with_one_hidden_disc():
    net = Brainmagick(sizes(), **SMALL)
    both = {"sub-02": trials(4, 7), "sub-01": trials(5, 9)}
    apart = torch.cat([net.eval()(x, s).pooled for s, x in both.items()])
    torch.testing.assert_close(net.together(both).pooled, apart)
    centres = []
    net.net.merger.register_forward_pre_hook(lambda module, given: centres.append(given[2]))
    norm = net.train().net.encoders["meg"].sequence[0][1]
    seen = []
    norm.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    net.together(both)
    assert seen == [9] and len(centres) == 2 and torch.equal(*centres)


def test_subjects_differ_in_their_matrix_alone():
    where = {s: positions(9) for s in ("sub-01", "sub-02")}
    both = Sizes({"sub-02": 9, "sub-01": 9}, 24, 4, 6, None, N_TIMES, where)
    net = Brainmagick(both, **SMALL).eval()
    first, second = (net(trials(), s).pooled for s in ("sub-01", "sub-02"))
    assert not torch.allclose(first, second)
    with torch.no_grad():
        weights = net.net.subject_layers.weights
        weights.copy_(weights[[0, 0]])
    torch.testing.assert_close(net(trials(), "sub-02").pooled, first)


@pytest.mark.parametrize(
    "option",
    [{"hidden": 10}, {"channels": 6}, {"basis": 32}, {"depth": 3}, {"glu": 0}],
)
def test_every_size_changes_the_parameters(option):
    shapes = lambda net: {k: v.shape for k, v in net.state_dict().items()}
    small = Brainmagick(sizes(), **SMALL)
    assert shapes(Brainmagick(sizes(), **SMALL | option)) != shapes(small)


def test_the_period_of_dilations_changes_the_answers():
    nets = [Brainmagick(sizes(), **SMALL, dilation_period=p).eval() for p in (5, 1)]
    nets[1].load_state_dict(nets[0].state_dict())
    first, second = (net(trials(), "sub-01").pooled for net in nets)
    assert not torch.allclose(first, second)


def test_the_radius_changes_training_and_nothing_else():
    nets = [Brainmagick(sizes(), **SMALL, radius=r) for r in (0.0, 0.5)]
    nets[1].load_state_dict(nets[0].state_dict())
    answers = lambda net: net(trials(), "sub-01").pooled
    assert torch.equal(*(answers(net.eval()) for net in nets))
    torch.manual_seed(0)
    assert not torch.equal(*(answers(net.train()) for net in nets))


def test_trials_without_times_are_refused():
    with pytest.raises(ValueError, match="residual_mlp"):
        Brainmagick(sizes(n_times=None), **SMALL)


def test_gradients_reach_every_parameter_and_are_finite():
    net = Brainmagick(sizes(7, blurry=(3, 3, 3)), readout="mean", **SMALL)
    outputs = [net(trials(5, n), s) for s, n in (("sub-01", 9), ("sub-02", 7))]
    sum(part.square().sum() for output in outputs for part in output).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("start", ["", "best_state.model."])
def test_a_published_checkpoint_is_known_by_its_shapes(golden_net, start):
    state = {start + k: v for k, v in golden_net.state_dict().items()}
    module, names = published({k: tuple(v.shape) for k, v in state.items()})
    assert all(p.is_meta for p in module.parameters())
    module.to_empty(device="cpu").load_state_dict({names[k]: v for k, v in state.items()})
    where = {s: positions(12) for s in ("a", "b", "c")}
    config = {"hidden": 16, "channels": 10, "basis": 32}
    net = Brainmagick(Sizes(dict.fromkeys("abc", 12), 24, 4, 6, None, 40, where), **config)
    own = {k: v.shape for k, v in net.state_dict().items() if k.startswith("net.")}
    assert own == {k: v.shape for k, v in module.state_dict().items()}


def test_another_checkpoint_is_refused_with_what_is_missing(golden_net):
    shapes = {k: tuple(v.shape) for k, v in golden_net.state_dict().items()}
    with pytest.raises(ValueError, match="no merger.heads"):
        published({"lin0.0.weight": (16, 20)})
    for lost in ("final.2.weight", "subject_layers.weights", "encoders.meg.sequence.3.1.bias"):
        with pytest.raises(ValueError, match=lost):
            published({k: s for k, s in shapes.items() if k != lost})
