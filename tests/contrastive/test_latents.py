"""The latents are the autoencoder's own, scaled as diffusion expects them."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from neurodecode.contrastive.latents import VaeTarget
from tests.contrastive.tiny_models import save_vae


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)


def by_diffusers(folder, pictures):
    vae = AutoencoderKL.from_pretrained(folder).eval()
    rows = VaeImageProcessor().preprocess([Image.fromarray(p) for p in pictures])
    with torch.inference_mode():
        return vae.encode(rows).latent_dist.mode().numpy()


def test_tokens_are_the_scaled_mode_place_by_place(tmp_path, pictures):
    mode = by_diffusers(save_vae(tmp_path / "pipeline" / "vae"), pictures)
    target = VaeTarget(str(tmp_path / "pipeline"), subfolder="vae", picture_px=16)
    pooled, tokens = target.pictures(pictures)
    expected = 0.18215 * mode.transpose(0, 2, 3, 1).reshape(3, 64, 4)
    assert tokens.shape[1:] == (target.n_tokens, target.token_dim) == (64, 4)
    assert np.allclose(tokens, expected, atol=1e-6)
    flat = expected.reshape(3, -1)
    assert np.allclose(pooled, flat / np.linalg.norm(flat, axis=1, keepdims=True), atol=1e-5)


def test_a_shift_is_taken_away_before_the_scale(tmp_path, pictures):
    mode = by_diffusers(save_vae(tmp_path, shift_factor=0.5, scaling_factor=2.0), pictures)
    tokens = VaeTarget(str(tmp_path), picture_px=16, flat=True).pictures(pictures)[1]
    assert tokens.shape == (3, 1, 256)
    expected = 2 * (mode - 0.5).transpose(0, 2, 3, 1).reshape(3, 1, 256)
    assert np.allclose(tokens, expected, atol=1e-5)


def test_the_size_and_the_batch_are_as_asked_for(tmp_path, pictures):
    save_vae(tmp_path)
    whole = VaeTarget(str(tmp_path), picture_px=16).pictures(pictures)[1]
    parts, encoded = VaeTarget(str(tmp_path), picture_px=16, batch=2), []
    embed = parts._embed
    parts._embed = lambda rows: encoded.append(len(rows)) or embed(rows)
    assert np.allclose(parts.pictures(pictures)[1], whole, atol=1e-5) and encoded == [2, 1]
    assert VaeTarget(str(tmp_path), picture_px=32).n_tokens == 256


@pytest.mark.filterwarnings("ignore:.*meta")
def test_the_device_is_the_one_asked_for(tmp_path):
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        VaeTarget(str(save_vae(tmp_path)), device="meta")


def test_a_forged_or_partial_autoencoder_is_refused(tmp_path):
    save_vae(tmp_path)
    whole = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(whole.replace("    8,\n    8", "    8,\n    4096"))
    with pytest.raises(ValueError, match="they are of different models"):
        VaeTarget(str(tmp_path))
    (tmp_path / "config.json").write_text(whole)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no diffusion_pytorch_model.safetensors"):
        VaeTarget(str(tmp_path))
