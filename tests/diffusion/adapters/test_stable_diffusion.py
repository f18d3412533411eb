"""Stable Diffusion and ControlNet paint what the pipelines of diffusers do, start included."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionControlNetImg2ImgPipeline, StableDiffusionImg2ImgPipeline

from neurodecode.diffusion.adapters.stable_diffusion import ControlNet, StableDiffusion
from tests.diffusion.adapters import tiny
from tests.diffusion.adapters.tiny import SEEDS, STEPS, WIDTH, N, agree

CAPTIONS = ["a cat", "a red box", "", "two dogs"]
GIVEN = {"steps": STEPS, "guidance": 3.0}
CALL = {"num_inference_steps": STEPS, "guidance_scale": 3.0, "output_type": "np"}
NONE = tiny.tokens()  # generators of captions look at no tokens


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("sd")
    tiny.sd(place).save_pretrained(place / "hub")
    tiny.controlnet().save_pretrained(place / "control")
    return {"path": str(place / "hub"), "controlnet": str(place / "control")}


@pytest.fixture(scope="module")
def captioned(folders):
    return StableDiffusion(folders["path"], **GIVEN)


@pytest.fixture(scope="module")
def controlled(folders):
    return ControlNet(**folders, **GIVEN)


def pictures():
    return torch.from_numpy(tiny.starts()).permute(0, 3, 1, 2)


def test_captions_are_painted_as_the_pipeline_itself_paints_them(captioned, tmp_path):
    expected = tiny.sd(tmp_path)(CAPTIONS, generator=tiny.rngs(), **CALL).images
    found = captioned.generate(NONE, SEEDS, captions=CAPTIONS)
    assert captioned.reads == ("tokens", "captions")
    assert agree(found, tiny.shown(expected))


def test_a_start_is_noised_as_the_img2img_pipeline_does(captioned, tmp_path):
    bare = StableDiffusionImg2ImgPipeline(**tiny.sd(tmp_path).components, requires_safety_checker=0)
    expected = bare(CAPTIONS, image=pictures(), strength=0.7, generator=tiny.rngs(), **CALL).images
    found = captioned.generate(NONE, SEEDS, tiny.starts(), 0.7, captions=CAPTIONS)
    assert agree(found, tiny.shown(expected))


def test_decoded_conditions_stand_in_for_the_text_encoder(folders, tmp_path):
    tokens = tiny.tokens(77, WIDTH)
    adapter = StableDiffusion(folders["path"], prompt="tokens", **GIVEN)
    embeds = torch.from_numpy(tokens)
    expected = tiny.sd(tmp_path)(
        prompt_embeds=embeds, negative_prompt=[""] * N, generator=tiny.rngs(), **CALL
    ).images
    assert adapter.reads == ("tokens",) and adapter.token_shape == (None, WIDTH)
    assert agree(adapter.generate(tokens, SEEDS), tiny.shown(expected))
    with pytest.raises(ValueError, match="5 tokens a row, where the text encoder says 77"):
        adapter.generate(tokens[:, :5], SEEDS)


def test_the_start_is_a_condition_as_in_the_controlnet_pipeline(controlled, tmp_path):
    bare = StableDiffusionControlNetImg2ImgPipeline(
        **tiny.sd(tmp_path).components, controlnet=tiny.controlnet(), requires_safety_checker=False
    )
    expected = bare(
        CAPTIONS,
        image=pictures(),
        control_image=pictures(),
        strength=0.7,
        controlnet_conditioning_scale=1.0,
        generator=tiny.rngs(),
        **CALL,
    ).images
    found = controlled.generate(NONE, SEEDS, tiny.starts(), 0.7, captions=CAPTIONS)
    assert agree(found, tiny.shown(expected))


def test_without_a_start_the_prompt_paints_alone(controlled, captioned):
    expected = captioned.generate(NONE, SEEDS, captions=CAPTIONS)
    assert agree(controlled.generate(NONE, SEEDS, captions=CAPTIONS), expected)
    found = controlled.generate(NONE, SEEDS, tiny.starts(), 1.0, captions=CAPTIONS)
    assert agree(found, expected)


@pytest.mark.parametrize("kind", ["captioned", "controlled"])
def test_a_row_is_the_same_in_whatever_batch_and_start(kind, request):
    adapter, start = request.getfixturevalue(kind), tiny.starts()
    given = {"captions": CAPTIONS}
    assert agree(
        adapter.generate(NONE, SEEDS, **given), adapter.generate(NONE, SEEDS, batch=1, **given)
    )
    assert agree(adapter.generate(NONE, SEEDS, start, 0.0, **given), tiny.shown(start))
    half = adapter.generate(NONE, SEEDS, start, 0.6, **given)
    assert agree(half, adapter.generate(NONE, SEEDS, start, 0.6, batch=1, **given))


@pytest.mark.parametrize(
    "option",
    [{"steps": 4}, {"guidance": 1.0}, {"negative": "a cow"}, {"picture_px": 40}]
    + [{"dtype": "bfloat16"}, {"control": 0.1}, {"img2img": False}],
)
def test_every_option_changes_the_pictures(folders, controlled, captioned, option):
    given = (NONE, SEEDS, tiny.starts(), 0.7, 4, CAPTIONS)
    other = ControlNet(**folders, **GIVEN | option).generate(*given)
    assert not agree(other, controlled.generate(*given))
    if not {"control", "img2img"} & set(option):
        other = StableDiffusion(folders["path"], **GIVEN | option).generate(*given)
        assert not agree(other, captioned.generate(*given))


def test_captions_that_are_missing_are_asked_for(captioned, folders, tmp_path):
    with pytest.raises(ValueError, match="StableDiffusion reads captions, one a row"):
        captioned.generate(NONE, SEEDS)
    assert len(captioned.generate(NONE[:0], [], captions=[])) == 0
    with pytest.raises(FileNotFoundError, match=r"no whole ControlNet: config.json.*hf download"):
        ControlNet(folders["path"], str(tmp_path))


def test_no_prompt_at_all_is_asked_once(folders):
    adapter, tokens = (
        StableDiffusion(folders["path"], prompt="tokens", **GIVEN),
        tiny.tokens(77, WIDTH),
    )
    first = adapter.generate(tokens, SEEDS)
    adapter._pipeline.text_encoder = None
    assert np.array_equal(first, adapter.generate(tokens, SEEDS))
