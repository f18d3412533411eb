"""A finished run: opened as it was left, or refused with what to do."""

import json

import pytest

from neurodecode.core.errors import SealedError, UserError
from neurodecode.core.finished import open_run, whole_or_absent
from neurodecode.core.sealed import write_sealed


def write_state(folder, **changes):
    state = {"status": "done", "done": [], "waiting": [], "error": None, "config": {"name": "x"}}
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(state | changes))
    return folder


def done(stage, folder, each=None):
    return {"stage": stage, "each": each, "folder": str(folder)}


@pytest.fixture
def made(tmp_path):
    """``made(stage, part)``: a folder in a store, with a manifest."""

    def make(stage, part="a"):
        folder = tmp_path / "store" / stage / part / "code"
        folder.mkdir(parents=True)
        write_sealed(folder / "manifest.json", {"files": {}, "stage": stage})
        return folder

    return make


def test_what_a_run_made_is_found_by_stage_and_subject(tmp_path, made):
    stages = [done("index", made("index")), done("train", made("train"))]
    each = [done("preprocess", made("preprocess", s), s) for s in ("sub-01", "sub-02")]
    run = open_run(write_state(tmp_path / "run", done=stages + each), "train")
    assert run.config == {"name": "x"}
    assert run.artifacts["train"].manifest["stage"] == "train"
    assert list(run.artifacts["preprocess"]) == ["sub-01", "sub-02"]
    with pytest.raises(SealedError, match="apply asked for preprocess/responses.npy"):
        run.view().path("preprocess", "responses.npy", "sub-01")


def test_an_artifact_made_twice_counts_as_it_was_made_last(tmp_path, made):
    first, last = made("train", "a"), made("train", "b")
    run = write_state(tmp_path / "run", done=[done("train", first), done("train", last)])
    assert open_run(run, "train").artifacts["train"].folder == last


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "of an experiment without the stage train .it went up to nothing"),
        ({"waiting": ["train"], "status": "interrupted"}, "unfinished: it is interrupted after"),
        (
            {"waiting": ["train"], "status": "failed", "error": "OSError: disk"},
            r"failed \(OSError: disk\) after nothing, and train is not done; run its command again",
        ),
    ],
)
def test_a_run_without_a_trained_model_says_how_far_it_came(tmp_path, state, message):
    with pytest.raises(UserError, match=message):
        open_run(write_state(tmp_path / "run", **state), "train")


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        open_run(tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match=r"holds no run.json: name the folder of a run"):
        open_run(tmp_path, "train")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        open_run(tmp_path, "train")


def test_a_folder_is_whole_or_absent(tmp_path):
    with whole_or_absent(tmp_path / "deep" / "out") as out:
        out.save_json("a.json", {"a": 1})
        assert not (tmp_path / "deep" / "out").exists()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]
    assert json.loads((tmp_path / "deep" / "out" / "a.json").read_text()) == {"a": 1}
    with pytest.raises(ZeroDivisionError), whole_or_absent(tmp_path / "deep" / "other") as out:
        out.save_json("a.json", {"a": 1 / 0})
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]
    (tmp_path / "empty").mkdir()
    with whole_or_absent(tmp_path / "empty") as out:
        out.save_json("a.json", {})
    assert (tmp_path / "empty" / "a.json").is_file()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write in"), whole_or_absent(tmp_path / "file/out"):
        pass
