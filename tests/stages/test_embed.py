"""Embed: rows are the stimuli's, miniatures are means, and weights count in the key."""

import json

import numpy as np
import pytest
from PIL import Image

from neurodecode.core.errors import UserError
from neurodecode.core.key import file_digest
from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.stages.embed import run as embed
from tests.data.small_study import write_tsv

IDS = [f"pic-{i}" for i in range(7)]


class Colours:
    """A target that needs no weights: tokens are the means of the four quarters."""

    dim, n_tokens, token_dim = 3, 4, 3

    def __init__(self, folder: str = ""):
        self.folder = folder

    def pictures(self, pictures: np.ndarray) -> tuple:
        """Mean colours, of the picture and of its quarters."""
        n, side = len(pictures), pictures.shape[1] // 2
        quarters = pictures[:, : 2 * side, : 2 * side].reshape(n, 2, side, 2, -1, 3)
        tokens = quarters.mean(axis=(2, 4)).reshape(n, 4, 3)
        return unit(pictures.mean(axis=(1, 2))), tokens

    def texts(self, texts: list[str]) -> np.ndarray:
        """Counts of three letters."""
        return unit(np.array([[t.count(c) + 1 for c in "aei"] for t in texts], float))


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def study(tmp_path, artifact):
    """``study(captions, sides)``: a BIDS folder of pictures, and index's artifact of it."""

    def make(captions, sides=(32,) * 7):
        rng = np.random.default_rng(0)
        root = tmp_path / "bids"
        (root / "stimuli").mkdir(parents=True)
        digests = []
        for name, side in zip(IDS, sides, strict=True):
            path = root / "stimuli" / f"{name}.png"
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
            digests.append(file_digest(path))
        paths = [f"stimuli/{name}.png" for name in IDS]
        columns = {"stimulus_id": IDS, "path": paths, "sha256": digests, "caption": captions}
        write_tsv(tmp_path / "index" / "stimuli.tsv", columns)
        return root, artifact(tmp_path / "index")

    return make


def embedded(store, root, index, **config):
    node = {"target": {"_target_": f"{__name__}.Colours"}, "root": str(root)} | config
    return run_stage(embed, node, {"index": index}, store)


def load(found, name):
    return np.load(found.path(name))


def test_rows_are_the_stimuli_in_their_order(store, study):
    root, index = study([f"a picture {i}" for i in range(7)])
    found = embedded(store, root, index)
    assert read_table(found.path("stimuli.tsv"))["stimulus_id"].tolist() == IDS
    pictures = np.stack([np.asarray(Image.open(root / f"stimuli/{i}.png")) for i in IDS])
    pooled, tokens = Colours().pictures(pictures)
    assert np.array_equal(load(found, "pooled.npy"), pooled)
    assert np.array_equal(load(found, "tokens.npy"), tokens.astype(np.float16))
    assert np.array_equal(
        load(found, "text.npy"), Colours().texts([f"a picture {i}" for i in range(7)])
    )
    about = json.loads(found.path("target.json").read_text())
    assert (about["dim"], about["n_tokens"], about["token_dim"]) == (3, 4, 3)


def test_all_tokens_may_be_what_is_scored(store, study):
    root, index = study(["a"] * 7)
    found = embedded(store, root, index, pooled="tokens")
    tokens = Colours().pictures(
        np.stack([np.asarray(Image.open(root / f"stimuli/{i}.png")) for i in IDS])
    )[1]
    rows = tokens.reshape(7, -1)
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.allclose(load(found, "pooled.npy"), expected, atol=1e-6)
    assert "text.npy" not in found.files  # texts cannot be compared with tokens
    about = json.loads(found.path("target.json").read_text())
    assert (about["pooled"], about["dim"]) == ("tokens", tokens[0].size)


@pytest.mark.parametrize("blurry_px", [16, 8])
def test_the_miniature_is_the_mean_over_areas(store, study, blurry_px):
    root, index = study(["a"] * 7)
    node = {"_target_": "neurodecode.contrastive.low_level.Miniature", "px": blurry_px}
    blurry = load(embedded(store, root, index, low_level=node), "blurry.npy")
    picture = np.asarray(Image.open(root / "stimuli/pic-3.png")) / 255
    cell = 32 // blurry_px
    expected = picture.reshape(blurry_px, cell, blurry_px, cell, 3).mean(axis=(1, 3))
    assert blurry.shape == (7, blurry_px, blurry_px, 3) and blurry.dtype == np.float32
    assert np.allclose(blurry[3], expected, atol=1e-6)


def test_the_batch_changes_nothing(store, study):
    root, index = study(["a"] * 7)
    one, other = embedded(store, root, index, batch=2), embedded(store, root, index, batch=256)
    assert one.folder != other.folder
    for name in ("pooled.npy", "tokens.npy", "blurry.npy", "text.npy"):
        assert one.path(name).read_bytes() == other.path(name).read_bytes()


class Dark:
    """Writes a picture as its darkest value, in twos."""

    shape = (1, 2, 1)

    def __init__(self, folder: str = ""):
        self.folder = folder

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """The darkest value, twice."""
        return np.repeat(pictures.min(axis=(1, 2, 3))[:, None], 2, axis=1).reshape(-1, 1, 2, 1)


