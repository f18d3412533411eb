"""RBTransformer: published sizes and keys, band entropies by hand, and a class told by a region."""

import sys

import numpy as np
import pytest
import torch
from scipy.signal import butter, lfilter

from neurodecode.models.rbtransformer import (
    RBTransformer,
    RBTransformerNetwork,
    band_entropies,
    filled_up,
    published,
)
from neurodecode.models.trial_classifier import Training

BANDS = [[4, 8], [8, 14], [14, 31], [31, 49]]
SMALL = {"width": 16, "n_blocks": 1, "n_heads": 2, "d_head": 8, "head": [16, 16, 8]}
QUICK = Training(n_epochs=40, batch_size=16, learning_rate=5e-3)


@pytest.mark.parametrize(
    "n_channels, n_classes, n_parameters",
    [(14, 2, 662_530), (14, 5, 662_917), (32, 2, 664_834), (32, 9, 665_737), (62, 3, 668_803)],
)
def test_full_network_has_as_many_parameters_as_published(n_channels, n_classes, n_parameters):
    with torch.device("meta"):
        network = RBTransformerNetwork(n_channels, n_classes)
    assert sum(p.numel() for p in network.parameters()) == n_parameters


def test_keys_are_the_published_ones():
    with torch.device("meta"):
        keys = set(RBTransformerNetwork(14, 2).state_dict())
    pairs = ["bde_proj_layer.linear", "classification_head.norm"]
    pairs += [f"classification_head.mlp.{i}" for i in (0, 3, 6, 9)]
    single = ["electrode_id_embedding.embedding"]
    for i in range(4):
        block = f"intercortical_attention_blocks.{i}."
        pairs += [block + "attention.norm", block + "attention.fn.to_out.0"]
        pairs += [block + "feed_forward." + n for n in ("norm", "fn.net.0", "fn.net.3")]
        single.append(block + "attention.fn.to_qkv.weight")
    assert keys == {*single, *(f"{p}.{end}" for p in pairs for end in ("weight", "bias"))}


def test_blocks_compute_what_their_formula_says():
    torch.manual_seed(0)
    network = RBTransformerNetwork(
        3, 2, n_blocks=1, **{k: SMALL[k] for k in ("width", "n_heads", "d_head", "head")}
    ).eval()
    z = torch.randn(2, 3, 16)
    layer = network.intercortical_attention_blocks[0]["attention"]
    q, k, v = layer.fn.to_qkv(layer.norm(z)).chunk(3, dim=2)
    heads = []
    for h in range(2):
        part = slice(8 * h, 8 * h + 8)
        weights = (q[..., part] @ k[..., part].transpose(1, 2) / 8**0.5).softmax(-1)
        heads.append(weights @ v[..., part])
    expected = layer.fn.to_out(torch.cat(heads, 2))
    torch.testing.assert_close(layer(z), expected, rtol=1e-5, atol=1e-6)


def test_entropies_are_those_of_a_causal_filter_written_out():
    x = np.random.default_rng(0).standard_normal((2, 3, 256))
    z = (x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True)
    found = band_entropies(x, BANDS, 128)
    for i, (low, high) in enumerate(BANDS):
        b, a = butter(5, [low / 64, high / 64], "bandpass")
        expected = np.log2(2 * np.pi * np.e * lfilter(b, a, z).var(axis=2)) / 2
        np.testing.assert_allclose(found[:, :, i], expected, rtol=1e-4)


def test_a_louder_channel_counts_only_where_windows_are_standardised():
    x = np.random.default_rng(0).standard_normal((1, 2, 512))
    x[:, 1] *= 4
    window, channel = (band_entropies(x, BANDS, 128, z)[0] for z in ("window", "channel"))
    assert np.abs(window[1] - window[0] - 2).max() < 0.6  # log2 of 4
    assert np.abs(channel[1] - channel[0]).max() < 0.6


def test_a_flat_channel_has_a_finite_entropy():
    x = np.random.default_rng(0).standard_normal((1, 2, 256))
    x[:, 1] = 3
    assert np.isfinite(band_entropies(x, BANDS, 128, "channel")).all()


def test_a_band_beyond_half_the_sampling_rate_is_refused():
    with pytest.raises(ValueError, match="set the classifier's bands"):
        band_entropies(np.zeros((1, 1, 50)), BANDS, 90)


def test_trials_without_times_are_refused():
    with pytest.raises(ValueError, match="preprocess=epochs"):
        RBTransformer().fit(np.zeros((4, 3, 1)), np.arange(4), np.arange(4), 4, np.nan, 0, "cpu")


def test_the_baseline_is_subtracted_and_cut_off():
    x = np.random.default_rng(0).standard_normal((4, 2, 128 * 3 + 256))
    with_it = RBTransformer(baseline_s=3.0).entropies(x, 128)
    windows = [band_entropies(x[:, :, i * 128 : (i + 1) * 128], BANDS, 128) for i in range(3)]
    expected = band_entropies(x[:, :, 384:], BANDS, 128) - np.mean(windows, axis=0)
    np.testing.assert_allclose(with_it, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="baseline_s"):
        RBTransformer(baseline_s=9.0).entropies(x, 128)


