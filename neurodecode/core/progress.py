"""What the user sees while it runs: a bar on a terminal, plain lines in a log file."""

import logging
import sys
import time

log = logging.getLogger("neurodecode")


def progress(iterable, total=None, label="", every_s=15.0, tell=None):
    """Iterate with a bar (terminal) or a plain line at most every `every_s` seconds (log file).

    Parameters
    ----------
    tell : callable (label, done, total, left_s), optional
        Called after each item; `total` and `left_s` are None where the total is not known.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    bar = sys.stderr.isatty()
    if bar:
        from tqdm import tqdm

        iterable = tqdm(iterable, total=total, desc=label, leave=False)
    started = last = time.monotonic()
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        left_s = (now - started) / done * (total - done) if total else None
        if tell is not None:
            tell(label, done, total, left_s)
        if not bar and now - last > every_s:
            last = now
            log.info(_line(label, done, total, now - started, left_s))


def _line(label, done, total, seconds, left_s):
    if not total:
        return f"    {label}: {done} done in {seconds:.0f} s"
    return f"    {label}: {done}/{total}, about {left_s:.0f} s left"
