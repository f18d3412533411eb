"""What the user sees while it runs: a bar on a terminal, plain lines in a log file."""

import logging
import sys
import time

log = logging.getLogger("neurodecode")


def progress(iterable, total=None, label="", every_s=15.0):
    """Iterate with a bar (terminal) or a plain line at most every `every_s` seconds (log file)."""
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(iterable, total=total, desc=label, leave=False)
        return
    started = last = time.monotonic()
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        if now - last > every_s:
            last = now
            log.info(_line(label, done, total, now - started))


def _line(label, done, total, seconds):
    if not total:
        return f"    {label}: {done} done in {seconds:.0f} s"
    left = seconds / done * (total - done)
    return f"    {label}: {done}/{total}, about {left:.0f} s left"
