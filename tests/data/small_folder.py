"""A tiny study as a plain folder, written with numpy, pandas and Pillow alone."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

PICTURES = [f"p{i:02d}.png" for i in range(8)]
N_RUNS, N_CHANNELS, N_TIMES = 3, 5, 4


def write_folder(root, subjects=("sub-01", "sub-02"), times=False, pictures=None):
    """Write a study of eight pictures, each shown once a run; return ``{subject: responses}``.

    With `times` responses are (n_trials, n_channels, n_times), from -.1 s in steps of .1 s. An
    empty name of a subject puts its files directly in the folder.
    """
    root, rng = Path(root), np.random.default_rng(3)
    (root / "stimuli").mkdir(parents=True)
    if pictures is None:
        pictures = rng.integers(0, 255, (len(PICTURES), 8, 8, 3), dtype=np.uint8)
    for name, picture in zip(PICTURES, pictures, strict=True):
        Image.fromarray(picture).save(root / "stimuli" / name)
    made = {}
    for subject in subjects:
        folder = root / subject
        folder.mkdir(exist_ok=True)
        table = trials(rng)
        axes = (N_CHANNELS, N_TIMES) if times else (N_CHANNELS,)
        made[subject] = rng.standard_normal((len(table), *axes)).astype(np.float32)
        np.save(folder / "responses.npy", made[subject])
        write_trials(folder, table)
        if times:
            np.save(folder / "times_s.npy", 0.1 * np.arange(N_TIMES) - 0.1)
    return made


def trials(rng=None):
    """The table of one subject's trials: run and stim_file."""
    rng = rng or np.random.default_rng(0)
    shown = [PICTURES[i] for _ in range(N_RUNS) for i in rng.permutation(len(PICTURES))]
    runs = np.repeat(np.arange(1, N_RUNS + 1), len(PICTURES))
    return pd.DataFrame({"run": runs, "stim_file": shown})


def write_trials(folder, table):
    """Write trials.tsv."""
    table.to_csv(Path(folder) / "trials.tsv", sep="\t", index=False)
