"""Du-IN has the published keys, sizes and outputs; its codebook and its pretraining work."""

import math

import numpy as np
import pytest
import torch

from neurodecode.models.duin import DuIn, published, shifted, standardiser
from neurodecode.models.duin_layers import (
    PatchTokenizer,
    SubjectBlock,
    TimeEmbedding,
    TransformerStack,
    VectorQuantizer,
)
from neurodecode.models.duin_networks import DuInClassifier, DuInMae, DuInSizes, DuInVqVae, masked
from neurodecode.models.trial_classifier import Training, descend
from tests.golden.rule import data, golden, parameter, probe

GOLDEN = golden("duin_small")
SMALL = {
    "d_neural": 4,
    "patch": 10,
    "filters": (4, 4, 3),
    "kernels": (5, 3, 3),
    "strides": (5, 1, 1),
    "n_blocks": 1,
    "decoder_blocks": 1,
    "n_heads": 2,
    "d_head": 4,
    "d_ff": 12,
    "n_codes": 16,
    "d_code": 4,
}
SMALL_LISTS = {k: list(v) if isinstance(v, tuple) else v for k, v in SMALL.items()}
QUICK = Training(n_epochs=8, batch_size=16, learning_rate=3e-3)


@pytest.fixture
def layers():
    """The golden layers: small, in float64 and eval mode, every parameter by the rule."""
    c, before = GOLDEN["config"], torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    made = {
        "subj_block": SubjectBlock(c["n_subjects"], c["d_input"], c["d_neural"]),
        "tokenizer": PatchTokenizer(
            c["d_neural"], c["seg_len"], c["n_filters"], c["kernels"], c["strides"]
        ),
        "encoder_stack": TransformerStack(
            c["n_blocks"], c["d_model"], c["n_heads"], c["d_head"], c["d_ff"], 0.2
        ),
        "vq_block": VectorQuantizer(c["d_model"], c["codex_size"], c["d_codex"], c["beta"]),
    }
    time = TimeEmbedding(c["d_model"], 5)
    torch.set_default_dtype(before)
    for layer in made.values():
        state = {
            k: torch.from_numpy(parameter(k, v.shape)) if v.ndim and v.is_floating_point() else v
            for k, v in layer.state_dict().items()
        }
        layer.load_state_dict(state)
        layer.eval()
    book = data("codex.embeddings", (c["codex_size"], c["d_codex"]))
    book /= np.linalg.norm(book, axis=1, keepdims=True)
    with torch.no_grad():
        made["vq_block"].codex["embeddings"].copy_(torch.from_numpy(book))
    return made, time


def test_state_dicts_have_the_published_keys_and_shapes(layers):
    for name, layer in layers[0].items():
        own = {k: list(v.shape) for k, v in layer.state_dict().items()}
        scales = {k for k in own if k.endswith("attention.scale")}  # a number, not in the case
        assert {k: v for k, v in own.items() if k not in scales} == GOLDEN["keys"][name]


def test_outputs_agree_with_the_golden_numbers(layers):
    made, time = layers
    signal = torch.from_numpy(data("seeg", (2, 100, 5))).transpose(1, 2)
    subject = made["subj_block"](signal, torch.eye(3, dtype=torch.float64)[[2, 0]])
    tokens = made["tokenizer"](subject)
    encoded = made["encoder_stack"](time(tokens))
    quantised, loss, codes = made["vq_block"](encoded)
    outputs = {
        "subject": subject.transpose(1, 2),
        "tokens": tokens,
        "encoded": encoded,
        "vq_out": quantised,
    }
    for name, output in outputs.items():
        expected, output = GOLDEN["outputs"][name], output.detach().numpy()
        assert list(output.shape) == expected["shape"]
        assert output.sum() == pytest.approx(expected["sum"], rel=1e-8)
        assert np.sqrt((output**2).sum()) == pytest.approx(expected["l2"], rel=1e-8)
        assert probe(output) == pytest.approx(expected["probe"], rel=1e-8)
        np.testing.assert_allclose(output.ravel()[:4], expected["first"], rtol=1e-8)
        assert output.ravel()[-1] == pytest.approx(expected["last"], rel=1e-8)
    assert codes.tolist() == GOLDEN["outputs"]["vq_indices"]
    assert loss.item() == pytest.approx(GOLDEN["outputs"]["vq_loss"], rel=1e-8)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_full_networks_have_as_many_parameters_as_published():
    with torch.device("meta"):
        network = DuInClassifier(DuInSizes(n_channels=10, n_tokens=30), n_classes=61)
        painter = DuInVqVae(DuInSizes(n_channels=10, n_tokens=40))
    norms = sum(count(block[1]) for block in network.tokenizer.conv_blocks)
    assert count(network.tokenizer) == 95_024 and count(network.tokenizer) - norms == 94_480
    assert count(network.encoder) == 3_465_224
    assert count(network.cls_block) == 4800 * 128 + 128 + 128 * 61 + 61
    assert count(network.subj_block) == 10 * 16 + 16
    # the published classifier carries a codebook and two projections to 32 along, unused
    whole = count(network) + count(painter.vq_block) + 2 * (160 * 32 + 32)
    assert whole == 4_377_638 and round(whole / 1e6, 2) == 4.38


