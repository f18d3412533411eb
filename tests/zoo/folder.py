"""A small folder of scenes as pictures of several kinds, with captions."""

import numpy as np
import pandas as pd
from PIL import Image

from neurodecode.world.scenes import captions, render, sample_scenes

ENDINGS = ("png", "jpg", "webp")


def write_pictures(folder, n=60, seed=1):
    """Write n scenes, half of them in a folder below; return their names and captions."""
    (folder / "below").mkdir(parents=True)
    scenes = sample_scenes(n, np.random.default_rng(seed))
    names = []
    for i, picture in enumerate(render(scenes)):
        names.append(f"{'below/' if i % 2 else ''}scene{i}.{ENDINGS[i % 3]}")
        Image.fromarray(picture).save(folder / names[-1])
    return pd.DataFrame({"path": names, "caption": captions(scenes)})


def write_responses(study, table, n_channels=30):
    """Write responses to the pictures of ``study/stimuli``, two trials each, for one subject."""
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(len(table)) for _ in range(2)])
    pixels = [
        np.asarray(Image.open(study / "stimuli" / name).convert("RGB").resize((6, 6))).ravel()
        for name in table["path"]
    ]
    responses = (np.stack(pixels)[order] / 255 - 0.5) @ rng.standard_normal((108, n_channels))
    responses += 0.3 * responses.std() * rng.standard_normal(responses.shape)
    (study / "sub-01").mkdir()
    np.save(study / "sub-01" / "responses.npy", responses.astype(np.float32))
    trials = {"run": np.arange(len(order)) // 24, "stim_file": table["path"].to_numpy()[order]}
    pd.DataFrame(trials).to_csv(study / "sub-01" / "trials.tsv", sep="\t", index=False)
