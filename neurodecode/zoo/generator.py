"""Train a generator: flow matching on pixels, conditioned on a target's image tokens.

Decoded tokens are never exact, so the tokens it is trained with are not either: noise of a random
scale, up to one standard deviation of each number, is added to them. A tenth is dropped to zeros.
The loss is the squared error of the clean picture and of its edges. Both are quadratic, so that the
best answer stays the conditional mean, which flow matching needs; edges carry shape and material,
which are few pixels.
"""

import logging
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, PixArtTransformer2DModel

from neurodecode.core.claims import read_tensors
from neurodecode.diffusion.pipeline import TokenPipeline
from neurodecode.weights import weights_folder
from neurodecode.zoo.trainer import Effort, Trainer, as_input

log = logging.getLogger("neurodecode")
PATCH_PX, HEAD = 16, 32
WEIGHTS = "diffusion_pytorch_model.safetensors"


def network(px: int, token_dim: int, width: int = 256, layers: int = 6):
    """A denoiser of pictures `px` wide, of random weights.

    Parameters
    ----------
    px : int
        A multiple of 16, the side of its patches.
    token_dim : int
        Of the tokens it is conditioned on.
    width : int
        A multiple of 32; 256 and 6 layers are 7.3 million parameters.
    layers : int
    """
    if px < PATCH_PX or px % PATCH_PX:
        raise ValueError(f"px={px}: pictures are made of patches of {PATCH_PX} px, give a multiple")
    if width < HEAD or width % HEAD:
        raise ValueError(f"width={width}: expected a multiple of {HEAD}")
    return PixArtTransformer2DModel(
        caption_channels=token_dim,
        num_attention_heads=width // HEAD,
        attention_head_dim=HEAD,
        num_layers=layers,
        in_channels=3,
        out_channels=3,
        sample_size=px,
        patch_size=PATCH_PX,
        cross_attention_dim=width,
        use_additional_conditions=False,
    )


def begin_from(network, start: str) -> float:
    """Take over a trained generator's weights, wherever names and shapes agree.

    A generator of another picture size differs in nothing but where its patches lie; one of other
    tokens in the layer that reads them.

    Parameters
    ----------
    network : PixArtTransformer2DModel
    start : str
        ``shipped:generator``, or a folder in diffusers' layout.

    Returns
    -------
    share : float
        Of the parameters.

    Raises
    ------
    ValueError
        If nothing agrees.
    """
    folder = weights_folder(start)
    if folder is None or not (folder / "transformer" / WEIGHTS).is_file():
        raise FileNotFoundError(f"{start!r} is no folder with transformer/{WEIGHTS}")
    there, own = read_tensors(folder / "transformer" / WEIGHTS, "torch"), network.state_dict()
    fit = {k: v.float() for k, v in there.items() if k in own and own[k].shape == v.shape}
    share = sum(v.numel() for v in fit.values()) / sum(v.numel() for v in own.values())
    if share < 0.5:
        raise ValueError(
            f"only {share:.0%} of this network's parameters have the shapes of {start}: begin from "
            "one of the same width and layers, or from none"
        )
    network.load_state_dict(fit, strict=False)
    return share


def train_generator(
    network,
    pictures: torch.Tensor,
    tokens: torch.Tensor,
    effort: Effort,
    drop: float = 0.1,
    edges: float = 2.0,
    compiled: bool = False,
    state: Path | None = None,
):
    """Train a denoiser; the pictures, tokens and network lie on the device of `effort`.

    Parameters
    ----------
    network : PixArtTransformer2DModel
    pictures : Tensor of uint8, shape (n, px, px, 3)
    tokens : Tensor, shape (n, n_tokens, token_dim)
    effort : Effort
    drop : float
        Share of conditions dropped to zeros, for classifier-free guidance.
    edges : float
        Weight of the edges' error.
    compiled : bool
        Faster steps, a slower start.
    state : Path or None
        File that keeps the training over a kill.

    Returns
    -------
    network : PixArtTransformer2DModel
        With the averaged weights.
    """
    spread = tokens.float().std(dim=(0, 1))
    trainer = Trainer(network, effort, state=state)
    denoise = torch.compile(network) if compiled else network

    def loss_of(rows):
        x, condition, rng = as_input(pictures[rows]), tokens[rows].float(), trainer.rng
        noise = torch.randn(x.shape, generator=rng, device=x.device)
        sigma, level, keep = torch.rand(3, len(x), generator=rng, device=x.device)
        blur = torch.randn(condition.shape, generator=rng, device=x.device)
        condition = condition + (level**2)[:, None, None] * spread * blur
        condition = condition * (keep >= drop)[:, None, None]
        mixed = x + sigma[:, None, None, None] * (noise - x)
        error = denoise(mixed, condition, 1000 * sigma, return_dict=False)[0].float() - x
        far = error.square().mean(dim=(1, 2, 3)) + edges * edge_energy(error)
        loss = (far / (sigma**2 + 0.1)).mean()  # near the squared error of the velocity
        return loss, {"loss": loss, "far": far.mean()}

    return trainer.run(loss_of, len(pictures))


def save_generator(network, folder: Path) -> None:
    """Write a generator's folder in diffusers' layout, in float16."""
    pipeline = TokenPipeline(network.cpu().half(), FlowMatchEulerDiscreteScheduler())
    pipeline.save_pretrained(folder)


def edge_energy(x):
    """Mean squared difference of neighbouring pixels, across and down: one number per picture."""
    across, down = x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
    return across.square().mean(dim=(1, 2, 3)) + down.square().mean(dim=(1, 2, 3))
