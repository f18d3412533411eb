"""A plain folder of responses: what index makes of it, and every mistake in it that has a name."""

import json

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.stages import index
from tests.data.small_folder import (
    N_CHANNELS,
    N_RUNS,
    N_TIMES,
    PICTURES,
    write_folder,
    write_trials,
)
from tests.data.small_folder import trials as small_trials

FOLDER = "neurodecode.data.layouts.folder.Folder"


def indexed(store, root, n_blocks=None, **more):
    recipe = {"layout": {"_target_": FOLDER, "n_blocks": n_blocks}, "stimulus_table": None}
    recipe |= {"name": "folder", "root": str(root)} | more
    return run_stage(index.run, {"recipe": recipe}, {}, store)


def trials_of(found, subject="sub-01"):
    return read_table(found.path(f"{subject}/trials.tsv"))


def changed(folder, **columns):
    """Write a subject's trials.tsv anew with other columns; None takes one away."""
    table = pd.read_csv(folder / "trials.tsv", sep="\t")
    for name, values in columns.items():
        table = table.drop(columns=name) if values is None else table.assign(**{name: values})
    write_trials(folder, table)


def test_every_row_is_a_trial_of_its_run_and_every_file_is_listed(tmp_path, store):
    write_folder(tmp_path, times=True)
    np.save(tmp_path / "sub-02" / "positions_mm.npy", np.zeros((N_CHANNELS, 3)))
    found = indexed(store, tmp_path)
    assert json.loads(found.path("subjects.json").read_text()) == ["sub-01", "sub-02"]
    trials, written = trials_of(found), pd.read_csv(tmp_path / "sub-01" / "trials.tsv", sep="\t")
    assert trials["run"].tolist() == [f"run-0{r}" for r in written["run"]]
    assert trials["stimulus_id"].tolist() == [s[:-4] for s in written["stim_file"]]
    assert trials["responses_row"].tolist() == list(range(len(written)))
    # no onsets were given: the place in the run stands for them
    assert trials["onset_s"].tolist() == [*range(len(PICTURES))] * N_RUNS
    assert trials["trial_id"].is_unique and (trials["duration_s"] == 0).all()
    assert trials["repeat"].tolist() == np.repeat([1, 2, 3], len(PICTURES)).tolist()

    files = read_table(found.path("sub-02/files.tsv")).set_index("kind")
    assert set(files.index) == {"signal", "positions", "times"}
    shape = files.loc["signal", ["n_trials", "n_channels", "n_times"]].tolist()
    assert shape == [N_RUNS * len(PICTURES), N_CHANNELS, N_TIMES]


def test_trials_go_by_run_and_onset_and_keep_their_rows(tmp_path, store):
    write_folder(tmp_path, subjects=("sub-01",))
    n = N_RUNS * len(PICTURES)
    changed(
        tmp_path / "sub-01",
        run=[1, 2, 3] * len(PICTURES),
        onset=np.arange(n)[::-1] * 2.0,
        rt=range(n),
    )
    trials = trials_of(indexed(store, tmp_path))
    assert trials["run"].tolist() == np.repeat(["run-01", "run-02", "run-03"], 8).tolist()
    for _, run in trials.groupby("run"):
        assert run["onset_s"].is_monotonic_increasing
    assert (trials["onset_s"] == 2.0 * (n - 1 - trials["responses_row"])).all()
    assert (trials["rt"] == trials["responses_row"]).all()  # a column of the user's own


def test_trials_that_show_nothing_are_left_out_with_their_rows(tmp_path, store):
    write_folder(tmp_path, subjects=("sub-01",))
    table = small_trials()
    table.loc[[0, 9], "stim_file"] = ["rest", "n/a"]
    write_trials(tmp_path / "sub-01", table)
    rows = trials_of(indexed(store, tmp_path))["responses_row"].tolist()
    assert rows == [i for i in range(len(table)) if i not in (0, 9)]


