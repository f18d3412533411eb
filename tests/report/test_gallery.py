"""Galleries show the pictures that the artifacts hold, in the places they name."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurodecode.report.gallery import Originals, Reconstructions, extremes, subject_blocks
from neurodecode.report.pictures import SIZES, data_uri, fitting, webp


def decoded(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.fixture(scope="module")
def made(view):
    return Reconstructions(view, "sub-01")


@pytest.fixture(scope="module")
def originals(view):
    white = np.full((64, 64, 3), 255, np.uint8)
    return Originals(view.table("index", "stimuli.tsv"), lambda path: white)


def test_a_picture_survives_its_data_uri():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert np.array_equal(decoded(data_uri(picture)), picture)
    assert np.array_equal(decoded(data_uri(picture / 255.0)), picture)


def test_large_pictures_are_reduced():
    assert max(decoded(data_uri(np.zeros((300, 600, 3), np.uint8))).shape) <= 192


def test_the_chosen_sample_is_shown_and_the_others_beside_it(view, made):
    row = made.drawn_rows(20, seed=0)[0]
    samples = view.table("reconstruct", "model/samples.tsv", "sub-01")
    mine = samples[samples["row_id"] == row]
    place = mine.index[mine["chosen"]][0]
    pictures = view.array("reconstruct", "model/pictures.npy", "sub-01")
    assert np.array_equal(decoded(made.chosen("model", row)), pictures[place])
    assert len(made.others("model", row)) == len(mine) - 1


def test_the_gallery_is_the_rows_that_got_several_samples(view, made):
    rows = made.drawn_rows(20, seed=0)
    assert len(rows) == 6
    counts = view.table("reconstruct", "model/samples.tsv", "sub-01")["row_id"].value_counts()
    assert (counts[rows] == 4).all()


def test_rows_come_in_readers_order(made, originals):
    block = subject_blocks(made, originals, made.drawn_rows(20, seed=0))[0]
    kinds = [row.kind for row in block.rows]
    assert kinds[:3] == ["original", "model", "samples"]
    assert kinds[3:] == ["ridge", "shuffled", "prior_only", "true_features", "blurry"]
    assert all(len(row.cells) == len(block.heads) for row in block.rows)


def test_best_median_and_worst_are_told_by_the_metric():
    values = pd.Series({f"r{i}": i / 10 for i in range(11)})
    picked = extremes(values, each=1)
    assert [(w, i) for w, i, _ in picked] == [("best", "r10"), ("median", "r5"), ("worst", "r0")]
    assert extremes(values, each=1, better="lower")[0][1] == "r0"
    assert len({i for _, i, _ in extremes(values, each=5)}) == 9, "nothing is shown twice"


def test_many_pictures_are_written_smaller_until_they_fit():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (200, 200, 3)).astype(np.uint8) for _ in range(5)]
    few, many = fitting(pictures, 5, 1e6), fitting(pictures, 2000, 10e6)
    assert few == SIZES[0] and many[0] < few[0]
    assert 2000 * np.mean([len(webp(p, *many)) for p in pictures]) * 4 / 3 <= 10e6
    assert max(decoded(data_uri(pictures[0], many)).shape) == many[0]
