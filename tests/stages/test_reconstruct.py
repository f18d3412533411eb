"""Reconstruct: each row by its own seed, every sample kept, the choice made by the brain alone."""

import json

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.errors import UserError
from neurodecode.core.runner import run_stage
from neurodecode.core.seeds import child_seed
from neurodecode.core.views import read_table
from neurodecode.stages import reconstruct
from tests.data.small_study import write_tsv

ROWS, SAMPLES = ["r0", "r1", "r2"], [3, 1, 2]
PAIRS = [(row, k) for row, n in zip(ROWS, SAMPLES, strict=True) for k in range(n)]
CALLS = []


class Painter:
    """Paints the first three numbers of the first token as a colour, plus what the seed says."""

    token_shape, picture_px, reads = (None, 4), 8, ("tokens",)

    def __init__(self, brightness: float = 0.0):
        self.brightness = brightness

    def generate(self, tokens, seeds, start=None, strength=1.0, batch=1):
        """One colour per row."""
        CALLS.append((len(tokens), None if start is None else start[:, 0, 0, 0], strength, batch))
        colour = np.asarray(tokens)[:, 0, :3] + self.brightness
        speck = np.array([[s % 7, 0, 0] for s in seeds])
        flat = np.clip(colour + speck, 0, 255).astype(np.uint8)
        return np.broadcast_to(flat[:, None, None], (len(flat), 8, 8, 3)).copy()


class Eye:
    """Embeds a picture as its mean colour."""

    def pictures(self, pictures: np.ndarray) -> tuple:
        """Unit rows, and no tokens."""
        mean = pictures.mean(axis=(1, 2)) + 1e-9
        return mean / np.linalg.norm(mean, axis=1, keepdims=True), None


class Contrary(Eye):
    """Finds the nearest what `Eye` finds the farthest."""

    def pictures(self, pictures: np.ndarray) -> tuple:
        """The opposite rows."""
        return -Eye.pictures(self, pictures)[0], None


CONFIG = {
    "generator": {"_target_": f"{__name__}.Painter"},
    "target": {"_target_": f"{__name__}.Eye"},
    "start_from": ["model"],
    "variants": [],
    "seed": 5,
}


@pytest.fixture
def predicted(tmp_path, artifact):
    """predict's artifact of one subject: two conditions with tokens and one without."""
    folder, rng = tmp_path / "predict", np.random.default_rng(0)
    for name in ("model", "shuffled"):
        (folder / name).mkdir(parents=True)
        tokens = rng.uniform(50, 200, (len(PAIRS), 2, 4)).astype(np.float32)
        np.save(folder / name / "tokens.npy", tokens)
        pooled = rng.uniform(0, 1, (3, 3))
        np.save(folder / name / "pooled.npy", pooled / np.linalg.norm(pooled, axis=1)[:, None])
        blurry = np.arange(3.0, dtype=np.float32)[:, None, None, None] * np.ones((1, 4, 4, 3))
        np.save(folder / name / "blurry.npy", blurry)
        write_tsv(
            folder / name / "samples.tsv",
            {"row_id": [r for r, _ in PAIRS], "sample": [k for _, k in PAIRS]},
        )
    names = ["model", "shuffled", "mean"]
    (folder / "conditions.json").write_text(json.dumps([{"name": n} for n in names]))
    return artifact(folder)


@pytest.fixture
def made(store, predicted):
    """``made(config)``: the artifact of sub-01."""

    def make(**config):
        CALLS.clear()
        upstream = {"predict": {"sub-01": predicted}}
        return run_stage(reconstruct.run, CONFIG | config, upstream, store, each="sub-01")

    return make


def pictures(found, condition="model"):
    return np.load(found.path(f"{condition}/pictures.npy"))


def test_every_sample_is_kept_with_the_noise_of_its_row_and_number(made, predicted):
    found = made()
    tokens = np.load(predicted.path("model/tokens.npy"))
    seeds = [child_seed(5, "picture", row, k) for row, k in PAIRS]
    expected = Painter().generate(tokens, seeds, None, 1.0, 1)
    assert np.array_equal(pictures(found), expected)
    assert {n for n in found.files if n.endswith("pictures.npy")} == {
        "model/pictures.npy",
        "shuffled/pictures.npy",
    }


def test_only_the_conditions_asked_for_are_painted(made):
    found = made(conditions=[])
    assert [n for n in found.files if n.endswith("pictures.npy")] == ["model/pictures.npy"]
    with pytest.raises(ValueError, match="names ridge: predict has model, shuffled, mean"):
        made(conditions=["ridge"])


