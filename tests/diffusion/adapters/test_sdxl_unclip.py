"""SDXL-unCLIP: Euler's path by the published formulas, and weights in both layouts."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from neurodecode.diffusion.adapters import sgm_layout
from neurodecode.diffusion.adapters.sdxl_unclip import SdxlUnclip, UnclipXLPipeline
from tests.diffusion.adapters import tiny
from tests.diffusion.adapters.tiny import DIM, PX, SEEDS, STEPS, agree

CONFIG = tiny.SDXL | {"projection_class_embeddings_input_dim": 16, "cross_attention_dim": DIM}
VAE = {k: v for k, v in dict(tiny.vae(0.13025).config).items() if not k.startswith("_")}
GIVEN = {"steps": STEPS, "guidance": 3.0}


@tiny.seeded
def pipeline():
    network, vae = tiny.unet(**CONFIG), tiny.vae(0.13025)
    return UnclipXLPipeline(network, vae, tiny.euler(timestep_spacing="trailing"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("sdxl_unclip")
    pipeline().save_pretrained(place)
    return str(place)


@pytest.fixture(scope="module")
def adapter(folder):
    return SdxlUnclip(folder, **GIVEN)


def by_formula(tokens, seed):
    """One row by the sampler of k-diffusion: x = z + sigma noise, d = (x - denoised) / sigma."""
    parts, rng = pipeline(), torch.Generator().manual_seed(seed)
    tokens, draw = torch.from_numpy(tokens), lambda *s: torch.randn(s, generator=rng)
    nothing, z = draw(*tokens.shape)[None], draw(4, PX // 2, PX // 2)[None]
    noise = draw(4, PX // 2, PX // 2)[None] + 0.04 * draw(1, 1, 1)
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - beta).cumprod(0)
    steps = np.linspace(999, 0, STEPS, endpoint=False).astype(int)
    sigmas = [*((1 - kept) / kept).sqrt()[steps].tolist(), 0.0]
    x = z + sigmas[0] * noise
    told = {"text_embeds": torch.zeros(2, 0), "time_ids": torch.tensor([[PX, PX, 0, 0.0]] * 2)}
    with torch.no_grad():
        for i, t in enumerate(steps):
            scaled = torch.cat([x, x]) / (sigmas[i] ** 2 + 1) ** 0.5
            both = torch.cat([nothing, tokens[None]])
            noise = parts.unet(scaled, torch.tensor(t), both, added_cond_kwargs=told).sample
            without, given = x - sigmas[i] * noise[:1], x - sigmas[i] * noise[1:]
            denoised = without + 3.0 * (given - without)
            x = x + (x - denoised) / sigmas[i] * (sigmas[i + 1] - sigmas[i])
        return parts.vae.decode(x / 0.13025).sample[0].permute(1, 2, 0).numpy()


def test_a_row_follows_the_published_sampler(adapter, folder):
    tokens = tiny.tokens(6)
    expected = by_formula(tokens[2], SEEDS[2])
    found = adapter.generate(tokens, SEEDS)[2]
    assert np.abs(found - (expected / 2 + 0.5).clip(0, 1) * 255).max() < 1
    published = SdxlUnclip(folder, compat="mindeye2", **GIVEN).generate(tokens, SEEDS)[2]
    assert np.abs(published - (expected * 0.8 + 0.2).clip(0, 1) * 255).max() < 1


def test_a_row_is_the_same_in_whatever_batch_and_start(adapter):
    tokens, start = tiny.tokens(6), tiny.starts()
    whole = adapter.generate(tokens, SEEDS)
    assert agree(whole, adapter.generate(tokens, SEEDS, batch=1))
    assert agree(adapter.generate(tokens, SEEDS, start, 0.0), tiny.shown(start))
    half = adapter.generate(tokens, SEEDS, start, 0.6)
    assert agree(half, adapter.generate(tokens, SEEDS, start, 0.6, batch=1))
    assert not agree(half, whole)


@pytest.mark.parametrize(
    "option",
    [
        {"steps": 4},
        {"guidance": 1.0},
        {"offset_noise": 1.0},
        {"compat": "mindeye2"},
        {"picture_px": 40},
        {"dtype": "bfloat16"},
    ],
)
def test_every_option_changes_the_pictures(folder, adapter, option):
    found = SdxlUnclip(folder, **GIVEN | option).generate(tiny.tokens(6), SEEDS)
    assert not agree(found, adapter.generate(tiny.tokens(6), SEEDS))


def test_an_unknown_compat_is_refused(folder):
    with pytest.raises(ValueError, match="known are mindeye2 and null"):
        SdxlUnclip(folder, compat="mindeye3")


RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1"}
RESNET |= {"norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
ENDS = {"conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0"}
ENDS |= {"time_embedding.linear_2": "time_embed.2", "conv_norm_out": "out.0", "conv_out": "out.2"}
ENDS |= {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}


def sgm_name(name, per_block, n_levels):
    """The name in sgm's layout of a weight of diffusers' UNet, level by level."""
    stem, _, kind = name.rpartition(".")
    if stem in ENDS:
        return f"{ENDS[stem]}.{kind}"
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", stem):
        part, i, rest = found.groups()
        place = f"middle_block.{2 * int(i) if part == 'resnets' else 1}"
        return f"{place}.{RESNET.get(rest, rest)}.{kind}"
    side, level, part, i, rest = re.fullmatch(
        r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", stem
    ).groups()
    level, i = int(level), int(i)
    if side == "down":
        first = 1 + level * (per_block + 1)
        if part == "downsamplers":
            return f"input_blocks.{first + per_block}.0.op.{kind}"
        place = f"input_blocks.{first + i}"
    else:
        first = level * (per_block + 1)
        if part == "upsamplers":
            at = 2 if level < n_levels - 1 else 1
            return f"output_blocks.{first + per_block}.{at}.conv.{kind}"
        place = f"output_blocks.{first + i}"
    return f"{place}.{0 if part == 'resnets' else 1}.{RESNET.get(rest, rest)}.{kind}"


VAE_NAMES = [
    (r"encoder\.down_blocks\.(\d)\.resnets\.", r"encoder.down.\1.block."),
    (r"encoder\.down_blocks\.(\d)\.downsamplers\.0", r"encoder.down.\1.downsample"),
    (r"decoder\.up_blocks\.0\.", r"decoder.up.1."),
    (r"decoder\.up_blocks\.1\.", r"decoder.up.0. "),
    (r"(decoder\.up\.\d\. ?)resnets\.", r"\1block."),
    (r"(decoder\.up\.\d\. ?)upsamplers\.0", r"\1upsample"),
    (r" ", ""),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
]


def in_sgm_layout(made):
    """A checkpoint of sgm with the weights of a tiny pipeline."""
    unet = made.unet.state_dict().items()
    state = {f"model.diffusion_model.{sgm_name(n, 1, 2)}": t for n, t in unet}
    for name, tensor in made.vae.state_dict().items():
        for old, new in VAE_NAMES:
            name = re.sub(old, new, name)
        square = ".attn_1." in name and name.endswith("weight") and tensor.ndim == 2
        state[f"first_stage_model.{name}"] = tensor[..., None, None] if square else tensor
    return state | {"conditioner.embedders.0.x": torch.zeros(1)}


def test_a_checkpoint_of_sgm_becomes_the_same_networks():
    made = pipeline()
    found = sgm_layout.converted(in_sgm_layout(made), CONFIG, VAE)
    for name in ("unet", "vae"):
        own, there = getattr(made, name).state_dict(), getattr(found, name).state_dict()
        assert own.keys() == there.keys()
        assert all(torch.equal(own[key], there[key]) for key in own)


@pytest.mark.parametrize("end", ["ckpt", "safetensors"])
def test_a_converted_checkpoint_paints_the_same(adapter, tmp_path, monkeypatch, end):
    state, file = in_sgm_layout(pipeline()), tmp_path / f"unclip.{end}"
    if end == "ckpt":
        torch.save({"state_dict": state, "epoch": 0}, file)
    else:
        save_file({n: t.contiguous() for n, t in state.items()}, file)
    monkeypatch.setattr(sgm_layout.converted, "__defaults__", (CONFIG, VAE))
    sgm_layout.convert(file, tmp_path / "hub", "float32")
    found = SdxlUnclip(str(tmp_path / "hub"), **GIVEN).generate(tiny.tokens(6), SEEDS)
    assert agree(found, adapter.generate(tiny.tokens(6), SEEDS))


def test_another_checkpoint_is_refused(tmp_path):
    state = in_sgm_layout(pipeline())
    gone = "model.diffusion_model.middle_block.0.in_layers.2.weight"
    with pytest.raises(ValueError, match=r"mid_block.*absent.*another network"):
        sgm_layout.converted({n: t for n, t in state.items() if n != gone}, CONFIG, VAE)
    torch.save({"state_dict": state, "hook": print}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="more than tensors, and is not opened"):
        sgm_layout.convert(tmp_path / "evil.ckpt", tmp_path / "hub")


def test_the_published_sizes_are_those_of_sdxl():
    import diffusers

    with torch.device("meta"):
        network = diffusers.UNet2DConditionModel(**sgm_layout.UNET)
    shapes = {n: tuple(t.shape) for n, t in network.state_dict().items()}
    assert len(shapes) == 1680
    assert shapes["add_embedding.linear_1.weight"] == (1280, 1024)
    crossing = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    assert shapes[crossing] == (640, 1664)
    # SDXL's 2 567 463 684, less two widths: of label_emb and of the keys and values
    keys = [n for n in shapes if n.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))]
    less = 1280 * (2816 - 1024) + sum(shapes[n][0] * (2048 - 1664) for n in keys)
    assert sum(p.numel() for p in network.parameters()) == 2_567_463_684 - less
