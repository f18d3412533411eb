"""Brain-IT's clusters come from training trials, and a new subject's vertices from those known."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neurodecode.models.base import Sizes
from neurodecode.models.bit import BIT, token_contrast
from neurodecode.models.brainit import BrainIT, patches_of, picture_of, published

SIZES = Sizes({"a": 40, "b": 50, "c": 60}, dim=6, n_tokens=3, token_dim=4, blurry=(4, 6, 2))
SMALL = {"dim": 8, "centres": 4, "heads": 2, "blocks": 1, "drawn": 0, "tuning_dim": 5, "patch": 2}


def decoder(**options):
    torch.manual_seed(0)
    return BrainIT(SIZES, **SMALL | options)


def study(n=120, seed=0):
    """Trials of voxels that answer to one of four directions, and what the pictures are."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0][:4]
    own = {s: rng.integers(4, size=n_voxels) for s, n_voxels in SIZES.channels.items()}
    targets = {s: rng.normal(size=(n, 6)) for s in own}
    noise = lambda shape: 0.4 * rng.normal(size=shape)
    responses = {s: targets[s] @ directions[k].T + noise((n, len(k))) for s, k in own.items()}
    as_float32 = lambda arrays: {s: a.astype(np.float32) for s, a in arrays.items()}
    pooled = {s: {"pooled": a} for s, a in as_float32(targets).items()}
    return as_float32(responses), pooled, own


def prepared(**options):
    model, (responses, targets, own) = decoder(**options), study()
    model.prepare(responses, targets, {}, seed=1)
    return model, own


def trials(n=5):
    generator = torch.Generator().manual_seed(1)
    return {s: torch.randn(n, c, generator=generator) for s, c in SIZES.channels.items()}


def test_voxels_of_all_subjects_that_answer_alike_share_a_cluster():
    model, own = prepared()
    found = {s: model.vertices[s].cluster.numpy() for s in own}
    pairs = {pair for s in own for pair in zip(own[s].tolist(), found[s].tolist(), strict=True)}
    assert len(pairs) == 4


@pytest.mark.parametrize("option", [{"tuning_dim": 3}, {"covariance": "spherical"}])
def test_how_clusters_are_found_is_a_choice(option):
    (found, _), (other, _) = prepared(centres=6), prepared(centres=6, **option)
    assert not torch.equal(found.vertices["a"].cluster, other.vertices["a"].cluster)


def test_clusters_survive_saving():
    model, again = prepared()[0], decoder()
    again.load_state_dict(model.state_dict())
    x = trials()["b"]
    assert torch.equal(model.eval()(x, "b").tokens, again.eval()(x, "b").tokens)


def test_both_branches_answer_and_each_may_be_left_out():
    x = trials()["a"]
    both, semantic, structural = (
        decoder(**left)(x, "a") for left in ({}, {"structural": False}, {"semantic": False})
    )
    assert both.tokens.shape == (5, 3, 4) and both.blurry.shape == (5, 4, 6, 2)
    assert both.pooled.shape == (5, 6)
    assert semantic.blurry is None and semantic.tokens is not None
    assert structural.tokens.shape == (5, 3, 4) and structural.pooled.shape == (5, 6)


def test_the_semantic_branch_is_the_published_transformer():
    model, x = prepared()[0].eval(), trials()["c"]
    bit = model.semantic.bit
    embed, cluster = model.semantic.voxel_embed["c"], model.vertices["c"].cluster
    published_one = BIT(60, 8, 4, 2, 3, 1, 4).eval()
    published_one.load_state_dict({**bit.state_dict(), "voxel_embed": embed.detach()})
    index = torch.arange(60).expand(5, -1)
    expected = published_one(x, index, cluster.expand(5, -1))
    assert torch.allclose(model(x, "c").tokens, expected, atol=1e-6)


@pytest.mark.parametrize("option", ["dim", "centres", "heads", "blocks"])
def test_every_option_of_size_changes_the_answer(option):
    x, more = trials()["a"], {"dim": 2, "centres": 1, "heads": 2, "blocks": 1}[option]
    said = [decoder(**{option: SMALL[option] + k})(x, "a").tokens for k in (0, more)]
    assert not torch.allclose(*said)


def test_vertices_are_drawn_in_training_alone():
    model, x = prepared(drawn=10)[0], trials()["a"]
    said = [model(x, "a").tokens for _ in range(2)]
    assert not torch.allclose(*said)
    model.eval()
    assert torch.equal(model(x, "a").tokens, model(x, "a").tokens)
    assert 1 <= model.train()._draw(x).sum(dim=1).min() <= model._draw(x).sum(dim=1).max() <= 10


def test_the_pooled_embedding_trains_the_rest_only_where_asked():
    for contrast in (False, True):
        model = decoder(contrast=contrast)
        model(trials()["a"], "a").pooled.square().sum().backward()
        assert model.pooled.weight.grad.any()
        assert (model.semantic.bit.centers.grad is not None) == contrast
    structural = decoder(semantic=False)
    structural(trials()["a"], "a").tokens.square().sum().backward()
    assert structural.tokens.weight.grad.any() and structural.structural.bit.centers.grad is None


