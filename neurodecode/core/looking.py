"""Looking at files that others may change or remove meanwhile: what is gone counts as nothing."""

import json
import time

HOUR_S, DAY_S = 3600.0, 86400.0


def listed(folder):
    """What is in a folder, in order; nothing if it is gone: others are at work in a store."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def peek_json(path):
    """What a JSON file holds; None if it is gone, or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def changed_s(path):
    """When a file or folder was last changed; 0 if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def age_s_of(path):
    """Seconds since a file or folder was last changed; since 1970 if it is not there."""
    return time.time() - changed_s(path)


def newest_s(path):
    """When anything in a folder was last changed."""
    within = [newest_s(p) for p in listed(path)] if path.is_dir() else []
    return max([changed_s(path), *within])


def n_bytes_of(path):
    """Bytes of a file, or of all files in a folder."""
    try:
        return sum(map(n_bytes_of, listed(path))) if path.is_dir() else path.stat().st_size
    except OSError:
        return 0


def place_in(path, store):
    """The path relative to the store, with forward slashes."""
    return path.relative_to(store.root).as_posix()


def days(seconds):
    """A duration in words: days, or hours of one day."""
    return f"{seconds / DAY_S:.1f} days" if seconds > DAY_S else f"{seconds / HOUR_S:.1f} hours"
