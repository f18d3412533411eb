"""The generator follows the flow to the picture its network says, row by row and reproducibly."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, PixArtTransformer2DModel
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.diffusion.generator import TokenGenerator
from neurodecode.diffusion.pipeline import TokenPipeline
from neurodecode.metrics.attributes import AttributeReader
from neurodecode.world.scenes import render, sample_scenes

N, TOKENS, DIM, SIZE = 6, 4, 5, 16


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The folder of a random pipeline of 16-pixel pictures, saved by diffusers."""
    torch.manual_seed(0)
    network = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        in_channels=3,
        out_channels=3,
        sample_size=SIZE,
        patch_size=8,
        cross_attention_dim=16,
        caption_channels=DIM,
        use_additional_conditions=False,
    )
    folder = tmp_path_factory.mktemp("generator")
    TokenPipeline(network, FlowMatchEulerDiscreteScheduler()).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def tokens():
    return 3 * np.random.default_rng(0).standard_normal((N, TOKENS, DIM)).astype(np.float32)


@pytest.fixture
def start():
    return np.random.default_rng(1).random((N, 4, 4, 3)).astype(np.float32)


SEEDS = list(range(N))


def close(one, other):
    """Equal up to one grey level: sums are ordered by the size of the batch."""
    return np.abs(one.astype(int) - other).max() <= 1


def test_a_saved_pipeline_generates_what_the_one_in_memory_did(tiny, tokens):
    pipeline = TokenPipeline.from_pretrained(tiny)
    noise = torch.stack(
        [torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(s)) for s in SEEDS]
    )
    expected = pipeline(torch.from_numpy(tokens), noise, steps=3).permute(0, 2, 3, 1).numpy()
    found = TokenGenerator(tiny, steps=3).generate(tokens, SEEDS)
    assert found.shape == (N, SIZE, SIZE, 3) and found.dtype == np.uint8
    assert np.abs(found / 255 - expected).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_network_that_knows_the_picture_is_followed_to_it(tiny, tokens, guidance, steps):
    generator = TokenGenerator(tiny, steps=steps, guidance=guidance)
    picture = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(9)) * 2 - 1
    generator._pipeline._clean = lambda x, t, tokens: picture.expand(len(x), -1, -1, -1)
    expected = ((picture / 2 + 0.5) * 255).round().permute(1, 2, 0).numpy()
    assert close(generator.generate(tokens, SEEDS), expected)