def test_patches_are_contrasted_with_those_of_all_subjects():
    model, x = decoder(structural_contrast=0.5), trials()
    wanted = {s: {"blurry": torch.rand(5, 4, 6, 2)} for s in x}
    said = torch.cat([patches_of(model(seen, s).blurry, 2) for s, seen in x.items()])
    true = torch.cat([patches_of(own["blurry"], 2) for own in wanted.values()])
    costs = model.own_costs(x, wanted)
    assert costs["structure"].item() == pytest.approx(0.5 * token_contrast(said, true).item())
    assert model.own_costs(x, wanted) == {}  # answers are used once
    assert decoder().own_costs(x, wanted) == {}


def test_patches_are_cut_and_put_together_again():
    pictures = torch.arange(2 * 4 * 6 * 2.0).reshape(2, 4, 6, 2)
    cut = patches_of(pictures, 2)
    assert torch.equal(cut[1, 4], pictures[1, 2:4, 2:4].flatten())
    assert torch.equal(picture_of(cut, (4, 6, 2), 2), pictures)


def test_a_new_vertex_begins_as_the_known_one_tuned_likest():
    model, own = prepared(new_subject="c", source_epochs=2)
    clusters = {k: model.vertices["a"].cluster[own["a"] == k].unique().item() for k in range(4)}
    expected = [clusters[k] for k in own["c"].tolist()]
    assert model.vertices["c"].cluster.tolist() == expected
    model.after_epoch(0)
    before = model.semantic.voxel_embed["c"].clone()
    model.after_epoch(1)
    after, known = model.semantic.voxel_embed["c"], model.semantic.voxel_embed
    assert not torch.equal(before, after)
    rows = torch.cat([known["a"], known["b"]])
    assert all((row == rows).all(dim=1).any() for row in after)


def test_embeddings_that_came_with_a_start_stay():
    model, _ = prepared(new_subject="c")
    before = {n: p.clone() for n, p in model.named_parameters() if n.endswith("voxel_embed.c")}
    model.begun({"semantic.voxel_embed.c"})
    after = dict(model.named_parameters())
    assert torch.equal(after["structural.voxel_embed.c"], before["structural.voxel_embed.c"])
    assert not torch.equal(after["semantic.voxel_embed.c"], before["semantic.voxel_embed.c"])


def test_nothing_but_the_new_vertices_is_tuned():
    model, _ = prepared(new_subject="c", source_epochs=1)
    model.after_epoch(0)
    said = model.train()(trials()["c"], "c")
    (said.tokens.square().mean() + said.blurry.square().mean()).backward()
    changed = {n for n, p in model.named_parameters() if p.grad is not None}
    assert changed == {"semantic.voxel_embed.c", "structural.voxel_embed.c"}


def test_a_trained_network_keeps_its_clusters_when_a_new_subject_comes():
    first, (responses, targets, _) = decoder(), study()
    first.prepare({s: responses[s] for s in "ab"}, targets, {}, seed=1)
    state = {k: v for k, v in first.state_dict().items() if "vertices.c" not in k}
    second, (other, pictures, _) = decoder(new_subject="c"), study(seed=0)
    second.load_state_dict(state, strict=False)
    second.prepare(other, pictures, {}, seed=99)
    second.begun()
    assert torch.equal(second.vertices["a"].cluster, first.vertices["a"].cluster)
    assert torch.equal(second.axes, first.axes) and second.vertices["c"].cluster.any()


def test_structure_is_learnt_from_the_brain():
    model, (responses, _, own) = prepared(semantic=False)[0], study()
    mean = np.stack([responses["a"][:, own["a"] == k].mean(axis=1) for k in range(4)], axis=1)
    wanted = torch.from_numpy(np.tile(mean, (1, 12)).reshape(-1, 4, 6, 2))
    x, optimiser = torch.from_numpy(responses["a"]), torch.optim.Adam(model.parameters(), 5e-3)
    spent = []
    for _ in range(60):
        loss = F.l1_loss(model(x, "a").blurry, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        spent.append(loss.item())
    assert spent[-1] < 0.6 * spent[0]


@pytest.mark.parametrize(
    "sizes, options, message",
    [
        (SIZES, {"semantic": False, "structural": False}, "one branch at least"),
        (SIZES, {"patch": 4}, "choose another patch"),
        (Sizes({"a": 9}, 6, blurry=(4, 4, 3)), {}, "semantic=false"),
        (Sizes({"a": 9}, 6, 3, 4), {}, "structural=false"),
        (Sizes({"a": 9}, 6, 3, 4, (4, 4, 3), n_times=7), {}, "the trials have times"),
    ],
)
def test_what_cannot_be_is_refused(sizes, options, message):
    with pytest.raises(ValueError, match=message):
        BrainIT(sizes, **SMALL | options)


def test_a_published_layout_becomes_the_network_and_its_names():
    source = BIT(70, 16, 4, 8, 3, 2, 5)
    layout = {f"gnn_model.{k}": tuple(v.shape) for k, v in source.state_dict().items()}
    layout["diffusion_engine.model.weight"] = (3, 3)
    network, renamed = published(layout)
    ours = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert set(renamed) == set(layout) - {"diffusion_engine.model.weight"}
    assert all(ours[renamed[k]] == layout[k] for k in renamed)
    assert set(dict(network.named_parameters())) == set(renamed.values())
    assert network.sizes.channels == {"all": 70}


def test_another_layout_is_no_brainit():
    with pytest.raises(ValueError, match="has no voxel_embed"):
        published({"lin0.weight": (3, 4)})
