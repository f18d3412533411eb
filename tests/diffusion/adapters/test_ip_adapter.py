"""IP-Adapter on SDXL paints what the pipeline of diffusers does, a row by its own embedding."""

import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPVisionModelWithProjection

from neurodecode.diffusion.adapters.ip_adapter import IPAdapterXL
from tests.diffusion.adapters import tiny
from tests.diffusion.adapters.tiny import DIM, SEEDS, STEPS, WIDTH, agree
from tests.scripts import load_script

PLAIN, PLUS = "models/plain.safetensors", "models/plus.safetensors"
GIVEN = {"steps": STEPS, "guidance": 3.0}
EYE = 24  # width of the image encoder's hidden states


def resampler(width=64, n_queries=4):
    """A plus adapter's projection, by the names of its published files."""
    norms, linear = {"norm_out": WIDTH}, {"proj_in": (width, EYE), "proj_out": (WIDTH, width)}
    biases = {f"{name}.bias": torch.randn(shape[0]) for name, shape in linear.items()}
    for i in range(4):
        attention, forward = f"layers.{i}.0", f"layers.{i}.1"
        norms |= {f"{attention}.norm1": width, f"{attention}.norm2": width, f"{forward}.0": width}
        linear |= {f"{attention}.to_q": (64, width), f"{attention}.to_kv": (128, width)}
        linear |= {f"{attention}.to_out": (width, 64)}
        linear |= {f"{forward}.1": (4 * width, width), f"{forward}.3": (width, 4 * width)}
    made = {f"{n}.{part}": torch.ones(d) for n, d in norms.items() for part in ("weight", "bias")}
    made |= {f"{n}.weight": torch.randn(shape) / shape[1] ** 0.5 for n, shape in linear.items()}
    return made | biases | {"latents": torch.randn(1, n_queries, width)}


@tiny.seeded
def adapters(folder, unet):
    """Both kinds of adapter and an image encoder, in the layout of the hub."""
    weights = load_script("bench/generators.py").adapter_weights(unet, DIM)
    (folder / "models").mkdir(parents=True)
    for file, projection in ((PLAIN, weights["image_proj"]), (PLUS, resampler())):
        flat = {f"image_proj.{n}": t for n, t in projection.items()}
        flat |= {f"ip_adapter.{n}": 3 * t for n, t in weights["ip_adapter"].items()}
        save_file(flat, folder / file)
    tiny.eye(width=EYE).save_pretrained(folder / "models" / "image_encoder")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("sdxl")
    pipeline = tiny.sdxl(place)
    pipeline.save_pretrained(place / "hub")
    return {"path": str(place / "hub"), "adapter": str(adapters(place / "ip", pipeline.unet))}


@pytest.fixture(scope="module")
def plain(folders):
    return IPAdapterXL(**folders, adapter_file=PLAIN, **GIVEN)


@pytest.fixture(scope="module")
def plus(folders):
    encoder = "models/image_encoder"
    return IPAdapterXL(**folders, adapter_file=PLUS, encoder=encoder, **GIVEN)


def bare(folders, file, embeds, seed, tmp_path):
    """The pipeline's own call; embeds: without and with, as its argument wants them."""
    pipeline = tiny.sdxl(tmp_path)
    pipeline.load_ip_adapter(
        folders["adapter"], "models", file.rpartition("/")[2], image_encoder_folder=None
    )
    return tiny.shown(
        pipeline(
            prompt="",
            ip_adapter_image_embeds=[embeds],
            num_inference_steps=STEPS,
            guidance_scale=3.0,
            generator=tiny.rngs([seed]),
            output_type="np",
        ).images
    )


def test_rows_are_what_the_pipeline_itself_paints(plain, folders, tmp_path):
    tokens = tiny.tokens()
    found = plain.generate(tokens, SEEDS)
    for row in (0, 3):
        own = torch.from_numpy(tokens[row : row + 1])
        embeds = torch.cat([torch.zeros_like(own), own])
        expected = bare(folders, PLAIN, embeds, SEEDS[row], tmp_path)
        assert agree(found[row : row + 1], expected)


def test_hidden_states_are_resampled_beside_those_of_an_empty_picture(plus, folders, tmp_path):
    tokens = tiny.tokens(5, EYE)
    assert plus.token_shape == (5, EYE)
    with torch.inference_mode():
        encoder = CLIPVisionModelWithProjection.from_pretrained(
            f"{folders['adapter']}/models/image_encoder"
        )
        nothing = encoder(torch.zeros(1, 3, 16, 16), output_hidden_states=True).hidden_states[-2]
    embeds = torch.stack([nothing, torch.from_numpy(tokens[1:2])])
    expected = bare(folders, PLUS, embeds, SEEDS[1], tmp_path)
    assert agree(plus.generate(tokens, SEEDS)[1:2], expected)


@pytest.mark.parametrize("kind", ["plain", "plus"])
def test_a_row_is_the_same_in_whatever_batch_and_start(kind, request):
    adapter = request.getfixturevalue(kind)
    tokens, start = tiny.tokens(adapter.token_shape[0], adapter.token_shape[1]), tiny.starts()
    whole = adapter.generate(tokens, SEEDS)
    assert agree(whole, adapter.generate(tokens, SEEDS, batch=1))
    assert not agree(whole, adapter.generate(-tokens, SEEDS))
    assert agree(adapter.generate(tokens, SEEDS, start, 0.0), tiny.shown(start))
    half = adapter.generate(tokens, SEEDS, start, 0.6)
    assert agree(half, adapter.generate(tokens, SEEDS, start, 0.6, batch=1))
    assert not agree(half, whole)


@pytest.mark.parametrize(
    "option",
    [
        {"steps": 4},
        {"guidance": 1.0},
        {"scale": 0.1},
        {"prompt": "a dog"},
        {"negative": "a dog"},
        {"picture_px": 40},
        {"dtype": "bfloat16"},
    ],
)
def test_every_option_changes_the_pictures(folders, plain, option):
    other = IPAdapterXL(**folders, adapter_file=PLAIN, **GIVEN | option)
    found = other.generate(tiny.tokens(), SEEDS)
    assert not agree(found, plain.generate(tiny.tokens(), SEEDS))


def test_a_missing_or_foreign_adapter_is_refused(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sdxl_models/x.safetensors missing.*hf download"):
        IPAdapterXL(**folders, adapter_file="sdxl_models/x.safetensors")
    with pytest.raises(ValueError, match="needs the encoder"):
        IPAdapterXL(**folders, adapter_file=PLUS)
    save_file({"unet.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no IP-Adapter"):
        IPAdapterXL(folders["path"], str(tmp_path), "other.safetensors")
    save_file({"image_proj.proj.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="does not fit the network"):
        IPAdapterXL(folders["path"], str(tmp_path), "other.safetensors")


def test_another_image_encoder_is_refused(folders):
    encoder = "models/other"
    tiny.eye(width=16).save_pretrained(f"{folders['adapter']}/{encoder}")
    with pytest.raises(ValueError, match="they are no pair"):
        IPAdapterXL(**folders, adapter_file=PLUS, encoder=encoder)
