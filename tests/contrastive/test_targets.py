"""The target is the model open_clip says it is, picture by picture, and the shipped one works."""

import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.weights import named_folders, shipped, weights_folder
from neurodecode.world.scenes import captions, render, sample_scenes

TINY = {
    "embed_dim": 12,
    "vision_cfg": {
        "image_size": 32,
        "patch_size": 16,
        "width": 16,
        "head_width": 8,
        "layers": 4,
    },
    "text_cfg": {
        "context_length": 40,
        "vocab_size": 512,
        "width": 16,
        "heads": 2,
        "layers": 1,
        "hf_tokenizer_name": "tokenizer",
    },
}


@pytest.fixture(scope="module")
def scenes():
    return sample_scenes(40, np.random.default_rng(11))


@pytest.fixture(scope="module")
def clip():
    return OpenClipTarget()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The folder of a random model of two by two patches, with a class token."""
    folder = tmp_path_factory.mktemp("tiny")
    about = {"model_cfg": TINY, "preprocess_cfg": {"size": 32, "interpolation": "bicubic"}}
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((shipped("clip") / name).read_bytes())
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


def test_the_pooled_embedding_is_what_open_clip_compares_with_texts(tiny, scenes):
    pictures = render(scenes)[:5]
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{tiny}")
    rows = torch.stack([prepare(Image.fromarray(p)) for p in pictures])
    with torch.inference_mode():
        expected = model.eval().encode_image(rows, normalize=True).numpy()
    assert np.allclose(OpenClipTarget(str(tiny)).pictures(pictures)[0], expected, atol=1e-6)


def test_the_tokens_are_the_patch_tokens_that_open_clip_hands_out(tiny, scenes):
    pictures = render(scenes)[:5]
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{tiny}")
    model.eval().visual.output_tokens = True
    rows = torch.stack([prepare(Image.fromarray(p)) for p in pictures])
    with torch.inference_mode():
        expected = model.visual(rows)[1].numpy()
    target = OpenClipTarget(str(tiny))
    assert expected.shape[1:] == (target.n_tokens, target.token_dim) == (4, 16)
    assert np.allclose(target.pictures(pictures)[1], expected, atol=1e-6)


def test_texts_are_embedded_as_open_clip_does_and_do_not_depend_on_their_batch(tiny):
    words = ["a small red disc", "a large blue star at the top", "house", "a"]
    model = open_clip.create_model(f"local-dir:{tiny}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{tiny}")(words)
    with torch.inference_mode():
        expected = model.encode_text(tokens, normalize=True).numpy()
    assert np.allclose(OpenClipTarget(str(tiny), batch=3).texts(words), expected, atol=1e-6)


def test_the_shipped_model_has_sixteen_tokens_and_unit_rows(clip, scenes):
    pooled, tokens = clip.pictures(render(scenes))
    assert pooled.shape == (40, clip.dim) == (40, 128) and pooled.dtype == np.float32
    assert tokens.shape == (40, clip.n_tokens, clip.token_dim) == (40, 16, 128)
    assert np.allclose(np.linalg.norm(pooled, axis=1), 1, atol=1e-6)
    assert np.allclose(np.linalg.norm(clip.texts(captions(scenes)), axis=1), 1, atol=1e-6)


def test_a_picture_is_embedded_the_same_in_any_batch(clip, scenes):
    pictures = render(scenes)
    for one, other in zip(
        clip.pictures(pictures), OpenClipTarget(batch=7).pictures(pictures), strict=True
    ):
        assert np.allclose(one, other, atol=1e-5)


def test_no_more_than_a_batch_is_embedded_at_once(tiny, scenes):
    target, embedded = OpenClipTarget(str(tiny), batch=4), []
    forward = target._model.visual.forward_intermediates
    target._model.visual.forward_intermediates = lambda rows, **how: (
        embedded.append(len(rows)) or forward(rows, **how)
    )
    target.pictures(render(scenes)[:9])
    assert embedded == [4, 4, 1]


def test_pretrained_names_the_weights_of_a_named_model(tmp_path, scenes):
    named = {part: dict(about) for part, about in TINY.items() if part != "embed_dim"}
    named["text_cfg"] |= {"vocab_size": 49408}  # open_clip's own tokenizer: no file is needed
    del named["text_cfg"]["hf_tokenizer_name"]
    (tmp_path / "tiny-named.json").write_text(json.dumps({"embed_dim": 12} | named))
    open_clip.add_model_config(tmp_path / "tiny-named.json")
    pooled = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        torch.save(open_clip.create_model("tiny-named").state_dict(), tmp_path / "weights.pt")
        torch.manual_seed(9)
        target = OpenClipTarget("tiny-named", pretrained=str(tmp_path / "weights.pt"))
        pooled.append(target.pictures(render(scenes)[:3])[0])
    assert np.array_equal(pooled[0], pooled[1]) and not np.allclose(*pooled[1:], atol=0.1)


@pytest.mark.filterwarnings("ignore:.*meta parameter")
def test_the_device_is_the_one_asked_for(tiny):
    with pytest.raises(NotImplementedError, match="meta"):  # torch's device without memory
        OpenClipTarget(str(tiny), device="meta")


def test_the_shipped_model_finds_each_caption_among_forty(clip, scenes):
    similarity = clip.pictures(render(scenes))[0] @ clip.texts(captions(scenes)).T
    assert (similarity.argmax(axis=1) == np.arange(40)).all()  # its card says 1.000 among 500
    assert (similarity.argmax(axis=0) == np.arange(40)).all()


def test_the_tokens_tell_the_place_to_a_linear_reader(clip):
    """What a linear brain decoder has to find is there: the centre, well within a grid cell."""
    table = sample_scenes(600, np.random.default_rng(12))
    from sklearn.linear_model import Ridge

    from neurodecode.world.scenes import CENTRE_PX

    tokens = clip.pictures(render(table))[1].reshape(600, -1)
    place = np.stack([table[a].map(CENTRE_PX) + table[f"{a}_offset_px"] for a in "xy"], axis=1)
    error = Ridge(100.0).fit(tokens[:500], place[:500]).predict(tokens[500:]) - place[500:]
    assert np.sqrt((error**2).mean()) < 17 / 4  # pixels; the grid's pitch is 17, guessing errs 14


def test_layers_go_from_shallow_to_the_pooled_embedding(clip, scenes):
    pictures = render(scenes)
    layers = clip.layers(pictures)
    assert list(layers) == ["block_2", "block_4", "block_6", "pooled"]
    assert {len(values) for values in layers.values()} == {40}
    assert np.array_equal(layers["pooled"], clip.pictures(pictures)[0])
    assert not np.allclose(layers["block_2"], layers["block_4"])


def test_a_picture_of_another_size_is_scaled_as_the_model_says(clip, scenes):
    pictures = render(scenes)[:4]
    larger = np.repeat(np.repeat(pictures, 2, axis=1), 2, axis=2)
    cosine = np.einsum("nd,nd->n", clip.pictures(larger)[0], clip.pictures(pictures)[0])
    assert (cosine > 0.95).all()


def test_mistakes_are_answered_with_what_to_do(clip, tmp_path):
    with pytest.raises(ValueError, match="random weights.*openai"):
        OpenClipTarget("ViT-B-32")
    with pytest.raises(ValueError, match="drop one of the two"):
        OpenClipTarget("shipped:clip", pretrained="openai")
    with pytest.raises(ValueError, match="shipped: there are clip, generator, generator_128"):
        OpenClipTarget("shipped:clop")
    with pytest.raises(FileNotFoundError, match="expected where a saved model lies"):
        OpenClipTarget(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="expected at least one, uint8"):
        clip.pictures(np.zeros((2, 64, 64, 3), np.float32))


def test_weights_that_cannot_be_downloaded_say_what_to_do_without_a_network(monkeypatch):
    import open_clip

    def offline(*_, **__):
        raise RuntimeError("Failed to download weights\nfor a reason")

    monkeypatch.setattr(open_clip, "create_model_and_transforms", offline)
    with pytest.raises(ValueError, match="ViT-B-32 could not be downloaded .*pretrained=/models"):
        OpenClipTarget("ViT-B-32", "openai")


def test_names_of_weights_lead_to_folders_and_hub_names_do_not(tmp_path):
    assert shipped("clip") == shipped("shipped:clip") == weights_folder("shipped:clip")
    assert weights_folder(str(tmp_path)) == tmp_path
    assert weights_folder("hf-hub:owner/model") is None and weights_folder("ViT-B-32") is None
    node = {"_target_": "a.b.C", "model": "shipped:clip", "pretrained": None, "batch": 3}
    assert named_folders(node) == [shipped("clip")]


def test_a_file_of_weights_counts_too(tmp_path):
    (tmp_path / "ViT-B-32.safetensors").write_bytes(b"weights")
    node = {"model": "ViT-B-32", "pretrained": str(tmp_path / "ViT-B-32.safetensors")}
    assert named_folders(node) == [tmp_path / "ViT-B-32.safetensors"]
    with pytest.raises(FileNotFoundError, match="saved model"):
        named_folders(node | {"pretrained": str(tmp_path / "nowhere.safetensors")})


def seen_by_open_clip(folder, pictures, halved=False):
    """What open_clip's own network holds: every block's output with the class token, and it."""
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    rows = torch.stack([prepare(Image.fromarray(p)) for p in pictures])
    if halved:  # MindEye2: [0, 1] given to what expects [-1, 1]
        mean, std = (torch.tensor(v)[:, None, None] for v in (OPENAI_MEAN, OPENAI_STD))
        rows = ((rows * std + mean + 1) / 2 - mean) / std
    held = []
    for block in model.eval().visual.transformer.resblocks:
        block.register_forward_hook(lambda _, __, out: held.append(out))
    with torch.no_grad():
        pooled = model.encode_image(rows)
    return model.visual, held, pooled


OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


def test_every_choice_of_tokens_is_what_open_clip_holds_there(tiny, scenes):
    pictures = render(scenes)[:3]
    visual, held, pooled = seen_by_open_clip(tiny, pictures)
    normed = visual.ln_post(held[-1]).detach()
    expected = {
        "grid": normed[:, 1:],
        "class_and_grid": normed,
        "last_no_norm": held[-1][:, 1:],
        "penultimate": held[-2],
        "pooled": pooled[:, None],
    }
    for name, values in expected.items():
        target = OpenClipTarget(str(tiny), tokens=name)
        found = target.pictures(pictures)
        assert found[1].shape[1:] == (target.n_tokens, target.token_dim)
        assert np.allclose(found[1], values.numpy(), atol=1e-5), name
        assert np.allclose(found[0], OpenClipTarget(str(tiny)).pictures(pictures)[0], atol=1e-6)
    assert np.abs(normed[:, 1:] - held[-1][:, 1:]).max() > 0.1  # the norm does something


def test_the_published_contrast_is_halved_only_where_it_is_asked_for(tiny, scenes):
    pictures = render(scenes)[:3]
    visual, held, _ = seen_by_open_clip(tiny, pictures, halved=True)
    expected = visual.ln_post(held[-1])[:, 1:].detach().numpy()
    quirk = OpenClipTarget(str(tiny), compat="mindeye2").pictures(pictures)[1]
    assert np.allclose(quirk, expected, atol=1e-5)
    assert np.abs(quirk - OpenClipTarget(str(tiny)).pictures(pictures)[1]).max() > 0.01


def test_a_folder_without_weights_is_incomplete(tiny, tmp_path):
    (tmp_path / "open_clip_config.json").write_bytes((tiny / "open_clip_config.json").read_bytes())
    with pytest.raises(FileNotFoundError, match="no weights beside open_clip_config.json"):
        OpenClipTarget(str(tmp_path))
