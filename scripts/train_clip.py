"""Train the shipped CLIP on rendered scenes and their captions.

The contrastive loss alone leaves in a patch token only what captions tell; a linear head that must
paint its own 16 x 16 pixels from each token (and is thrown away after training) keeps place, edge
and shade there too, which a generator needs and early visual cortex carries.
"""

import json

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from rendered import caption_table, rendered
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from training import arguments, effort
from transformers import PreTrainedTokenizerFast

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.zoo.trainer import Trainer, as_input, damaged, save_half

CONTEXT, VOCABULARY = 40, 512
MODEL = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": 64,
        "patch_size": 16,
        "width": 128,
        "head_width": 32,
        "layers": 8,
        "pool_type": "avg",
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "width": 128,
        "heads": 4,
        "layers": 3,
        "hf_tokenizer_name": "tokenizer",
    },
}
PREPROCESS = {"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}


def main():
    parser = arguments(__doc__, steps=12_000, batch=2048, rate=1e-3)
    parser.add_argument("--paint", type=float, default=4.0, help="weight of the painting loss")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    scenes, pictures = rendered(options.scenes, "train", options.workers)
    words, caption_of = caption_table(scenes)
    save_model_files(options.out, words)
    texts = open_clip.get_tokenizer(f"local-dir:{options.out}")(words).to(options.device)
    caption_of = torch.from_numpy(caption_of).to(options.device)
    pictures = torch.from_numpy(pictures).to(options.device)

    clip = open_clip.create_model(f"local-dir:{options.out}", load_weights=False)
    clip.visual.output_tokens = True
    model = nn.ModuleDict({"clip": clip, "paint": nn.Linear(128, 16 * 16 * 3)}).to(options.device)
    trainer = Trainer(model, effort(options))

    def loss_of(rows):
        clean = as_input(pictures[rows])
        pooled, tokens = clip.visual(damaged(clean, trainer.rng))
        spoken = clip.encode_text(texts[caption_of[rows]], normalize=True)
        logits = F.normalize(pooled.float(), dim=1) @ spoken.float().T
        logits = logits * clip.logit_scale.exp().clamp(max=100)
        same = (caption_of[rows][:, None] == caption_of[rows]).float()  # equal captions are no foes
        goal = same / same.sum(dim=1, keepdim=True)
        match = (F.cross_entropy(logits, goal) + F.cross_entropy(logits.T, goal)) / 2
        paint = F.mse_loss(model["paint"](tokens).float(), patches(clean))
        return match + options.paint * paint, {"match": match, "paint": paint}

    best = trainer.run(loss_of, len(pictures))
    save_half(best["clip"].state_dict(), options.out / "open_clip_model.safetensors")
    print(json.dumps({"held-out retrieval among 500": retrieval(options)}))


def save_model_files(folder, words):
    """Write the model's configuration and a byte-pair tokenizer of the captions."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(about, indent=1) + "\n")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        words,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - 3,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    # open_clip reads the embedding at the highest token number: the end must come last.
    special = ["<pad>", "<start>", "<end>"]
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>",
        special_tokens=[(word, tokenizer.token_to_id(word)) for word in special[1:]],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<start>", eos_token="<end>"
    ).save_pretrained(folder)


def patches(x):
    """The pixels under each token: (n, 3, 64, 64) to (n, 16, 768), tokens row by row."""
    cells = x.reshape(len(x), 3, 4, 16, 4, 16).permute(0, 2, 4, 1, 3, 5)
    return cells.reshape(len(x), 16, -1)


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