def test_sessions_tell_runs_of_one_number_apart_and_may_stand_for_runs(tmp_path, store):
    write_folder(tmp_path, subjects=("sub-01",))
    sessions = np.repeat(["1", "ses-02"], [8, 16])
    changed(tmp_path / "sub-01", session=sessions, run=np.repeat([1, 1, 2], 8))
    trials = trials_of(indexed(store, tmp_path))
    runs = ["ses-01_run-01", "ses-02_run-01", "ses-02_run-02"]
    assert list(dict.fromkeys(trials["run"])) == runs and trials["trial_id"].is_unique
    changed(tmp_path / "sub-01", run=None)
    trials = trials_of(indexed(store, tmp_path))
    assert trials["run"].tolist() == trials["session"].tolist() == ["ses-01"] * 8 + ["ses-02"] * 16


@pytest.mark.parametrize("n_blocks", [2, 5])
def test_blocks_stand_for_runs_where_they_are_asked_for(tmp_path, store, n_blocks):
    write_folder(tmp_path, subjects=("sub-01",))
    changed(tmp_path / "sub-01", run=None)
    with pytest.raises(ValueError, match=r"no column 'run'.*recipe.layout.n_blocks=8"):
        indexed(store, tmp_path)
    trials = trials_of(indexed(store, tmp_path, n_blocks))
    sizes = trials.groupby("run", sort=False).size()
    assert len(sizes) == n_blocks and sizes.max() - sizes.min() <= 1
    assert trials["run"].is_monotonic_increasing
    with pytest.raises(ValueError, match="n_blocks is 0"):
        indexed(store, tmp_path, 0)


def test_one_subject_may_lie_directly_in_the_folder_and_so_may_several(tmp_path, store):
    write_folder(tmp_path, subjects=("",))
    assert json.loads(indexed(store, tmp_path).path("subjects.json").read_text()) == ["sub-01"]
    write_trials(tmp_path, small_trials().assign(subject=["7", "sub-ann"] * 12))
    found = indexed(store, tmp_path)
    assert json.loads(found.path("subjects.json").read_text()) == ["sub-07", "sub-ann"]
    assert trials_of(found, "sub-ann")["responses_row"].tolist() == list(range(1, 24, 2))
    one = indexed(store, tmp_path, subjects=["sub-ann"])
    assert set(read_table(one.path("trials.tsv"))["subject"]) == {"sub-ann"}


@pytest.mark.parametrize("place", ["stimuli/stimuli.tsv", "stimuli.tsv"])
def test_a_table_of_pictures_is_found_where_there_is_one(tmp_path, store, place):
    write_folder(tmp_path, subjects=("sub-01",))
    before = read_table(indexed(store, tmp_path).path("stimuli.tsv"))
    assert before["stimulus_id"].tolist() == [p[:-4] for p in PICTURES]
    assert before["partition"].eq("").all()
    partition = ["test" if i < 2 else "train" for i in range(8)]
    table = pd.DataFrame({"stim_file": PICTURES, "partition": partition, "shape": "disc"})
    table.to_csv(tmp_path / place, sep="\t", index=False)
    after = read_table(indexed(store, tmp_path).path("stimuli.tsv"))
    assert after["partition"].tolist() == partition and after["shape"].eq("disc").all()
    none = read_table(indexed(store, tmp_path, stimulus_table="").path("stimuli.tsv"))
    assert none.equals(before)


