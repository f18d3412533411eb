"""JSON files of our own: written in one replace, and sealed where a flipped bit must show."""

import hashlib
import json
import os
import re
import uuid
from pathlib import Path

OPEN = "0" * 64
MOST = 256 << 20  # bytes
SEAL = re.compile(rb'^ "~seal": "([0-9a-f]{64})"\n\}\n\Z', re.MULTILINE)


def write_json(path, obj):
    """Write JSON for people and machines: sorted, indented, in one replace."""
    _replace(path, _text(obj))


def write_sealed(path, obj):
    """Write a dict as JSON whose last key, ``~seal``, is the sha256 of the file's other bytes."""
    text = _text(obj | {"~seal": OPEN})
    seal = hashlib.sha256(text.encode()).hexdigest()
    _replace(path, f'{text[: text.rindex(OPEN)]}{seal}"\n}}\n')


def read_sealed(path):
    """Return what `write_sealed` wrote; None if there is no file or any bit of it changed."""
    try:
        with open(path, "rb") as file:
            found = file.read(MOST + 1)
    except OSError:  # none, out of reach, or a name too long for any file
        return None
    if len(found) > MOST:
        return None
    seal = SEAL.search(found)
    if seal is None:
        return None
    text = found[: seal.start(1)] + OPEN.encode() + found[seal.end(1) :]
    if hashlib.sha256(text).hexdigest() != seal[1].decode():
        return None
    try:
        known = json.loads(found)
    except (ValueError, RecursionError):  # sealed by somebody else's hand
        return None
    return {name: value for name, value in known.items() if name != "~seal"}


def _text(obj):
    return json.dumps(obj, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n"


def _replace(path, text):
    temporary = Path(f"{path}.{uuid.uuid4().hex[:8]}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
