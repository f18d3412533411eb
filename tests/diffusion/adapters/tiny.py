"""Pipelines of diffusers with tiny random weights, in the layout of the hub."""

import functools
import json

import diffusers
import numpy as np
import torch
import transformers
from diffusers.pipelines.deprecated.versatile_diffusion.modeling_text_unet import (
    UNetFlatConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer

DIM, WIDTH, PX = 8, 16, 32  # of an embedding; of the text encoder; of the pictures
N = 4
SEEDS = [3, 1, 4, 15]
STEPS = 3
SD = {
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "sample_size": PX // 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (1, 2),
    "norm_num_groups": 4,
    "cross_attention_dim": WIDTH,
    "use_linear_projection": True,
}
SDXL = SD | {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "transformer_layers_per_block": (1, 2),
}


def seeded(make):
    """Random weights, the same whatever was made before."""

    @functools.wraps(make)
    def made(*args, **kwargs):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return make(*args, **kwargs)

    return made


def unet(**config):
    return diffusers.UNet2DConditionModel(**SD | config).eval()


def vae(scale=0.18215):
    return diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[8, 8],
        latent_channels=4,
        norm_num_groups=4,
        sample_size=PX,
        scaling_factor=scale,
    ).eval()


def euler(**config):
    beta = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return diffusers.EulerDiscreteScheduler(**beta, steps_offset=1, **config)


def text_encoder(kind="CLIPTextModel", width=WIDTH):
    config = transformers.CLIPTextConfig(
        vocab_size=600,
        hidden_size=width,
        intermediate_size=16,
        projection_dim=DIM,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=512,
        eos_token_id=513,
    )
    return getattr(transformers, kind)(config).eval()


def tokenizer(folder):
    """Letters alone, by the two files that CLIP's tokenizer is read from."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in range(33, 127)]
    names = [*letters, *(f"{c}</w>" for c in letters)]
    vocabulary = {name: i for i, name in enumerate(names)}
    vocabulary |= {"<|startoftext|>": 512, "<|endoftext|>": 513}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer.from_pretrained(str(folder), model_max_length=77)


def eye(width=16, projection=DIM, size=16):
    config = transformers.CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=16,
        projection_dim=projection,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=size,
        patch_size=8,
    )
    return transformers.CLIPVisionModelWithProjection(config).eval()


@seeded
def unclip(folder):
    """`StableUnCLIPImg2ImgPipeline`."""
    normalizer = StableUnCLIPImageNormalizer(DIM)
    torch.nn.init.normal_(normalizer.mean)
    return diffusers.StableUnCLIPImg2ImgPipeline(
        feature_extractor=transformers.CLIPImageProcessor(),
        image_encoder=eye(),
        image_normalizer=normalizer,
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        tokenizer=tokenizer(folder / "words"),
        text_encoder=text_encoder(),
        unet=unet(class_embed_type="projection", projection_class_embeddings_input_dim=2 * DIM),
        scheduler=diffusers.PNDMScheduler(
            beta_schedule="scaled_linear", skip_prk_steps=True, prediction_type="v_prediction"
        ),
        vae=vae(),
    )


@seeded
def sd(folder):
    """`StableDiffusionPipeline`."""
    return diffusers.StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text_encoder(),
        tokenizer=tokenizer(folder / "words"),
        unet=unet(),
        scheduler=diffusers.DDIMScheduler(
            beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@seeded
def controlnet():
    """A `ControlNetModel` for `sd`, whose zero layers are not zero."""
    made = diffusers.ControlNetModel.from_unet(unet(), conditioning_embedding_out_channels=(4, 8))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


@seeded
def sdxl(folder):
    """`StableDiffusionXLPipeline`."""
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(0.13025),
        text_encoder=text_encoder(width=8),
        text_encoder_2=text_encoder("CLIPTextModelWithProjection", width=8),
        tokenizer=tokenizer(folder / "words"),
        tokenizer_2=tokenizer(folder / "words"),
        unet=unet(**SDXL, projection_class_embeddings_input_dim=DIM + 6 * 4),
        scheduler=euler(),
        add_watermarker=False,
    )


@seeded
def versatile():
    """Parts of Versatile Diffusion by name."""
    config = SD | {"cross_attention_dim": DIM}
    flat = {"DownBlock2D": "DownBlockFlat", "UpBlock2D": "UpBlockFlat"}
    flat |= {"CrossAttnDownBlock2D": "CrossAttnDownBlockFlat"}
    flat |= {"CrossAttnUpBlock2D": "CrossAttnUpBlockFlat"}
    ends = {key: tuple(flat[n] for n in SD[key]) for key in ("down_block_types", "up_block_types")}
    middle = {"mid_block_type": "UNetMidBlockFlatCrossAttn"}
    return {
        "image_unet": diffusers.UNet2DConditionModel(**config).eval(),
        "text_unet": UNetFlatConditionModel(**config | ends | middle).eval(),
        "vae": vae(),
        "scheduler": diffusers.DDIMScheduler(
            beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="linspace"
        ),
    }


def tokens(n_tokens=1, dim=DIM, n=N):
    return np.random.default_rng(0).standard_normal((n, n_tokens, dim)).astype(np.float32)


def starts(n=N):
    return np.random.default_rng(1).random((n, PX, PX, 3)).astype(np.float32)


def rngs(seeds=SEEDS):
    return [torch.Generator().manual_seed(s) for s in seeds]


def shown(pictures):
    """What a pipeline's ``output_type="np"`` shows, in 8 bits."""
    return (np.asarray(pictures) * 255).round().astype(np.uint8)


def agree(one, other):
    """Equal in at least 99.9 % of 8-bit values, the others off by one."""
    if one.shape != other.shape:
        return False
    apart = np.abs(one.astype(int) - other)
    return apart.max() <= 1 and (apart == 0).mean() >= 0.999
