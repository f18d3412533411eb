"""Versatile Diffusion's network on decoded tokens paints what its dual-guided pipeline does."""

import json

import pytest
import torch
from diffusers import UniPCMultistepScheduler, VersatileDiffusionDualGuidedPipeline
from diffusers.models import DualTransformer2DModel

from neurodecode.diffusion.adapters.versatile import VersatileDiffusion
from tests.diffusion.adapters import tiny
from tests.diffusion.adapters.tiny import DIM, SEEDS, STEPS, agree

GIVEN = {"steps": STEPS, "guidance": 3.0}
KINDS = {"image_unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
KINDS |= {"text_unet": ["versatile_diffusion", "UNetFlatConditionModel"]}
KINDS |= {"scheduler": ["diffusers", "DDIMScheduler"]}
OTHERS = ("tokenizer", "image_feature_extractor", "text_encoder", "image_encoder")


def save(place):
    """Write it as the hub has it: parts of other encoders named, which nobody needs here."""
    for name, part in tiny.versatile().items():
        part.save_pretrained(place / name)
    index = {"_class_name": "VersatileDiffusionPipeline", **KINDS}
    index["image_encoder"] = ["transformers", "CLIPVisionModelWithProjection"]
    index["image_feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    (place / "model_index.json").write_text(json.dumps(index))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("versatile")
    save(place)
    return str(place)


@pytest.fixture(scope="module")
def image_only(folder):
    return VersatileDiffusion(folder, **GIVEN)


@pytest.fixture(scope="module")
def both(folder):
    return VersatileDiffusion(folder, mix_ratio=0.4, **GIVEN)


def bare(tokens, mix_ratio, monkeypatch):
    """The dual-guided pipeline's own call, with decoded tokens where its encoders would speak."""
    plain = DualTransformer2DModel.forward  # knows less than today's blocks pass: no masks are set
    wanted = ("encoder_hidden_states", "timestep", "cross_attention_kwargs", "return_dict")
    monkeypatch.setattr(
        DualTransformer2DModel,
        "forward",
        lambda self, x, **given: plain(self, x, **{k: given[k] for k in wanted if k in given}),
    )
    parts = tiny.versatile()
    scheduler = UniPCMultistepScheduler.from_config(parts.pop("scheduler").config)
    nobody = dict.fromkeys(OTHERS)
    pipeline = VersatileDiffusionDualGuidedPipeline(**parts, **nobody, scheduler=scheduler)
    image = torch.from_numpy(tokens[:, :257])
    image = image / image[:, :1].norm(dim=-1, keepdim=True)
    text = torch.from_numpy(tokens[:, 257:]) if tokens.shape[1] > 257 else torch.zeros(4, 77, DIM)
    for name, said in (("text", text), ("image", image)):
        both = torch.cat([torch.zeros_like(said), said])
        setattr(pipeline, f"_encode_{name}_prompt", lambda *_, both=both: both)
    pipeline.text_encoder = tiny.text_encoder()  # is asked for its length alone
    return tiny.shown(
        pipeline(
            prompt=[""] * 4,
            image=[""] * 4,
            text_to_image_strength=mix_ratio,
            num_inference_steps=STEPS,
            guidance_scale=3.0,
            generator=tiny.rngs(),
            output_type="np",
        ).images
    )


def test_the_image_branch_alone_is_the_pipeline_with_no_share_of_the_text(image_only, monkeypatch):
    tokens = tiny.tokens(257)
    assert image_only.token_shape == (257, DIM)
    assert agree(image_only.generate(tokens, SEEDS), bare(tokens, 0.0, monkeypatch))


def test_both_branches_are_mixed_as_the_pipeline_mixes_them(both, monkeypatch):
    tokens = tiny.tokens(257 + 77)
    assert both.token_shape == (334, DIM)
    assert agree(both.generate(tokens, SEEDS), bare(tokens, 0.4, monkeypatch))


@pytest.mark.parametrize("kind", ["image_only", "both"])
def test_a_row_is_the_same_in_whatever_batch_and_start(kind, request):
    adapter, start = request.getfixturevalue(kind), tiny.starts()
    tokens = tiny.tokens(adapter.token_shape[0])
    whole = adapter.generate(tokens, SEEDS)
    assert agree(whole, adapter.generate(tokens, SEEDS, batch=1))
    assert agree(adapter.generate(tokens, SEEDS, start, 0.0), tiny.shown(start))
    half = adapter.generate(tokens, SEEDS, start, 0.6)
    assert agree(half, adapter.generate(tokens, SEEDS, start, 0.6, batch=1))
    assert not agree(half, whole)


def test_the_norm_of_the_class_token_has_no_say(image_only, folder):
    tokens = tiny.tokens(257)
    assert agree(image_only.generate(tokens, SEEDS), image_only.generate(5 * tokens, SEEDS))
    plain = VersatileDiffusion(folder, renormalise=False, **GIVEN)
    assert not agree(plain.generate(tokens, SEEDS), plain.generate(5 * tokens, SEEDS))


@pytest.mark.parametrize(
    "option",
    [
        {"steps": 4},
        {"guidance": 1.0},
        {"mix_ratio": 0.9},
        {"picture_px": 40},
        {"dtype": "bfloat16"},
    ],
)
def test_every_option_changes_the_pictures(folder, both, option):
    tokens = tiny.tokens(334)
    found = VersatileDiffusion(folder, **{"mix_ratio": 0.4} | GIVEN | option)
    assert not agree(found.generate(tokens, SEEDS), both.generate(tokens, SEEDS))
