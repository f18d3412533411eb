"""Rows on disk: the same numbers as an array in memory, unread until asked for, sealed as ever."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest

from neurodecode.core import lazy
from neurodecode.core.errors import SealedError
from neurodecode.core.lazy import Lazy, Mapped, each_row, moments, slices, taken
from neurodecode.core.stage import stage
from neurodecode.core.views import Folder, View


def loaded(path):
    return np.load(path, mmap_mode="r")


@pytest.fixture
def made(tmp_path):
    """An array, and the same as lazy rows of a file."""
    array = np.random.default_rng(0).standard_normal((50, 6, 4)).astype(np.float32)
    np.save(tmp_path / "array.npy", array)
    return array, Lazy(Mapped(partial(loaded, tmp_path / "array.npy")))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(lazy, "BLOCK", 4 * 24 * 7)  # 7 rows of 24 values


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(3, 9),
        slice(40, 60),
        slice(9, 9),
        np.array([7, 3, 3, 49]),
        np.arange(50) % 3 == 0,
        np.array([], int),
    ],
    ids=str,
)
def test_rows_are_those_of_the_array(made, index):
    array, rows = made
    np.testing.assert_array_equal(rows[index], array[index])
    some = rows.take(np.arange(49, -1, -2))
    assert some.shape == (25, 6, 4) and len(some) == 25
    np.testing.assert_array_equal(some[2:5], array[[45, 43, 41]])


def test_steps_are_applied_when_rows_are_read(made):
    array, rows = made
    first = each_row(partial(np.add, 1), rows).then(partial(np.sum, axis=2, dtype=float))
    assert first.shape == (50, 6) and first.ndim == 2 and first.dtype == np.float64
    np.testing.assert_array_equal(first[4:6], (array[4:6] + 1).sum(axis=2, dtype=float))
    np.testing.assert_array_equal(np.asarray(taken(first, [1, 2])), first[np.array([1, 2])])
    np.testing.assert_array_equal(each_row(partial(np.add, 1), array), array + 1)


def test_what_is_read_may_be_written_to_and_the_file_stays(made):
    array, rows = made
    block = rows[2:4]
    block += 1
    np.testing.assert_array_equal(rows[2:4], array[2:4])


def test_a_part_of_all_rows_is_read_in_blocks(made, small_blocks):
    array, rows = made
    np.testing.assert_array_equal(rows.part(slice(1, 3)), array[:, 1:3])
    np.testing.assert_array_equal(rows.part((slice(None), slice(2, 3))), array[:, :, 2:3])


def test_blocks_hold_every_row_once(made, small_blocks):
    assert [(s.start, s.stop) for s in slices(made[1])][:2] == [(0, 7), (7, 14)]
    assert np.concatenate([np.arange(50)[s] for s in slices(made[1])]).tolist() == list(range(50))
    assert slices(made[1], 0) == []


def test_rows_travel_to_another_process_without_their_values(made):
    array, rows = made
    rows = rows.then(partial(np.multiply, 2.0))
    assert rows[:1].size  # it is open
    sent = pickle.dumps(rows)
    assert len(sent) < array.nbytes / 2
    np.testing.assert_array_equal(pickle.loads(sent)[5:8], 2.0 * array[5:8])


def test_one_row_by_its_number_is_refused(made):
    with pytest.raises(TypeError, match="a slice, a mask or an array"):
        made[1][3]


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments_are_numpys(made, small_blocks, offset):
    array, rows = made
    mean, variance = moments(rows.then(partial(np.add, np.float64(offset))))
    np.testing.assert_allclose(mean, offset + array.mean(axis=0, dtype=float), rtol=1e-12)
    np.testing.assert_allclose(variance, array.var(axis=0, dtype=float), rtol=1e-6)
    counts = np.arange(50) % 4
    mean, variance = moments(rows, counts)
    repeated = np.repeat(array, counts, axis=0).astype(float)
    np.testing.assert_allclose(mean, repeated.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(variance, repeated.var(axis=0), rtol=1e-9)


@pytest.fixture
def study(tmp_path, artifact):
    folder = Folder(tmp_path / "sub-01", None)
    folder.save_array("responses.npy", np.arange(40, dtype=np.float32).reshape(10, 4))
    trials = pd.DataFrame({"trial_id": [f"t{i}" for i in range(10)]})
    folder.save_table("trials.tsv", trials)
    sides = ["train"] * 5 + ["val"] * 2 + ["test"] * 3
    Folder(tmp_path / "split", None).save_table("split.tsv", trials.assign(split=sides))
    made = {"preprocess": {"sub-01": artifact(tmp_path / "sub-01")}}
    return made | {"split": artifact(tmp_path / "split")}


def view(study, **flags):
    reader = stage("reader", config=dict, inputs=("preprocess", "split"), **flags)(lambda *a: None)
    return View(reader, study, sealed={"preprocess": ("responses.npy",)})


def test_rows_are_those_of_responses_and_their_opening_is_recorded(study):
    inputs = view(study, opens_test=True)
    for side in ("train", "val", "test", "train+val"):
        responses, trials = inputs.responses("sub-01", rows=side)
        rows, same = inputs.rows("sub-01", rows=side)
        np.testing.assert_array_equal(rows[:], responses)
        pd.testing.assert_frame_equal(trials, same)
    assert inputs.openings == 2 * [{"stage": "reader", "subject": "sub-01"}]
    assert inputs.size("preprocess", "responses.npy", "sub-01") == 128 + 160


def test_test_rows_are_sealed(study):
    inputs = view(study)
    with pytest.raises(SealedError, match="asked for the test rows"):
        inputs.rows("sub-01", rows="train+test")
    with pytest.raises(SealedError, match="holds test rows"):
        inputs.lazy("preprocess", "responses.npy", "sub-01")
    with pytest.raises(ValueError, match="is not one of train, val, test"):
        inputs.rows("sub-01", rows="training")
    assert inputs.openings == []
