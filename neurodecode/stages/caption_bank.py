"""Captions that a decoded embedding may be given: those of training stimuli, or a user's own."""

from pathlib import Path

import numpy as np

from neurodecode.core.errors import UserError
from neurodecode.weights import named_folders

TRAIN = "train"
BLOCK = 4096  # captions compared with all rows at once


def bank_files(config):
    """List what the bank depends on outside the store: its file, and the text tower's weights."""
    if config.caption_bank == TRAIN:
        return []
    return [Path(config.caption_bank).expanduser(), *named_folders(config.target)]


def nearest_captions(config, inputs, row_id, said, log):
    """Say each condition's embedding in words: the captions nearest to it.

    Returns
    -------
    table : DataFrame
        condition row_id rank (from 1) caption cosine.
    """
    import pandas as pd

    own = config.caption_bank != TRAIN
    captions, text = user_bank(config, inputs, log) if own else training_bank(inputs)
    parts = []
    for name, of in said.items():
        best, cosine = nearest(of["pooled"], text, min(config.n_captions, len(captions)))
        n, k = best.shape
        parts.append(
            pd.DataFrame(
                {
                    "condition": name,
                    "row_id": np.repeat(row_id.to_numpy(), k),
                    "rank": np.tile(np.arange(1, k + 1), n),
                    "caption": captions[best.ravel()],
                    "cosine": cosine.ravel().round(6),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def training_bank(inputs):
    """Captions of the training stimuli and their embeddings; a test picture's own is not in it."""
    split, stimuli = inputs.table("split", "split.tsv"), inputs.table("index", "stimuli.tsv")
    trained_on = set(split["stimulus_id"][split["split"] == "train"])
    rows = np.flatnonzero(stimuli["stimulus_id"].isin(trained_on))
    text = np.asarray(inputs.array("embed", "text.npy"))[rows]
    return stimuli["caption"].to_numpy()[rows], text


def user_bank(config, inputs, log):
    """Captions of a file, without those of test stimuli, and their embeddings.

    Raises
    ------
    UserError
        If nothing is left, or the embedding has no texts.
    """
    from neurodecode.core.build import build
    from neurodecode.stages.embed import embed_captions

    captions = read_bank(Path(config.caption_bank).expanduser())
    split, stimuli = inputs.table("split", "split.tsv"), inputs.table("index", "stimuli.tsv")
    tested = set(split["stimulus_id"][split["split"] == "test"])
    own = {plain(c) for c in stimuli["caption"][stimuli["stimulus_id"].isin(tested)]}
    kept = np.array([c for c in captions if plain(c) not in own], dtype=object)
    if len(kept) < len(captions):
        log(
            f"{config.caption_bank}: {len(captions) - len(kept)} of {len(captions)} captions are "
            "those of test stimuli and are left out: they would give the answer away"
        )
    if not len(kept):
        raise UserError(
            f"predict.caption_bank={config.caption_bank}: no caption is left but those of test "
            "stimuli; give captions of other pictures, or caption_bank=train"
        )
    if config.target is None:
        raise UserError(
            "predict.target is null: name the embedding whose text tower reads the bank"
        )
    target = build(config.target)
    if "texts" not in getattr(target, "takes", ("texts",)) or not hasattr(target, "texts"):
        raise UserError(
            f"{type(target).__name__} embeds no texts: a caption bank needs a target with a text "
            "tower, such as embed=shipped_clip"
        )
    return kept, embed_captions(target, config.caption_template, kept)


def read_bank(path):
    """Read the captions of a text file, one a line, or of the column `caption` of a .tsv.

    Returns
    -------
    captions : list of str
        Each once, in the file's order, without empty lines.
    """
    if not path.is_file():
        raise UserError(f"predict.caption_bank: there is no file {path}; give one, or train")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error}): save it as such") from error
    if path.suffix == ".tsv":
        column = lines[0].split("\t") if lines else []
        if "caption" not in column:
            raise UserError(f"{path} has the columns {', '.join(column)}: expected one of caption")
        cells = [line.split("\t") for line in lines[1:]]
        place = column.index("caption")
        lines = [row[place] if place < len(row) else "" for row in cells]
    captions = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not captions:
        raise UserError(f"{path} holds no caption: expected one a line")
    return captions


def plain(caption):
    """A caption without case, spaces at its ends and a full stop: what makes two the same."""
    return " ".join(caption.casefold().split()).rstrip(".")


def nearest(pooled, text, k):
    """Find the k captions nearest to each row: places and cosines, both (n_rows, k), best first.

    Parameters
    ----------
    pooled : ndarray, shape (n_rows, dim)
        Unit rows.
    text : ndarray, shape (n_captions, dim)
        Unit rows; ties go to the first.
    k : int
    """
    best, cosine = np.zeros((len(pooled), 0), int), np.zeros((len(pooled), 0))
    for first in range(0, len(text), BLOCK):
        found = pooled @ text[first : first + BLOCK].T
        places = np.broadcast_to(first + np.arange(found.shape[1]), found.shape)
        cosine, best = np.hstack([cosine, found]), np.hstack([best, places])
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        cosine, best = (np.take_along_axis(a, order, axis=1) for a in (cosine, best))
    return best, cosine