def test_categories_need_no_pictures(tmp_path, store):
    write_folder(tmp_path, subjects=("sub-01",))
    changed(tmp_path / "sub-01", stim_file=None, category=["face", "house", "n/a"] * 8)
    found = indexed(store, tmp_path, label_column="category")
    assert read_table(found.path("stimuli.tsv"))["caption"].tolist() == ["face", "house"]
    trials = trials_of(found)
    assert len(trials) == 16 and trials["category"].equals(trials["stimulus_id"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_any_real_number_is_a_response(tmp_path, store, dtype):
    responses = write_folder(tmp_path, subjects=("sub-01",))["sub-01"]
    np.save(tmp_path / "sub-01" / "responses.npy", (100 * responses).astype(dtype))
    assert len(trials_of(indexed(store, tmp_path))) == len(responses)


def saved(values):
    return lambda folder: np.save(folder / "responses.npy", values)


def cut_short(folder):
    path = folder / "responses.npy"
    path.write_bytes(path.read_bytes()[:-50])


N = N_RUNS * len(PICTURES)
MISTAKES = {
    "other number of rows": (saved(np.ones((N - 1, 4))), "has 24 trials, .* 23 rows"),
    "one axis": (saved(np.ones(N)), r"shape \(24,\): responses have 2 axes"),
    "four axes": (saved(np.ones((N, 2, 2, 2))), "or 3"),
    "empty": (saved(np.ones((N, 0))), "nothing in it"),
    "objects": (saved(np.array([{}] * N)), "Python objects"),
    "complex": (saved(np.ones((N, 2)) * 1j), "complex128: responses are real"),
    "text": (saved(np.full((N, 2), "a")), "responses are real"),
    "no array": (lambda f: (f / "responses.npy").write_text("1 2 3"), "not a NumPy array"),
    "cut short": (cut_short, "cut short or damaged"),
    "no responses": (lambda f: (f / "responses.npy").unlink(), "responses.npy is not there"),
    "no table": (lambda f: (f / "trials.tsv").unlink(), "trials.tsv is not there"),
    "empty table": (lambda f: (f / "trials.tsv").write_text(""), "is empty: it needs a header"),
    "no column": (lambda f: changed(f, stim_file=None), "no column 'stim_file', only run"),
    "nothing shown": (lambda f: changed(f, stim_file="rest"), "no trial of sub-01"),
    "unknown picture": (lambda f: changed(f, stim_file="what.png"), "what.png is not there"),
    "run left empty": (lambda f: changed(f, run=[""] + [1] * (N - 1)), "run of trial 1 is empty"),
    "other subject": (lambda f: changed(f, subject="2"), "holds that subject's trials alone"),
    "NaN onset": (lambda f: changed(f, onset_s=[""] + [1.0] * (N - 1)), "onset that is missing"),
    "no number": (lambda f: changed(f, onset="soon"), "column onset must be seconds"),
    "duration": (lambda f: changed(f, duration_s=-1.0), "duration below 0"),
    "twice": (lambda f: changed(f, stim_file="p00.png", onset=1.0), "24 of 24 .* same run"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_file(tmp_path, store, name):
    write_folder(tmp_path, subjects=("sub-01",))
    make, message = MISTAKES[name]
    make(tmp_path / "sub-01")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        indexed(store, tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_a_picture_that_the_table_does_not_know_is_refused(tmp_path, store):
    write_folder(tmp_path, subjects=("sub-01",))
    table = pd.DataFrame({"stim_file": PICTURES[1:]})
    table.to_csv(tmp_path / "stimuli" / "stimuli.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match="shows 'p00.png', unknown to stimuli/stimuli.tsv"):
        indexed(store, tmp_path)


def test_a_folder_that_is_none_says_what_it_holds(tmp_path, store):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        indexed(store, tmp_path / "nowhere")
    (tmp_path / "betas.mat").write_text("")
    with pytest.raises(FileNotFoundError, match="it holds betas.mat"):
        indexed(store, tmp_path)
    write_folder(tmp_path / "study", subjects=("sub-01", ""))
    with pytest.raises(ValueError, match="holds responses.npy and sub-01"):
        indexed(store, tmp_path / "study")
    (tmp_path / "study" / "responses.npy").unlink()
    with pytest.raises(FileNotFoundError, match="names sub-09; .* holds sub-01"):
        indexed(store, tmp_path / "study", subjects=["sub-09"])
