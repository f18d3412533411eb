"""Folders of models: what is missing is named, what is forged is refused, the hub is asked once."""

import json

import numpy as np
import pytest

from neurodecode.contrastive.clip import ClipTarget
from neurodecode.contrastive.vision import VisionTarget
from neurodecode.core.key import file_digest
from neurodecode.weights.folders import model_folder, weight_files
from tests.contrastive.tiny_models import save_clip, save_vision


@pytest.fixture
def folder(tmp_path):
    return save_vision(tmp_path / "tower", "ViT")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_missing_file_is_named_with_how_to_get_it(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"it has no {name}.*hf download"):
        VisionTarget(str(folder))


@pytest.mark.parametrize("name", ["preprocessor_config.json", "tokenizer.json"])
def test_a_clip_says_which_file_it_lacks(tmp_path, name):
    save_clip(tmp_path)
    for file in {name, "vocab.json" if name == "tokenizer.json" else name}:
        (tmp_path / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"it has no {name}"):
        ClipTarget(str(tmp_path))


def test_weights_that_may_run_code_are_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="pytorch_model.bin may run code and is not read"):
        VisionTarget(str(folder))


def test_a_missing_part_of_sharded_weights_is_named(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [p.name for p in weight_files(folder)] == ["model-00001-of-00002.safetensors"]
    index["weight_map"]["b"] = "model-00002-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(FileNotFoundError, match="names model-00002-of-00002.safetensors"):
        weight_files(folder)
    index["weight_map"]["b"] = "../../secret.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="no safetensors file there"):
        weight_files(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 1 << 30}, "beyond 1048576"),
        ({"num_hidden_layers": 5000}, "beyond 200"),
        ({"intermediate_size": 100_000}, "they are of different models"),
        ({"num_hidden_layers": 5}, "lack 16 tensors.*another model"),
        ({"hidden_size": 24}, "damaged|another model"),
        ({"model_type": "nothing", "auto_map": {"AutoModel": "evil.Model"}}, "may run code"),
    ],
)
def test_a_forged_configuration_is_refused(folder, changes, said):
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | changes))
    (folder / "evil.py").write_text("raise SystemExit('code of others ran')")
    with pytest.raises(ValueError, match=said):
        VisionTarget(str(folder))


def test_a_forged_preparation_is_refused(folder):
    path = folder / "preprocessor_config.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"size": {"shortest_edge": 100_000}}))
    with pytest.raises(ValueError, match="size: shortest_edge is 100000"):
        VisionTarget(str(folder))


def test_weights_that_are_cut_short_are_refused(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="cut short"):
        VisionTarget(str(folder))


def test_a_hub_id_is_fetched_at_its_revision_and_checked_like_a_folder(folder, monkeypatch):
    import huggingface_hub

    asked = []

    def fetch(model, revision, **how):
        asked.append((model, revision, how))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    pictures = np.zeros((1, 32, 32, 3), np.uint8)
    found = VisionTarget("owner/tower", revision="abc123").pictures(pictures)[0]
    assert np.array_equal(found, VisionTarget(str(folder)).pictures(pictures)[0])
    ((model, revision, how),) = asked
    assert (model, revision) == ("owner/tower", "abc123")
    allowed = how["allow_patterns"]
    assert "*.safetensors" in allowed and not any(p.endswith((".py", ".bin")) for p in allowed)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no config.json"):
        VisionTarget("owner/tower")


def test_without_a_network_it_says_how_to_go_on(monkeypatch):
    import huggingface_hub

    def offline(*_, **__):
        raise OSError("no route\nto the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(FileNotFoundError, match="hf download owner/x --revision v1 --local-dir"):
        model_folder("owner/x", revision="v1")


def test_names_that_lead_nowhere_or_elsewhere_are_refused(folder):
    with pytest.raises(ValueError, match="revision='v1' is for a hub id"):
        model_folder(str(folder), revision="v1")
    with pytest.raises(ValueError, match="name a folder within"):
        model_folder(str(folder), subfolder="../elsewhere")
    with pytest.raises(FileNotFoundError, match="has no folder vae"):
        model_folder(str(folder), subfolder="vae")
    with pytest.raises(FileNotFoundError, match="no hub id"):
        model_folder("nothing")


def test_a_masked_autoencoder_is_refused_as_it_hides_patches_at_random(folder):
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"mask_ratio": 0.75}))
    before = file_digest(folder / "model.safetensors")
    with pytest.raises(ValueError, match="hides patches at random.*embed=timm"):
        VisionTarget(str(folder))
    assert file_digest(folder / "model.safetensors") == before
