"""The whole line, from nothing to a report, as a user runs it."""

import json
import subprocess
import sys

import pytest

SMALL = [
    "recipe=world_small",
    "name=small",
    "threads=1",
    "device=cpu",
    "train.decoder_training.n_epochs=4",
    "predict.n_gallery=5",
    "evaluate.n_bootstrap=100",
    "evaluate.n_permutations=100",
]


def run(folder, *overrides, store="store"):
    own = [f"store={folder / store}", f"hydra.run.dir={folder / 'run'}"]
    command = [sys.executable, "-m", "neurodecode.cli", "run", *overrides, *own]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_a_small_study_goes_from_nothing_to_a_report_and_is_found_again(tmp_path):
    first = run(tmp_path, *SMALL)
    assert first.returncode == 0, first.stderr
    figures = (tmp_path / "run" / "figures.json").read_bytes()
    scores = json.loads(figures)["metrics"]
    conditions = {row["condition"] for row in scores}
    assert {"model", "ridge", "shuffled", "prior_only", "true_features"} <= conditions
    assert "<html" in (tmp_path / "run" / "report.html").read_text()[:300]
    top1 = {
        row["condition"]: row["value"]
        for row in scores
        if (row["subject"], row["metric"], row["set_size"]) == ("all", "brain_to_image_top1", 60)
    }
    assert top1["model"] > 5 * top1["shuffled"] and top1["true_features"] == 1

    again = run(tmp_path, *SMALL)
    assert "computed" not in again.stdout and "▸" not in again.stdout
    assert (tmp_path / "run" / "figures.json").read_bytes() == figures

    verify = [sys.executable, "-m", "neurodecode.cli", "verify", tmp_path / "run"]
    done = subprocess.run(verify, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("read: whole\n"), done.stdout


@pytest.mark.slow
def test_a_users_own_bids_folder_goes_through_as_the_readme_says(tmp_path):
    made = run(tmp_path, "recipe=world_small", "stages=[simulate]", "threads=1")
    assert made.returncode == 0, made.stderr
    (bids,) = (tmp_path / "store" / "simulate").glob("*/*/bids")
    own = ["experiment=retrieval", f"recipe.root={bids}", "recipe.task=scenes"]
    own += ["recipe.derivatives=derivatives/simulated", "embed=shipped_clip", "threads=1"]
    done = run(tmp_path, *own, store="another")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "run" / "figures.json").read_bytes())["metrics"]
    found = {
        (r["condition"], r["metric"], r["set_size"]): r for r in scores if r["subject"] == "all"
    }
    assert found["model", "brain_to_image_top1", 60]["value"] > 0.2
    assert not any(metric == "pixcorr" for _, metric, _ in found)
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trian.batch=3"], "trian"),
        (["experiment=retreival"], "retrieval"),
        (["experiment=null", "stages=[nosuch]"], "there is no stage 'nosuch'"),
        (["stages=[]"], "stages: expected a list of stages"),
        (["stages=simulate"], "stages: expected a list such as [simulate]"),
        (["train.linear_start=0"], "train.linear_start: expected more than 0"),
        (["predict.batch=0"], "predict.batch: expected 1 or more"),
        (["train.batch=three"], "train.batch: expected a whole number, got 'three'"),
        (["subjects=sub-01"], r"expected a list such as [sub-01]"),
        (["recipe=bids", "recipe.root=/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_a_mistake_ends_with_one_message_and_no_traceback(tmp_path, overrides, message):
    done = run(tmp_path, *overrides)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
