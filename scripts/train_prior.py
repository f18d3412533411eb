"""Train the latent prior on rendered scenes: a code of CLIP tokens, its denoiser, its decoder.

No brain is seen. The denoiser learns to complete beliefs of every strength; the decoder learns to
spell out the tokens of a code, also of one that is not quite right.
"""

import json

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from rendered import rendered
from torch import nn
from training import arguments, effort

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.diffusion.generator import TokenGenerator
from neurodecode.diffusion.latent_prior import LatentPrior, pretrained, save
from neurodecode.diffusion.token_code import fit_code
from neurodecode.diffusion.training import random_beliefs
from neurodecode.metrics.attributes import AttributeReader
from neurodecode.world.scenes import ATTRIBUTES
from neurodecode.zoo.trainer import Trainer

PRECISIONS = (0.5, 2.0, 8.0)  # of the beliefs whose samples are judged
SLIGHTLY = 0.15  # largest deviation of the noise on codes that the decoder learns from


def main():
    parser = arguments(__doc__, steps=5000, batch=1024, rate=2e-3)
    parser.add_argument("--clip", default="shipped:clip", help="the target whose tokens it makes")
    parser.add_argument("--rest", type=int, default=41, help="components that words do not tell")
    parser.add_argument("--decoder-steps", type=int, default=2000)
    parser.set_defaults(held_out=500, scenes=100_000)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    scenes, pictures = rendered(options.scenes, "train", options.workers)
    tokens = embedded(OpenClipTarget(options.clip, device=options.device), pictures)
    prior, n_told = with_code(tokens, scenes, options)
    tokens = ((tokens - prior.mean) / prior.std).to(options.device)
    prior = prior.to(options.device)
    code = torch.cat([prior.read(some) for some in tokens.split(1000)])
    prior.decoder = train_decoder(prior, code, tokens, options)
    prior.denoiser = train_denoiser(prior, code, n_told, options)
    save(prior, options.out)
    print(json.dumps(figures(options, n_told), indent=1))


def embedded(target, pictures):
    """The tokens of pictures, float32 (n, n_tokens, token_dim), on the CPU."""
    parts = [target.pictures(pictures[i : i + 1000])[1] for i in range(0, len(pictures), 1000)]
    return torch.from_numpy(np.concatenate(parts))


def with_code(tokens, scenes, options):
    """A prior with statistics and code of these tokens; how many components words tell."""
    mean, std = tokens.mean(dim=0), tokens.std(dim=0)
    std = torch.where(std > 1e-6, std, 1.0)
    words = pd.get_dummies(scenes[list(ATTRIBUTES)]).to_numpy(np.float32)
    readout = fit_code(((tokens - mean) / std).flatten(1).numpy(), words, options.rest)
    prior = LatentPrior(*mean.shape, n_code=readout.shape[1])
    prior.mean, prior.std, prior.readout = mean, std, torch.from_numpy(readout)
    return prior, readout.shape[1] - options.rest


def train_decoder(prior, code, tokens, options):
    """Train the tokens of slightly noisy codes."""
    trainer = Trainer(prior.decoder, effort(options, options.decoder_steps), decay=0.995)
    draw = lambda *shape: torch.randn(shape, generator=trainer.rng, device=options.device)

    def loss_of(rows):
        scale = SLIGHTLY * torch.rand(len(rows), 1, generator=trainer.rng, device=options.device)
        z = code[rows] + scale * draw(*code[rows].shape)
        loss = F.mse_loss(prior.decoder(z).float(), tokens[rows].flatten(1))
        return loss, {"decoder": loss}

    return trainer.run(loss_of, len(code))


def train_denoiser(prior, code, n_told, options):
    """Train codes from random beliefs."""
    trainer = Trainer(prior.denoiser, effort(options), decay=0.995)
    generator = trainer.cpu_rng  # beliefs and noise

    def loss_of(rows):
        loss = prior.loss(code[rows], random_beliefs(code[rows], n_told, generator), generator)
        return loss, {"denoiser": loss}

    return trainer.run(loss_of, len(code))


def figures(options, n_told) -> dict:
    """How well codes hold held-out scenes, and what beliefs of some strengths become."""
    scenes, pictures = rendered(options.held_out, "held-out", options.workers)
    tokens = torch.from_numpy(OpenClipTarget(options.clip).pictures(pictures)[1])
    prior = pretrained(str(options.out), *tokens.shape[1:])
    generator, reader = TokenGenerator(), AttributeReader()
    code = prior.read((tokens - prior.mean) / prior.std)
    seeds = list(range(len(code)))

    def judged(made):
        natural = (made.unflatten(1, prior.mean.shape) * prior.std + prior.mean).numpy()
        return reader.accuracy(generator.generate(natural, seeds), scenes)

    found = {"components": code.shape[1], "of which words tell": n_told}
    with torch.no_grad():
        spelt = prior.decoder(code)
    true = ((tokens - prior.mean) / prior.std).flatten(1)
    found["variance of tokens explained by their code"] = 1 - float(nn.MSELoss()(spelt, true))
    found["true code"] = judged(spelt)
    rng = torch.Generator().manual_seed(0)
    for precision in PRECISIONS:
        noise = torch.randn(code.shape, generator=rng)
        mean = (precision * code + precision**0.5 * noise) / (1 + precision)
        belief = torch.stack([mean, torch.full_like(mean, 1 / (1 + precision))], dim=1)
        for guidance in (1.0, 3.0):
            made = prior.sample(belief, seeds, 12, guidance=guidance).flatten(1)
            found[f"precision {precision:g}, guidance {guidance:g}"] = judged(made)
    return found


if __name__ == "__main__":
    main()
