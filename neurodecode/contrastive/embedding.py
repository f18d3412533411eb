"""What all targets share: pictures in batches, unit rows, tokens of maps, depths of a network."""

import math
from collections.abc import Iterator

import numpy as np

from neurodecode.core.claims import check_sizes
from neurodecode.core.documents import read_json

LARGEST_PX = 4096  # to which a preparation may scale pictures


def check_pictures(pictures: np.ndarray) -> None:
    """Refuse what are not pictures, uint8 (n, height, width, 3) with n >= 1, by a ValueError."""
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or not len(pictures):
        raise ValueError(
            f"pictures of {pictures.dtype} {pictures.shape}: expected at least one, uint8, "
            "(n, height, width, 3)"
        )


def slices(items, size: int) -> Iterator:
    """Cut a sequence into parts of at most `size`."""
    return (items[first : first + size] for first in range(0, len(items), size))


def as_numpy(values) -> np.ndarray:
    """A tensor as a float32 array."""
    return values.float().cpu().numpy()


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, dim) at unit length."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def in_batches(embed, batches) -> tuple[np.ndarray, np.ndarray]:
    """Embed batch by batch: unit rows (n, dim) and tokens (n, n_tokens, token_dim), float32.

    Parameters
    ----------
    embed : callable (batch) -> (pooled, tokens)
        Tensors; `pooled` of any length.
    batches : iterable
    """
    out = [[as_numpy(values) for values in embed(batch)] for batch in batches]
    pooled, tokens = (np.concatenate(parts) for parts in zip(*out, strict=True))
    return unit(pooled), tokens


def quarters(blocks) -> dict:
    """Name the blocks at a quarter, half and three quarters of the depth: ``{"block_2": …}``."""
    depths = sorted({math.ceil(len(blocks) * part / 4) for part in (1, 2, 3)})
    return {f"block_{depth}": blocks[depth - 1] for depth in depths}


def layers_of(represent, batches) -> dict[str, np.ndarray]:
    """Represent batches at a few depths: ``{name: (n, d)}`` float32, ``pooled`` at unit length.

    Parameters
    ----------
    represent : callable (batch) -> (list of tensors (n, …), tensor (n, dim))
        The output of every block, and the pooled embedding.
    batches : iterable
    """
    found: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        blocks, pooled = represent(batch)
        for name, values in quarters(blocks).items():
            found.setdefault(name, []).append(as_numpy(values).reshape(len(values), -1))
        found.setdefault("pooled", []).append(unit(as_numpy(pooled)))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def image_processor(folder):
    """Read how transformers prepares pictures for a model, from ``preprocessor_config.json``.

    Raises
    ------
    ValueError
        If it asks for an unlikely size, or is damaged.
    """
    from transformers import AutoImageProcessor

    path = folder / "preprocessor_config.json"
    about = read_json(path)
    for name in ("size", "crop_size"):
        check_sizes(about.get(name), LARGEST_PX, f"{path}: {name}")
    try:
        return AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers raises many, over whatever the file says
        raise ValueError(f"{path} prepares no pictures ({error}): fetch it again") from error


def prepared(pictures: np.ndarray, processor, batch: int, device: str) -> Iterator:
    """Prepare pictures by a processor of transformers: tensors (at most `batch`, 3, h, w)."""
    check_pictures(pictures)
    for some in slices(pictures, batch):
        out = processor(images=list(some), return_tensors="pt", input_data_format="channels_last")
        yield out["pixel_values"].float().to(device)
