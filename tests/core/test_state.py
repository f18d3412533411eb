"""run.json says at any time what is done, running and waiting; the store's register follows."""

import json
import os

import pytest

from neurodecode.core import state
from neurodecode.core.lease import me
from neurodecode.core.state import RunState
from neurodecode.core.store import Store

STAGES = ["index", "train", "report"]


@pytest.fixture
def run(tmp_path):
    return RunState(tmp_path / "run", Store(tmp_path / "store"), {"name": "x"}, STAGES)


def said(run):
    return json.loads((run.folder / "run.json").read_text())


def event(run, stage, how="computed", each=None):
    return {"stage": stage, "each": each, "state": how, "folder": f"{run.store.root}/{stage}/k/c"}


def test_a_run_is_told_from_its_beginning_to_its_end(run):
    run.start()
    assert said(run)["waiting"] == STAGES and said(run)["holder"] == me()
    run.begin("index", None)
    assert said(run)["running"]["stage"] == "index" and said(run)["waiting"] == STAGES[1:]
    run.finish(event(run, "index"))
    assert said(run)["running"] is None and [d["stage"] for d in said(run)["done"]] == ["index"]
    run.begin("train", None)
    run.end("failed", "it broke")
    assert (said(run)["status"], said(run)["error"], said(run)["running"]) == (
        "failed",
        "it broke",
        None,
    )


def test_progress_is_written_now_and_then(run, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: now[0])
    run.begin("train", None)
    run.progress("epochs", 1, 10, 9.2)
    assert "done" not in said(run)["running"]
    now[0] = 3.0
    run.progress("epochs", 2, 10, 8.4)
    assert (
        said(run)["running"] | {"label": "epochs", "done": 2, "total": 10, "left_s": 8}
        == said(run)["running"]
    )


def test_the_register_names_what_the_run_uses(run):
    run.start()
    run.finish(event(run, "index"))
    run.finish(event(run, "train", "cached", "sub-01"))
    (entry,) = (run.store.root / "runs").glob("*.json")
    told = json.loads(entry.read_text())
    assert told["artifacts"] == ["index/k/c", "train/k/c"]
    assert told["folder"] == str(run.folder) and told["st_dev"] == os.stat(run.folder).st_dev
    run.end("done")
    assert json.loads(entry.read_text())["status"] == "done"


def test_what_was_computed_stays_so_when_it_is_looked_at_again(run):
    run.finish(event(run, "index"))
    run.finish(event(run, "index", "cached"))
    assert said(run)["done"][0]["state"] == "computed"


def test_a_run_without_a_folder_writes_nothing(tmp_path):
    quiet = RunState(None, Store(tmp_path / "store"), {}, STAGES)
    quiet.start()
    quiet.finish(event(quiet, "index"))
    quiet.end("done")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["scratch", "store"]


def test_the_file_is_touched_while_nothing_happens(run, monkeypatch):
    monkeypatch.setattr(state, "BEAT_S", 0.02)
    run.start()
    path = run.folder / "run.json"
    os.utime(path, (0, 0))
    for _ in range(100):
        if path.stat().st_mtime > 0:
            break
        state.time.sleep(0.02)
    assert path.stat().st_mtime > 0
    run.end("done")
