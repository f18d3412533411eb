"""WAVE's encoder is GPT-2 over volumes with the published keys, and reads trials as sequences."""

import math

import pytest
import torch
from torch.nn.functional import layer_norm

from neurodecode.models.base import Sizes
from neurodecode.models.wave import Decoder, Embedder, PublishedWave, Wave, published

SMALL = {"hidden": 16, "n_layers": 2, "n_heads": 2, "n_positions": 8}


def sizes(**more):
    defaults = {"dim": 6, "n_tokens": 3, "token_dim": 5, "n_times": 4}
    return Sizes({"a": 9, "b": 7}, **defaults | more)


def small(sizes, **options):
    torch.manual_seed(0)
    return Wave(sizes, **SMALL | options)


# ---- the published modules


def gpt2(x, state, n_heads):
    """GPT-2 written out: pre-norm blocks of causal attention and a tanh-GELU perceptron."""
    n, length, width = x.shape
    x = x + state["wpe.weight"][:length]
    norm = lambda x, name: layer_norm(x, (width,), state[f"{name}.weight"], state[f"{name}.bias"])
    dense = lambda x, name: x @ state[f"{name}.weight"] + state[f"{name}.bias"]
    heads = lambda x: x.view(n, length, n_heads, -1).transpose(1, 2)
    for i in range(sum(key.endswith("ln_1.bias") for key in state)):
        q, k, v = dense(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").chunk(3, dim=2)
        scores = heads(q) @ heads(k).transpose(2, 3) / math.sqrt(width / n_heads)
        past = torch.ones(length, length, dtype=bool).tril()
        told = scores.masked_fill(~past, -math.inf).softmax(dim=3) @ heads(v)
        x = x + dense(told.transpose(1, 2).reshape(n, length, width), f"h.{i}.attn.c_proj")
        h = dense(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + dense(h, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f")


def test_decoder_agrees_with_gpt2_written_out():
    torch.manual_seed(0)
    decoder = Decoder(embed_dim=16, n_layers=2, n_heads=4, n_positions=8).double().eval()
    for weight in decoder.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    embedded = torch.randn(3, 5, 16, dtype=torch.float64)
    last = gpt2(embedded, decoder.transformer.state_dict(), 4)[:, -1]
    pooler = decoder.pooler_layer[0]
    expected = torch.tanh(last @ pooler.weight.T + pooler.bias)
    torch.testing.assert_close(decoder(embedded), expected, rtol=1e-9, atol=1e-9)


def test_embedder_adds_times_in_steps_of_a_fifth_of_a_second_and_a_class_token_last():
    embedder = Embedder(in_dim=5, embed_dim=4, dropout=0.0).eval()
    volumes, times = torch.randn(2, 3, 5), torch.tensor([0.0, 2.0, 4.1])
    found = embedder(volumes, times)
    layers = embedder.embed_model["model"]
    with_class = torch.cat([volumes, embedder.cls_embed.expand(2, 1, 5)], dim=1)
    expected = layers[1](layers[0](with_class)) + embedder.wt_re.weight[[0, 10, 20, 1500]]
    torch.testing.assert_close(found, expected)


def test_parts_have_as_many_parameters_as_their_published_shapes_give():
    with torch.device("meta"):
        network = PublishedWave({}, {})
    count = lambda part: sum(p.numel() for p in part.parameters())
    linear = lambda a, b: a * b + b
    block = linear(768, 3 * 768) + linear(768, 768) + linear(768, 3072) + linear(3072, 768)
    gpt = 4 * (block + 4 * 768) + 512 * 768 + 768 + 2 * 768
    assert count(network.decoder) == gpt + linear(768, 768) == 29_337_600
    assert count(network.embedder) == linear(1024, 768) + 2 * 768 + 1501 * 768 + 2 * 1024
    assert count(network.dim_mapper) == 151_782_144  # 151.8 M
    assert count(network.fmri_projector) == linear(768, 768)


def test_a_published_checkpoint_of_either_stage_tells_its_sizes_and_takes_its_names():
    own = PublishedWave(
        {"in_dim": 11, "embed_dim": 16},
        {"embed_dim": 16, "n_layers": 2, "n_heads": 1, "n_positions": 9},
        clip_size=12,
        n_values=24,
    )
    parts = {key: tuple(values.shape) for key, values in own.state_dict().items()}
    inner = lambda key: key.startswith(("embedder", "decoder"))
    first = {f"fmri_encoder.original_model.{k}": s for k, s in parts.items() if inner(k)}
    first |= {k: parts[k] for k in ("fmri_projector.weight", "fmri_projector.bias")}
    first |= {"img_logit_scale": (), "meta_net.linear1.weight": (96, 1536)}
    mapper = {k: s for k, s in parts.items() if k.startswith("dim_mapper")}
    second = {f"voxel2clip.{k}": s for k, s in first.items()} | mapper | {"net.learned_query": (3,)}
    for state, n_values in ((first, 0), (second, 24)):
        network, names = published(state, n_heads=4)
        found = {key: tuple(values.shape) for key, values in network.state_dict().items()}
        assert {names[key]: shape for key, shape in state.items() if key in names} == found
        assert (network.dim_mapper is not None) == bool(n_values)
    key = "embedder.cls_embed"
    assert names[f"voxel2clip.fmri_encoder.original_model.{key}"] == "embedder.sub-01.cls_embed"
    assert network.decoder.transformer.config.n_head == 4
    del second["voxel2clip.fmri_projector.weight"]
    with pytest.raises(ValueError, match="it has no fmri_projector.weight"):
        published(second)


# ---- the pipeline's network


def test_trials_with_times_are_sequences_and_others_sequences_of_one():
    network = small(sizes()).eval()
    trials = torch.randn(2, 9, 4)
    volumes = trials.transpose(1, 2)
    code = network.decoder(network.embedder["a"](volumes, torch.tensor([0.0, 2, 4, 6])))
    output = network(trials, "a")
    torch.testing.assert_close(output.tokens, network.dim_mapper(code).unflatten(1, (3, 5)))
    direction = torch.nn.functional.normalize(network.fmri_projector(code), dim=1)
    torch.testing.assert_close(output.pooled, direction / 0.07)  # CLIP's first scale
    assert output.blurry is None
    one = small(sizes(n_times=None)).eval()(torch.randn(2, 7), "b")
    assert one.pooled.shape == (2, 6)


def test_the_order_of_volumes_counts():
    network, trials = small(sizes()).eval(), torch.randn(2, 9, 4)
    assert not torch.allclose(network(trials, "a").pooled, network(trials.flip(2), "a").pooled)


def test_tokens_are_the_embedding_where_the_study_says_so():
    output = small(sizes(dim=15)).eval()(torch.randn(2, 9, 4), "a")
    direction = torch.nn.functional.normalize(output.tokens.flatten(1), dim=1)
    torch.testing.assert_close(output.pooled, direction / 0.07)
    assert small(sizes(n_tokens=0, token_dim=0))(torch.randn(2, 9, 4), "a").tokens is None


def test_a_fifth_of_the_values_is_hidden_in_training_and_what_is_left_stays_as_it_is():
    network = small(sizes(), mask=0.2, shuffle=False)
    hidden = network._augmented(torch.ones(200, 4, 9))
    assert set(hidden.unique().tolist()) == {0.0, 1.0}
    assert abs(hidden.mean().item() - 0.8) < 0.02


def test_volumes_are_dealt_anew_in_training_each_trial_by_itself():
    network = small(sizes(), mask=0.0, shuffle=True)
    volumes = torch.arange(4.0).view(1, 4, 1).expand(50, 4, 9)
    dealt = network._augmented(volumes)
    assert torch.equal(dealt.sort(dim=1).values, volumes)  # the same volumes
    assert (dealt == dealt[..., :1]).all()  # whole ones
    assert len(dealt[..., 0].unique(dim=0)) > 5
    assert torch.equal(small(sizes(), mask=0.0, shuffle=False)._augmented(volumes), volumes)


def test_augmentation_is_for_training_alone():
    trials = torch.randn(2, 9, 4)
    plain = small(sizes(), mask=0.0, shuffle=False, dropout=0.0)
    busy = small(sizes(), mask=0.5, shuffle=True, dropout=0.5)
    assert torch.equal(plain(trials, "a").pooled, busy.eval()(trials, "a").pooled)
    assert not torch.equal(plain(trials, "a").pooled, busy.train()(trials, "a").pooled)


def test_the_scale_is_learnt():
    network = small(sizes())
    network(torch.randn(2, 9, 4), "a").pooled.sum().backward()
    assert network.img_logit_scale.grad.abs() > 0


def test_trials_longer_than_the_transformer_are_refused():
    with pytest.raises(ValueError, match="at most 7 of them"):
        small(sizes(n_times=8))
    with pytest.raises(ValueError, match="300 s"):
        small(sizes(), tr_s=100.0)


@pytest.mark.parametrize(
    "option, value",
    [("hidden", 32), ("n_layers", 1), ("n_heads", 4), ("n_positions", 5), ("tr_s", 1.0)],
)
def test_every_option_changes_the_answer(option, value):
    trials = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(1))
    answers = [small(sizes(), **o).eval()(trials, "a").pooled for o in ({}, {option: value})]
    assert not torch.allclose(*answers)
