"""A captioner is loaded from the real layout, whole or not at all, and says the same each time."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from neurodecode.diffusion.captioner import PictureCaptioner

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BOS]", *"abcdefghijklmnopqrst"]


def save_processor(folder):
    """A word-piece tokenizer and an image processor, as GIT and BLIP are saved with."""
    from transformers import BertTokenizerFast, BlipImageProcessor, BlipProcessor

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), bos_token="[BOS]")
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    size = {"height": 16, "width": 16}
    BlipProcessor(BlipImageProcessor(size=size), tokenizer).save_pretrained(folder)


def make(kind, folder):
    """Save a tiny random captioner of one kind."""
    from transformers import BlipConfig, BlipForConditionalGeneration, GitConfig, GitForCausalLM

    save_processor(folder)
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    small |= {"intermediate_size": 16}
    seen = small | {"image_size": 16, "patch_size": 8, "initializer_range": 0.02}
    words = {"vocab_size": len(WORDS), "max_position_embeddings": 64, "pad_token_id": 0}
    words |= {"bos_token_id": 5, "eos_token_id": 3}
    if kind == "git":
        model = GitForCausalLM(GitConfig(vision_config=seen, **small, **words))
    else:
        text = small | words | {"sep_token_id": 3, "encoder_hidden_size": 16}
        model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=seen))
    with torch.no_grad():  # random weights of usual size see no difference between pictures
        for name, weight in model.named_parameters():
            sees = "vision" in name or "cross" in name or kind == "git"
            weight.mul_((20 if sees else 3) if weight.ndim > 1 else 1)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["git", "blip"])
def folder(request, tmp_path_factory):
    return make(request.param, tmp_path_factory.mktemp("captioner") / request.param)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (5, 1, 1, 3)).repeat(20, 1).repeat(20, 2).astype(np.uint8)


def test_every_picture_gets_a_caption_and_the_same_one_again(folder, pictures):
    captioner = PictureCaptioner(str(folder), longest=6)
    said = captioner.captions(pictures)
    assert len(said) == 5 and all(isinstance(text, str) for text in said)
    assert said == captioner.captions(pictures) and len(set(said)) > 1
    assert captioner.captions(pictures[:0]) == []


def test_a_caption_does_not_depend_on_its_batch(folder, pictures):
    said = [PictureCaptioner(str(folder), longest=6, batch=n).captions(pictures) for n in (2, 5)]
    assert said[0] == said[1]


def test_every_option_changes_what_is_said(folder, pictures, tmp_path):
    plain = PictureCaptioner(str(folder), longest=6).captions(pictures)
    assert plain != PictureCaptioner(str(folder), longest=2).captions(pictures)
    assert plain != PictureCaptioner(str(folder), prompt="a b", longest=6).captions(pictures)
    other = shutil.copytree(folder, tmp_path / "other")
    state = load_file(other / "model.safetensors")
    negated = {name: -tensor for name, tensor in state.items()}
    save_file(negated, other / "model.safetensors", {"format": "pt"})
    assert plain != PictureCaptioner(str(other), longest=6).captions(pictures)


def test_the_device_asked_for_is_the_one_used(folder):
    with pytest.raises(RuntimeError, match="toaster"):
        PictureCaptioner(str(folder), device="toaster")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer_config.json"])
def test_a_folder_that_lacks_a_file_says_which(folder, tmp_path, name):
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {name}.*fetch"):
        PictureCaptioner(str(broken))


def test_a_network_without_all_its_tensors_is_refused(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    state = load_file(broken / "model.safetensors")
    lost = max(state, key=lambda name: state[name].numel())
    save_file({k: v for k, v in state.items() if k != lost}, broken / "model.safetensors")
    with pytest.raises(ValueError, match="lack 1 tensors|cannot be loaded"):
        PictureCaptioner(str(broken))


def test_sizes_that_the_weights_do_not_fill_are_refused(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (config.get("text_config") or config)["vocab_size"] = 1_000_000
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="of different models"):
        PictureCaptioner(str(broken))


def test_a_model_of_another_kind_is_refused(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 16}))
    with pytest.raises(ValueError, match="makes no network"):
        PictureCaptioner(str(broken))