def test_the_flow_is_integrated_exactly_for_gaussian_pictures(tiny, tokens):
    """For x_0 ~ N(0, s^2) the best answer is linear and the flow maps the noise to s times it."""
    spread, generator = 0.3, TokenGenerator(tiny, steps=400)

    def clean(x, t, tokens):
        sigma = t / 1000
        return x * (1 - sigma) * spread**2 / ((1 - sigma) ** 2 * spread**2 + sigma**2)

    generator._pipeline._clean = clean
    noise = torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    expected = ((spread * noise / 2 + 0.5).clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    found = generator.generate(tokens[:1], [7])[0]
    assert np.abs(found - expected).max() < 2.5  # Euler's error at 400 steps, and rounding


def test_a_row_depends_on_its_own_seed_and_tokens_alone(tiny, tokens):
    generator = TokenGenerator(tiny)
    whole = generator.generate(tokens, SEEDS)
    assert close(whole, generator.generate(tokens, SEEDS, batch=2))
    assert close(whole[::-1], generator.generate(tokens[::-1], SEEDS[::-1]))
    assert close(whole[3:4], generator.generate(tokens[3:4], [3]))
    assert np.array_equal(whole, generator.generate(tokens, SEEDS))


def test_seeds_tokens_steps_and_guidance_each_change_the_pictures(tiny, tokens):
    base = TokenGenerator(tiny, steps=4).generate(tokens, SEEDS)
    others = (
        TokenGenerator(tiny, steps=4).generate(tokens, [s + 100 for s in SEEDS]),
        TokenGenerator(tiny, steps=4).generate(-tokens, SEEDS),
        TokenGenerator(tiny, steps=2).generate(tokens, SEEDS),
        TokenGenerator(tiny, steps=4, guidance=3.0).generate(tokens, SEEDS),
    )
    assert all(not close(base, other) for other in others)


def test_guidance_has_no_say_over_dropped_tokens(tiny, tokens):
    none = np.zeros_like(tokens)
    plain = TokenGenerator(tiny).generate(none, SEEDS)
    assert close(plain, TokenGenerator(tiny, guidance=4.0).generate(none, SEEDS))


def test_strength_goes_from_the_start_itself_to_pure_noise(tiny, tokens, start):
    generator = TokenGenerator(tiny, steps=4)
    larger = torch.nn.functional.interpolate(
        torch.from_numpy(start).permute(0, 3, 1, 2), (SIZE, SIZE), mode="bilinear", antialias=True
    )
    as_begun = (larger.clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    assert close(generator.generate(tokens, SEEDS, start, strength=0.0), as_begun)
    whole = generator.generate(tokens, SEEDS)
    assert np.array_equal(whole, generator.generate(tokens, SEEDS, start, strength=1.0))
    assert np.array_equal(whole, generator.generate(tokens, SEEDS, strength=0.3))
    assert not close(whole, generator.generate(tokens, SEEDS, start, strength=0.5))


def test_a_beginning_on_the_way_takes_its_share_of_the_steps(tiny, tokens, start):
    generator, seen = TokenGenerator(tiny, steps=10), []

    def clean(x, t, tokens):
        seen.append(float(t))
        return torch.zeros_like(x)

    generator._pipeline._clean = clean
    generator.generate(tokens, SEEDS, start, strength=0.3)
    assert seen == pytest.approx([300, 200, 100])


def test_no_rows_make_no_pictures(tiny):
    found = TokenGenerator(tiny).generate(np.zeros((0, TOKENS, DIM), np.float32), [])
    assert found.shape == (0, SIZE, SIZE, 3)


def test_mistakes_are_answered_with_what_to_do(tiny, tokens, start, tmp_path):
    with pytest.raises(FileNotFoundError, match="model_index.json"):
        TokenGenerator(str(tmp_path))
    with pytest.raises(ValueError, match="at least one denoising step"):
        TokenGenerator(tiny, steps=0)
    generator = TokenGenerator(tiny)
    with pytest.raises(ValueError, match="trained on tokens of 5 numbers"):
        generator.generate(tokens[..., :3], SEEDS)
    with pytest.raises(ValueError, match="as many seeds"):
        generator.generate(tokens, SEEDS[:2])
    with pytest.raises(ValueError, match="as many seeds and starts"):
        generator.generate(tokens, SEEDS, start[:2], 0.5)
    with pytest.raises(ValueError, match=r"not in \[0, 1\]"):
        generator.generate(tokens, SEEDS, start, 1.5)


@pytest.mark.parametrize("name", ["generator", "generator_128"])
def test_the_same_seed_is_the_same_picture_in_every_batch(name):
    """Equal in 99.9 % of all 8-bit values, else off by one."""
    pictures = render(sample_scenes(16, np.random.default_rng(32)))
    tokens, seeds = OpenClipTarget().pictures(pictures)[1], list(range(16))
    generator = TokenGenerator(f"shipped:{name}")
    whole = generator.generate(tokens, seeds, batch=16).astype(int)
    for batch in (1, 5):
        apart = np.abs(generator.generate(tokens, seeds, batch=batch) - whole)
        assert (apart == 0).mean() >= 0.999 and apart.max() <= 1


@pytest.mark.slow
def test_the_shipped_generator_paints_the_scene_again_from_its_tokens():
    scenes = sample_scenes(100, np.random.default_rng(31))
    pictures = render(scenes)
    tokens = OpenClipTarget().pictures(pictures)[1]
    made = TokenGenerator().generate(tokens, list(range(100)))
    accuracy = AttributeReader().accuracy(made, scenes)
    a, b = (torch.from_numpy(p).permute(0, 3, 1, 2) / 255.0 for p in (made, pictures))
    correlations = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    assert min(accuracy.values()) >= 0.98  # its card: .998 and 1.000
    assert ssim(a, b, data_range=1.0) > 0.97 and np.mean(correlations) > 0.985  # .978 and .994
