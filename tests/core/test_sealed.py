"""A sealed file is read as it was written, or not at all."""

import json

import pytest

from neurodecode.core.sealed import read_sealed, write_json, write_sealed

OBJECT = {
    "stage": "train",
    "files": {"ä.npy": {"size": 3}},
    "empty": {},
    "~": 0,
    "n": [1, 2.5, None],
}


def test_what_was_written_is_read(tmp_path):
    write_sealed(tmp_path / "x.json", OBJECT)
    assert read_sealed(tmp_path / "x.json") == OBJECT
    assert json.loads((tmp_path / "x.json").read_text())["stage"] == "train"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_every_single_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "x.json"
    write_sealed(path, OBJECT)
    raw = path.read_bytes()
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(changed))
        assert read_sealed(path) is None, bit


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_truncated_or_missing_is_nothing(tmp_path, cut):
    path = tmp_path / "x.json"
    assert read_sealed(path) is None
    write_sealed(path, OBJECT)
    path.write_bytes(path.read_bytes()[:cut])
    assert read_sealed(path) is None


def test_equal_objects_have_equal_bytes(tmp_path):
    write_sealed(tmp_path / "a", OBJECT)
    write_sealed(tmp_path / "b", dict(reversed(OBJECT.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_json(tmp_path / "folder", {"a": 2})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "x.json"]
