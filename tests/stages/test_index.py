import json
from dataclasses import replace

import numpy as np
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.data.layouts.bids import Bids
from neurodecode.stages import index
from tests.data.small_study import PICTURES, write_study, write_tsv

RECIPE = {"name": "small", "derivatives": "derivatives/simulated"}


def indexed(store, root, recipe=RECIPE, **more):
    return run_stage(index.run, {"recipe": recipe | {"root": str(root)} | more}, {}, store)


def test_every_trial_and_every_file_of_a_study_is_listed(tmp_path, store):
    write_study(tmp_path / "bids", n_runs=2)
    found = indexed(store, tmp_path / "bids", rois={"early": {"suffix": "mask", "desc": "early"}})
    trials = read_table(found.path("trials.tsv"))
    assert len(trials) == 2 * 2 * len(PICTURES) and trials["trial_id"].is_unique
    assert (trials.groupby(["subject", "stimulus_id"])["repeat"].max() == 2).all()
    assert json.loads(found.path("subjects.json").read_text()) == ["sub-01", "sub-02"]
    assert read_table(found.path("stimuli.tsv"))["path"].tolist() == [
        f"stimuli/{p}" for p in PICTURES
    ]

    files = read_table(found.path("sub-02/files.tsv"))
    assert files["kind"].value_counts().to_dict() == {
        "signal": 2,
        "confounds": 2,
        "mask": 2,
        "roi": 2,
    }
    signal = files[files["kind"] == "signal"]
    assert (signal["tr_s"] == 2.0).all() and (signal["n_volumes"] == 90).all()
    folders = {"root": tmp_path / "bids", "derivatives": tmp_path / "bids/derivatives/simulated"}
    assert all((folders[f.folder] / f.path).is_file() for f in files.itertuples())


def test_a_data_set_that_moves_is_known_again_and_one_that_changes_is_not(tmp_path, store):
    write_study(tmp_path / "here")
    first = indexed(store, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert indexed(store, tmp_path / "there").folder == first.folder
    signal = next((tmp_path / "there").rglob("sub-02*run-01_bold.nii.gz"))
    raw = bytearray(signal.read_bytes())
    raw[9] ^= 1  # the operating system's byte of the gzip header: the voxels stay
    signal.write_bytes(raw)
    second = indexed(store, tmp_path / "there")
    assert second.folder != first.folder
    assert second.digest("sub-01/*") == first.digest("sub-01/*")
    assert second.digest("sub-02/*") != first.digest("sub-02/*")


def test_a_simulated_study_is_read_as_a_recorded_one(tmp_path, store, artifact):
    write_study(tmp_path / "made" / "bids")
    made = artifact(tmp_path / "made")
    simulated = run_stage(index.run, {"recipe": RECIPE}, {"simulate": made}, store)
    recorded = indexed(store, tmp_path / "made" / "bids")
    for name in ("trials.tsv", "stimuli.tsv", "sub-01/files.tsv"):
        assert simulated.path(name).read_bytes() == recorded.path(name).read_bytes()


def test_without_a_folder_or_a_simulation_the_user_is_asked_for_one(store):
    with pytest.raises(ValueError, match="recipe.root=/path"):
        run_stage(index.run, {"recipe": RECIPE}, {}, store)


def test_categories_in_blocks_without_pictures(tmp_path, store):
    write_study(tmp_path, subjects=("sub-01",), n_runs=1)
    onsets = [12.0 + 36 * b + 2 * i for b in range(4) for i in range(10)]
    labels = np.repeat(["face", "house", "face", "rest"], 10)
    events = next(tmp_path.rglob("*_events.tsv"))
    write_tsv(events, {"onset": onsets, "duration": 0.5, "trial_type": labels})
    found = indexed(store, tmp_path, label_column="trial_type", merge_gap_s=2.0)
    trials = read_table(found.path("trials.tsv"))
    assert trials["stimulus_id"].tolist() == ["face", "house", "face"]
    assert trials["duration_s"].tolist() == [18.5] * 3 and trials["repeat"].tolist() == [1, 1, 2]
    assert read_table(found.path("stimuli.tsv"))["caption"].tolist() == ["face", "house"]


def test_derivatives_may_lie_outside_the_data_set(tmp_path, store):
    write_study(tmp_path / "bids")
    inside = read_table(indexed(store, tmp_path / "bids").path("sub-01/files.tsv"))
    (tmp_path / "bids" / "derivatives" / "simulated").rename(tmp_path / "elsewhere")
    found = indexed(store, tmp_path / "bids", derivatives=str(tmp_path / "elsewhere"))
    files = read_table(found.path("sub-01/files.tsv"))
    assert files.equals(inside)  # an index made before they moved is still right
    files = files.set_index("kind")
    assert set(files.loc["mask", "folder"]) == {"derivatives"}
    assert (tmp_path / "elsewhere" / files.loc["mask", "path"].iloc[0]).is_file()


def test_a_data_set_without_signals_can_be_indexed(tmp_path, store):
    write_study(tmp_path)
    for signal in tmp_path.rglob("*_bold.nii.gz"):
        signal.write_bytes(b"")
    files = read_table(indexed(store, tmp_path).path("sub-01/files.tsv"))
    assert (files.loc[files["kind"] == "signal", "n_volumes"] == 0).all()


def test_one_subject_of_a_study_can_be_indexed_alone(tmp_path, store):
    write_study(tmp_path)
    found = indexed(store, tmp_path, subjects=["sub-02"])
    assert json.loads(found.path("subjects.json").read_text()) == ["sub-02"]
    assert set(read_table(found.path("trials.tsv"))["subject"]) == {"sub-02"}


def test_a_picture_that_changes_is_a_study_that_changes(tmp_path, store):
    write_study(tmp_path, subjects=("sub-01",), n_runs=1)
    first = read_table(indexed(store, tmp_path).path("stimuli.tsv"))
    (tmp_path / "stimuli" / PICTURES[2]).write_bytes(b"another picture")
    second = read_table(indexed(store, tmp_path).path("stimuli.tsv"))
    assert (first["sha256"] != second["sha256"]).tolist() == [i == 2 for i in range(8)]


class Numbered(Bids):
    """A layout of one's own: BIDS, with runs called by letters."""

    def runs(self, recipe, root):
        """The runs, renamed."""
        return [replace(r, run=r.run.replace("run-0", "part-")) for r in super().runs(recipe, root)]


def test_a_layout_of_ones_own_finds_the_runs(tmp_path, store):
    write_study(tmp_path, subjects=("sub-01",), n_runs=2)
    found = indexed(store, tmp_path, layout={"_target_": f"{__name__}.Numbered"})
    trials = read_table(found.path("trials.tsv"))
    assert trials["run"].unique().tolist() == ["part-1", "part-2"]
