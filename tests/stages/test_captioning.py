"""Pictures that were chosen are put into words, and no others."""

import numpy as np
import pandas as pd

from neurodecode.core.views import Folder, read_table
from neurodecode.stages.captioning import caption_pictures


class Greys:
    """Names the grey of a picture; keeps how many it saw."""

    seen = 0

    def captions(self, pictures):
        Greys.seen += len(pictures)
        return [f"a grey of {picture[0, 0, 0]}" for picture in pictures]


def painted(folder):
    out = Folder(folder, None)
    pictures = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((4, 2, 2, 3), np.uint8)
    samples = pd.DataFrame({"row_id": ["a", "a", "b", "b"], "sample": [0, 1, 0, 1]})
    for condition, best in (("model", [0, 1, 1, 0]), ("ridge", [1, 0, 0, 1])):
        out.save_array(f"{condition}/pictures.npy", pictures)
        table = samples.assign(evidence=0.5, chosen=np.array(best, bool))
        out.save_table(f"{condition}/samples.tsv", table)
    return out


def test_the_chosen_picture_of_each_row_is_captioned(tmp_path):
    Greys.seen = 0
    caption_pictures({"_target_": f"{__name__}.Greys"}, painted(tmp_path))
    told = {c: read_table(tmp_path / c / "picture_captions.tsv") for c in ("model", "ridge")}
    assert told["model"]["caption"].tolist() == ["a grey of 1", "a grey of 2"]
    assert told["ridge"]["caption"].tolist() == ["a grey of 0", "a grey of 3"]
    assert told["model"][["row_id", "sample"]].values.tolist() == [["a", 1], ["b", 0]]
    assert Greys.seen == 4


def test_without_a_captioner_nothing_is_written(tmp_path):
    caption_pictures(None, painted(tmp_path))
    assert not list(tmp_path.glob("*/picture_captions.tsv"))
