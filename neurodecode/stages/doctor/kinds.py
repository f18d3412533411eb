"""Tell what a folder or a file is, before anything in it is read."""

import json
from pathlib import Path

from neurodecode.data.bids import parse_name
from neurodecode.data.readers import format_of

DATATYPES = {"func": "bold", "eeg": "eeg", "meg": "meg", "ieeg": "ieeg"}
EPOCHS = ("*-epo.fif", "*_epo.fif", "*-epo.fif.gz", "*_epo.fif.gz")
TOLD = {
    "bids": "a BIDS data set",
    "derivatives": "derivatives of a BIDS data set, such as fMRIPrep's, without its raw data",
    "folder": "a plain folder: responses.npy with trials.tsv",
    "epochs": "a folder of mne.Epochs files",
    "run": "the folder of a run of neurodecode",
    "store": "a store of neurodecode's artifacts",
    "subject": "one subject's folder of a BIDS data set",
    "file": "a single file",
    "empty": "an empty folder",
    "unknown": "a folder without recordings that neurodecode knows",
    "missing": "nothing: there is no such file or folder",
}


def kind_of(path):
    """Name the kind of a path: a key of `TOLD`."""
    path = Path(path)
    if not path.exists():
        return "missing"
    if not path.is_dir():
        return "file"
    return next(kind for kind, holds in _SIGNS.items() if holds(path))


def description_of(root):
    """Read dataset_description.json; {} where there is none or it is broken."""
    try:
        read = json.loads((Path(root) / "dataset_description.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def data_sets_near(path, n_up=4):
    """List data sets above a path, the nearest first, or right below it."""
    path = Path(path).absolute()
    above = [p for p in list(path.parents)[:n_up] if kind_of(p) in ("bids", "folder", "epochs")]
    if above or not path.is_dir():
        return above
    below = sorted(p for p in path.iterdir() if p.is_dir())[:200]
    return [p for p in below if kind_of(p) in ("bids", "derivatives", "folder", "epochs")]


def raw_data_of(derivatives):
    """Find the raw data set that derivatives lie in, or None."""
    return next((p for p in data_sets_near(derivatives) if kind_of(p) == "bids"), None)


def about_file(path):
    """Say what a single file is."""
    named = parse_name(path)
    if format_of(path):
        return f"a recording ({format_of(path)})"
    if named and named.suffix == "events":
        return "the events of one run"
    return {".npy": "an array", ".tsv": "a table", ".json": "JSON"}.get(Path(path).suffix, "a file")


def _datatypes_below(subject):
    return [d for d in DATATYPES if any(subject.glob(d)) or any(subject.glob(f"ses-*/{d}"))]


def _subjects(path):
    return sorted(p for p in path.glob("sub-*") if p.is_dir())


def _is_derived(path):
    if not any(_datatypes_below(s) for s in _subjects(path)):
        return False
    about = description_of(path)
    if about.get("DatasetType") == "derivative" or "PipelineDescription" in about:
        return True
    first = [f for s in _subjects(path)[:3] for f in s.rglob(f"{s.name}_*_bold.*")]
    return bool(first) and all("_desc-" in f.name or "_space-" in f.name for f in first)


def _is_subject(path):
    return path.name.startswith("sub-") and bool(_datatypes_below(path))


def _holds_responses(path):
    return any((p / "responses.npy").is_file() for p in [path, *_subjects(path)])


def _holds_epochs(path):
    here = any(any(path.glob(pattern)) for pattern in EPOCHS)
    return here or any(any(s.rglob(p)) for s in _subjects(path) for p in EPOCHS)


_SIGNS = {  # in this order
    "run": lambda path: (path / "run.json").is_file(),
    "store": lambda path: (path / "leases").is_dir() and any(path.glob("*/*/*/manifest.json")),
    "folder": _holds_responses,
    "epochs": _holds_epochs,
    "derivatives": _is_derived,
    "bids": lambda path: any(_datatypes_below(s) for s in _subjects(path)),
    "subject": _is_subject,
    "empty": lambda path: not any(path.iterdir()),
    "unknown": lambda path: True,
}
