"""A run looked at from outside: alive, killed or silent, and what it is at."""

import json
import os
import subprocess
import sys
import time

import pytest

from neurodecode.core.errors import UserError
from neurodecode.core.lease import me
from neurodecode.core.watch import SILENT_S, look, told

DONE = [
    {"stage": stage, "each": each, "folder": f"{stage}/k/c"}
    for stage, each in (("index", None), ("preprocess", "a"), ("preprocess", "b"))
]
RUNNING = {"stage": "train", "each": None, "since": "2026-01-01T00:00:00+00:00"}
FAR = {"label": "epochs", "done": 12, "total": 30, "left_s": 90}


@pytest.fixture
def run(tmp_path):
    def write(**changes):
        state = {"status": "running", "at": "now", "holder": me(), "done": DONE, "error": None}
        state |= {"running": RUNNING | FAR, "waiting": ["report"]} | changes
        (tmp_path / "run.json").write_text(json.dumps(state))
        return tmp_path

    return write


def gone():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return me() | {"pid": process.pid}


def test_a_living_run_says_what_it_is_at(run):
    text = told(look(run()))
    assert f"running, process {os.getpid()} on " in text
    assert "done     index, preprocess (2)" in text and "waiting  report" in text
    assert "epochs 12 of 30, about 1.5 min left" in text


def test_a_run_whose_process_is_gone_was_killed(run):
    state = look(run(holder=gone()))
    assert state["status"] == "killed" and "run the same command to go on" in told(state)


def test_a_run_elsewhere_is_judged_by_its_signs_of_life(run):
    elsewhere = me() | {"host": "node-7/1234/5678"}
    assert look(run(holder=elsewhere))["status"] == "running"
    folder = run(holder=elsewhere)
    long_ago = time.time() - 2 * SILENT_S
    os.utime(folder / "run.json", (long_ago, long_ago))
    assert look(folder)["status"] == "silent" and "on node-7" in told(look(folder))


@pytest.mark.parametrize("status", ["done", "failed", "interrupted"])
def test_what_has_ended_is_taken_at_its_word(run, status):
    state = look(run(status=status, holder=gone(), running=None, error="no space"))
    assert state["status"] == status
    assert ("failed: no space" in told(state)) == (status == "failed")


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(UserError, match="holds no run.json"):
        look(tmp_path)
    for text in ("[1]", '{"done": 1}', '{"done": [{"stage": 3}]}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(UserError, match="is damaged"):
            look(tmp_path)
    (tmp_path / "run.json").write_text('{"status": "failed"}')
    assert "failed" in told(look(tmp_path))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        look(tmp_path)
