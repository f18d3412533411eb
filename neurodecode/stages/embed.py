"""Embed: what the brain will be decoded into, for every stimulus of the study.

Pictures become a pooled embedding, tokens and a low-level target (a blurry miniature), sounds the
first two; captions, or the names of categories, become text embeddings. No brain data is seen.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.errors import UserError
from neurodecode.core.ranges import Count
from neurodecode.core.stage import stage
from neurodecode.data.sounds import read_sound
from neurodecode.data.stimuli import COLUMNS, data_set_root, kind_of, load_pictures, picture_size
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
    pooled: Literal["own", "tokens"] = "own"
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
    from neurodecode.contrastive.targets import scored

    stimuli = inputs.table("index", "stimuli.tsv")
    target = scored(build(config.target), config.pooled)
    about = {name: getattr(target, name) for name in ("dim", "n_tokens", "token_dim")}
    about |= {"pooled": config.pooled}

    if kind := kind_of(stimuli):
        root = data_set_root(config.root, inputs)
        check_digests(root, stimuli, inputs.raw_digest)
        embed = sight(config, target, kind, stimuli)
        make = embed_sounds if kind == "sounds" else embed_pictures
        pooled = make(config, target, embed, root, stimuli["path"].tolist(), out)
        names, column = categories(config, stimuli, pooled)
        about |= {"category": column}
        out.save_table("categories.tsv", stimuli[["stimulus_id"]].assign(category=names))
    if stimuli["caption"].ne("").all() and "texts" in takes(target):
        out.save_array("text.npy", embed_captions(target, config.text_template, stimuli["caption"]))
    elif not kind and stimuli["caption"].ne("").all():
        raise UserError(
            f"{config.target['_target_']} takes {' and '.join(takes(target))}, and the stimuli are "
            "names of categories: choose a target of texts, embed=sentences"
        )
    elif not kind:
        raise UserError("the stimuli have neither pictures nor captions: there is nothing to embed")
    out.save_table("stimuli.tsv", stimuli[["stimulus_id"]])
    out.save_json("target.json", {"target": config.target, **about})


def takes(target):
    """What a target embeds: of one that does not say, pictures and texts."""
    return getattr(target, "takes", ("pictures", "texts"))


def sight(config, target, kind, stimuli):
    """Return how stimuli are embedded: ``(rows, what was loaded) -> (pooled, tokens or None)``.

    A target of texts alone embeds what their captions say.

    Raises
    ------
    UserError
        If the target takes nothing that the stimuli have.
    """
    if kind in takes(target):
        return lambda rows, loaded: getattr(target, kind)(loaded)
    captions, reads = stimuli["caption"], tuple(takes(target)) == ("texts",)
    if not reads or captions.eq("").any():
        also = ", and not all of them have captions" if reads else ""
        raise UserError(
            f"{config.target['_target_']} takes {' and '.join(takes(target))}, but the stimuli are "
            f"{kind}{also}: choose another target, embed=…"
        )
    sentences = [config.text_template.format(caption) for caption in captions]
    if not target.n_tokens:
        return lambda rows, loaded: (target.texts(sentences[rows]), None)
    return lambda rows, loaded: (
        target.texts(sentences[rows]),
        target.text_tokens(sentences[rows]),
    )


def embed_sounds(config, target, embed, root, paths, out):
    """Write pooled.npy and tokens.npy, some sounds at a time; return the first."""
    arrays = opened(out, len(paths), embeddings(target))
    for first in out.progress(range(0, len(paths), config.batch), label="sounds embedded"):
        rows = slice(first, first + config.batch)
        keep(arrays, rows, embed(rows, [read_sound(root / path) for path in paths[rows]]))
    return arrays["pooled"]


def embeddings(target):
    """Shape and type of a row of pooled.npy and, if there are tokens, of tokens.npy."""
    shapes = {"pooled": ((target.dim,), np.float32)}
    if target.n_tokens:
        shapes["tokens"] = ((target.n_tokens, target.token_dim), np.float16)
    return shapes


def opened(out, n, shapes):
    """Open arrays of `n` rows in the artifact."""
    return {
        name: out.open_array(f"{name}.npy", (n, *shape), dtype)
        for name, (shape, dtype) in shapes.items()
    }


def keep(arrays, rows, answer):
    """Write pooled embeddings and tokens of some rows, and see to it that they are on disk."""
    pooled, tokens = answer
    arrays["pooled"][rows] = pooled
    if "tokens" in arrays:
        largest = np.abs(tokens).max()
        if not largest < np.finfo(np.float16).max:
            raise UserError(
                f"a token of {largest:g} cannot be kept as float16: choose tokens after a norm"
            )
        arrays["tokens"][rows] = tokens
    for array in arrays.values():
        array.flush()


def embed_pictures(config, target, embed, root, paths, out):
    """Write pooled.npy, tokens.npy and blurry.npy, some pictures at a time; return the first."""
    low_level = build(config.low_level)
    blurry = {"blurry": (low_level.shape, np.float32)}
    arrays = opened(out, len(paths), embeddings(target) | blurry)
    firsts = range(0, len(paths), config.batch)
    for first in out.progress(firsts, label="pictures embedded"):
        rows = slice(first, first + config.batch)
        pictures = load_pictures(root, paths[rows], common_size(root, paths[rows]))
        arrays["blurry"][rows] = low_level.encode(pictures)
        keep(arrays, rows, embed(rows, pictures))
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
