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
