"""Do the adapters cost anything? Pictures a second beside the bare pipelines of diffusers.

Builds Stable unCLIP (SD 2.1, 768 px) and SDXL with an IP-Adapter (1024 px) of the sizes in their
public configurations, with random weights, directly on the device; sentences are given encoded, so
no text encoder is needed. In one process the adapter and the bare pipeline take turns at the same
batch, steps and guidance; the ratio of their times is printed with its range over the turns.

    PYTHONPATH=. python scripts/bench/generators.py --device cuda   # 1.5 minutes on an H100
    PYTHONPATH=. python scripts/bench/generators.py --size small    # on a CPU
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch

SD_BLOCKS = {
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
SDXL_BLOCKS = {
    "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
    "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
}
VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
}
UNCLIP = {
    "full": {
        "sample_size": 96,
        "block_out_channels": [320, 640, 1280, 1280],
        "layers_per_block": 2,
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 2048,
        **SD_BLOCKS,
    }
}
SDXL = {
    "full": {
        "sample_size": 128,
        "block_out_channels": [320, 640, 1280],
        "layers_per_block": 2,
        "transformer_layers_per_block": [1, 2, 10],
        "cross_attention_dim": 2048,
        "attention_head_dim": [5, 10, 20],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
        **SDXL_BLOCKS,
    }
}
NARROW = {"block_out_channels": [32, 32, 32, 32], "norm_num_groups": 8, "sample_size": 8}
UNCLIP["small"] = UNCLIP["full"] | NARROW | {"attention_head_dim": 2}
SDXL["small"] = UNCLIP["small"] | SDXL["full"] | NARROW | {"attention_head_dim": 2}
SDXL["small"] |= {"block_out_channels": [32, 32, 32], "transformer_layers_per_block": 1}
del SDXL["small"]["class_embed_type"]
VAES = {"full": VAE, "small": VAE | {"block_out_channels": [16] * 4, "norm_num_groups": 8}}
DIMS = {"unclip": 1024, "ip_adapter": 1280}


def on_cpu(kind, **settings):
    """A scheduler: it makes its tables with numpy, so not on the device."""
    import diffusers

    with torch.device("cpu"):
        return getattr(diffusers, kind)(**settings)


def unclip(size):
    """A random `StableUnCLIPImg2ImgPipeline`, and an empty sentence."""
    import diffusers
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    eye = CLIPVisionConfig(  # is asked for its type alone
        hidden_size=16,
        intermediate_size=16,
        projection_dim=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=16,
        patch_size=16,
    )
    pipeline = diffusers.StableUnCLIPImg2ImgPipeline(
        feature_extractor=None,
        image_encoder=CLIPVisionModelWithProjection(eye),
        image_normalizer=diffusers.pipelines.stable_diffusion.StableUnCLIPImageNormalizer(1024),
        image_noising_scheduler=on_cpu("DDPMScheduler", beta_schedule="squaredcos_cap_v2"),
        tokenizer=None,
        text_encoder=None,
        unet=diffusers.UNet2DConditionModel(**UNCLIP[size]),
        scheduler=on_cpu(
            "DDIMScheduler",
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        vae=diffusers.AutoencoderKL(**VAES[size], scaling_factor=0.18215),
    )
    return pipeline, (torch.zeros(2, 77, 1024),)


def ip_adapter(size):
    """A random `StableDiffusionXLPipeline` with an IP-Adapter, and an empty sentence."""
    import diffusers

    unet = diffusers.UNet2DConditionModel(**SDXL[size])
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=diffusers.AutoencoderKL(**VAES[size], scaling_factor=0.13025),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=unet,
        scheduler=on_cpu(
            "EulerDiscreteScheduler",
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
        ),
        add_watermarker=False,
    )
    pipeline.load_ip_adapter(
        adapter_weights(unet), "", "", image_encoder_folder=None, low_cpu_mem_usage=False
    )
    return pipeline, (torch.zeros(2, 77, 2048), torch.zeros(2, 1280))


def adapter_weights(unet, dim=1280, n_tokens=4):
    """Random weights of a plain IP-Adapter, by the names of its published files."""
    width, channels = unet.config.cross_attention_dim, unet.config.block_out_channels
    crossing = [n for n in unet.attn_processors if not n.endswith("attn1.processor")]
    layers = {}
    for number, name in enumerate(crossing):
        place, _, rest = name.partition(".")
        block = int(rest.split(".")[0]) if place != "mid_block" else -1
        hidden = channels[::-1][block] if place == "up_blocks" else channels[block]
        for part in ("to_k_ip", "to_v_ip"):
            layers[f"{2 * number + 1}.{part}.weight"] = torch.randn(hidden, width) / width**0.5
    projection = {
        "proj.weight": torch.randn(n_tokens * width, dim) / dim**0.5,
        "proj.bias": torch.zeros(n_tokens * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }
    return {"image_proj": projection, "ip_adapter": layers}


def bare_unclip(pipeline, sentence, tokens, seeds, steps, guidance):
    """Stable unCLIP's own call."""
    without, words = (half.expand(len(tokens), -1, -1) for half in sentence[0].chunk(2))
    return pipeline(
        image_embeds=tokens[:, 0],
        prompt_embeds=words,
        negative_prompt_embeds=without,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=[torch.Generator().manual_seed(s) for s in seeds],
        output_type="np",
    ).images


