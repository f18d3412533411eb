"""Every adapter paints within the stage `reconstruct`, from tokens and a low-level picture."""

import json

import numpy as np
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.stages import reconstruct
from tests.data.small_study import write_tsv
from tests.diffusion.adapters import test_ip_adapter, test_sdxl_unclip, test_versatile, tiny
from tests.diffusion.adapters.tiny import DIM, PX, WIDTH

ROOM = "neurodecode.diffusion.adapters"


class Eye:
    """Embeds a picture as its mean colour."""

    def pictures(self, pictures: np.ndarray) -> tuple:
        """Unit rows, and no tokens."""
        mean = pictures.mean(axis=(1, 2)) + 1e-9
        return mean / np.linalg.norm(mean, axis=1, keepdims=True), None


@pytest.fixture
def predicted(tmp_path, artifact):
    """``predicted(shape)``: predict's artifact of one subject with tokens of that shape."""

    def make(shape):
        folder, rng = tmp_path / "predict", np.random.default_rng(0)
        (folder / "model").mkdir(parents=True)
        np.save(folder / "model" / "tokens.npy", rng.standard_normal((3, *shape), np.float32))
        pooled = rng.uniform(0, 1, (2, 3))
        np.save(folder / "model" / "pooled.npy", pooled / np.linalg.norm(pooled, axis=1)[:, None])
        np.save(folder / "model" / "blurry.npy", rng.random((2, 4, 4, 3), np.float32))
        rows = {"row_id": ["r0", "r0", "r1"], "sample": [0, 1, 0]}
        write_tsv(folder / "model" / "samples.tsv", rows)
        (folder / "conditions.json").write_text(json.dumps([{"name": "model"}]))
        return artifact(folder)

    return make


def unclip(place):
    tiny.unclip(place).save_pretrained(place / "unclip")
    return {"_target_": f"{ROOM}.stable_unclip.StableUnclip", "path": str(place / "unclip")}


def ip_adapter(place):
    pipeline = tiny.sdxl(place)
    pipeline.save_pretrained(place / "sdxl")
    adapter = test_ip_adapter.adapters(place / "ip", pipeline.unet)
    return {
        "_target_": f"{ROOM}.ip_adapter.IPAdapterXL",
        "path": str(place / "sdxl"),
        "adapter": str(adapter),
        "adapter_file": test_ip_adapter.PLAIN,
    }


def versatile(place):
    test_versatile.save(place)
    return {"_target_": f"{ROOM}.versatile.VersatileDiffusion", "path": str(place)}


def sdxl_unclip(place):
    test_sdxl_unclip.pipeline().save_pretrained(place)
    return {"_target_": f"{ROOM}.sdxl_unclip.SdxlUnclip", "path": str(place)}


def stable_diffusion(place):
    tiny.sd(place).save_pretrained(place / "sd")
    target = f"{ROOM}.stable_diffusion.StableDiffusion"
    return {"_target_": target, "path": str(place / "sd"), "prompt": "tokens"}


def controlnet(place):
    node = stable_diffusion(place)
    tiny.controlnet().save_pretrained(place / "control")
    target = f"{ROOM}.stable_diffusion.ControlNet"
    return node | {"_target_": target, "controlnet": str(place / "control")}


def refined(place):
    tiny.sdxl(place).save_pretrained(place / "sdxl")
    node = {"_target_": f"{ROOM}.refined.Refined", "path": str(place / "sdxl"), "last_steps": 1}
    return node | {"base": unclip(place) | {"steps": 2}, "prompt": "empty", "picture_px": None}


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (unclip, (1, DIM)),
        (ip_adapter, (1, DIM)),
        (versatile, (257, DIM)),
        (sdxl_unclip, (6, DIM)),
        (stable_diffusion, (77, WIDTH)),
        (controlnet, (77, WIDTH)),
        (refined, (1, DIM)),
    ],
)
def test_the_stage_paints_with_it(make, shape, tmp_path, store, predicted):
    config = {
        "generator": make(tmp_path / "made") | {"steps": 2},
        "target": {"_target_": f"{__name__}.Eye"},
        "strength": 0.6,
        "batch": 2,
    }
    upstream = {"predict": {"sub-01": predicted(shape)}}
    found = run_stage(reconstruct.run, config, upstream, store, each="sub-01")
    pictures = np.load(found.path("model/pictures.npy"))
    assert pictures.shape == (3, PX, PX, 3) and pictures.dtype == np.uint8
    assert pictures.std(axis=(1, 2, 3)).min() > 1  # each of them shows something