def test_a_codebook_finds_planted_clusters():
    torch.manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(8, 6), dim=1)
    z = torch.nn.functional.normalize(
        centres.repeat_interleave(40, 0) + 0.05 * torch.randn(320, 6), dim=1
    )
    layer = VectorQuantizer(6, 32, 6)
    layer.lay(z)
    nearest = (centres @ layer.codex["embeddings"].T).max(1).values
    assert (nearest > 0.99).all()
    codes = layer._nearest(z).view(8, 40)
    assert all(
        not set(a.tolist()) & set(b.tolist()) for a, b in zip(codes, codes[1:], strict=False)
    )


def test_the_codebook_follows_its_tokens_in_training_alone():
    torch.manual_seed(0)
    layer = VectorQuantizer(6, 16, 4, decay=0.5)
    layer(torch.randn(8, 5, 6))
    before = layer.codex["embeddings"].clone()
    layer.eval()(torch.randn(8, 5, 6))
    assert torch.equal(layer.codex["embeddings"], before)
    layer.train()(torch.randn(8, 5, 6))
    assert not torch.equal(layer.codex["embeddings"], before)
    torch.testing.assert_close(layer.codex["embeddings"].norm(dim=1), torch.ones(16))


def test_the_gradient_passes_the_codebook_as_if_nothing_were_quantised():
    torch.manual_seed(0)
    layer = VectorQuantizer(6, 16, 4).eval()
    tokens = torch.randn(2, 5, 6, requires_grad=True)
    quantised, _, codes = layer(tokens)
    (grad,) = torch.autograd.grad((quantised * torch.arange(6.0)).sum(), tokens)
    z = torch.nn.functional.normalize(layer.pre_proj(tokens), dim=-1)
    moved = layer.codex["embeddings"][codes] + z - z.detach()  # its value that of the code
    same = layer.post_proj(layer.layernorm(moved))
    (expected,) = torch.autograd.grad((same * torch.arange(6.0)).sum(), tokens)
    torch.testing.assert_close(grad, expected)
    assert grad.abs().max() > 0 and not layer.codex["embeddings"].requires_grad


