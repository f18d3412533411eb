"""Download one file: resumed where it stopped, cut off where it is too long, checked at the end."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from neurodecode.core.errors import UserError
from neurodecode.core.progress import log

PIECE = 1 << 20
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may do better later


class DownloadError(UserError, OSError):
    """A file that could not be fetched, or is not the one that was promised."""


def download(url, path, size=None, sha256=None, *, most=1 << 36, attempts=6, pause_s=1.0):
    """Fetch a file; what came of it lies in ``path.part`` until it is whole and checked.

    Parameters
    ----------
    url : str
        http or https.
    path : path
        Where it goes. A file that is there and fits is kept.
    size : int, optional
        Bytes it must have.
    sha256 : str, optional
        Its digest, or the first digits of it.
    most : int
        Bytes after which a server is cut off where `size` is not known.
    attempts : int
        How often a connection that broke is taken up again, with longer and longer pauses.
    pause_s : float
        The first pause; each is twice the one before.

    Returns
    -------
    path : Path

    Raises
    ------
    DownloadError
        With the address: no connection, a server that refuses, sends too much, or other bytes than
        promised. Wrong bytes are removed; a part that may be right stays for the next time.
    """
    path = Path(path)
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url} is not fetched: only http and https are")
    if path.is_file() and _misfit(path, size, sha256) is None:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        try:
            resumed = _fetch(url, part, size, size if size is not None else most)
        except (OSError, http.client.HTTPException) as error:
            if not _may_do_better(error):
                raise _told(url, error) from error
            broken = error
            log.warning("%s: %s; trying again", url, error)
            continue
        wrong = _misfit(part, size, sha256)
        if wrong is None:
            os.replace(part, path)
            return path
        part.unlink()
        broken = DownloadError(f"{url} sent other bytes than promised: {wrong}; they were removed")
        if not resumed:  # else the parts may be of two versions: once more from the start
            raise broken
    raise _told(url, broken) from broken


def _fetch(url, part, size, most):
    """Fetch what is missing; say whether there was a part before."""
    have = part.stat().st_size if part.is_file() else 0
    if size is not None and have >= size:
        if have == size:
            return True
        part.unlink()
        have = 0
    request = urllib.request.Request(url, headers={"User-Agent": "neurodecode"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send: the part was not of this file
            part.unlink()
            raise ConnectionError("the server has nothing beyond the part that is here") from error
        raise
    with answer:
        goes_on = answer.status == 206 and _starts_at(answer, have)
        have = have if goes_on else 0
        expected = _length(answer)
        with open(part, "ab" if goes_on else "wb") as file:
            while piece := answer.read(min(PIECE, most + 1 - have)):
                have += len(piece)
                if have > most:
                    break
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    if have > most:
        part.unlink()
        if goes_on:  # of another place than it said: once more from the start
            raise ConnectionError("the server did not go on from where the part ends")
        raise DownloadError(f"{url} sends more than {most} bytes: cut off, and removed")
    if (size is not None and have < size) or (expected is not None and answer.length):
        raise ConnectionError(f"the connection ended after {have} bytes")
    return goes_on


def _starts_at(answer, have):
    """Whether the server goes on from where we are, and does not say so of another place."""
    unit, _, place = (answer.headers.get("Content-Range") or "").partition(" ")
    return unit == "bytes" and place.split("-")[0] == str(have)


def _length(answer):
    text = answer.headers.get("Content-Length") or ""
    return int(text) if text.isdigit() else None


def _misfit(path, size, sha256):
    """Say how a file differs from what was promised; None: it does not."""
    there = path.stat().st_size
    if size is not None and there != size:
        return f"{there} bytes instead of {size}"
    if sha256 is None:
        return None
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            hasher.update(piece)
    found = hasher.hexdigest()
    return None if found.startswith(sha256.lower()) else f"sha256 {found}, not {sha256}"


def _may_do_better(error):
    if isinstance(error, urllib.error.HTTPError):
        return error.code in AGAIN
    return not isinstance(error, DownloadError | FileNotFoundError | PermissionError)


def _told(url, error):
    if isinstance(error, DownloadError):
        return error
    return DownloadError(
        f"{url} could not be fetched ({error}): check the connection and run the command again, "
        "which goes on from where it stopped"
    )
