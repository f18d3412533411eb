"""Train the shipped CLIP on rendered scenes and their captions: `neurodecode.zoo.clip`."""

import json

import numpy as np
import open_clip
import torch
from rendered import caption_table, rendered
from training import arguments, effort

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.zoo.clip import save_model_files, train_clip


def main():
    parser = arguments(__doc__, steps=12_000, batch=2048, rate=1e-3)
    parser.add_argument("--paint", type=float, default=4.0, help="weight of the painting loss")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    scenes, pictures = rendered(options.scenes, "train", options.workers)
    words, caption_of = caption_table(scenes)
    save_model_files(options.out, words)
    texts = open_clip.get_tokenizer(f"local-dir:{options.out}")(words)
    on_device = [torch.from_numpy(pictures), texts, torch.from_numpy(caption_of)]
    on_device = [values.to(options.device) for values in on_device]
    train_clip(options.out, *on_device, effort(options), options.paint)
    print(json.dumps({"held-out retrieval among 500": retrieval(options)}))


def retrieval(options) -> dict[str, float]:
    """Top-1 both ways among 500 held-out scenes, mean over the sets; equal captions are equal."""
    scenes, pictures = rendered(options.held_out, "held-out", options.workers)
    words, which = caption_table(scenes)
    target = OpenClipTarget(str(options.out))
    pooled, spoken = target.pictures(pictures)[0], target.texts(words)[which]
    hits = {"picture to caption": [], "caption to picture": []}
    for first in range(0, options.held_out, 500):
        rows = slice(first, first + 500)
        similarity, own = pooled[rows] @ spoken[rows].T, which[rows]
        hits["picture to caption"].append(np.mean(own[similarity.argmax(1)] == own))
        hits["caption to picture"].append(np.mean(own[similarity.argmax(0)] == own))
    return {way: float(np.mean(values)) for way, values in hits.items()}


if __name__ == "__main__":
    main()