def test_the_sample_nearest_to_the_decoded_embedding_is_chosen(made, predicted):
    table = read_table(made().path("model/samples.tsv"))
    assert list(zip(table["row_id"], table["sample"], strict=True)) == PAIRS
    eye = Eye().pictures(pictures(made()))[0]
    decoded = np.load(predicted.path("model/pooled.npy"))
    cosine = np.array([eye[i] @ decoded[ROWS.index(row)] for i, row in enumerate(table["row_id"])])
    assert np.allclose(table["evidence"], cosine)
    assert table.groupby("row_id")["chosen"].sum().tolist() == [1, 1, 1]
    for _, rows in table.groupby("row_id"):
        assert rows.loc[rows["chosen"], "evidence"].item() == rows["evidence"].max()


def test_the_target_is_who_chooses(made):
    one = read_table(made().path("model/samples.tsv"))
    other = made(target={"_target_": f"{__name__}.Contrary"})
    two = read_table(other.path("model/samples.tsv"))
    assert np.allclose(one["evidence"], -two["evidence"])
    assert one.loc[:2, "chosen"].tolist() != two.loc[:2, "chosen"].tolist()
    assert np.array_equal(pictures(made()), pictures(other))


class Mosaic(Eye):
    """Embeds a picture as its mean colour, and its tokens as that of its upper half, negated."""

    n_tokens, token_dim = 1, 3

    def pictures(self, pictures: np.ndarray) -> tuple:
        """Unit rows, and one token."""
        return Eye.pictures(self, pictures)[0], -pictures[:, :4].mean(axis=(1, 2))[:, None]


def test_the_sample_may_be_chosen_by_all_tokens(made):
    target = {"_target_": f"{__name__}.Mosaic"}
    own = read_table(made(target=target).path("model/samples.tsv"))
    tokens = read_table(made(target=target, pooled="tokens").path("model/samples.tsv"))
    assert np.allclose(own["evidence"], -tokens["evidence"])


def test_the_choice_says_that_it_never_saw_the_true_picture(made):
    policy = json.loads(made().path("selection.json").read_text())
    assert policy["uses_true_picture"] is False


def test_the_first_sample_may_be_taken_instead(made):
    table = read_table(made(selection="first").path("model/samples.tsv"))
    assert table["chosen"].tolist() == (table["sample"] == 0).tolist()
    assert np.allclose(table["evidence"], read_table(made().path("model/samples.tsv"))["evidence"])


@pytest.fixture
def told_the_truth(predicted, artifact, store):
    """``told_the_truth(selection=…)``: the artifact, true embeddings opposed to the brain's."""
    folder = predicted.folder
    (folder / "true_features").mkdir()
    np.save(folder / "true_features/pooled.npy", -np.load(folder / "model/pooled.npy"))
    upstream = {"predict": {"sub-01": artifact(folder)}}
    return lambda **c: run_stage(reconstruct.run, CONFIG | c, upstream, store, each="sub-01")


def test_the_oracle_goes_by_the_true_picture_and_says_so(told_the_truth):
    brain, oracle = told_the_truth(), told_the_truth(selection="oracle_compat")
    by_brain, by_truth = (read_table(f.path("model/samples.tsv")) for f in (brain, oracle))
    assert np.allclose(by_truth["likeness"], -by_brain["evidence"], atol=1e-6)
    for _, rows in by_truth.groupby("row_id"):
        assert rows.loc[rows["chosen"], "evidence"].item() == rows["evidence"].min()
    said = json.loads(oracle.path("selection.json").read_text())
    assert said["uses_true_picture"] and said["warning"].endswith("not a decoding result")
    assert "likeness" not in by_brain and "warning" not in brain.path("selection.json").read_text()


def test_halves_are_painted_with_one_noise_and_begin_as_the_model_does(predicted, artifact, store):
    folder = predicted.folder
    for half in ("half_1", "half_2"):
        (folder / half).mkdir()
        for part in ("pooled", "blurry"):
            np.save(folder / half / f"{part}.npy", np.load(folder / f"model/{part}.npy"))
        np.save(folder / half / "tokens.npy", np.load(folder / "model/tokens.npy")[:3])
        lines = {"row_id": ROWS, "sample": [0] * 3, "noise": ["halves"] * 3}
        write_tsv(folder / half / "samples.tsv", lines)
    write_tsv(folder / "halves.tsv", {"row_id": ROWS})
    upstream = {"predict": {"sub-01": artifact(folder)}}
    CALLS.clear()
    found = run_stage(reconstruct.run, CONFIG, upstream, store, each="sub-01")
    assert [None if start is None else start.tolist() for _, start, *_ in CALLS[2:]] == [
        [0, 1, 2],
        [0, 1, 2],
    ]
    tokens = np.load(folder / "half_1/tokens.npy")
    same = [child_seed(5, "picture", "halves", 0)] * 3
    assert np.array_equal(pictures(found, "half_1"), Painter().generate(tokens, same))
    assert np.array_equal(pictures(found, "half_1"), pictures(found, "half_2"))


def test_what_the_target_sees_in_the_pictures_is_kept(made):
    found = made()
    kept = np.load(found.path("model/embedded.npy"))
    assert np.allclose(kept, Eye().pictures(pictures(found))[0], atol=1e-6)


