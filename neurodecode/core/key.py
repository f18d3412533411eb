"""Content keys: equal science has equal keys, wherever and whenever it runs."""

import dataclasses
import hashlib
import json
from pathlib import Path

CHUNK = 1 << 20


def canonical(obj):
    """Return the one JSON text of `obj`: sorted keys, no spaces, no NaN."""
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def digest(obj):
    """Return the sha256 of the canonical JSON of `obj`, as 64 hex digits."""
    return hashlib.sha256(canonical(obj).encode()).hexdigest()


def file_digest(path):
    """Return the sha256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keyed_fields(config):
    """Return the fields of a stage's config that decide its numbers, defaults included.

    A field with ``metadata={"keyed": False}`` says how to run, not what to compute.
    """
    out = {}
    for f in dataclasses.fields(config):
        if f.metadata.get("keyed", True):
            value = getattr(config, f.name)
            out[f.name] = keyed_fields(value) if dataclasses.is_dataclass(value) else value
    return out


def stage_key(stage, config, inputs, hardware):
    """Return the key of one artifact.

    Parameters
    ----------
    stage : str
        Name of the stage, with its member if it runs once per subject.
    config : dataclass
        The stage's configuration.
    inputs : dict
        Digests of what the inputs *are* (their bytes, not their keys): an input recomputed to equal
        bytes stops the wave of recomputation here.
    hardware : dict
        What changes the last bits: device and number of CPU threads.
    """
    parts = {"stage": stage, "config": keyed_fields(config), "inputs": inputs, "on": hardware}
    return digest(parts)


def _plain(obj):
    if isinstance(obj, Path):
        return str(obj)
    if isinstance(obj, tuple | set | frozenset):
        return list(obj)
    if hasattr(obj, "item"):
        return obj.item()
    raise TypeError(f"{type(obj).__name__} cannot be part of a key")