def bare_ip_adapter(pipeline, sentence, tokens, seeds, steps, guidance):
    """SDXL's own call, with an image embedding: one for all rows, it knows no others."""
    n = len(tokens)
    without, words = (half.expand(n, -1, -1) for half in sentence[0].chunk(2))
    no_pooled, pooled = (half.expand(n, -1) for half in sentence[1].chunk(2))
    return pipeline(
        ip_adapter_image_embeds=[torch.cat([torch.zeros_like(tokens[:1]), tokens[:1]])],
        prompt_embeds=words,
        negative_prompt_embeds=without,
        pooled_prompt_embeds=pooled,
        negative_pooled_prompt_embeds=no_pooled,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=[torch.Generator().manual_seed(s) for s in seeds],
        output_type="np",
    ).images


def built(make, size, device, dtype):
    """Build on the device, in the type."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            pipeline, sentence = make(size)
    finally:
        torch.set_default_dtype(before)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device, dtype), tuple(s.to(device, dtype) for s in sentence)


def timed(paint, device):
    """Seconds that one call takes."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    paint()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(name, size, device, dtype, batches, steps, turns):
    """Time one family: a line a batch."""
    from neurodecode.diffusion.adapters.ip_adapter import IPAdapterXL
    from neurodecode.diffusion.adapters.stable_unclip import StableUnclip

    families = {
        "unclip": (unclip, bare_unclip, StableUnclip, 10.0),
        "ip_adapter": (ip_adapter, bare_ip_adapter, IPAdapterXL, 5.0),
    }
    make, bare, adapter, guidance = families[name]
    pipeline, sentence = built(make, size, device, dtype)
    ours = adapter.of(pipeline, sentence, steps=steps, guidance=guidance, device=device)
    for batch in batches:
        rng = np.random.default_rng(batch)
        tokens = rng.standard_normal((1, 1, DIMS[name])).astype(np.float32)
        tokens = tokens.repeat(batch, axis=0)
        own, seeds = torch.from_numpy(tokens).to(device, dtype), list(range(batch))
        paint = {
            "adapter": lambda t=tokens, s=seeds: ours.generate(t, s, batch=len(s)),
            "bare": lambda t=own, s=seeds: bare(pipeline, sentence, t, s, steps, guidance),
        }
        first = {who: call() for who, call in paint.items()}  # warms up
        levels = np.abs(first["adapter"] - (np.nan_to_num(first["bare"]) * 255).round())
        spent = {who: [] for who in paint}
        for turn in range(turns):
            for who in sorted(paint, reverse=turn % 2 == 1):
                spent[who].append(timed(paint[who], device))
        print(json.dumps(told(name, batch, steps, spent, float((levels <= 1).mean()))), flush=True)


def told(name, batch, steps, spent, equal):
    """One line of the result."""
    ratios = [a / b for a, b in zip(spent["adapter"], spent["bare"], strict=True)]
    low, high = np.percentile(ratios, [5, 95])
    medians = {who: statistics.median(times) for who, times in spent.items()}
    return {
        "pipeline": name,
        "batch": batch,
        "steps": steps,
        "adapter_pictures_per_s": round(batch / medians["adapter"], 3),
        "bare_pictures_per_s": round(batch / medians["bare"], 3),
        "time_ratio_adapter_to_bare": round(medians["adapter"] / medians["bare"], 4),
        "ratio_5_to_95_percent_of_turns": [round(low, 4), round(high, 4)],
        "pixels_within_one_level": round(equal, 5),
    }


def main():
    """Compare the families one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--size", default="full", choices=["full", "small"])
    parser.add_argument("--families", nargs="+", default=list(DIMS), choices=list(DIMS))
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    dtype = torch.float16 if given.device == "cuda" else torch.float32
    named = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
    print(json.dumps({"device": named, "torch": torch.__version__, "dtype": str(dtype)}))
    for name in given.families:
        began = time.perf_counter()
        compare(name, given.size, given.device, dtype, given.batches, given.steps, given.turns)
        print(json.dumps({"pipeline": name, "seconds": round(time.perf_counter() - began, 1)}))
        if given.device == "cuda":
            print(json.dumps({"peak_GiB": round(torch.cuda.max_memory_allocated() / 2**30, 2)}))
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
