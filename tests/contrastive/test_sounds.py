"""Mel spectrograms are transformers' and wav2vec layers are its own; time is kept."""

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from neurodecode.contrastive.sounds import (
    MelTarget,
    Wav2VecTarget,
    log_mel,
    mel_bands,
    nearest,
    resampled,
)
from tests.contrastive.tiny_models import roughened


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).standard_normal(16_000).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random wav2vec of three blocks, 16 numbers a column."""
    made = tmp_path_factory.mktemp("wav2vec")
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    roughened(Wav2Vec2Model(config)).save_pretrained(made)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(made)
    return made


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.filterwarnings("ignore:At least one mel filter")  # 120 are many for 257 bins
@pytest.mark.parametrize("n_mels", [40, 120])
def test_bands_are_those_of_transformers(n_mels):
    expected = mel_filter_bank(257, n_mels, 0, 8000, 16_000, norm=None, mel_scale="htk")
    assert np.allclose(mel_bands(n_mels, 512, 16_000), expected, atol=1e-9)


def test_the_spectrogram_is_that_of_transformers(noise):
    window = window_function(512, "hann", periodic=True)
    window = window / np.sqrt((window**2).sum())
    bands = mel_bands(120, 512, 16_000)
    expected = spectrogram(
        noise, window, 512, 128, power=2.0, mel_filters=bands, mel_floor=0.0, dtype=np.float64
    )
    found = log_mel(noise, bands, 512)
    assert found.shape == (126, 120)
    assert np.allclose(found, np.log10(expected.T + 1e-5), atol=1e-5)


def test_a_column_is_the_nearest_one_as_torch_interpolates():
    columns = np.random.default_rng(0).standard_normal((49, 3)).astype(np.float32)
    for n in (20, 49, 120):
        expected = torch.nn.functional.interpolate(torch.from_numpy(columns.T)[None], n)[0].T
        assert np.array_equal(nearest(columns, n), expected.numpy())


def test_a_tone_keeps_its_pitch_when_it_is_resampled():
    tone = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    power = np.abs(np.fft.rfft(resampled(tone, 44_100, 16_000)))
    assert power.argmax() == 440 and len(power) == 8001


def test_tokens_of_mel_follow_the_sound_and_then_are_silent(noise):
    target = MelTarget(seconds=2.0, rate_hz=50.0, n_mels=20)
    pooled, tokens = target.sounds([(noise, 16_000), (noise[:8000], 16_000)])
    assert tokens.shape == (2, target.n_tokens, target.token_dim) == (2, 100, 20)
    assert (tokens[0, 50:] == np.float32(-5)).all() and (tokens[0, :50] > -5).all()
    assert (tokens[1, 25:] == np.float32(-5)).all() and (tokens[1, :25] > -5).all()
    wave = (noise - noise.mean()) / noise.std(ddof=1)
    expected = nearest(log_mel(wave, mel_bands(20, 512, 16_000), 512), 50)
    assert np.allclose(tokens[0, :50], expected, atol=1e-5)
    flat = tokens.reshape(2, -1)
    assert np.allclose(pooled, unit(flat - flat.mean(axis=1, keepdims=True)), atol=1e-5)


def test_mel_is_the_same_however_loud_a_sound_is(noise):
    target = MelTarget(seconds=1.0)
    loud, soft = (target.sounds([(level * noise, 16_000)])[1] for level in (1, 0.01))
    assert np.allclose(loud, soft, atol=1e-3)


@pytest.mark.parametrize(
    ("option", "value"), [("n_fft", 256), ("sampling_hz", 8000), ("pool", "mean"), ("n_mels", 30)]
)
def test_options_of_mel_change_the_embedding(noise, option, value):
    plain = MelTarget(seconds=1.0).sounds([(noise, 16_000)])
    other = MelTarget(seconds=1.0, **{option: value}).sounds([(noise, 16_000)])
    assert any(
        a.shape != b.shape or not np.allclose(a, b) for a, b in zip(plain, other, strict=True)
    )


def test_a_silent_sound_is_refused(noise):
    with pytest.raises(ValueError, match="sound 1 of 2 .* recipe.ignore"):
        MelTarget(seconds=1.0).sounds([(noise, 16_000), (np.zeros(16_000), 16_000)])
    with pytest.raises(ValueError, match="no token"):
        MelTarget(seconds=0.001)


def hidden_of(folder, wave):
    rows = Wav2Vec2FeatureExtractor.from_pretrained(folder)(
        wave, sampling_rate=16_000, return_tensors="pt"
    )
    with torch.inference_mode():
        model = Wav2Vec2Model.from_pretrained(folder).eval()
        hidden = model(rows["input_values"], output_hidden_states=True).hidden_states
    return [h[0].numpy() for h in hidden]


def test_wav2vec_is_the_mean_of_the_layers_asked_for(folder, noise):
    hidden = hidden_of(folder, noise)
    target = Wav2VecTarget(str(folder), layers=(1, 2), seconds=1.5, rate_hz=60.0)
    pooled, tokens = target.sounds([(noise, 16_000)])
    mean = (hidden[1] + hidden[2]) / 2
    assert tokens.shape == (1, target.n_tokens, target.token_dim) == (1, 90, 16)
    assert np.allclose(tokens[0, :60], nearest(mean, 60), atol=1e-4)
    assert not tokens[0, 60:].any()
    assert np.allclose(pooled[0], unit(mean.mean(axis=0)), atol=1e-4)
    last = Wav2VecTarget(str(folder), layers=(-1,), seconds=1.0, pool="flat")
    pooled, tokens = last.sounds([(noise, 16_000)])
    assert np.allclose(tokens[0], nearest(hidden[-1], 120), atol=1e-4)
    assert pooled.shape == (1, last.dim) == (1, 1920)


def test_a_sound_does_not_depend_on_what_stands_beside_it(folder, noise):
    target = Wav2VecTarget(str(folder), layers=(3,), seconds=1.0)
    some = [(noise, 16_000), (noise[:5000], 16_000), (noise[::2], 8000)]
    together = target.sounds(some)
    for i, sound in enumerate(some):
        for one, all_of_them in zip(target.sounds([sound]), together, strict=True):
            assert np.array_equal(one[0], all_of_them[i])


def test_mistakes_of_sounds_are_answered_with_what_to_do(folder, noise):
    with pytest.raises(ValueError, match=r"has the layers 0 to 3"):
        Wav2VecTarget(str(folder), layers=(14,))
    with pytest.raises(ValueError, match="too short"):
        Wav2VecTarget(str(folder), layers=(1,)).sounds([(noise[:50], 16_000)])


@pytest.mark.filterwarnings("ignore:.*meta")
def test_the_device_is_the_one_asked_for(folder, noise):
    target = Wav2VecTarget(str(folder), layers=(1,), device="meta")
    assert {p.device.type for p in target._model.parameters()} == {"meta"}