def test_another_low_level_target_has_its_own_shape_and_its_weights_count(store, study, tmp_path):
    root, index = study(["a"] * 7)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "w.txt").write_text("one")
    node = {"_target_": f"{__name__}.Dark", "folder": str(weights)}
    found = embedded(store, root, index, low_level=node)
    blurry = load(found, "blurry.npy")
    darkest = [np.asarray(Image.open(root / f"stimuli/{i}.png")).min() for i in IDS]
    assert blurry.shape == (7, 1, 2, 1) and blurry[:, 0, 0, 0].tolist() == darkest
    (weights / "w.txt").write_text("another")
    assert embedded(store, root, index, low_level=node).folder != found.folder


class Inverted(Colours):
    """Sees negatives."""

    def pictures(self, pictures: np.ndarray) -> tuple:
        """Mean colours of the negative."""
        return Colours.pictures(self, 255 - pictures)


def test_another_target_gives_another_embedding(store, study):
    root, index = study(["a"] * 7)
    plain = embedded(store, root, index)
    other = embedded(store, root, index, target={"_target_": f"{__name__}.Inverted"})
    for name in ("pooled.npy", "tokens.npy"):
        assert not np.allclose(load(plain, name), load(other, name), atol=0.01)


def test_no_more_than_a_batch_of_pictures_is_in_memory(store, study, monkeypatch):
    root, index = study(["a"] * 7)
    at_once, plain = [], Colours.pictures
    counted = lambda self, pictures: at_once.append(len(pictures)) or plain(self, pictures)
    monkeypatch.setattr(Colours, "pictures", counted)
    embedded(store, root, index, batch=3)
    assert at_once == [3, 3, 1]


def test_the_template_makes_the_sentence(store, study):
    root, index = study(list("aeiaeia"))
    found = embedded(store, root, index, text_template="eee {}")
    assert np.array_equal(load(found, "text.npy"), Colours().texts([f"eee {c}" for c in "aeiaeia"]))


def test_pictures_without_captions_have_no_text(store, study):
    root, index = study([""] * 7)
    assert "text.npy" not in embedded(store, root, index).files


def test_categories_without_pictures_are_embedded_as_text_alone(store, tmp_path, artifact):
    names = ["face", "house", "cat"]
    columns = {"stimulus_id": names, "path": [""] * 3, "sha256": [""] * 3, "caption": names}
    write_tsv(tmp_path / "index" / "stimuli.tsv", columns)
    found = embedded(store, "", artifact(tmp_path / "index"), text_template="a picture of a {}")
    assert set(found.files) == {"stimuli.tsv", "text.npy", "target.json"}
    assert np.array_equal(
        load(found, "text.npy"), Colours().texts([f"a picture of a {n}" for n in names])
    )


def test_pictures_of_several_sizes_are_scaled_to_one(store, study):
    root, index = study(["a"] * 7, sides=(32, 32, 32, 40, 32, 32, 64))
    assert load(embedded(store, root, index), "blurry.npy").shape == (7, 16, 16, 3)


def test_a_picture_that_changed_since_it_was_indexed_is_refused(store, study):
    root, index = study(["a"] * 7)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(root / "stimuli/pic-2.png")
    with pytest.raises(UserError, match="pic-2.png is not the picture that was indexed"):
        embedded(store, root, index)


def test_a_moved_study_keeps_its_embedding_and_changed_weights_do_not(store, study, tmp_path):
    root, index = study(["a"] * 7)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "w.txt").write_text("one")
    node = {"_target_": f"{__name__}.Colours", "folder": str(weights)}
    first = embedded(store, root, index, target=node)
    there = root.rename(tmp_path / "there")
    assert embedded(store, there, index, target=node).folder == first.folder
    (weights / "w.txt").write_text("another")
    assert embedded(store, there, index, target=node).folder != first.folder


def test_options_out_of_range_are_refused(store, study):
    root, index = study(["a"] * 7)
    for wrong in ({"text_template": "no place"}, {"batch": 0}):
        with pytest.raises(ValueError):
            embedded(store, root, index, **wrong)


def test_categories_are_a_column_or_clusters(store, study, tmp_path):
    root, index = study(["a picture"] * 7)
    found = embedded(store, root, index)
    assert set(read_table(found.path("categories.tsv"))["category"]) == {"cluster 1"}
    assert json.loads(found.path("target.json").read_text())["category"].startswith("clusters")

    with pytest.raises(UserError, match="recipe.category=kind: the pictures' table has no column"):
        embedded(store, root, index, category="kind")


@pytest.mark.parametrize("name", ["category", "kind"])
def test_a_column_of_the_stimuli_sorts_them(store, study, artifact, name):
    root, index = study(["a picture"] * 7)
    kinds = list("aabbabb")
    table = read_table(index.path("stimuli.tsv")).assign(**{name: kinds})
    folder = index.folder
    write_tsv(folder / "stimuli.tsv", table.to_dict("list"))
    index = artifact(folder)
    found = embedded(store, root, index, category="" if name == "category" else name)
    assert read_table(found.path("categories.tsv"))["category"].tolist() == kinds
    assert json.loads(found.path("target.json").read_text())["category"] == name