def waves(n, n_classes=2, n_channels=3, n_times=40, seed=0):
    """Trials of sines, one frequency for each class, with random phases and noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    wave = np.sin(2 * np.pi * (2 + 6 * y)[:, None, None] * np.arange(n_times) / n_times + phase)
    x = wave + 0.3 * rng.standard_normal((n, n_channels, n_times))
    return x.astype(np.float32), y


def test_pretraining_lowers_both_of_its_losses():
    x, _ = waves(64)
    torch.manual_seed(0)
    sizes = DuInSizes(3, 4, **SMALL)
    painter, guesser, rows = DuInVqVae(sizes), DuInMae(sizes), torch.as_tensor(x)
    painted = descend(painter, 64, lambda chosen: painter.cost(rows[chosen]), QUICK, 0)
    assert painted[-1] < painted[0]
    codes = painter.codes(rows)
    guessed = descend(
        guesser, 64, lambda chosen: guesser.cost(rows[chosen], codes[chosen], 0.5), QUICK, 0
    )
    assert len(codes.unique()) > 1
    assert guessed[-1] < guessed[0] - 0.1


def test_each_token_is_guessed_without_being_seen():
    torch.manual_seed(0)
    network = DuInMae(DuInSizes(3, 4, **SMALL)).eval()
    x = torch.randn(2, 3, 40)
    hidden = masked(2, 4, 0.5, x.device)
    assert (hidden.sum(1) == 2).all()
    changed = x.clone()
    changed[0, :, 10:20] += 1  # token 1 of trial 0
    before, after = network(x, hidden), network(changed, hidden)
    torch.testing.assert_close(before[0, 1], after[0, 1])
    torch.testing.assert_close(before[1], after[1])
    assert not torch.allclose(before[0], after[0])


@pytest.mark.parametrize("start", ["mae", "vqvae", "scratch"])
def test_each_start_learns_frequencies(start):
    x, y = waves(96)
    asked, truth = waves(40, seed=1)
    train = Training(n_epochs=25, batch_size=16, learning_rate=5e-3, select="best")
    model = DuIn(start, train, QUICK, QUICK, hidden=16, **SMALL_LISTS)
    scores = model.fit(x, y, np.arange(96) // 4, 2, 100.0, 0, "cpu")(asked)
    assert scores.shape == (40, 2)
    assert (scores.argmax(1) == truth).mean() > 0.8


def test_every_option_of_learning_changes_the_scores():
    x, y = waves(16)
    still = Training(n_epochs=1, batch_size=16, learning_rate=1e-12)
    other = Training(n_epochs=2, batch_size=8, learning_rate=3e-3)
    score = lambda **more: DuIn(
        **(
            {"training": still, "vqvae_training": QUICK, "mae_training": QUICK} | SMALL_LISTS | more
        ),
        hidden=8,
    ).fit(x, y, np.arange(16), 2, 100.0, 0, "cpu")(x)
    found = [
        score(),
        score(start="vqvae"),
        score(start="scratch"),
        score(training=other),
        score(vqvae_training=other),
        score(mae_training=other),
        score(mask_share=0.25),
        score(shift=0.0),
    ]
    for i, one in enumerate(found):
        for another in found[i + 1 :]:
            assert np.abs(one - another).max() > 1e-6


def test_compat_bounds_scores():
    x, y = waves(16)
    quirky = DuIn("scratch", QUICK, hidden=8, compat=True, **SMALL_LISTS)
    scores = quirky.fit(x, y, np.arange(16), 2, 100.0, 0, "cpu")(x)
    assert ((scores > 0) & (scores < 1)).all()


def test_fits_on_all_reads_statistics_of_test_rows():
    x, y = waves(16)
    quirky = DuIn("scratch", QUICK, hidden=8, fits_on_all=True, **SMALL_LISTS)
    assert not DuIn().fits_on_all
    fit = lambda also: quirky.fit(x, y, np.arange(16), 2, 100.0, 0, "cpu", also=also)(x)
    assert np.abs(fit(None) - fit(5 * x + 3)).max() > 1e-6


def test_the_published_cross_entropy_cannot_fall_far():
    scores = torch.zeros(1, 61)
    scores[0, 0] = 1  # the best that a sigmoid can say
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(1 + 60 / math.e), rel=1e-6)


def test_every_size_changes_the_network():
    x, _ = waves(4, n_times=40)
    base = SMALL_LISTS
    other = {
        "d_neural": 5, "patch": 20, "filters": [4, 6, 3], "kernels": [7, 3, 3],
        "strides": [1, 1, 1], "n_blocks": 2, "decoder_blocks": 2, "n_heads": 1, "d_head": 8,
        "d_ff": 8, "n_codes": 8, "d_code": 3,
    }  # fmt: skip
    shapes = lambda options: {
        k: tuple(v.shape) for k, v in DuInVqVae(DuIn(**options).sizes(3, 40)).state_dict().items()
    }
    for name, value in other.items():
        assert shapes(base | {name: value}) != shapes(base), name
    assert DuIn(**base, dropout=0.4).sizes(3, 40).dropout == 0.4
    wide = DuInClassifier(DuIn(**base).sizes(3, 40), 2, hidden=9)
    assert wide.cls_block["cls_head"][1][0].out_features == 9


def test_a_patch_must_fit_a_trial():
    with pytest.raises(ValueError, match="set patch and strides"):
        DuIn().sizes(3, 60)
    with pytest.raises(ValueError, match="must be even"):
        DuIn(filters=[4, 4, 3], patch=10, strides=[10, 1, 1]).sizes(3, 60)


def test_a_shift_moves_a_trial_and_fills_with_zeros():
    torch.manual_seed(0)
    x = torch.arange(1, 11.0).expand(20, 2, 10)
    moved = shifted(x, 0.2)
    steps = {int((row[0] == 0).sum()) for row in moved}
    assert steps == {0, 1, 2}
    torch.testing.assert_close(moved[:, 0], moved[:, 1])


def test_channels_are_standardised_on_what_is_given():
    x, _ = waves(8)
    x[:, 1] = 7
    scaled = standardiser(x)(x)
    np.testing.assert_allclose(scaled.mean(axis=(0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 2)), [1, 0, 1], atol=1e-5)


@pytest.mark.parametrize("kind", ["vqvae", "mae", "cls"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_published_layout_is_known_again(kind, prefix):
    sizes = DuInSizes(6, 4, 2, **SMALL | {"kernels": (9, 3, 3)})
    made = {
        "vqvae": lambda: DuInVqVae(sizes),
        "mae": lambda: DuInMae(sizes),
        "cls": lambda: DuInClassifier(sizes, 3, 8, compat=True),
    }[kind]()
    state = made.state_dict()
    if kind == "cls":  # carried along, unused
        state["contra_block.proj.weight"] = torch.zeros(32, 12)
        state |= {f"vq_block.{k}": v for k, v in VectorQuantizer(12, 16, 4).state_dict().items()}
    network, names = published({prefix + k: tuple(v.shape) for k, v in state.items()})
    assert type(network) is type(made)
    assert {v: k for k, v in names.items()} == {k: prefix + k for k in made.state_dict()}
    network.load_state_dict({names[prefix + k]: state[k] for k in made.state_dict()}, assign=True)
    assert network.sizes.patch == 10


def test_a_layout_that_lacks_something_is_refused():
    state = {k: tuple(v.shape) for k, v in DuInMae(DuInSizes(6, 4, **SMALL)).state_dict().items()}
    del state["tokenizer.conv_blocks.1.1.1.running_mean"]
    with pytest.raises(ValueError, match="running_mean"):
        published(state)
    with pytest.raises(ValueError, match="is it of Du-IN"):
        published({"lin0.weight": (3, 4)})
