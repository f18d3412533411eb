"""Folders of pipelines are checked before they are loaded, and say what is missing in them."""

import importlib.util
import json
import shutil

import pytest

from neurodecode.diffusion.adapters import weights
from neurodecode.diffusion.adapters.stable_unclip import StableUnclip
from neurodecode.diffusion.adapters.weights import Weights
from tests.diffusion.adapters import tiny
from tests.diffusion.adapters.tiny import SEEDS, agree


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    tiny.unclip(place).save_pretrained(place / "hub")
    return place / "hub"


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "hub")


def edit(path, **changes):
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | changes))


def test_everything_that_is_missing_is_listed(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "text_encoder" / "config.json").unlink()
    shutil.rmtree(folder / "scheduler")
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(FileNotFoundError, match="is not whole") as caught:
        StableUnclip(str(folder))
    for name in (
        "unet/diffusion_pytorch_model.safetensors is missing",
        "text_encoder/config.json is missing",
        "scheduler/scheduler_config.json is missing",
        "tokenizer/tokenizer.json is missing",
    ):
        assert name in str(caught.value)


def test_a_part_that_the_index_does_not_name_is_missing(folder):
    index = json.loads((folder / "model_index.json").read_text())
    del index["vae"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(FileNotFoundError, match="vae: model_index.json names none"):
        StableUnclip(str(folder))
    (folder / "model_index.json").unlink()
    with pytest.raises(FileNotFoundError, match="no folder with a model_index.json"):
        StableUnclip(str(folder))


def test_other_files_in_place_of_the_weights_are_named(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    half = file.rename(file.with_name("diffusion_pytorch_model.fp16.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"fp16.safetensors: another variant="):
        StableUnclip(str(folder))
    half.rename(file.with_name("diffusion_pytorch_model.bin"))
    with pytest.raises(FileNotFoundError, match="a pickle, which is not opened"):
        StableUnclip(str(folder))


def test_what_is_not_needed_may_be_missing(folder):
    shutil.rmtree(folder / "image_encoder")
    shutil.rmtree(folder / "feature_extractor")
    assert StableUnclip(str(folder), steps=1).generate(tiny.tokens(), SEEDS).shape[0] == len(SEEDS)


def test_a_variant_of_the_weights_is_found_by_its_name(whole, tmp_path):
    tiny.unclip(tmp_path).save_pretrained(tmp_path / "hub", variant="fp16")
    found = StableUnclip(str(tmp_path / "hub"), steps=1, variant="fp16")
    expected = StableUnclip(str(whole), steps=1).generate(tiny.tokens(), SEEDS)
    assert agree(found.generate(tiny.tokens(), SEEDS), expected)


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        ("unet", {"cross_attention_dim": 1 << 40}, "beyond"),
        ("unet", {"layers_per_block": 5000}, "beyond 200"),
        ("unet", {"block_out_channels": [64, 128]}, "of different networks"),
        ("unet", {"norm_num_groups": 7}, "makes no UNet2DConditionModel"),
        ("text_encoder", {"num_hidden_layers": 150}, "of different networks"),
        ("text_encoder", {"auto_map": {"AutoModel": "x--y.Z"}}, "may run code"),
        ("text_encoder", {"attn_implementation": "some/kernel"}, "may run code"),
    ],
)
def test_a_forged_configuration_is_refused(folder, part, changes, said):
    edit(folder / part / "config.json", **changes)
    with pytest.raises(ValueError, match=said):
        StableUnclip(str(folder))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (["trapped", "Model"], "only parts of diffusers and transformers"),
        (["diffusers", "no_such_part"], "has no such part"),
        (["transformers", "set_seed"], "has no such part"),
        ("unet", "it is damaged"),
    ],
)
def test_a_part_of_another_library_is_refused(folder, part, said):
    edit(folder / "model_index.json", unet=part)
    with pytest.raises(ValueError, match=said):
        StableUnclip(str(folder))


def test_half_precision_on_a_cpu_is_refused():
    with pytest.raises(ValueError, match=r"dtype=float16 on device=cpu.*bfloat16"):
        Weights("x", dtype="float16")
    assert Weights("x", dtype="float16", device="cuda").dtype == "float16"


@pytest.mark.parametrize("memory", ["offload", "sequential"])
def test_an_offload_says_what_it_needs(memory, monkeypatch):
    with pytest.raises(ValueError, match=f"memory={memory}.*no GPU"):
        Weights("x", memory=memory)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs the package accelerate: pip install accelerate"):
        Weights("x", memory=memory, device="cuda")


class Parts:
    """Notes what a pipeline is told about memory."""

    def __init__(self):
        self.told, self.vae = [], self

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.told.append((name, *args, *kwargs.values()))


def test_each_preset_of_memory_reaches_the_pipeline(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    slices = ("enable_slicing",)
    expected = {
        "all_on_device": [("to", "cuda")],
        "offload": [("enable_model_cpu_offload", "cuda"), slices],
        "sequential": [("enable_sequential_cpu_offload", "cuda"), slices],
        "tiled": [("to", "cuda"), slices, ("enable_tiling",)],
    }
    for memory, told in expected.items():
        parts = Parts()
        Weights("x", memory=memory, device="cuda").place(parts)
        assert parts.told == told


def test_tiles_paint_nearly_the_same(whole):
    plain, tiled = (
        StableUnclip(str(whole), steps=1),
        StableUnclip(str(whole), steps=1, memory="tiled"),
    )
    one, other = (a.generate(tiny.tokens(), SEEDS) for a in (plain, tiled))
    assert tiled._pipeline.vae.use_tiling and agree(one, other)  # one tile holds all 32 pixels


def test_a_hub_id_is_fetched_without_what_is_not_needed(whole, monkeypatch):
    asked = {}

    def snapshot(hub, **given):
        asked.update(given, hub=hub)
        return str(whole)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    made = StableUnclip("owner/unclip", steps=1, revision="abc")
    assert made.generate(tiny.tokens(), SEEDS).shape[0] == len(SEEDS)
    assert asked["hub"] == "owner/unclip" and asked["revision"] == "abc"
    assert "image_encoder/*" in asked["ignore_patterns"]
    assert not any(p.endswith((".bin", ".ckpt")) for p in asked["allow_patterns"])


def test_a_hub_that_gives_nothing_says_how_to_get_it(monkeypatch):
    def snapshot(hub, **given):
        raise OSError("no connection")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(FileNotFoundError, match="hf download owner/unclip --local-dir FOLDER"):
        weights.downloaded("owner/unclip", None, ["*"])
    with pytest.raises(FileNotFoundError, match="no folder"):
        StableUnclip("./nowhere")
