"""Train the shipped generator on rendered scenes, conditioned on the tokens of the shipped CLIP.

`--px 128 --start shipped:generator` trains a wider one that begins from the narrow one's blocks;
its tokens are still those of the 64 px pictures, which is what the CLIP sees of any.
"""

import json

import numpy as np
import torch
from rendered import rendered
from training import arguments, effort

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.diffusion.generator import TokenGenerator
from neurodecode.metrics.attributes import AttributeReader
from neurodecode.world.scenes import WIDTH_PX
from neurodecode.zoo.figures import likeness, ms_per_picture
from neurodecode.zoo.generator import begin_from, network, save_generator, train_generator
from neurodecode.zoo.trainer import as_input


def main():
    parser = arguments(__doc__, steps=20_000, batch=1024, rate=1e-3)
    parser.add_argument("--clip", default="shipped:clip", help="the target it is conditioned on")
    parser.add_argument("--reader", default="shipped:reader", help="who judges held-out pictures")
    parser.add_argument("--px", type=int, default=WIDTH_PX, help="width of the pictures")
    parser.add_argument("--start", help="generator whose weights are taken over where they fit")
    parser.add_argument("--drop", type=float, default=0.1, help="share of dropped conditions")
    parser.add_argument("--edges", type=float, default=2.0, help="weight of the edges' error")
    parser.add_argument("--compile", action="store_true", help="faster steps, a slower start")
    parser.set_defaults(held_out=500)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    target = OpenClipTarget(options.clip, device=options.device)
    narrow = torch.from_numpy(rendered(options.scenes, "train", options.workers)[1])
    tokens = embedded(target, narrow.to(options.device))
    pictures = narrow if options.px == WIDTH_PX else wide(options.scenes, "train", options)
    model = network(options.px, target.token_dim)
    if options.start:
        print(f"{begin_from(model, options.start):.1%} of the parameters are {options.start}'s")
    trained = train_generator(
        model.to(options.device),
        pictures.to(options.device),
        tokens,
        effort(options),
        options.drop,
        options.edges,
        options.compile,
    )
    save_generator(trained, options.out)
    print(json.dumps(figures(options), indent=1))


def wide(n, part, options):
    """The pictures of a part at the generator's own width."""
    return torch.from_numpy(rendered(n, part, options.workers, options.px)[1])


def embedded(target, pictures):
    """The CLIP tokens of prepared pictures, float16 (n, n_tokens, token_dim)."""
    parts = [target.embed(as_input(some))[1].half() for some in pictures.split(1000)]
    return torch.cat(parts).clone()  # the clone, made outside inference mode, may enter a graph


def figures(options) -> dict:
    """How well the true tokens of held-out scenes become their pictures again."""
    n = options.held_out
    scenes, narrow = rendered(n, "held-out", options.workers)
    true = {WIDTH_PX: narrow}
    if options.px != WIDTH_PX:
        true[options.px] = wide(n, "held-out", options).numpy()
    tokens = OpenClipTarget(options.clip).pictures(narrow)[1]
    generator = TokenGenerator(str(options.out), device=options.device)
    reader = AttributeReader(options.reader)
    seeds = list(range(n))
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(tokens.shape).astype(np.float32) * tokens.std(axis=(0, 1))
    noisy = tokens + 0.5 * noise
    blurry = narrow.reshape(n, 16, 4, 16, 4, 3).mean(axis=(2, 4)) / 255
    made = {
        "true tokens": generator.generate(tokens, seeds),
        "tokens + 0.5 SD noise": generator.generate(noisy, seeds),
        "tokens + 0.5 SD noise, from the true blurry picture": generator.generate(
            noisy, seeds, start=blurry
        ),
    }
    found = {name: compare(some, true, scenes, reader) for name, some in made.items()}
    return found | {"ms per picture": ms_per_picture(generator, tokens)}


def compare(made, true, scenes, reader) -> dict:
    """Likeness at every width there is a truth of, and what the reader reads."""
    found = {}
    for px, pictures in true.items():
        told = likeness(shrunk(made, px), pictures)
        found |= told if px == made.shape[1] else {f"{k} at {px} px": v for k, v in told.items()}
    return found | {"accuracy": reader.accuracy(made, scenes)}


def shrunk(pictures, px):
    """Scale pictures down to a width that divides theirs: the mean of what becomes one pixel."""
    n, width = pictures.shape[:2]
    cells = pictures.reshape(n, px, width // px, px, width // px, 3)
    return np.rint(cells.mean(axis=(2, 4))).astype(np.uint8)


if __name__ == "__main__":
    main()
