"""One process works, the others wait; a dead holder is replaced."""

import json
import multiprocessing
import time

import pytest

from neurodecode.core.lease import _started, lease, me


def work(folder, log):
    done = folder / "done"
    with lease(folder / "lease", done.exists, poll_s=0.01) as held:
        if held:
            with open(log, "a") as file:
                file.write("worked\n")
            time.sleep(0.05)
            done.touch()


def test_one_of_many_processes_does_the_work(tmp_path):
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    crowd = [context.Process(target=work, args=(tmp_path, log)) for _ in range(8)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(30)
    assert log.read_text() == "worked\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["done", "log"]


def test_a_dead_process_on_this_host_is_replaced_at_once(tmp_path):
    child = multiprocessing.get_context("fork").Process(target=lambda: None)
    child.start()
    child.join()
    holder = {"host": me()["host"], "pid": child.pid, "started": "1", "count": 3}
    (tmp_path / "lease").write_text(json.dumps(holder))
    started = time.monotonic()
    with lease(tmp_path / "lease", lambda: False) as held:
        assert held
    assert time.monotonic() - started < 5


def test_a_recycled_pid_is_not_the_holder(tmp_path):
    import os

    mine = {"host": me()["host"], "pid": os.getpid(), "started": "not mine", "count": 0}
    (tmp_path / "lease").write_text(json.dumps(mine))
    with lease(tmp_path / "lease", lambda: False) as held:
        assert held


def test_another_host_is_given_its_time_by_our_own_clock(tmp_path):
    other = {"host": "elsewhere", "pid": 1, "started": "1", "count": 0}
    (tmp_path / "lease").write_text(json.dumps(other))
    started = time.monotonic()
    with lease(tmp_path / "lease", lambda: False, ttl_s=0.3, poll_s=0.02) as held:
        assert held and time.monotonic() - started >= 0.3


@pytest.mark.parametrize("text", ["", "[]", "{}", "{"])
def test_a_lease_that_nobody_can_read_does_not_hold_for_ever(tmp_path, text):
    (tmp_path / "lease").write_text(text)
    with lease(tmp_path / "lease", lambda: False, ttl_s=0.2, poll_s=0.02) as held:
        assert held
    assert not list(tmp_path.iterdir())


def test_finished_work_is_not_done_again(tmp_path):
    with lease(tmp_path / "lease", lambda: True) as held:
        assert not held
    assert not list(tmp_path.iterdir())


def test_start_time_tells_a_living_process_from_a_gone_one():
    import os

    assert _started(os.getpid()) not in (None,)
    assert _started(2**22 + 1) is None
