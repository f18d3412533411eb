from pathlib import Path

import pytest

from neurodecode.data.layouts.base import Run
from neurodecode.data.recipe import Recipe
from neurodecode.data.trials import read_events, trial_table

PICTURES = Recipe(stim_column="stim_file")
CATEGORIES = Recipe(label_column="trial_type")


def events(tmp_path, *rows, header="onset\tduration\tstim_file"):
    path = tmp_path / "events.tsv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_trials_come_by_onset_without_rest(tmp_path):
    path = events(tmp_path, "8\t1\tb.png", "2.5\tn/a\ta.png", "4\t1\tn/a", "5\t1\trest")
    table = read_events(path, PICTURES, 20.0)
    assert table["shown"].tolist() == ["a.png", "b.png"]
    assert table["onset_s"].tolist() == [2.5, 8.0] and table["duration_s"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["-1\t1\ta.png"], "before the first volume"),
        (["n/a\t1\ta.png"], "missing or not finite"),
        (["soon\t1\ta.png"], "must be seconds"),
        (["20\t1\ta.png"], "beyond the end of the run"),
        (["3\t-2\ta.png"], "duration below 0"),
        (["3\t1\ta.png", "3.0\t1\ta.png"], "same onset and stimulus"),
        (["3\t1\tn/a"], "no trial"),
        ([], "no events"),
    ],
)
def test_a_table_that_would_spoil_the_study_is_refused(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read_events(events(tmp_path, *rows), PICTURES, 20.0)


def test_an_empty_file_and_a_missing_column_are_named(tmp_path):
    path = tmp_path / "events.tsv"
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        read_events(path, PICTURES)
    with pytest.raises(ValueError, match="'trial_type'.*recipe.label_column"):
        read_events(events(tmp_path, "1\t1\ta.png"), CATEGORIES)


def test_without_a_signal_the_length_of_the_run_is_not_judged(tmp_path):
    assert len(read_events(events(tmp_path, "900\t1\ta.png"), PICTURES, 0.0)) == 1


def test_events_of_a_block_become_one_trial(tmp_path):
    rows = [
        f"{t}\t0.5\t{c}" for c, t0 in [("face", 12), ("cat", 48), ("cat", 84)] for t in (t0, t0 + 2)
    ]
    path = events(tmp_path, *rows, header="onset\tduration\ttrial_type")
    blocks = read_events(path, Recipe(label_column="trial_type", merge_gap_s=2.0), 200)
    assert blocks["shown"].tolist() == ["face", "cat", "cat"]
    assert blocks["onset_s"].tolist() == [12, 48, 84] and (blocks["duration_s"] == 2.5).all()
    assert len(read_events(path, CATEGORIES, 200)) == 6


def test_free_columns_stay_and_repeats_are_counted_over_runs(tmp_path):
    path = events(
        tmp_path, "1\t1\ta\tleft", "4\t1\tb\tright", header="onset\tduration\tstim_file\thand"
    )
    table = read_events(path, PICTURES, 20)
    table["stimulus_id"] = table["shown"]
    runs = [Run("sub-01", "", f"run-{i}", {"": Path()}, path) for i in (1, 2)]
    trials = trial_table([(r, table) for r in runs])
    assert trials["trial_id"].tolist() == [
        "sub-01_run-1_0001",
        "sub-01_run-1_0002",
        "sub-01_run-2_0001",
        "sub-01_run-2_0002",
    ]
    assert trials["repeat"].tolist() == [1, 1, 2, 2]
    assert trials["hand"].tolist() == ["left", "right"] * 2
    assert "shown" not in trials


def test_one_file_may_hold_several_runs(tmp_path):
    rows = ["1\t1\ta\trun-a", "4\t1\tb\trun-b", "5\t1\ta\trun-b"]
    path = events(tmp_path, *rows, header="onset\tduration\tstim_file\trun")
    table = read_events(path, PICTURES, 20)
    table["stimulus_id"] = table["shown"]
    trials = trial_table([(Run("sub-01", "", "run-1", {"": Path()}, path), table)])
    assert trials["run"].tolist() == ["run-a", "run-b", "run-b"]
    expected = ["sub-01_run-a_0001", "sub-01_run-b_0001", "sub-01_run-b_0002"]
    assert trials["trial_id"].tolist() == expected


def test_the_category_stays_as_a_column(tmp_path):
    path = events(tmp_path, "1\t1\tface", header="onset\tduration\ttrial_type")
    assert read_events(path, CATEGORIES)["trial_type"].tolist() == ["face"]


def test_the_recipe_names_the_column_of_pictures_and_what_is_no_trial(tmp_path):
    rows = ["1\t1\ta.png\tc.png", "4\t1\tb.png\trest"]
    path = events(tmp_path, *rows, header="onset\tduration\tleft\tright")
    shown = lambda **said: read_events(path, Recipe(**said), 20)["shown"].tolist()
    assert shown(stim_column="left") == ["a.png", "b.png"]
    assert shown(stim_column="left", ignore=["a.png"]) == ["b.png"]
    assert shown(stim_column="right") == ["c.png"]
    assert shown(stim_column="right", ignore=[]) == ["c.png", "rest"]


def test_without_a_column_of_pictures_every_event_is_a_trial(tmp_path):
    rows = ["4\t1\trest", "1\tn/a\tb"]
    path = events(tmp_path, *rows, header="onset\tduration\titem")
    table = read_events(path, Recipe(stim_column=""), 20)
    assert table["onset_s"].tolist() == [1, 4] and table["duration_s"].tolist() == [0, 1]
    assert table["item"].tolist() == ["b", "rest"] and table["shown"].eq("").all()
    with pytest.raises(ValueError, match="beyond the end of the run"):
        read_events(path, Recipe(stim_column=""), 3)
