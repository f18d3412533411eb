"""Vision towers without texts give what transformers and timm themselves say."""

import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from transformers import AutoModel, BitImageProcessor

from neurodecode.contrastive.vision import TimmTarget, VisionTarget
from tests.contrastive.tiny_models import save_timm, save_vision

SMALL = {"img_size": 32, "embed_dim": 12, "depth": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """Folders by kind: with registers and class token, with class token, with neither."""
    made = tmp_path_factory.mktemp("towers")
    registers = {"num_register_tokens": 2}
    save_vision(made / "dinov2", "Dinov2WithRegisters", **registers)
    save_vision(made / "dinov3", "DINOv3ViT", **registers)
    save_vision(made / "vit", "ViT")
    return made


def seen(folder, pictures):
    rows = BitImageProcessor.from_pretrained(folder)(list(pictures), return_tensors="pt")
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(**rows, output_hidden_states=True)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize(("name", "n_special"), [("dinov2", 3), ("dinov3", 3), ("vit", 1)])
def test_tokens_and_pooled_are_transformers_own(towers, pictures, name, n_special):
    own = seen(towers / name, pictures)
    last = own.last_hidden_state.numpy()
    targets = {t: VisionTarget(str(towers / name), tokens=t) for t in ("grid", "all", "pooled")}
    found = {t: target.pictures(pictures) for t, target in targets.items()}
    assert found["grid"][1].shape == (3, 16, 16) == (3, targets["grid"].n_tokens, 16)
    assert np.allclose(found["grid"][1], last[:, n_special:], atol=1e-5)
    assert np.allclose(found["all"][1], last, atol=1e-5)
    assert np.allclose(found["grid"][0], unit(own.pooler_output.numpy()), atol=1e-5)
    assert np.allclose(found["pooled"][1][:, 0], own.pooler_output.numpy(), atol=1e-5)
    both = VisionTarget(str(towers / name), tokens="class_and_grid").pictures(pictures)[1]
    assert np.allclose(both, np.delete(last, range(1, n_special), axis=1), atol=1e-5)


def test_another_layer_and_another_pooling_are_as_asked_for(towers, pictures):
    own = seen(towers / "dinov2", pictures)
    hidden = own.hidden_states[2].numpy()
    target = VisionTarget(str(towers / "dinov2"), tokens="all", layer=2, pool="mean")
    pooled, tokens = target.pictures(pictures)
    assert np.allclose(tokens, hidden, atol=1e-5)
    assert np.allclose(pooled, unit(hidden.mean(axis=1)), atol=1e-5)
    classes = VisionTarget(str(towers / "dinov2"), layer=2).pictures(pictures)[0]
    assert np.allclose(classes, unit(hidden[:, 0]), atol=1e-5)
    with pytest.raises(ValueError, match="layer=9: the model has 4 blocks"):
        VisionTarget(str(towers / "dinov2"), layer=9)


def test_a_pooler_that_was_never_saved_is_not_made_up(towers, pictures, tmp_path):
    from safetensors.torch import load_file, save_file

    for file in (towers / "vit").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: t for name, t in weights.items() if not name.startswith("pooler.")}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    pooled = VisionTarget(str(tmp_path)).pictures(pictures)[0]
    assert np.allclose(pooled, unit(seen(towers / "vit", pictures)[0][:, 0].numpy()), atol=1e-5)


@pytest.mark.parametrize("made", [VisionTarget, TimmTarget])
def test_the_batch_changes_nothing_and_bounds_what_is_embedded(towers, pictures, tmp_path, made):
    folder = towers / "dinov2" if made is VisionTarget else save_timm(tmp_path, **SMALL)
    whole, parts, embedded = made(str(folder)), made(str(folder), batch=2), []
    embed = parts._embed
    parts._embed = lambda rows: embedded.append(len(rows)) or embed(rows)
    for one, other in zip(whole.pictures(pictures), parts.pictures(pictures), strict=True):
        assert np.allclose(one, other, atol=1e-5)
    assert embedded == [2, 1]


def test_layers_are_the_patches_of_the_blocks(towers, pictures):
    layers = VisionTarget(str(towers / "dinov2")).layers(pictures)
    assert list(layers) == ["block_1", "block_2", "block_3", "pooled"]
    expected = seen(towers / "dinov2", pictures).hidden_states[2][:, 3:].flatten(1).numpy()
    assert np.allclose(layers["block_2"], expected, atol=1e-5)


@pytest.mark.parametrize("made", [VisionTarget, TimmTarget])
@pytest.mark.filterwarnings("ignore:.*meta")
def test_the_device_is_the_one_asked_for(towers, tmp_path, made):
    folder = towers / "dinov2" if made is VisionTarget else save_timm(tmp_path, **SMALL)
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        made(str(folder), device="meta")


def seen_by_timm(folder, pictures):
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    about = timm.data.resolve_model_data_config(model)
    prepare = timm.data.create_transform(**about, is_training=False)
    rows = torch.stack([prepare(Image.fromarray(p)) for p in pictures])
    with torch.inference_mode():
        features = model.forward_features(rows)
        return features.numpy(), model.forward_head(features, pre_logits=True).numpy()


def test_a_transformer_of_timm_is_read_as_timm_reads_it(tmp_path, pictures):
    features, head = seen_by_timm(save_timm(tmp_path, **SMALL), pictures)
    pooled, tokens = TimmTarget(str(tmp_path)).pictures(pictures)
    assert features.shape == (3, 5, 12) and tokens.shape == (3, 4, 12)
    assert np.allclose(tokens, features[:, 1:], atol=1e-5)
    assert np.allclose(pooled, unit(head), atol=1e-5)
    mean, both = TimmTarget(str(tmp_path), tokens="class_and_grid", pool="mean").pictures(pictures)
    assert np.allclose(both, features, atol=1e-5)
    assert np.allclose(mean, unit(features.mean(axis=1)), atol=1e-5)


def test_a_convolutional_network_of_timm_gives_its_last_map(tmp_path, pictures):
    features, head = seen_by_timm(save_timm(tmp_path, "resnet10t"), pictures)
    pooled, tokens = TimmTarget(str(tmp_path)).pictures(pictures)
    n_places = features.shape[2] * features.shape[3]
    assert np.allclose(tokens, features.reshape(3, -1, n_places).transpose(0, 2, 1), atol=1e-4)
    assert np.allclose(pooled, unit(head), atol=1e-5)
    with pytest.raises(ValueError, match="no class token; choose grid"):
        TimmTarget(str(tmp_path), tokens="class_and_grid")


def test_what_a_forged_configuration_asks_of_timm_is_refused(tmp_path):
    save_timm(tmp_path, **SMALL)
    about = json.loads((tmp_path / "config.json").read_text())

    def forge(**changes):
        (tmp_path / "config.json").write_text(json.dumps(about | changes))
        return str(tmp_path)

    with pytest.raises(ValueError, match="no architecture of timm"):
        TimmTarget(forge(architecture="hf-hub:somebody/model"))
    with pytest.raises(ValueError, match="model_args names checkpoint_path"):
        TimmTarget(forge(model_args={"checkpoint_path": "/etc/passwd"}))
    with pytest.raises(ValueError, match="beyond 200"):
        TimmTarget(forge(model_args=SMALL | {"depth": 4000}))
    with pytest.raises(ValueError, match="they are of different models"):
        TimmTarget(forge(model_args=SMALL | {"embed_dim": 1024}))
