"""Told to stop by a signal: loops that can resume postpone it, save, and then leave."""

import contextlib
import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
_waiting = []


class Stopped(SystemExit):
    """The run was told to stop; nothing on the way takes it for an error."""


@contextlib.contextmanager
def postponed():
    """Within, SIGTERM and SIGUSR2 only set a flag; see :func:`asked`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, lambda number, _: _waiting.append(number)) for s in SIGNALS}
    _handlers.append(before)
    try:
        yield
    finally:
        _handlers.pop()
        for number, handler in before.items():
            signal.signal(number, handler)


_handlers = []


def asked():
    """Whether a signal waits."""
    return bool(_waiting)


def leave():
    """Do what the waiting signals wanted; raises Stopped where they have no handler."""
    waiting = list(_waiting)
    _waiting.clear()
    for number in waiting:
        handler = _handlers[0].get(number) if _handlers else signal.SIG_DFL
        if handler == signal.SIG_DFL:
            raise Stopped(143)
        if callable(handler):
            handler(number, None)
