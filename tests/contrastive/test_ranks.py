"""Processes that train together agree with one, and nothing that befalls them is lost or hidden."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from neurodecode.contrastive import ranks
from neurodecode.core import stop
from neurodecode.core.errors import ConfigError, DamagedArtifact, UserError
from tests.contrastive import together

ROOT = Path(__file__).parents[2]


def same(a, b):
    equal = [torch.equal(x, y) for x, y in zip(a[0].parameters(), b[0].parameters(), strict=True)]
    return all(equal) and a[1] == b[1]


def alive(pid):
    """Whether a process runs; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids(folder):
    return [int(path.read_text()) for path in folder.glob("pid-*")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What two processes learn if nothing happens."""
    return together.learn(tmp_path_factory.mktemp("whole"))


def test_as_many_gpus_as_are_asked_for_must_be_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    ranks.check_devices("cuda", 2)
    ranks.check_devices("cpu", 16)
    with pytest.raises(ConfigError, match="train.devices: 4 GPUs asked for, 2 can be seen here"):
        ranks.check_devices("cuda", 4)


def test_errors_come_from_another_process_as_they_are():
    error = DamagedArtifact(together.Artifact(Path("store/a/b/c"), {}), "responses.npy")
    again = ranks.ForkingPickler.loads(ranks.ForkingPickler.dumps(ranks._sendable(error)))
    assert isinstance(again, DamagedArtifact) and str(again) == str(error)
    assert again.artifact.folder == Path("store/a/b/c") and "responses.npy" in again.name

    class Local(Exception):
        pass

    told = ranks._sendable(Local("lost"))
    assert type(told) is RuntimeError and str(told) == "Local: lost"


@pytest.mark.slow
@pytest.mark.parametrize("world, batch", [(3, 7), (4, 1)])
def test_any_number_of_processes_learns_the_same_up_to_rounding(tmp_path, world, batch):
    """With one trial of each subject in a batch, two of four processes have none."""
    learnt, history = together.learn(tmp_path, world=world, dropout=0.0, batch=batch)
    expected, told = together.alone(tmp_path, batch)
    for found, wanted in zip(learnt.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(found.detach(), wanted.detach(), atol=2e-3)
    assert [{**h, "value": 0} for h in history] == [{**h, "value": 0} for h in told]
    training = [[h["value"] for h in said if h["split"] == "train"] for said in (history, told)]
    np.testing.assert_allclose(*training, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("rank, at", [(0, 15), (1, 22)])
def test_one_killed_ends_all_and_the_same_command_goes_on_bit_for_bit(tmp_path, whole, rank, at):
    with pytest.raises(UserError, match=f"process {rank + 1} of the 2 .* SIGKILL .* Run the same"):
        together.learn(tmp_path, "killed", rank=rank, at=at)
    assert len(pids(tmp_path)) >= 1 and not any(map(alive, pids(tmp_path)))
    assert (tmp_path / "state.pt").exists()
    assert same(together.learn(tmp_path), whole)


@pytest.mark.slow
def test_training_was_not_begun_anew_after_a_kill(tmp_path):
    with pytest.raises(UserError):
        together.learn(tmp_path, "killed", world=3, at=15)
    state = ranks.checkpoint.load(tmp_path / "state.pt", "cpu")
    epoch, step, batch, _ = state["progress"]
    # 3 calls before the first step; what the 15th would have done was not done
    assert (epoch, step, batch) == (2, 11, 1)
    resumed = together.learn(tmp_path, world=3)
    assert same(resumed, together.learn(tmp_path / "whole", world=3))


@pytest.mark.slow
@pytest.mark.parametrize(
    "how, error, text",
    [
        ("wrong", ValueError, "planted: these numbers fit nothing"),
        ("damaged", DamagedArtifact, "responses.npy is damaged"),
        ("leaves", UserError, "process 2 of the 2 that train together ended with code 3"),
    ],
)
def test_what_goes_wrong_in_one_process_is_said_as_it_is(tmp_path, how, error, text):
    with pytest.raises(error) as raised:
        together.learn(tmp_path, how, rank=1)
    assert type(raised.value) is error and text in str(raised.value)
    assert not any(map(alive, pids(tmp_path)))


@pytest.mark.slow
def test_the_death_of_who_started_them_ends_all_within_seconds(tmp_path):
    command = [sys.executable, "-m", "tests.contrastive.together", str(tmp_path), "hangs"]
    started = subprocess.Popen(command, cwd=ROOT)
    until = time.monotonic() + 120
    while len(pids(tmp_path)) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    children = pids(tmp_path)
    assert len(children) == 2 and all(map(alive, children))
    started.kill()
    started.wait()
    until = time.monotonic() + 5
    while any(map(alive, children)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, children))


@pytest.mark.slow
def test_a_notice_to_stop_is_passed_on_saved_and_obeyed(tmp_path, whole):
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(stop.Stopped):
            together.learn(tmp_path, "told", at=10)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "state.pt").exists() and not any(map(alive, pids(tmp_path)))
    assert same(together.learn(tmp_path), whole)


@pytest.mark.slow
def test_a_scheduler_that_says_go_on_after_saving_is_obeyed_too(tmp_path, whole):
    noted = []
    before = signal.signal(signal.SIGTERM, lambda *_: noted.append(os.getpid()))
    try:
        learnt = together.learn(tmp_path, "told", at=10)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert noted == [os.getpid()] and same(learnt, whole)


@pytest.mark.slow
def test_what_cannot_be_sent_to_a_process_is_refused_with_a_way_out(tmp_path):
    lesson = together.lesson(tmp_path, loss=lambda *_: 0)
    with pytest.raises(ValueError, match="cannot be sent to another process.*devices=1"):
        ranks.learn_together(lesson, together.decoder(), "cpu", 2)


@pytest.mark.slow
def test_the_network_that_was_handed_over_is_the_one_that_comes_back(tmp_path):
    """And its first weights, which all processes saw, were not trained in place by them."""
    handed = together.decoder()
    learnt, _ = ranks.learn_together(together.lesson(tmp_path), handed, "cpu", 2)
    assert learnt is handed and not learnt.training
    untouched = [
        torch.equal(a, b)
        for a, b in zip(learnt.parameters(), together.decoder().parameters(), strict=True)
    ]
    assert not all(untouched)
