"""Large files: what is read is checked, block by block, and reads as numpy would."""

import hashlib

import numpy as np
import pytest

from neurodecode.core import blocks, store
from neurodecode.core.errors import DamagedArtifact

X = np.arange(200 * 16, dtype=np.float32).reshape(200, 16)  # 64 bytes a row, 12,800 in all


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 256 bytes, four rows; files over 1 KiB are large."""
    monkeypatch.setattr(blocks, "BLOCK", 256)
    monkeypatch.setattr(blocks, "WHOLE", 1024)


@pytest.fixture
def made(tmp_path):
    one = store.Store(tmp_path)
    scratch, place = one.scratch(), ("stage", "k" * 64, store.digest({}))
    np.save(scratch / "x.npy", X)
    np.save(scratch / "small.npy", X[:2])
    return one.publish(scratch, place, {"stage": "stage", "key": "k" * 64, "code": {}})


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 16]))
    store._checked.clear()  # as in a process that comes later


def row_offset(row):
    return 128 + row * 64


def test_blocks_are_digests_of_the_bytes_and_the_whole_is_too(made):
    raw = (made.folder / "x.npy").read_bytes()
    described = made.files["x.npy"]
    assert described["sha256"] == hashlib.sha256(raw).hexdigest()
    parts = [raw[i : i + 256] for i in range(0, len(raw), 256)]
    assert described["blocks"] == [hashlib.sha256(part).hexdigest() for part in parts]
    assert "blocks" not in made.files["small.npy"]


INDICES = [
    slice(None),
    slice(3, 50, 7),
    7,
    -1,
    [5, 5, 199, 0],
    np.arange(200) % 3 == 0,
    (slice(2, 9), [1, 4]),
    ([8, 1], slice(None, 5)),
    Ellipsis,
    np.array([], int),
]


@pytest.mark.parametrize("index", INDICES, ids=range(len(INDICES)))
def test_indexing_is_numpys(made, index):
    array = made.array("x.npy")
    np.testing.assert_array_equal(array[index], X[index])
    assert isinstance(array, blocks.CheckedArray)


def test_it_looks_like_an_array(made):
    array = made.array("x.npy")
    told = (array.shape, array.dtype, array.ndim, array.size, array.nbytes, len(array))
    assert told == (X.shape, X.dtype, X.ndim, X.size, X.nbytes, len(X))
    np.testing.assert_array_equal(np.asarray(array, np.float64), X.astype(np.float64))
    assert isinstance(made.array("small.npy"), np.memmap)


@pytest.mark.parametrize("row", [2, 40, 199])
def test_a_flipped_bit_is_noticed_in_the_rows_of_its_block_alone(made, row):
    flip(made.folder / "x.npy", row_offset(row) + 13)
    array = made.array("x.npy")
    far = (row + 20) % 150 + 10
    np.testing.assert_array_equal(array[[far]], X[[far]])
    for index in (row, [row], slice(row, row + 1), np.arange(200) == row, (row, 3)):
        with pytest.raises(DamagedArtifact, match="x.npy is damaged"):
            array[index]
    with pytest.raises(DamagedArtifact):
        np.asarray(array)


def test_a_block_is_read_once(made, monkeypatch):
    array, asked = made.array("x.npy"), []
    good = blocks.Blocks._is_good
    monkeypatch.setattr(
        blocks.Blocks, "_is_good", lambda self, n: asked.append(int(n)) or good(self, n)
    )
    array[10:14], array[11], array[[10, 13]]
    assert sorted(asked) == sorted(set(asked)) and 1 <= len(asked) <= 2


@pytest.mark.parametrize("harm", ["header", "truncate", "delete", "longer"])
def test_other_damage_is_noticed_before_anything_is_read(made, harm):
    path = made.folder / "x.npy"
    if harm == "header":
        flip(path, 20)
    elif harm == "delete":
        path.unlink()
    else:
        raw = path.read_bytes()
        path.write_bytes(raw[:-1] if harm == "truncate" else raw + b"0")
    store._checked.clear()
    with pytest.raises(DamagedArtifact):
        made.array("x.npy")
    assert list(store.damages(made)) == ["x.npy"]


def test_damages_name_the_block_the_size_and_what_does_not_belong(made):
    flip(made.folder / "x.npy", 256 * 3)
    (made.folder / "small.npy").write_bytes(b"")
    (made.folder / "more.txt").write_text("?")
    found = store.damages(made)
    assert found["x.npy"].startswith("bytes changed in block 3")
    assert found["small.npy"].startswith("0 bytes instead of")
    assert found["more.txt"] == "not in the manifest"


def test_rows_longer_than_a_block_are_checked_throughout(tmp_path):
    wide = np.random.default_rng(0).normal(size=(6, 400))
    one = store.Store(tmp_path)
    scratch, place = one.scratch(), ("stage", "k" * 64, store.digest({}))
    np.save(scratch / "x.npy", wide)
    made = one.publish(scratch, place, {"stage": "stage", "key": "k" * 64, "code": {}})
    flip(made.folder / "x.npy", 128 + 3 * 3200 + 1600)
    array = made.array("x.npy")
    np.testing.assert_array_equal(array[[1, 5]], wide[[1, 5]])
    with pytest.raises(DamagedArtifact):
        array[[1, 3]]
