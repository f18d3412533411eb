"""The CLIP of transformers gives what transformers' own CLIPModel says, token by token."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from neurodecode.contrastive.clip import ClipTarget
from tests.contrastive.tiny_models import save_clip

TEXTS = ["a red disc", "house"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (5, 40, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def seen(folder, pictures):
    """Transformers' own model, and what its vision tower makes of the pictures."""
    model = CLIPModel.from_pretrained(folder).eval()
    rows = CLIPImageProcessor.from_pretrained(folder)(list(pictures), return_tensors="pt")
    with torch.inference_mode():
        return model, rows, model.vision_model(**rows, output_hidden_states=True)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_the_pooled_embedding_is_what_transformers_compares_with_texts(folder, pictures, seen):
    model, rows, _ = seen
    with torch.inference_mode():
        images = model.get_image_features(**rows).pooler_output.numpy()
        words = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
        texts = model.get_text_features(**words).pooler_output.numpy()
    target = ClipTarget(str(folder))
    assert target.takes == ("pictures", "texts") and target.dim == 12
    assert np.allclose(target.pictures(pictures)[0], unit(images), atol=1e-5)
    assert np.allclose(target.texts(TEXTS), unit(texts), atol=1e-5)


def test_projected_tokens_are_those_of_versatile_diffusion(folder, pictures, seen):
    model, _, vision = seen
    with torch.inference_mode():
        projected = model.visual_projection(model.vision_model.post_layernorm(vision[0])).numpy()
    target = ClipTarget(str(folder))
    tokens = target.pictures(pictures)[1]
    assert tokens.shape[1:] == (target.n_tokens, target.token_dim) == (17, 12)
    assert np.allclose(tokens, projected / np.linalg.norm(projected[:, :1], axis=2, keepdims=True))
    assert np.allclose(tokens[:, 0], target.pictures(pictures)[0], atol=1e-6)
    with torch.inference_mode():
        own = AutoTokenizer.from_pretrained(folder)
        words = own(TEXTS, padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
        said = model.text_model(input_ids=words)
        pooled = model.text_projection(said.pooler_output).norm(dim=1)[:, None, None]
        expected = (model.text_projection(said.last_hidden_state) / pooled).numpy()
    assert expected.shape == (2, 77, 12)
    assert np.allclose(target.text_tokens(TEXTS), expected, atol=1e-5)


def test_other_tokens_are_the_ip_adapters(folder, pictures, seen):
    plus = ClipTarget(str(folder), tokens="penultimate").pictures(pictures)[1]
    assert np.allclose(plus, seen[2].hidden_states[-2].numpy(), atol=1e-5)
    pooled, tokens = ClipTarget(str(folder), tokens="pooled").pictures(pictures)
    length = np.linalg.norm(tokens, axis=2)
    assert tokens.shape == (5, 1, 12) and np.ptp(length) > 0.01
    assert np.allclose(tokens[:, 0] / length, pooled, atol=1e-6)


def test_a_picture_is_embedded_the_same_in_any_batch(folder, pictures):
    for one, other in zip(
        ClipTarget(str(folder), batch=2).pictures(pictures),
        ClipTarget(str(folder)).pictures(pictures),
        strict=True,
    ):
        assert np.allclose(one, other, atol=1e-5)


def test_no_more_than_a_batch_is_embedded_at_once(folder, pictures, monkeypatch):
    target, embedded = ClipTarget(str(folder), batch=2), []
    embed = target._embed
    monkeypatch.setattr(target, "_embed", lambda rows: embedded.append(len(rows)) or embed(rows))
    target.pictures(pictures)
    assert embedded == [2, 2, 1]


def test_a_vision_tower_in_a_pipeline_takes_pictures_only(tmp_path, folder, pictures):
    tower = save_clip(tmp_path / "image_encoder", "CLIPVisionModelWithProjection")
    (tower / "preprocessor_config.json").rename(tmp_path / "feature_extractor.json")
    target = ClipTarget(str(tmp_path), subfolder="image_encoder", tokens="pooled")
    bare = target.pictures(pictures)[1]  # prepared as OpenAI's CLIP at the tower's size
    (tmp_path / "feature_extractor").mkdir()
    place = tmp_path / "feature_extractor" / "preprocessor_config.json"
    (tmp_path / "feature_extractor.json").rename(place)
    beside = ClipTarget(str(tmp_path), subfolder="image_encoder", tokens="pooled")
    assert target.takes == ("pictures",) and bare.shape == (5, 1, 12)
    assert np.allclose(beside.pictures(pictures)[1], bare)
    with pytest.raises(ValueError, match="no texts"):
        target.texts(TEXTS)


def test_layers_go_from_shallow_to_pooled(folder, pictures, seen):
    layers = ClipTarget(str(folder)).layers(pictures)
    assert list(layers) == ["block_1", "block_2", "block_3", "pooled"]
    expected = seen[2].hidden_states[2][:, 1:].flatten(1).numpy()
    assert np.allclose(layers["block_2"], expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*meta")
def test_the_device_is_the_one_asked_for(folder):
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        ClipTarget(str(folder), device="meta")
