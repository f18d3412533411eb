"""Train the shipped latent prior on rendered scenes: `neurodecode.zoo.prior`."""

import json

import numpy as np
import pandas as pd
import torch
from rendered import rendered
from torch import nn
from training import arguments, effort

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.diffusion.generator import TokenGenerator
from neurodecode.diffusion.latent_prior import pretrained, save
from neurodecode.metrics.attributes import AttributeReader
from neurodecode.world.scenes import ATTRIBUTES
from neurodecode.zoo.prior import train_decoder, train_denoiser, with_code

PRECISIONS = (0.5, 2.0, 8.0)  # of the beliefs whose samples are judged


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
    words = pd.get_dummies(scenes[list(ATTRIBUTES)]).to_numpy(np.float32)
    prior, n_told = with_code(tokens, words, options.rest)
    tokens = ((tokens - prior.mean) / prior.std).to(options.device)
    prior = prior.to(options.device)
    code = torch.cat([prior.read(some) for some in tokens.split(1000)])
    prior.decoder = train_decoder(prior, code, tokens, effort(options, options.decoder_steps))
    prior.denoiser = train_denoiser(prior, code, n_told, effort(options))
    save(prior, options.out)
    print(json.dumps(figures(options, n_told), indent=1))


def embedded(target, pictures):
    """The tokens of pictures, float32 (n, n_tokens, token_dim), on the CPU."""
    parts = [target.pictures(pictures[i : i + 1000])[1] for i in range(0, len(pictures), 1000)]
    return torch.from_numpy(np.concatenate(parts))


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
