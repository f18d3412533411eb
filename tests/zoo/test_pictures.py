"""A folder is read whole, copies stay together, and what is held out is what was asked."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurodecode.core.errors import ConfigError
from neurodecode.data.stimuli import square_picture
from neurodecode.zoo.pictures import (
    groups_of_copies,
    hold_out,
    read_captions,
    read_folder,
    rows_of_table,
)

from .folder import write_pictures


def test_pictures_of_every_kind_are_found_below_and_cut_to_squares(tmp_path):
    table = write_pictures(tmp_path)
    Image.new("RGB", (90, 30), "red").save(tmp_path / "wide.png")
    folder = read_folder(tmp_path, 32)
    assert sorted(folder.names) == sorted([*table["path"], "wide.png"])
    assert folder.pictures.shape == (61, 32, 32, 3)
    assert (folder.pictures[folder.names.index("wide.png")] == [255, 0, 0]).all()


@pytest.mark.parametrize("size", [(16, 16), (40, 16), (16, 41), (32, 50)])
def test_a_square_is_the_middle_of_the_picture(tmp_path, size):
    Image.new("RGB", size, "blue").save(tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    side, (w, h) = min(size), size
    picture.paste("red", ((w - side) // 2, (h - side) // 2, (w + side) // 2, (h + side) // 2))
    picture.save(tmp_path / "a.png")
    square = square_picture(tmp_path / "a.png", 16)
    assert square.shape == (16, 16, 3) and (square == [255, 0, 0]).all()


def test_damaged_files_are_named_or_left_out(tmp_path):
    write_pictures(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(ValueError, match="1 of 61 files.*broken.png.*damaged=skip"):
        read_folder(tmp_path, 32)
    folder = read_folder(tmp_path, 32, skip_damaged=True)
    assert folder.skipped == ["broken.png"] and len(folder.names) == 60


def test_a_folder_of_few_pictures_is_refused(tmp_path):
    write_pictures(tmp_path, 49)
    with pytest.raises(ValueError, match="holds 49 pictures.*at least 50"):
        read_folder(tmp_path, 32)


def test_copies_are_one_group_also_when_smaller_and_encoded_anew(tmp_path):
    table = write_pictures(tmp_path)
    first = Image.open(tmp_path / table["path"][0])
    first.save(tmp_path / "copy.png")
    first.resize((48, 48)).save(tmp_path / "smaller.jpg")
    folder = read_folder(tmp_path, 32)
    row = {name: i for i, name in enumerate(folder.names)}
    same = [row[table["path"][0]], row["copy.png"], row["smaller.jpg"]]
    equal = groups_of_copies(folder.thumbnails, near=False)
    near = groups_of_copies(folder.thumbnails)
    assert equal[same[0]] == equal[same[1]] != equal[same[2]]
    assert len(set(near[same])) == 1 and near.max() == 59


def test_a_tenth_is_held_out_by_group_and_what_is_named_always():
    groups = np.repeat(np.arange(50), 2)
    held = hold_out(groups, seed=0)
    assert 10 <= held.sum() <= 11 and (held[::2] == held[1::2]).all()
    assert not np.array_equal(held, hold_out(groups, seed=1))
    named = hold_out(groups, seed=0, also=[3, 40])
    assert named[[2, 3, 40, 41]].all() and named.sum() <= 11
    many = hold_out(groups, seed=0, also=range(0, 40))
    assert many[:40].all() and many.sum() == 40
    with pytest.raises(ConfigError, match="60 of 100 pictures would be held out"):
        hold_out(groups, seed=0, also=range(60))


def test_tables_name_pictures_and_say_what_they_show(tmp_path):
    table = write_pictures(tmp_path / "pictures")
    folder = read_folder(tmp_path / "pictures", 32)
    table.iloc[:5].to_csv(tmp_path / "said.tsv", sep="\t", index=False)
    said = read_captions(tmp_path / "said.tsv", folder)
    row = folder.names.index(table["path"][2])
    assert said[row] == table["caption"][2] and sum(map(bool, said)) == 5
    assert row in rows_of_table(tmp_path / "said.tsv", folder)
    pd.DataFrame({"path": ["gone.png"]}).to_csv(tmp_path / "gone.tsv", sep="\t", index=False)
    with pytest.raises(ConfigError, match="not in .*'gone.png'"):
        rows_of_table(tmp_path / "gone.tsv", folder)
    with pytest.raises(ConfigError, match="no column caption"):
        read_captions(tmp_path / "gone.tsv", folder)
