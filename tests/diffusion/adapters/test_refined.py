"""Refinement is SDXL's img2img over its last steps, on another generator's pictures."""

import pytest
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline

from neurodecode.core.build import build
from neurodecode.core.seeds import child_seed
from neurodecode.diffusion.adapters.refined import CaptionedXL, Refined
from neurodecode.diffusion.adapters.stable_unclip import StableUnclip
from tests.diffusion.adapters import tiny
from tests.diffusion.adapters.tiny import SEEDS, agree

CAPTIONS = ["a cat", "a red box", "", "two dogs"]
GIVEN = {"steps": 4, "guidance": 3.0, "negative": "a cow"}
UNCLIP = {"_target_": "neurodecode.diffusion.adapters.stable_unclip.StableUnclip", "steps": 2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("refined")
    tiny.sdxl(place).save_pretrained(place / "sdxl")
    tiny.unclip(place).save_pretrained(place / "unclip")
    return place


@pytest.fixture(scope="module")
def first(folders):
    return StableUnclip(str(folders / "unclip"), steps=2)


@pytest.fixture(scope="module")
def node(folders):
    return {
        "_target_": "neurodecode.diffusion.adapters.refined.Refined",
        "base": UNCLIP | {"path": str(folders / "unclip")},
        "path": str(folders / "sdxl"),
        "last_steps": 2,
        "picture_px": None,
        **GIVEN,
    }


@pytest.fixture(scope="module")
def refined(node):
    return build(node)


def test_captions_refine_as_the_img2img_pipeline_itself_does(refined, first, tmp_path):
    tokens = tiny.tokens()
    begun = torch.from_numpy(first.generate(tokens, SEEDS) / 255.0).permute(0, 3, 1, 2)
    parts = tiny.sdxl(tmp_path).components
    expected = StableDiffusionXLImg2ImgPipeline(**parts, add_watermarker=False)(
        CAPTIONS,
        image=begun.float(),
        strength=0.5,
        negative_prompt=["a cow"] * 4,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=tiny.rngs([child_seed(seed, "refined") for seed in SEEDS]),
        output_type="np",
    ).images
    assert refined.reads == ("tokens", "captions") and refined.token_shape == first.token_shape
    found = refined.generate(tokens, SEEDS, captions=CAPTIONS)
    assert agree(found, tiny.shown(expected))
    assert agree(found, refined.generate(tokens, SEEDS, batch=1, captions=CAPTIONS))


def test_the_start_reaches_the_first_generator_and_strength_0_returns_it(refined):
    tokens, start = tiny.tokens(), tiny.starts()
    found = refined.generate(tokens, SEEDS, start, 0.0, captions=CAPTIONS)
    assert agree(found, tiny.shown(start))
    half = refined.generate(tokens, SEEDS, start, 0.5, captions=CAPTIONS)
    assert not agree(half, refined.generate(tokens, SEEDS, captions=CAPTIONS))


@pytest.mark.parametrize(
    "option",
    [{"steps": 5}, {"last_steps": 3}, {"guidance": 1.0}, {"negative": None}, {"picture_px": 40}]
    + [{"prompt": "empty"}, {"dtype": "bfloat16"}],
)
def test_every_option_changes_the_pictures(node, refined, option):
    other = build(node | option)
    captions = CAPTIONS if "captions" in other.reads else None
    found = other.generate(tiny.tokens(), SEEDS, captions=captions)
    assert not agree(found, refined.generate(tiny.tokens(), SEEDS, captions=CAPTIONS))


def test_the_first_generator_is_a_choice(node, refined, first):
    assert len(build(node | {"prompt": "empty"}).reads) == 1
    other = build(node | {"base": node["base"] | {"steps": 3}})
    given = {"captions": CAPTIONS}
    found = other.generate(tiny.tokens(), SEEDS, **given)
    assert not agree(found, refined.generate(tiny.tokens(), SEEDS, **given))
    with pytest.raises(ValueError, match="there are steps=4 in all"):
        Refined(node["base"], node["path"], steps=4, last_steps=5)


def test_all_of_the_steps_leave_nothing_of_the_first_picture(folders, node):
    alone = CaptionedXL(str(folders / "sdxl"), **GIVEN)
    anew = [child_seed(seed, "refined") for seed in SEEDS]
    expected = alone.generate(tiny.tokens(), anew, captions=CAPTIONS)
    found = build(node | {"last_steps": 4}).generate(tiny.tokens(), SEEDS, captions=CAPTIONS)
    assert agree(found, expected)
