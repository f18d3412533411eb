"""Random models of a few thousand numbers, saved as the hub has them."""

import json

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def save_clip(folder, kind="CLIPModel", **vision):
    """A CLIP of transformers with 4 x 4 patches, its preparation and its tokenizer."""
    import transformers

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    sees = sizes | {"num_hidden_layers": 4, "image_size": 32, "patch_size": 8, "projection_dim": 12}
    reads = sizes | {"num_hidden_layers": 2, "vocab_size": 2 * 26 + 2, "projection_dim": 12}
    reads |= {"bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    torch.manual_seed(0)
    if kind == "CLIPModel":
        config = transformers.CLIPConfig(
            vision_config=sees | vision, text_config=reads, projection_dim=12
        )
    elif kind.startswith("CLIPVision"):
        config = transformers.CLIPVisionConfig(**sees | vision)
    else:
        config = transformers.CLIPTextConfig(**reads)
    roughened(getattr(transformers, kind)(config)).save_pretrained(folder)
    if not kind.startswith("CLIPText"):
        save_preparation(folder)
    if not kind.startswith("CLIPVision"):
        save_clip_tokenizer(folder)
    return folder


def roughened(model):
    """Norms and biases too are random, so that leaving one out is seen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def save_preparation(folder, kind="CLIPImageProcessor", px=32):
    """How pictures are prepared, at 32 pixels."""
    import transformers

    size = {"crop_size": {"height": px, "width": px}, "size": {"shortest_edge": px}}
    getattr(transformers, kind)(**size).save_pretrained(folder)


def save_clip_tokenizer(folder):
    """A tokenizer of letters."""
    from transformers import CLIPTokenizer

    names = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {name: i for i, name in enumerate(names)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=77
    ).save_pretrained(folder)


def save_vision(folder, kind="Dinov2WithRegisters", **changes):
    """A vision tower of transformers with 4 x 4 patches."""
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    sizes |= {"image_size": 32, "patch_size": 8}
    if kind.startswith("Dinov2"):
        sizes["mlp_ratio"] = 2
    else:
        sizes["intermediate_size"] = 32
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**sizes | changes)
    roughened(getattr(transformers, f"{kind}Model")(config)).save_pretrained(folder)
    save_preparation(folder, "BitImageProcessor")
    return folder


def save_timm(folder, name="vit_tiny_patch16_224", **arguments):
    """A model of timm as its hub has them."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=5, **arguments)
    timm.models.save_for_hf(roughened(model), folder, model_args=arguments, safe_serialization=True)
    return folder


def save_vae(folder, **changes):
    """An autoencoder of diffusers with latents of half the side."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    sizes = {"block_out_channels": (8, 8), "norm_num_groups": 4, "layers_per_block": 1}
    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    }
    AutoencoderKL(**sizes, **blocks, **changes).save_pretrained(folder)
    return folder
