"""Arrays that grow: every row once, on disk before it is counted, the same bytes after a kill."""

import os

import numpy as np
import pytest

from neurodecode.core.growing import Growing

ROWS = np.arange(24.0).reshape(8, 3)


def test_rows_put_in_parts_are_the_whole(tmp_path):
    made = Growing(tmp_path, "a", 8)
    for first in (0, 3, 6):
        made.put(x=ROWS[first : first + 3], y=ROWS[first : first + 3, 0].astype(np.uint8))
    assert np.array_equal(made.array("x"), ROWS)
    assert made.array("y").tolist() == ROWS[:, 0].tolist()
    assert np.array_equal(np.load(made.file("x")), ROWS)


def test_what_was_put_is_found_again(tmp_path):
    Growing(tmp_path, "a", 8).put(x=ROWS[:5])
    again = Growing(tmp_path, "a", 8)
    assert again.done == 5
    again.put(x=ROWS[5:])
    assert again.done == 8 and np.array_equal(np.load(again.file("x")), ROWS)


def test_rows_that_were_written_but_not_counted_are_made_again(tmp_path):
    made = Growing(tmp_path, "a", 8)
    made.put(x=ROWS[:5])
    made.array("x")[5:] = -1  # a kill between the rows and their count
    made.array("x").flush()
    again = Growing(tmp_path, "a", 8)
    assert again.done == 5
    again.put(x=ROWS[5:])
    assert np.array_equal(np.load(again.file("x")), ROWS)


@pytest.mark.parametrize("name", ["a.json", "a.x.npy"])
@pytest.mark.parametrize("how", ["gone", "cut", "other"])
def test_damaged_beginnings_are_begun_anew(tmp_path, name, how):
    Growing(tmp_path, "a", 8).put(x=ROWS[:5])
    file = tmp_path / name
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:10] if how == "cut" else b"[]")
    again = Growing(tmp_path, "a", 8)
    assert again.done == 0
    again.put(x=ROWS)
    assert np.array_equal(np.load(again.file("x")), ROWS)


def test_another_number_of_rows_is_another_array(tmp_path):
    Growing(tmp_path, "a", 8).put(x=ROWS[:5])
    assert Growing(tmp_path, "a", 9).done == 0


@pytest.mark.parametrize("links", [True, False])
def test_an_array_is_given_to_another_place(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise OSError("no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    made = Growing(tmp_path / "work", "a", 8)
    made.put(x=ROWS)
    for _ in range(2):  # also where something lies already
        made.give("x", tmp_path / "x.npy")
    assert np.array_equal(np.load(tmp_path / "x.npy"), ROWS)
    assert (os.stat(tmp_path / "x.npy").st_nlink == 2) == links
