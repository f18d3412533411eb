"""A bank of captions: the nearest ones, best first, and never a test picture's own."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.errors import UserError
from neurodecode.stages.caption_bank import nearest, nearest_captions, read_bank
from neurodecode.stages.predict import PredictConfig

LETTERS = ["aaa", "eee", "iii", "aae", "aei"]


class Letters:
    """A target of texts alone: how often three letters come up."""

    takes = ("texts",)

    def __init__(self, power: float = 1.0):
        self.power = power

    def texts(self, texts):
        rows = np.array([[t.count(c) ** self.power for c in "aei"] for t in texts]) + 1e-9
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Eyes(Letters):
    """A target that reads no texts."""

    takes = ("pictures",)


HERE = __name__


@pytest.fixture
def inputs():
    tables = {
        "split.tsv": pd.DataFrame(
            {"stimulus_id": list("abcde"), "split": ["train"] * 3 + ["test"] * 2}
        ),
        "stimuli.tsv": pd.DataFrame({"stimulus_id": list("abcde"), "caption": LETTERS}),
    }
    return SimpleNamespace(
        table=lambda stage, name: tables[name], array=lambda stage, name: Letters().texts(LETTERS)
    )


def told(inputs, log=print, **changes):
    target = {"_target_": f"{HERE}.Letters"}
    config = PredictConfig(**{"target": target, "n_captions": 2} | changes)
    said = {"model": {"pooled": Letters().texts(["aae", "eei"])}}
    return nearest_captions(config, inputs, pd.Series(["d", "e"]), said, log)


def test_training_captions_are_the_bank_and_the_nearest_comes_first(inputs):
    table = told(inputs)
    assert list(table.columns) == ["condition", "row_id", "rank", "caption", "cosine"]
    assert table["caption"].tolist() == ["aaa", "eee", "eee", "iii"]
    assert table["rank"].tolist() == [1, 2, 1, 2] and (np.diff(table["cosine"])[::2] <= 0).all()
    assert table["cosine"].tolist() == pytest.approx(np.array([2, 1, 2, 1]) / 5**0.5, abs=1e-5)


def test_captions_of_test_stimuli_are_left_out_of_a_users_bank(inputs, tmp_path):
    bank, lines = tmp_path / "bank.txt", []
    bank.write_text("AAE.\n aei \neea\n\naaaae\neea\n")
    table = told(inputs, lines.append, caption_bank=str(bank))
    assert set(table["caption"]) == {"eea", "aaaae"}
    assert len(lines) == 1 and "2 of 4 captions are those of test stimuli" in lines[0]
    bank.write_text("aae\n")
    with pytest.raises(UserError, match="no caption is left"):
        told(inputs, caption_bank=str(bank))


def test_every_option_of_captions_changes_the_words(inputs, tmp_path):
    bank = tmp_path / "bank.tsv"
    bank.write_text("picture\tcaption\n1\teeaa\n2\teei\n3\taaaa\n")
    plain = told(inputs, caption_bank=str(bank))
    assert not plain.equals(told(inputs))
    for change in (
        {"n_captions": 1},
        {"caption_template": "{} iiiiii"},
        {"target": {"_target_": f"{HERE}.Letters", "power": 3.0}},
    ):
        assert not plain.equals(told(inputs, caption_bank=str(bank), **change)), change


def test_nearest_in_blocks_are_the_nearest_of_all(monkeypatch):
    from neurodecode.stages import caption_bank

    rng = np.random.default_rng(0)
    pooled, text = rng.standard_normal((5, 4)), rng.standard_normal((23, 4))
    monkeypatch.setattr(caption_bank, "BLOCK", 3)
    best, cosine = nearest(pooled, text, 4)
    assert np.array_equal(best, np.argsort(-(pooled @ text.T), axis=1)[:, :4])
    np.testing.assert_allclose(cosine, np.take_along_axis(pooled @ text.T, best, axis=1))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("none.txt", None, "there is no file"),
        ("empty.txt", b"\n \n", "holds no caption"),
        ("other.tsv", b"text\nhello\n", "expected one of caption"),
        ("latin.txt", "caf\u00e9".encode("latin-1"), "UTF-8"),
    ],
)
def test_a_file_that_is_no_bank_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_bank(tmp_path / name)


def test_a_target_without_texts_is_refused(inputs, tmp_path):
    (tmp_path / "bank.txt").write_text("eea\n")
    for target, message in (({"_target_": f"{HERE}.Eyes"}, "embeds no texts"), (None, "is null")):
        with pytest.raises(UserError, match=message):
            told(inputs, caption_bank=str(tmp_path / "bank.txt"), target=target)
