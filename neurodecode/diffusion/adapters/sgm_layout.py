"""Weights of `sgm` (MindEye2's SDXL-unCLIP) in diffusers' layout, by diffusers' own name tables."""

from pathlib import Path

from neurodecode.core.claims import check_tensors
from neurodecode.diffusion.adapters.weights import quiet

UNET = {  # of unclip6_epoch0_step110000.ckpt: SDXL's, but for the widths of its conditions
    "sample_size": 96,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "cross_attention_dim": 1664,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 1024,
}
VAE = {
    "sample_size": 768,
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.13025,
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "trailing",
}


def converted(checkpoint, unet=UNET, vae=VAE):
    """Build SDXL-unCLIP from a state dict in sgm's layout.

    Parameters
    ----------
    checkpoint : dict
        Tensors under ``model.diffusion_model.`` and ``first_stage_model.``; others are left out.
    unet, vae : dict
        Configurations of diffusers.

    Returns
    -------
    pipeline : UnclipXLPipeline

    Raises
    ------
    ValueError
        Naming what is missing or of another shape.
    """
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
    from diffusers.loaders import single_file_utils as tables

    from neurodecode.diffusion.adapters.sdxl_unclip import UnclipXLPipeline

    parts = {}
    turn = {
        "unet": (UNet2DConditionModel, tables.convert_ldm_unet_checkpoint, unet),
        "vae": (AutoencoderKL, tables.convert_ldm_vae_checkpoint, vae),
    }
    for name, (kind, convert, config) in turn.items():
        with quiet():
            network = kind.from_config(config)
            try:
                weights = convert(checkpoint, dict(network.config))
            except KeyError as error:
                raise ValueError(f"the checkpoint has no {error}: it is of no SDXL") from error
        parts[name] = _filled(network, weights, name)
    return UnclipXLPipeline(**parts, scheduler=EulerDiscreteScheduler(**SCHEDULER))


def convert(path, folder, dtype="float16"):
    """Write a checkpoint's networks to a folder that `SdxlUnclip` loads.

    Parameters
    ----------
    path : path
        ``.ckpt`` (tensors alone are read of it: no code of it runs) or ``.safetensors``.
    folder : path
    dtype : {"float16", "float32"}
        Of the weights written.
    """
    import torch

    pipeline = converted(_read(Path(path)))
    pipeline.to(dtype=getattr(torch, dtype)).save_pretrained(folder, safe_serialization=True)


def _read(path):
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        check_tensors(path)
        return load_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # of a pickle that is no plain dictionary of tensors
        raise ValueError(f"{path} holds more than tensors, and is not opened ({error})") from error
    return found.get("state_dict", found)


def _filled(network, weights, name):
    own = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    there = {key: tuple(t.shape) for key, t in weights.items()}
    differ = sorted(k for k in own.keys() | there.keys() if own.get(k) != there.get(k))
    if differ:
        raise ValueError(
            f"{name}: {differ[0]} should be {own.get(differ[0], 'absent')} and is "
            f"{there.get(differ[0], 'absent')} ({len(differ)} differ): the checkpoint is of "
            "another network"
        )
    network.load_state_dict(weights)
    return network.eval()
