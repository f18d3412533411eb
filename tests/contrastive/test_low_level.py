"""Low-level targets: the miniature is the mean over areas, latents are the autoencoder's own."""

import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from neurodecode.contrastive.low_level import Miniature, VaeLatents

rng = np.random.default_rng(0)
PICTURES = rng.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    """A tiny VAE with random weights, and the folder that diffusers saved it in."""
    torch.manual_seed(0)
    network = AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=0.7,
        shift_factor=0.1,
    )
    folder = tmp_path_factory.mktemp("vae")
    network.save_pretrained(folder)
    return network.eval(), folder


@pytest.fixture
def copy(vae, tmp_path):
    """``copy(**changes)``: the folder again, with another config.json."""

    def make(**changes):
        for file in vae[1].iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return str(tmp_path)

    return make


def test_a_miniature_is_the_mean_over_areas_and_is_its_own_picture():
    found = Miniature(px=4).encode(PICTURES)
    expected = (PICTURES / 255).reshape(5, 4, 4, 4, 4, 3).mean(axis=(2, 4))
    assert found.shape == (5, *Miniature(px=4).shape) and found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-6)
    assert Miniature().decode(np.array([-1.0, 0.5, 2.0])).tolist() == [0, 0.5, 1]


@torch.no_grad()
def test_latents_are_the_mode_that_the_autoencoder_itself_gives(vae):
    network, folder = vae
    given = torch.tensor(PICTURES).permute(0, 3, 1, 2) / 255 * 2 - 1
    expected = (network.encode(given).latent_dist.mode() - 0.1) * 0.7
    low_level = VaeLatents(str(folder), px=16)
    found = low_level.encode(PICTURES)
    assert low_level.shape == (4, 4, 4) == found.shape[1:] and found.dtype == np.float32
    assert np.allclose(found, expected.permute(0, 2, 3, 1), atol=1e-5)

    shown = (network.decode(expected / 0.7 + 0.1).sample / 2 + 0.5).clamp(0, 1)
    pictures = low_level.decode(found)
    assert pictures.shape == (5, 16, 16, 3) and pictures.dtype == np.float32
    assert np.allclose(pictures, shown.permute(0, 2, 3, 1), atol=1e-5)


def test_pictures_of_another_size_are_scaled(vae):
    larger = np.repeat(np.repeat(PICTURES, 2, axis=1), 2, axis=2)
    low_level = VaeLatents(str(vae[1]), px=8)
    assert low_level.encode(larger).shape == (5, 2, 2, 4)
    assert low_level.decode(low_level.encode(larger)).shape == (5, 8, 8, 3)


def test_the_batch_changes_nothing_and_no_more_than_it_is_encoded_at_once(vae, monkeypatch):
    one, other = (VaeLatents(str(vae[1]), px=16, batch=batch) for batch in (2, 8))
    sizes, plain = [], one._vae.encode
    monkeypatch.setattr(one._vae, "encode", lambda x: sizes.append(len(x)) or plain(x))
    assert np.allclose(one.encode(PICTURES), other.encode(PICTURES), atol=1e-5)
    assert sizes == [2, 2, 1]


def test_a_pipelines_own_vae_is_found_in_its_subfolder(vae, tmp_path):
    vae[0].save_pretrained(tmp_path / "vae")
    found = VaeLatents(str(tmp_path), px=16, subfolder="vae").encode(PICTURES)
    assert np.array_equal(found, VaeLatents(str(vae[1]), px=16).encode(PICTURES))


def test_the_device_is_the_one_asked_for(vae):
    meta = VaeLatents(str(vae[1]), px=16, device="meta")
    assert {p.device.type for p in meta._vae.parameters()} == {"meta"}


def test_the_revision_of_a_hub_id_is_the_one_fetched(vae, monkeypatch):
    asked = []

    def fetched(name, revision=None, **how):
        asked.append((name, revision))
        return str(vae[1])

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    found = VaeLatents("owner/vae", px=16, revision="abc123").encode(PICTURES)
    assert asked == [("owner/vae", "abc123")]
    assert np.array_equal(found, VaeLatents(str(vae[1]), px=16).encode(PICTURES))
    with pytest.raises(ValueError, match="revision='main' is for a hub id"):
        VaeLatents(str(vae[1]), revision="main")


def test_a_size_that_the_autoencoder_cannot_halve_is_refused(vae):
    with pytest.raises(ValueError, match="px=18.*choose a multiple of 4"):
        VaeLatents(str(vae[1]), px=18)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": "UNet2DModel"}, "is of UNet2DModel, not of an AutoencoderKL"),
        ({"block_out_channels": [8, 8, 1 << 40]}, "is 1099511627776, beyond"),
        ({"block_out_channels": [8, 8, 1 << 12]}, "they are of different models"),
        ({"latent_channels": 5}, "cannot be loaded by diffusers|are of another model"),
    ],
)
def test_a_folder_that_claims_another_network_is_refused(copy, changes, said):
    with pytest.raises(ValueError, match=said):
        VaeLatents(copy(**changes), px=16)


def test_what_is_missing_is_named(copy, tmp_path):
    folder = copy()
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no diffusion_pytorch_model.safetensors.*fetch it"):
        VaeLatents(folder, px=16)
