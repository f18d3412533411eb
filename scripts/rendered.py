"""Scenes to train and to test the shipped models on, painted in parallel.

Scenes come in shards of 1,000, each from its own seed: shard i of the training scenes from
`numpy.random.default_rng(900_000_000 + i)`, of the held-out ones from `990_000_000 + i`. A study
draws its scenes from seeds that are sha256 digests of (seed, name), 63 bits wide: the places of
objects are continuous, so that no picture is in two of the three sets.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pandas as pd

from neurodecode.world.scenes import ATTRIBUTES, WIDTH_PX, captions, render, sample_scenes

FIRST_SEED = {"train": 900_000_000, "held-out": 990_000_000}
SHARD = 1000


def rendered(
    n: int, part: str, workers: int = 1, px: int = WIDTH_PX
) -> tuple[pd.DataFrame, np.ndarray]:
    """Scenes of a part ("train", "held-out") and their pictures, uint8 (n, px, px, 3).

    The scenes are the same at every width.
    """
    seeds = [FIRST_SEED[part] + i for i in range(-(-n // SHARD))]
    scenes, pictures = [], np.empty((n, px, px, 3), np.uint8)  # filled: they may be many gigabytes
    with ProcessPoolExecutor(workers) as pool:
        for i, (some, painted) in enumerate(pool.map(partial(_shard, px=px), seeds)):
            first = i * SHARD
            pictures[first : first + SHARD] = painted[: n - first]
            scenes.append(some)
    return pd.concat(scenes, ignore_index=True).iloc[:n], pictures


def labels(scenes: pd.DataFrame) -> np.ndarray:
    """The attributes as numbers, int64 (n, n_attributes)."""
    columns = [scenes[name].map(values.index) for name, values in ATTRIBUTES.items()]
    return np.stack(columns, axis=1).astype(np.int64)


def caption_table(scenes: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The distinct captions, and which of them each scene has."""
    which, words = pd.factorize(np.array(captions(scenes), dtype=object))
    return list(words), which


def _shard(seed, px):
    scenes = sample_scenes(SHARD, np.random.default_rng(seed))
    return scenes, render(scenes, px)
