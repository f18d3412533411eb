"""Train the attribute reader: a convolutional network from picture to labels, no CLIP anywhere."""

import json

import torch
import torch.nn.functional as F
from rendered import labels, rendered
from training import arguments, effort

from neurodecode.metrics.attributes import CONFIG, WEIGHTS, AttributeReader, network
from neurodecode.world.scenes import ATTRIBUTES, WIDTH_PX
from neurodecode.zoo.trainer import Trainer, as_input, damaged, save_half

WIDTHS = [32, 48, 64, 96]


def main():
    options = arguments(__doc__, steps=6000, batch=512, rate=2e-3).parse_args()
    torch.manual_seed(options.seed)
    attributes = {name: list(values) for name, values in ATTRIBUTES.items()}
    scenes, pictures = rendered(options.scenes, "train", options.workers)
    pictures = torch.from_numpy(pictures).to(options.device)
    truth = torch.from_numpy(labels(scenes)).to(options.device)
    model = network(WIDTHS, attributes, WIDTH_PX).to(options.device)
    trainer = Trainer(model, effort(options))

    def loss_of(rows):
        logits = model(damaged(as_input(pictures[rows]), trainer.rng)).float()
        groups = logits.split([len(v) for v in attributes.values()], dim=1)
        loss = sum(F.cross_entropy(g, truth[rows, i]) for i, g in enumerate(groups))
        return loss, {"loss": loss}

    best = trainer.run(loss_of, len(pictures))
    options.out.mkdir(parents=True, exist_ok=True)
    save_half(best.state_dict(), options.out / WEIGHTS)
    config = {"attributes": attributes, "widths": WIDTHS, "size_px": WIDTH_PX}
    (options.out / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    held_scenes, held_pictures = rendered(options.held_out, "held-out", options.workers)
    accuracy = AttributeReader(str(options.out)).accuracy(held_pictures, held_scenes)
    print(json.dumps({"held-out accuracy": accuracy}))


if __name__ == "__main__":
    main()