def test_equal_evidence_goes_to_the_first_sample():
    samples = pd.DataFrame({"row_id": ["a", "a", "b"], "sample": [0, 1, 0]})
    same = np.full((3, 4, 4, 3), 100, np.uint8)
    table = reconstruct.chosen(samples, reconstruct.evidence(same, np.eye(3), Eye()))
    assert table["chosen"].tolist() == [True, False, True]


def test_only_the_named_conditions_begin_from_their_blurry_picture(made):
    made()
    (n, start, strength, _), (_, none, _, _) = CALLS
    assert n == len(PAIRS) and strength == 0.9 and none is None
    assert start.tolist() == [0, 0, 0, 1, 2, 2]  # each sample from the picture of its row


def test_pure_noise_begins_from_no_picture(made):
    made(strength=1.0)
    assert all(start is None for _, start, _, _ in CALLS)


@pytest.mark.parametrize(
    "option",
    [
        {"seed": 6},
        {"generator": {"_target_": f"{__name__}.Painter", "brightness": 9.0}},
    ],
)
def test_seed_and_generator_change_the_pictures(made, option):
    assert not np.array_equal(pictures(made()), pictures(made(**option)))


def test_the_batch_reaches_the_generator(made):
    made(batch=4)
    assert [(n, batch) for n, *_, batch in CALLS] == [(4, 4), (2, 4), (4, 4), (2, 4)]


def test_a_condition_that_was_finished_before_a_kill_is_not_painted_again(made, monkeypatch):
    plain = Painter.generate
    calls = []

    def dies(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(self, *arguments, **more)

    monkeypatch.setattr(Painter, "generate", dies)
    with pytest.raises(KeyboardInterrupt):
        made()
    found = made()
    assert len(calls) == 3  # model once, shuffled twice
    monkeypatch.setattr(Painter, "generate", plain)
    fresh = made(strength=1.0)  # Painter ignores the start: the same pictures by another key
    assert np.array_equal(pictures(found), pictures(fresh))
    assert np.array_equal(pictures(found, "shuffled"), pictures(fresh, "shuffled"))


def test_after_a_kill_no_finished_batch_is_painted_again(made, monkeypatch):
    plain, painted = Painter.generate, []

    def dies(self, tokens, seeds, **more):
        if len(painted) == 3:
            painted.append(None)
            raise KeyboardInterrupt
        painted.append(seeds)
        return plain(self, tokens, seeds, **more)

    monkeypatch.setattr(Painter, "generate", dies)
    with pytest.raises(KeyboardInterrupt):
        made(batch=2)
    found = made(batch=2)
    painted.remove(None)
    wanted = [child_seed(5, "picture", *pair) for pair in PAIRS]
    assert [seed for seeds in painted for seed in seeds] == 2 * wanted
    monkeypatch.setattr(Painter, "generate", plain)
    whole = made(batch=2, strength=1.0)  # by another key
    for name in ("model", "shuffled"):
        assert np.array_equal(pictures(found, name), pictures(whole, name))


class Reader(Painter):
    """Paints the length of a sentence."""

    reads = ("tokens", "captions")

    def generate(self, tokens, seeds, start=None, strength=1.0, batch=1, captions=None):
        """One grey per sentence."""
        grey = np.array([len(c) for c in captions], np.uint8)
        return np.broadcast_to(grey[:, None, None, None], (len(grey), 8, 8, 3)).copy()


def test_captions_reach_a_generator_that_reads_them(made, predicted, artifact, store):
    reads = {"generator": {"_target_": f"{__name__}.Reader"}}
    with pytest.raises(UserError, match="reads captions, and the study has none"):
        made(**reads)
    said = {"model": ["a", "bb", "ccc"], "shuffled": ["dddd"] * 3}
    rows = [(name, row, c) for name in said for row, c in zip(ROWS, said[name], strict=True)]
    columns = zip(("condition", "row_id", "caption"), zip(*rows, strict=True), strict=True)
    write_tsv(predicted.folder / "captions.tsv", {k: list(v) for k, v in columns})
    upstream = {"predict": {"sub-01": artifact(predicted.folder)}}
    found = run_stage(reconstruct.run, CONFIG | reads, upstream, store, each="sub-01")
    assert pictures(found)[:, 0, 0, 0].tolist() == [1, 1, 1, 2, 3, 3]
    assert set(pictures(found, "shuffled").ravel()) == {4}


@pytest.mark.parametrize("shape", [(None, 5), (3, 4)])
def test_tokens_of_another_embedding_are_refused_before_anything_is_painted(
    made, monkeypatch, shape
):
    monkeypatch.setattr(Painter, "token_shape", shape)
    with pytest.raises(UserError, match="are 2 of 4 numbers, and the generator Painter was made"):
        made()
    assert CALLS == []


def test_a_strength_out_of_range_is_refused(made):
    with pytest.raises(ValueError, match="reconstruct.strength: expected 0 to 1"):
        made(strength=1.2)
