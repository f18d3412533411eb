"""Stable unCLIP as an adapter paints what the pipeline of diffusers does, whatever the batch."""

import numpy as np
import pytest
import torch

from neurodecode.diffusion.adapters.stable_unclip import StableUnclip
from tests.diffusion.adapters import tiny
from tests.diffusion.adapters.tiny import SEEDS, STEPS, agree


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("unclip")
    tiny.unclip(place).save_pretrained(place / "hub")
    return place / "hub"


@pytest.fixture(scope="module")
def adapter(folder):
    return StableUnclip(str(folder), steps=STEPS, guidance=3.0, noise_level=5, prompt="a cat")


def test_it_paints_what_the_pipeline_itself_paints(adapter, tmp_path):
    tokens = tiny.tokens()
    expected = tiny.unclip(tmp_path)(
        image_embeds=torch.from_numpy(tokens[:, 0]),
        prompt=["a cat"] * len(tokens),
        num_inference_steps=STEPS,
        guidance_scale=3.0,
        noise_level=5,
        generator=tiny.rngs(),
        output_type="np",
    ).images
    assert agree(adapter.generate(tokens, SEEDS), tiny.shown(expected))


def test_a_row_is_the_same_in_whatever_batch(adapter):
    tokens = tiny.tokens()
    whole = adapter.generate(tokens, SEEDS)
    assert agree(whole, adapter.generate(tokens, SEEDS, batch=1))
    assert not agree(whole, adapter.generate(tokens, [s + 1 for s in SEEDS]))
    assert not agree(whole, adapter.generate(-tokens, SEEDS))


def test_strength_goes_from_the_start_itself_to_pure_noise(adapter):
    tokens, start = tiny.tokens(), tiny.starts()
    returned = adapter.generate(tokens, SEEDS, start, 0.0)
    assert agree(returned, tiny.shown(start))
    whole = adapter.generate(tokens, SEEDS)
    assert np.array_equal(whole, adapter.generate(tokens, SEEDS, start, 1.0))
    half = adapter.generate(tokens, SEEDS, start, 0.6)
    assert not agree(whole, half) and not agree(half, adapter.generate(tokens, SEEDS, start, 0.9))
    assert agree(half, adapter.generate(tokens, SEEDS, start, 0.6, batch=1))


@pytest.mark.parametrize(
    "option",
    [
        {"steps": 4},
        {"guidance": 1.0},
        {"noise_level": 700},
        {"prompt": "a dog"},
        {"picture_px": 40},
        {"dtype": "bfloat16"},
    ],
)
def test_every_option_changes_the_pictures(folder, adapter, option):
    given = {"steps": STEPS, "guidance": 3.0, "noise_level": 5, "prompt": "a cat"} | option
    found = StableUnclip(str(folder), **given).generate(tiny.tokens(), SEEDS)
    assert not agree(found, adapter.generate(tiny.tokens(), SEEDS))


def test_a_pipeline_in_memory_needs_no_text_encoder_with_a_sentence_given(adapter, tmp_path):
    pipeline = tiny.unclip(tmp_path)
    adapter.generate(tiny.tokens(), SEEDS)
    sentence, pipeline.text_encoder = adapter._sentence, None
    made = StableUnclip.of(pipeline, sentence, steps=STEPS, guidance=3.0, noise_level=5)
    expected = adapter.generate(tiny.tokens(), SEEDS)
    assert agree(made.generate(tiny.tokens(), SEEDS), expected)


def test_mistakes_are_answered_with_what_to_do(folder, adapter):
    with pytest.raises(ValueError, match=r"reads \(n, 1, 8\); choose the embedding"):
        adapter.generate(tiny.tokens(2), SEEDS)
    with pytest.raises(ValueError, match="as many seeds"):
        adapter.generate(tiny.tokens(), SEEDS[:2])
    with pytest.raises(ValueError, match="at least one denoising step"):
        StableUnclip(str(folder), steps=0)
    with pytest.raises(ValueError, match="from 0 to 999"):
        StableUnclip(str(folder), noise_level=1000)
    with pytest.raises(ValueError, match="a multiple of 2"):
        StableUnclip(str(folder), picture_px=33)
