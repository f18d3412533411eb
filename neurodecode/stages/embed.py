"""Embed: what the brain will be decoded into, for every stimulus of the study.

Pictures become a pooled embedding, a grid of tokens and a low-level target (a blurry miniature);
captions, or the names of categories, become text embeddings. No brain data is seen.
"""

from dataclasses import dataclass, field

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.errors import UserError
from neurodecode.core.ranges import Count
from neurodecode.core.stage import stage
from neurodecode.data.stimuli import COLUMNS, data_set_root, load_pictures, picture_size
from neurodecode.rigour.categories import CLUSTERS, clusters
from neurodecode.weights import named_folders

# Of a simulated study only the pictures count, and their digests stand in index's stimuli.tsv.
HANDLE = "?simulate:bids/dataset_description.json"
MINIATURE = {"_target_": "neurodecode.contrastive.low_level.Miniature"}


@dataclass(frozen=True)
class EmbedConfig:
    """Which embedding; conf/stage/embed.yaml explains each key."""

    target: dict
    low_level: dict = field(default_factory=lambda: dict(MINIATURE))
    text_template: str = "{}"
    category: str = ""
    batch: Count = 256
    root: str = field(default="", metadata={"keyed": False})

    def __post_init__(self):
        if "{}" not in self.text_template:
            raise ValueError(f"text_template {self.text_template!r} has no {{}} for the caption")


@stage(
    "embed",
    config=EmbedConfig,
    inputs=("index:stimuli.tsv", HANDLE),
    external=lambda config: [*named_folders(config.target), *named_folders(config.low_level)],
)
def run(config, inputs, out):
    """Embed every stimulus: pooled, tokens and blurry pictures, or sentences of categories."""
    stimuli = inputs.table("index", "stimuli.tsv")
    target = build(config.target)
    about = {"dim": target.dim, "n_tokens": target.n_tokens, "token_dim": target.token_dim}

    if stimuli["path"].ne("").all():
        root = data_set_root(config.root, inputs)
        check_digests(root, stimuli, inputs.raw_digest)
        pooled = embed_pictures(config, target, root, stimuli["path"].tolist(), out)
        names, column = categories(config, stimuli, pooled)
        about |= {"category": column}
        out.save_table("categories.tsv", stimuli[["stimulus_id"]].assign(category=names))
    if stimuli["caption"].ne("").all():
        out.save_array("text.npy", embed_captions(target, config.text_template, stimuli["caption"]))
    elif not stimuli["path"].ne("").all():
        raise UserError("the stimuli have neither pictures nor captions: there is nothing to embed")
    out.save_table("stimuli.tsv", stimuli[["stimulus_id"]])
    out.save_json("target.json", {"target": config.target, **about})


def embed_pictures(config, target, root, paths, out):
    """Write pooled.npy, tokens.npy and blurry.npy, some pictures at a time; return the first."""
    low_level = build(config.low_level)
    shapes = {
        "pooled": ((target.dim,), np.float32),
        "tokens": ((target.n_tokens, target.token_dim), np.float16),
        "blurry": (low_level.shape, np.float32),
    }
    arrays = {
        name: out.open_array(f"{name}.npy", (len(paths), *shape), dtype)
        for name, (shape, dtype) in shapes.items()
    }
    firsts = range(0, len(paths), config.batch)
    for first in out.progress(firsts, label="pictures embedded"):
        rows = slice(first, first + config.batch)
        pictures = load_pictures(root, paths[rows], common_size(root, paths[rows]))
        arrays["pooled"][rows], arrays["tokens"][rows] = target.pictures(pictures)
        arrays["blurry"][rows] = low_level.encode(pictures)
    for array in arrays.values():
        array.flush()
    return arrays["pooled"]


def categories(config, stimuli, pooled):
    """Say what kind each picture is, and where that is from: a column, or clusters.

    They are true of the pictures: controls and verdict are told them, no decoder is.
    """
    column = config.category or ("category" if "category" in stimuli else "")
    if not column:
        return clusters(pooled), CLUSTERS
    if column not in stimuli:
        free = [c for c in stimuli if c not in COLUMNS]
        raise UserError(
            f"recipe.category={column}: the pictures' table has "
            f"{', '.join(free) or 'no column of its own'}"
        )
    return stimuli[column].astype(str).to_numpy(), column


def embed_captions(target, template, captions):
    """Embed sentences, each different one once: float32 unit rows."""
    sentences = [template.format(caption) for caption in captions]
    different, place = np.unique(sentences, return_inverse=True)
    return target.texts(different.tolist())[place].astype(np.float32)


def common_size(root, paths):
    """Return the (height, width) to which pictures of different sizes are scaled; None if equal."""
    sizes = {picture_size(root / path) for path in paths}
    return None if len(sizes) == 1 else tuple(map(int, np.median(list(sizes), axis=0)[::-1]))


def check_digests(root, stimuli, digest):
    """Refuse pictures that changed since they were indexed."""
    for path, known in zip(stimuli["path"], stimuli["sha256"], strict=True):
        if digest(root / path) != known:
            raise UserError(f"{root / path} is not the picture that was indexed: run again")
