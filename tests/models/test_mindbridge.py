"""MindBridge has the published keys, sizes, outputs and losses, and learns a new subject apart."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neurodecode.models.base import Sizes
from neurodecode.models.mindbridge import MindBridge, MindBridgeDecoder, pooled_to, published
from tests.golden.compare import agrees
from tests.golden.rule import data, golden, parameter

GOLDEN = golden("mindbridge_backbone")
SIZES = Sizes({"sub-01": 30, "sub-02": 27, "sub-03": 41}, dim=12, n_tokens=3, token_dim=4)
SMALL = {"size": 20, "hidden": 8, "n_blocks": 1, "bottleneck": 4}


@pytest.fixture
def bridge():
    """The golden network: small, in float64 and eval mode, every parameter by the rule."""
    config = {k: v for k, v in GOLDEN["config"].items() if k != "mode"}
    model = MindBridge(**config).double().eval()
    state = {k: torch.from_numpy(parameter(k, v.shape)) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def decoder(**options):
    torch.manual_seed(0)
    return MindBridgeDecoder(SIZES, **SMALL, **options)


def trials(n=5):
    generator = torch.Generator().manual_seed(1)
    return {s: torch.randn(n, c, generator=generator) for s, c in SIZES.channels.items()}


def test_state_dict_has_the_published_keys_and_shapes(bridge):
    assert {k: list(v.shape) for k, v in bridge.state_dict().items()} == GOLDEN["keys"]


def test_outputs_agree_with_the_golden_numbers(bridge):
    voxels = torch.from_numpy(data("voxels", (6, 24)))
    own = [(voxels[:3], 1), (voxels[3:], 2)]
    said = [torch.cat(parts) for parts in zip(*(bridge(*pair) for pair in own), strict=True)]
    said.append(torch.cat([bridge.reconstruct(*pair) for pair in own]))
    for output, name in zip(said, ("image", "text", "reconstruction"), strict=True):
        assert agrees(output, GOLDEN["outputs"][name])


def test_reconstruction_and_cycle_cost_the_golden_numbers(bridge):
    voxels = torch.from_numpy(data("voxels", (6, 24)))
    rebuilt = torch.cat([bridge.reconstruct(voxels[:3], 1), bridge.reconstruct(voxels[3:], 2)])
    rec = F.mse_loss(rebuilt, voxels).item()
    cycle = bridge.cycle(bridge.embedder["1"](voxels[:3]), other=2).item()
    assert rec == pytest.approx(GOLDEN["outputs"]["rec_loss"], rel=1e-8)
    assert cycle == pytest.approx(GOLDEN["outputs"]["cycle_loss"], rel=1e-8)


def test_the_largest_of_overlapping_bins_agrees_with_the_golden_numbers():
    case = golden("mindbridge_adaptive_max_pool")
    voxels = data("pool", (3, 19))
    assert agrees(pooled_to(torch.from_numpy(voxels), 8), case["output"])
    bins = np.stack([voxels[:, low:high].mean(axis=1) for low, high in case["bins"]], axis=1)
    np.testing.assert_allclose(pooled_to(torch.from_numpy(voxels), 8, "avg"), bins)


def test_resizing_keeps_a_ramp():
    ramp = torch.arange(12.0)[None]
    resized = pooled_to(ramp, 6, "resize")
    np.testing.assert_allclose(resized[0], np.arange(0.5, 12, 2))


def test_full_network_has_as_many_parameters_as_published():
    with torch.device("meta"):  # shapes only
        model = MindBridge(subj_list=[1])
    count = lambda part: sum(p.numel() for p in part.parameters())
    assert count(model.embedder["1"]) == 18_888_832
    assert count(model.builder["1"]) == 18_907_264
    assert count(model.head_image) == 404_423_424
    assert count(model.head_text) == 121_169_664
    assert count(model.translator) == 16_801_792
    assert count(model) - 18_888_832 - 18_907_264 == 542_394_880


def test_all_tokens_at_unit_length_are_the_flat_image_and_tokens_go_along_with_it():
    said = decoder().eval()(trials()["sub-01"], "sub-01")
    assert said.tokens.shape == (5, 3, 4) and said.blurry is None
    along = F.cosine_similarity(said.tokens.flatten(1), said.pooled)
    np.testing.assert_allclose(along.detach(), 1, rtol=1e-5)


def test_another_pooled_embedding_has_a_head_of_its_own_and_there_is_no_low_level_picture():
    sizes = Sizes({"a": 30, "b": 30}, dim=5, n_tokens=3, token_dim=4, blurry=(2, 2, 3))
    said = MindBridgeDecoder(sizes, **SMALL)(torch.randn(4, 30), "a")
    assert said.tokens.shape == (4, 3, 4) and said.pooled.shape == (4, 5) and said.blurry is None


def test_every_option_of_size_changes_the_network():
    count = lambda **more: sum(
        p.numel() for p in MindBridgeDecoder(SIZES, **SMALL | more).parameters()
    )
    n = [count(), *(count(**{option: value + 1}) for option, value in SMALL.items())]
    assert len(set(n)) == len(n)


def test_ways_to_pool_differ():
    x = trials()["sub-03"]
    said = [decoder(pooling=how).eval()(x, "sub-03").pooled for how in ("max", "avg", "resize")]
    assert not any(torch.allclose(a, b) for a, b in [said[:2], said[1:], said[::2]])


def test_pseudo_responses_are_what_the_other_builder_makes_of_the_embedding():
    model, x = decoder().eval(), trials()["sub-01"]
    made = model.pseudo_responses(x, "sub-01", "sub-02")
    expected = model.bridge.pseudo(model.pool(x, "sub-01"), "sub-01", "sub-02")
    assert made.shape == (5, 20) and torch.equal(made, expected)
    with pytest.raises(ValueError, match="not of 'sub-09'"):
        model.pseudo_responses(x, "sub-01", "sub-09")


def test_own_costs_are_weighted_means_over_subjects_and_pairs():
    model = decoder(reconstruction=2.0, cycle=3.0).eval()
    costs, bridge = model.own_costs(trials(), {}), model.bridge
    voxels = {s: model.pool(x, s) for s, x in trials().items()}
    rec = [F.mse_loss(bridge.reconstruct(x, s), x).item() for s, x in voxels.items()]
    assert costs["reconstruction"].item() == pytest.approx(2 * np.mean(rec), rel=1e-5)
    names = list(voxels)
    rings = [
        np.mean(
            [
                bridge.cycle(bridge.embedder[a](voxels[a]), names[(i + k) % 3]).item()
                for i, a in enumerate(names)
            ]
        )
        for k in (1, 2)
    ]
    assert any(costs["cycle"].item() == pytest.approx(3 * ring, rel=1e-5) for ring in rings)


def test_one_subject_alone_has_no_builder_and_no_costs():
    alone = MindBridgeDecoder(Sizes({"a": 30}, dim=12, n_tokens=3, token_dim=4), **SMALL)
    assert not len(alone.bridge.builder)
    assert alone.own_costs({"a": torch.randn(4, 30)}, {"a": {}}) == {}


def test_the_head_of_texts_is_kept_for_published_weights_and_not_trained():
    model = decoder(text_dim=6)
    assert model.bridge.head_text.out_features == 6 and decoder().bridge.head_text is None
    output = model(trials()["sub-01"], "sub-01")
    costs = model.own_costs(trials(), {})
    (output.pooled.square().mean() + sum(costs.values())).backward()
    assert model.bridge.head_text.weight.grad is None


def gradients(model, x):
    """Names of what a step would change."""
    model.zero_grad(set_to_none=True)
    costs = model.own_costs(x, {})
    total = sum(model(seen, s).pooled.square().mean() for s, seen in x.items())
    (total + sum(costs.values())).backward()
    return {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_the_new_subject_waits_and_is_then_all_that_is_learnt():
    model, own = decoder(new_subject="sub-03", source_epochs=2).train(), (".sub-03.",)
    before = gradients(model, trials())
    assert before and not any("sub-03" in n for n in before)
    model.after_epoch(0)
    assert gradients(model, trials()) == before
    model.after_epoch(1)
    after = gradients(model, trials())
    assert after and all(own[0] in n for n in after)
    assert any("builder" in n for n in after) and any("embedder" in n for n in after)


def test_a_state_that_is_loaded_says_whose_turn_it_is():
    first, again = (decoder(new_subject="sub-03", source_epochs=1) for _ in range(2))
    first.after_epoch(0)
    again.load_state_dict(first.state_dict())
    trained = {n for n, p in again.named_parameters() if p.requires_grad}
    assert trained and all(".sub-03." in n for n in trained)


def test_tuning_brings_the_new_subject_into_the_space_of_the_others():
    generator = torch.Generator().manual_seed(2)
    code = torch.randn(40, 4, generator=generator)
    mix = {s: torch.randn(4, c, generator=generator) for s, c in SIZES.channels.items()}
    x, wanted = {s: code @ m for s, m in mix.items()}, torch.randn(4, 12, generator=generator)
    model = decoder(new_subject="sub-03", source_epochs=60, pooling="avg").train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    fit = lambda s: F.cosine_similarity(model(x[s], s).pooled, code @ wanted).mean()
    for epoch in range(120):
        optimiser.zero_grad()
        loss = -sum(fit(s) for s in x) + sum(model.own_costs(x, {}).values()) / 10
        loss.backward()
        optimiser.step()
        model.after_epoch(epoch)
        if epoch == 59:
            shared = model.bridge.translator.mlp[0][0].weight.clone()
            known, new = fit("sub-01").item(), fit("sub-03").item()
    assert known > 0.9 and new < 0.6  # nothing was learnt of the new subject yet
    assert fit("sub-03").item() > 0.85
    assert torch.equal(shared, model.bridge.translator.mlp[0][0].weight)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"new_subject": "sub-09"}, "the study has sub-01"),
        ({"source_epochs": 3}, "without new_subject"),
    ],
)
def test_a_new_subject_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        decoder(**options)


def test_tuning_what_was_never_trained_is_refused():
    with pytest.raises(ValueError, match="train.start"):
        decoder(new_subject="sub-03").train()(trials()["sub-01"], "sub-01")


def test_a_published_layout_becomes_the_network_and_its_names():
    source = MindBridge(24, 16, 2, 15, 9, ["1", "7"], 4)
    layout = {f"module.{k}": tuple(v.shape) for k, v in source.state_dict().items()}
    network, renamed = published(layout)
    ours = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert {renamed[k]: shape for k, shape in layout.items()} | {"tuning.begun": ()} == ours
    assert network.sizes.channels == {"1": 24, "7": 24}


def test_another_layout_is_no_mindbridge():
    with pytest.raises(ValueError, match="has no head_image.weight"):
        published({"lin0.weight": (3, 4)})


def test_the_published_size_of_a_study_has_the_published_subjects():
    with torch.device("meta"):
        layout = {k: tuple(v.shape) for k, v in MindBridge(subj_list=[2, 5]).state_dict().items()}
    network, _ = published(layout)
    assert network.sizes.channels == {"2": 14278, "5": 13039}
    assert network.sizes.dim == 257 * 768
