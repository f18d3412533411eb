"""Told to stop, a loop saves before it goes; elsewhere a signal acts at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

from neurodecode.core import stop


@pytest.fixture
def handler():
    """``handler(number, handler)``: what is set for a signal, put back afterwards."""
    before = {number: signal.getsignal(number) for number in stop.SIGNALS}
    yield signal.signal
    for number, one in before.items():
        signal.signal(number, one)


def tell(number):
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # the handler runs between two lines of Python


@pytest.mark.parametrize("number", stop.SIGNALS)
def test_a_loop_that_is_told_to_stop_saves_first(number):
    saved = []
    with pytest.raises(stop.Stopped) as ended, stop.postponed():
        for step in range(5):
            if step == 2:
                tell(number)
            if stop.asked():
                saved.append(step)
                stop.leave()
    assert saved == [2] and ended.value.code == 143
    assert signal.Signals(number).name in str(ended.value)


def test_the_handler_that_was_there_decides_and_is_there_again(handler):
    called = []
    handler(signal.SIGUSR2, lambda number, frame: called.append(number))
    with stop.postponed():
        tell(signal.SIGUSR2)
        assert stop.asked() and not called
        stop.leave()  # this one says: go on
        assert called == [signal.SIGUSR2] and not stop.asked()
    tell(signal.SIGUSR2)
    assert len(called) == 2 and not stop.asked()


def test_two_signals_act_in_their_order(handler):
    called = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        handler(number, lambda number, frame: called.append(number))
    with stop.postponed():
        tell(signal.SIGUSR2)
        tell(signal.SIGTERM)
        tell(signal.SIGTERM)
        stop.leave()
    assert called == [signal.SIGUSR2, signal.SIGTERM]


def test_a_loop_that_never_asks_is_stopped_anyway(handler):
    called = []
    handler(signal.SIGUSR2, lambda number, frame: called.append(time.monotonic()))
    started = time.monotonic()
    with stop.postponed(patience_s=0.3):
        tell(signal.SIGUSR2)
        while not called and time.monotonic() - started < 10:
            time.sleep(0.01)
    assert len(called) == 1 and 0.3 <= called[0] - started < 5


def test_a_loop_that_leaves_without_asking_hears_nothing_more(handler):
    called = []
    handler(signal.SIGUSR2, lambda number, frame: called.append(number))
    with stop.postponed(patience_s=0.2):
        tell(signal.SIGUSR2)
        stop.leave()
    handler(signal.SIGUSR2, lambda number, frame: called.append("late"))
    time.sleep(0.4)
    assert called == [signal.SIGUSR2]


def test_who_asked_may_take_longer_to_save_than_patience_lasts(handler):
    called = []
    handler(signal.SIGUSR2, lambda number, frame: called.append(number))
    with stop.postponed(patience_s=0.05):
        tell(signal.SIGUSR2)
        assert stop.asked()
        time.sleep(0.2)  # saving
        assert not called
        stop.leave()
    assert called == [signal.SIGUSR2]


def test_a_signal_that_nobody_asked_for_acts_at_the_end_of_the_loop():
    reached = []
    with pytest.raises(stop.Stopped):
        with stop.postponed():
            tell(signal.SIGTERM)
            reached.append("end")
    assert reached == ["end"]


def test_a_loop_within_a_loop_is_one():
    with pytest.raises(stop.Stopped), stop.postponed():
        with stop.postponed():
            tell(signal.SIGTERM)
        assert stop.asked()  # the end of the inner one changes nothing
        stop.leave()


def test_without_a_signal_nothing_happens():
    with stop.postponed():
        assert not stop.asked()
        stop.leave()
    assert not stop.asked() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


RUN = """
import sys, time
from pathlib import Path
from neurodecode.cli.machine import guarded
from neurodecode.core import stop

def work():
    Path(sys.argv[1]).write_text("begun")
    for _ in range(1000):
        time.sleep(.01)

with stop.in_order():
    sys.exit(guarded(work))
"""


def test_sigterm_ends_a_run_in_order_with_143(tmp_path):
    begun = tmp_path / "begun"
    run = subprocess.Popen([sys.executable, "-c", RUN, begun], stderr=subprocess.PIPE, text=True)
    while not begun.exists():
        time.sleep(0.02)
    run.terminate()
    told = run.communicate(timeout=20)[1]
    assert run.returncode == 143
    assert "stopped by SIGTERM: run the same command to go on from here" in told


def test_a_scheduler_s_own_handler_is_left_alone(handler):
    own = lambda number, frame: None
    handler(signal.SIGTERM, own)
    with stop.in_order():
        assert signal.getsignal(signal.SIGTERM) is own
