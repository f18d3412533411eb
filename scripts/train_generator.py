"""Train the generator: flow matching on pixels, conditioned on the tokens of the shipped CLIP.

Decoded tokens are never exact, so the tokens it is trained with are not either: noise of a random
scale, up to one standard deviation of each number, is added to them. A tenth is dropped to zeros.
The loss is the squared error of the clean picture and of its edges. Both are quadratic, so that the
best answer stays the conditional mean, which flow matching needs; edges carry shape and material,
which are few pixels.
"""

import json
import time

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, PixArtTransformer2DModel
from rendered import rendered
from torchmetrics.functional.image import structural_similarity_index_measure as ssim
from training import Trainer, arguments, as_input

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.diffusion.generator import TokenGenerator
from neurodecode.diffusion.pipeline import TokenPipeline
from neurodecode.metrics.attributes import AttributeReader

CONFIG = {
    "num_attention_heads": 8,
    "attention_head_dim": 32,
    "num_layers": 6,
    "in_channels": 3,
    "out_channels": 3,
    "sample_size": 64,
    "patch_size": 16,
    "cross_attention_dim": 256,
    "use_additional_conditions": False,
}


def main():
    parser = arguments(__doc__, steps=20_000, batch=1024, rate=1e-3)
    parser.add_argument("--clip", default="shipped:clip", help="the target it is conditioned on")
    parser.add_argument("--reader", default="shipped:reader", help="who judges held-out pictures")
    parser.add_argument("--drop", type=float, default=0.1, help="share of dropped conditions")
    parser.add_argument("--edges", type=float, default=2.0, help="weight of the edges' error")
    parser.add_argument("--compile", action="store_true", help="faster steps, a slower start")
    parser.set_defaults(held_out=500)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    target = OpenClipTarget(options.clip, device=options.device)
    pictures = torch.from_numpy(rendered(options.scenes, "train", options.workers)[1])
    pictures = pictures.to(options.device)
    tokens = embedded(target, pictures)
    spread = tokens.float().std(dim=(0, 1))
    network = PixArtTransformer2DModel(caption_channels=target.token_dim, **CONFIG)
    network.to(options.device)
    trainer = Trainer(network, options)
    denoise = torch.compile(network) if options.compile else network

    def loss_of(rows):
        x, condition, rng = as_input(pictures[rows]), tokens[rows].float(), trainer.rng
        noise = torch.randn(x.shape, generator=rng, device=x.device)
        sigma, level, keep = torch.rand(3, len(x), generator=rng, device=x.device)
        blur = torch.randn(condition.shape, generator=rng, device=x.device)
        condition = condition + (level**2)[:, None, None] * spread * blur
        condition = condition * (keep >= options.drop)[:, None, None]
        mixed = x + sigma[:, None, None, None] * (noise - x)
        error = denoise(mixed, condition, 1000 * sigma, return_dict=False)[0].float() - x
        far = error.square().mean(dim=(1, 2, 3)) + options.edges * edge_energy(error)
        loss = (far / (sigma**2 + 0.1)).mean()  # near the squared error of the velocity
        return loss, {"loss": loss, "far": far.mean()}

    best = trainer.run(loss_of, len(pictures))
    pipeline = TokenPipeline(best, FlowMatchEulerDiscreteScheduler())
    pipeline.to("cpu", torch.float16).save_pretrained(options.out)
    print(json.dumps(figures(options), indent=1))


def embedded(target, pictures):
    """The CLIP tokens of prepared pictures, float16 (n, n_tokens, token_dim)."""
    parts = [target.embed(as_input(some))[1].half() for some in pictures.split(1000)]
    return torch.cat(parts).clone()  # the clone, made outside inference mode, may enter a graph


def edge_energy(x):
    """Mean squared difference of neighbouring pixels, across and down: one number per picture."""
    across, down = x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
    return across.square().mean(dim=(1, 2, 3)) + down.square().mean(dim=(1, 2, 3))


def figures(options) -> dict:
    """How well the true tokens of held-out scenes become their pictures again."""
    n = options.held_out
    scenes, pictures = rendered(n, "held-out", options.workers)
    tokens = OpenClipTarget(options.clip).pictures(pictures)[1]
    generator = TokenGenerator(str(options.out), device=options.device)
    reader = AttributeReader(options.reader)
    seeds = list(range(n))
    started = time.time()
    made = generator.generate(tokens, seeds)
    seconds = time.time() - started
    found = {"true tokens": compare(made, pictures, scenes, reader)}
    found["ms per picture"] = 1000 * seconds / n
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(tokens.shape).astype(np.float32) * tokens.std(axis=(0, 1))
    noisy = generator.generate(tokens + 0.5 * noise, seeds)
    found["tokens + 0.5 SD noise"] = compare(noisy, pictures, scenes, reader)
    blurry = pictures.reshape(n, 16, 4, 16, 4, 3).mean(axis=(2, 4)) / 255
    begun = generator.generate(tokens + 0.5 * noise, seeds, start=blurry)
    found["tokens + 0.5 SD noise, from the true blurry picture"] = compare(
        begun, pictures, scenes, reader
    )
    return found


def compare(made, true, scenes, reader) -> dict:
    a, b = (as_input(torch.from_numpy(p)) / 2 + 0.5 for p in (made, true))
    correlations = [
        np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(made, true, strict=True)
    ]
    return {
        "SSIM": float(ssim(a, b, data_range=1.0)),
        "PixCorr": float(np.mean(correlations)),
        "accuracy": reader.accuracy(made, scenes),
    }


if __name__ == "__main__":
    main()
