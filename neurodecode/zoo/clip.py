"""Train a small CLIP: on pictures and their captions, or on pictures alone.

The contrastive loss alone leaves in a patch token only what captions tell; a linear head that must
paint its own 16 x 16 pixels from each token (and is thrown away after training) keeps place, edge
and shade there too, which a generator needs and early visual cortex carries.

Without captions two views of each picture (cut and coloured anew at random) are matched [1]_. What
differs between views of one picture, its exact colours and its frame, is then no part of the pooled
embedding; and the text tower learns nothing: such a model must not be asked for texts.

References
----------
.. [1] Chen, T. et al. (2020). A simple framework for contrastive learning of visual
   representations. ICML.
"""

import json
import shutil
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast

from neurodecode.core.claims import read_tensors
from neurodecode.weights import weights_folder
from neurodecode.zoo.trainer import Effort, Trainer, as_input, damaged, save_half

SHIPPED, WEIGHTS = "shipped:clip", "open_clip_model.safetensors"
CONTEXT, VOCABULARY, PATCH_PX = 40, 512, 16
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


def train_clip(
    folder: Path,
    pictures: torch.Tensor,
    texts: torch.Tensor | None,
    caption_of: torch.Tensor | None,
    effort: Effort,
    paint: float = 4.0,
    start: str | None = None,
    state: Path | None = None,
) -> None:
    """Train a model whose configuration lies in a folder, and write its weights there.

    Parameters
    ----------
    folder : Path
        From `save_model_files`.
    pictures : Tensor of uint8, shape (n, 64, 64, 3)
        On the device of `effort`, as are the next two.
    texts : Tensor, shape (n_captions, context), or None
        Tokenised, each caption once; None: from pictures alone.
    caption_of : Tensor of int, shape (n,), or None
        The caption of each picture.
    effort : Effort
    paint : float
        Weight of the painting loss.
    start : str or None
        A model of the same sizes to begin from.
    state : Path or None
        File that keeps the training over a kill.
    """
    clip = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    if start is not None:
        clip.load_state_dict(_weights(start, clip))
    clip.visual.output_tokens = True
    size = PATCH_PX * PATCH_PX * 3
    model = nn.ModuleDict({"clip": clip, "paint": nn.Linear(MODEL["embed_dim"], size)})
    trainer = Trainer(model.to(effort.device), effort, state=state)

    def matched_to_captions(rows):
        clean = as_input(pictures[rows])
        pooled, tokens = clip.visual(damaged(clean, trainer.rng))
        spoken = clip.encode_text(texts[caption_of[rows]], normalize=True)
        logits = F.normalize(pooled.float(), dim=1) @ spoken.float().T
        logits = logits * clip.logit_scale.exp().clamp(max=100)
        same = (caption_of[rows][:, None] == caption_of[rows]).float()  # equal captions are no foes
        goal = same / same.sum(dim=1, keepdim=True)
        match = (F.cross_entropy(logits, goal) + F.cross_entropy(logits.T, goal)) / 2
        return whole_loss(match, tokens, clean)

    def matched_to_another_view(rows):
        clean = as_input(pictures[rows])
        pooled, tokens = clip.visual(damaged(clean, trainer.rng))
        other, _ = clip.visual(view(clean, trainer.rng))
        logits = F.normalize(pooled.float(), dim=1) @ F.normalize(other.float(), dim=1).T
        logits = logits * clip.logit_scale.exp().clamp(max=100)
        goal = (rows[:, None] == rows).float()  # rows are drawn with replacement
        goal = goal / goal.sum(dim=1, keepdim=True)
        match = (F.cross_entropy(logits, goal) + F.cross_entropy(logits.T, goal)) / 2
        return whole_loss(match, tokens, clean)

    def whole_loss(match, tokens, clean):
        painted = F.mse_loss(model["paint"](tokens).float(), patches(clean))
        return match + paint * painted, {"match": match, "paint": painted}

    loss_of = matched_to_another_view if texts is None else matched_to_captions
    best = trainer.run(loss_of, len(pictures))
    save_half(best["clip"].state_dict(), folder / WEIGHTS)


def view(x, rng):
    """Cut each picture (to 60 to 100 % of its width) and change its brightness and contrast.

    Not mirrored: left and right are part of what was seen.
    """
    draw = lambda *shape: torch.rand(len(x), *shape, generator=rng, device=x.device)
    scale = 0.6 + 0.4 * draw(1)
    shift = (1 - scale) * (2 * draw(2) - 1)
    turn = torch.zeros(len(x), 2, 3, device=x.device)
    turn[:, 0, 0] = turn[:, 1, 1] = scale[:, 0]
    turn[:, :, 2] = shift
    cut = F.grid_sample(x, F.affine_grid(turn, x.shape, False), align_corners=False)
    contrast, light = 0.7 + 0.6 * draw(1, 1, 1), 0.4 * draw(1, 1, 1) - 0.2
    mean = cut.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + contrast * (cut - mean) + light).clamp(-1, 1)


def _weights(start, clip):
    folder = weights_folder(start)
    if folder is None or not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(f"{start!r} is no folder with {WEIGHTS} to begin from")
    there, own = read_tensors(folder / WEIGHTS, "torch"), clip.state_dict()
    if {k: v.shape for k, v in there.items()} != {k: v.shape for k, v in own.items()}:
        raise ValueError(f"{start} has other sizes than the small CLIP: begin from none")
    return {k: v.to(own[k].dtype) for k, v in there.items()}


def save_model_files(folder, words, start=None):
    """Write the model's configuration and a byte-pair tokenizer of the captions, or that of the
    model to begin from, whose text tower knows its pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    if start is not None:
        for name in ("open_clip_config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(weights_folder(start) / name, folder / name)
        return
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