def test_filters_may_be_made_for_another_rate():
    x = np.random.default_rng(0).standard_normal((2, 2, 400))
    wrong = RBTransformer(filter_sfreq_hz=128.0).entropies(x, 200)
    np.testing.assert_allclose(wrong, band_entropies(x, BANDS, 128))
    wider = np.asarray(BANDS) * 200 / 128  # what its bands really are
    np.testing.assert_allclose(wrong, band_entropies(x, wider.tolist(), 200), rtol=1e-4, atol=1e-4)


def regional(n, seed, shares=(0.5, 0.5)):
    """Windows whose class says which half of eight electrodes has a strong 10 Hz rhythm."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2 if shares == (0.5, 0.5) else (np.arange(n) >= shares[0] * n).astype(int)
    x = rng.standard_normal((n, 8, 128))
    wave = np.sin(2 * np.pi * 10 * np.arange(128) / 128 + rng.uniform(0, 6, (n, 1, 1)))
    front = np.arange(8) < 4
    x += wave * np.where((front[None] == (y[:, None] == 0)), 2.0, 0.0)[..., None]
    return x.astype(np.float32), y


def test_a_class_told_by_a_region_is_found():
    x, y = regional(80, 0)
    asked, truth = regional(60, 1)
    model = RBTransformer(QUICK, **SMALL)
    scores = model.fit(x, y, np.arange(80) // 4, 2, 128.0, 0, "cpu")(asked)
    assert scores.shape == (60, 2)
    assert (scores.argmax(1) == truth).mean() > 0.9


def test_every_option_changes_the_scores():
    x, y = regional(24, 0, shares=(0.7, 0.3))
    short = Training(n_epochs=3, batch_size=8, learning_rate=5e-3)
    base = SMALL | {"training": short}
    score = lambda **other: RBTransformer(**(base | other)).fit(
        x, y, np.arange(24), 2, 128.0, 0, "cpu"
    )(x)
    plain = score()
    np.testing.assert_array_equal(plain, score())
    others = {
        "training": Training(n_epochs=4, batch_size=8, learning_rate=5e-3),
        "bands": [[4, 8], [8, 13], [13, 30], [30, 45]],
        "zscore": "channel",
        "smote": False,
        "label_smoothing": 0.0,
        "width": 24,
        "n_blocks": 2,
        "n_heads": 1,
        "d_head": 4,
        "head": [16, 8, 8],
        "dropout": 0.5,
    }
    for name, value in others.items():
        assert np.abs(score(**{name: value}) - plain).max() > 1e-6, name


def test_classes_are_filled_up_between_their_own_rows():
    rng = np.random.default_rng(0)
    rows, y = rng.standard_normal((20, 3, 4)).astype(np.float32), np.array([0] * 14 + [1] * 6)
    rows[y == 1] += 100
    more, classes = filled_up(rows, y, 0)
    assert np.bincount(classes).tolist() == [14, 14] and more.dtype == np.float32
    np.testing.assert_array_equal(more[:20], rows)
    made = more[20:]
    assert ((made > rows[y == 1].min()) & (made < rows[y == 1].max())).all()
    np.testing.assert_array_equal(more, filled_up(rows, y, 0)[0])
    assert not np.array_equal(more, filled_up(rows, y, 1)[0])


def test_classes_of_one_size_stay_as_they_are_and_one_row_cannot_grow():
    rows = np.zeros((4, 2), np.float32)
    assert filled_up(rows, np.array([0, 1, 0, 1]), 0)[0] is rows
    with pytest.raises(ValueError, match="smote=false"):
        filled_up(rows, np.array([0, 0, 0, 1]), 0)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(ValueError, match=r"imbalanced-learn.*\[classifiers\]"):
        filled_up(np.zeros((5, 2)), np.array([0, 0, 0, 1, 1]), 0)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_published_layout_is_known_again(prefix):
    made = RBTransformerNetwork(14, 5, head=(32, 24, 16))
    state = {prefix + k: v for k, v in made.state_dict().items()}
    network, names = published({k: tuple(v.shape) for k, v in state.items()})
    network.load_state_dict({names[k]: v for k, v in state.items()}, assign=True)
    x = torch.randn(2, 14, 4)
    torch.testing.assert_close(network.eval()(x), made.eval()(x))


def test_another_layout_is_refused():
    state = {k: tuple(v.shape) for k, v in RBTransformerNetwork(14, 5).state_dict().items()}
    with pytest.raises(ValueError, match="is it of RBTransformer"):
        published({"weight": (3, 2)})
    with pytest.raises(ValueError, match="to_qkv"):
        published(state | {"intercortical_attention_blocks.1.attention.fn.to_qkv.weight": (3, 2)})
