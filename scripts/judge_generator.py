"""Judge a generator of scenes by held-out ones: likeness, what the reader reads, FID, KID, time.

FID and KID are those of the shipped CLIP's pooled embedding: pictures painted from some held-out
scenes against renders of others, beside renders of the same scenes against those others, which is
what a perfect generator would earn.
"""

import argparse
import json

import torch
from rendered import rendered

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.diffusion.generator import TokenGenerator
from neurodecode.metrics.attributes import AttributeReader
from neurodecode.world.scenes import WIDTH_PX
from neurodecode.zoo.figures import (
    frechet_distance,
    kernel_distance,
    likeness,
    ms_per_picture,
)

SPACE = "in the shipped CLIP's space"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("generator", nargs="?", default="shipped:generator")
    parser.add_argument("--scenes", type=int, default=1000, help="held-out scenes to judge by")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(json.dumps(judged(options), indent=1))


def judged(options) -> dict:
    """The figures of a generator."""
    n, target = options.scenes, OpenClipTarget()
    generator = TokenGenerator(options.generator, device=options.device)
    scenes, pictures = rendered(2 * n, "held-out", options.workers)
    pooled, tokens = target.pictures(pictures)
    own, others = pooled[:n], pooled[n:]
    made = generator.generate(tokens[:n], list(range(n)))
    px = made.shape[1]
    true = rendered(n, "held-out", options.workers, px)[1] if px != WIDTH_PX else pictures[:n]
    painted = target.pictures(made)[0]
    return {
        "held-out scenes": n,
        "width": px,
        **likeness(made, true),
        "accuracy": AttributeReader().accuracy(made, scenes.iloc[:n]),
        f"FID {SPACE}": frechet_distance(painted, others),
        f"FID {SPACE} of renders": frechet_distance(own, others),
        f"KID {SPACE}": kernel_distance(painted, others),
        f"KID {SPACE} of renders": kernel_distance(own, others),
        "ms per picture": ms_per_picture(generator, tokens[:64]),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
