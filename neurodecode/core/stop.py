"""Told to stop: by the system (SIGTERM) or by a scheduler's notice; long loops save before they go.

A loop that can resume says so with :func:`postponed` and polls :func:`asked`; everywhere else a
signal acts at once. What it does is its handler's business: a scheduler's own handler requeues the
job and exits; without one, :class:`Stopped` ends the run with exit code 143.
"""

import contextlib
import os
import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
EXIT_CODE = 143  # 128 + SIGTERM, as shells say it
PATIENCE_S = 20.0  # less than schedulers leave between notice and kill
_here = None  # the loop that is within `postponed`, if one is


class Stopped(SystemExit):
    """The run was told to stop. A SystemExit: nothing on the way takes it for an error.

    Parameters
    ----------
    why : str
        For the last line of the log.
    """

    def __init__(self, why="told to stop"):
        super().__init__(EXIT_CODE)
        self.why = why

    def __str__(self):
        return self.why


@contextlib.contextmanager
def in_order():
    """Within, SIGTERM raises :class:`Stopped`, unless it has a handler already (a scheduler's).

    Files are then left whole, leases given back, and run.json says "interrupted".
    """
    ours = _is_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(number, frame):
    raise Stopped(f"stopped by {signal.Signals(number).name}")


@contextlib.contextmanager
def postponed(patience_s=PATIENCE_S):
    """Within, the signals of :data:`SIGNALS` only set a flag, for :func:`asked`.

    If nothing asks for `patience_s` seconds after a signal, its handler runs anyway. A signal that
    is still waiting when the block ends, acts then. Outside the main thread, where no handler can
    be set, and within another `postponed`, this does nothing.

    Parameters
    ----------
    patience_s : float
    """
    global _here
    if not _is_main_thread() or _here is not None:
        yield
        return
    _here = _Postponed(patience_s)
    try:
        yield
    finally:
        here, _here = _here, None
        here.close()


def asked():
    """Say whether a signal waits; who is told so, saves and calls :func:`leave`."""
    return _here is not None and _here.asked()


def leave():
    """Do what the signals that wait wanted.

    Returns where a handler says to go on (a scheduler's may only note SIGTERM, and requeue later).

    Raises
    ------
    Stopped
        For a signal that has no handler of its own.
    """
    if _here is not None:
        _here.act()


class _Postponed:
    """The handlers that were replaced, and the signals that came meanwhile."""

    def __init__(self, patience_s):
        self.patience_s, self.waiting = patience_s, []
        self.timer, self.overdue = None, False
        self.handlers = {}
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None:  # None: set by a library in C, and could not be put back
                self.handlers[number] = handler
                signal.signal(number, self._note)

    def asked(self):
        if self.waiting and self.timer is not None:
            self.timer.cancel()  # somebody listens: saving may take as long as it takes
        return bool(self.waiting)

    def act(self):
        self._calm()
        waiting, self.waiting, self.overdue = self.waiting, [], False
        for number in waiting:
            _handle(number, self.handlers[number])

    def close(self):
        self._calm()
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.act()

    def _calm(self):
        """End the timer for certain: a signal that it sends later would find no handler."""
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.cancel()
            timer.join()

    def _note(self, number, frame):
        if number not in self.waiting:
            self.waiting.append(number)
        if self.overdue:
            self.act()
        elif self.timer is None:
            self.timer = threading.Timer(self.patience_s, self._insist, [number])
            self.timer.daemon = True
            self.timer.start()

    def _insist(self, number):
        self.overdue = True
        os.kill(os.getpid(), number)  # handlers run in the main thread; this is the timer's


def _handle(number, handler):
    if callable(handler):
        handler(number, None)
    elif handler is signal.SIG_DFL:
        _raise(number, None)


def _is_main_thread():
    return threading.current_thread() is threading.main_thread()
