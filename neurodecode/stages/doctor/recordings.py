"""List what a BIDS tree holds: recordings by modality and task, derivatives by space; by name."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from neurodecode.data.bids import EMPTY_ROOM, NIFTI, BidsFile, parse_name
from neurodecode.data.readers import FORMATS
from neurodecode.stages.doctor.kinds import DATATYPES

NAMES = {"func": "fMRI", "eeg": "EEG", "meg": "MEG", "ieeg": "intracranial EEG"}
APART = ("space", "res", "den", "desc")  # entities that tell the versions of one run apart
BEST_SPACES = ("T1w", "MNI152NLin2009cAsym", "MNI152NLin6Asym")


@dataclass(frozen=True)
class Recording:
    """All signal files of one modality and one task."""

    datatype: str
    task: str
    files: tuple[BidsFile, ...]

    @property
    def name(self):
        """Such as ``fMRI, task-faces``."""
        return ", ".join(filter(None, [NAMES[self.datatype], self.task and f"task-{self.task}"]))

    @cached_property
    def runs_of(self):
        """Subject -> how many runs it has."""
        seen = {}
        for f in self.files:
            run = tuple(f.entities.get(e, "") for e in ("ses", "run"))
            seen.setdefault(f"sub-{f.entities['sub']}", set()).add(run)
        return {subject: len(runs) for subject, runs in seen.items()}

    @property
    def sessions(self):
        """Labels of the sessions, in order."""
        return sorted({f.entities["ses"] for f in self.files if "ses" in f.entities})


@dataclass(frozen=True)
class Derivatives:
    """A folder with preprocessed runs, masks or confounds."""

    folder: Path
    files: tuple[BidsFile, ...]

    def of(self, task, suffix, **entities):
        """List the files of a task with a suffix and entities."""
        wanted = entities | ({"task": task} if task else {})
        return [
            f
            for f in self.files
            if f.suffix == suffix and all(f.entities.get(k) == v for k, v in wanted.items())
        ]

    def spaces(self, task):
        """List the entities that choose the preprocessed runs of a task, the best first.

        Returns
        -------
        spaces : list of dict
            Such as ``{"space": "T1w", "desc": "preproc"}`` or, for surfaces, ``{"space":
            "fsaverage5"}``; ``res`` and ``den`` where a space comes in several.
        """
        runs = [f for f in self.of(task, "bold") if f.extension in FORMATS and _is_preprocessed(f)]
        kinds = {tuple((k, f.entities.get(k, "")) for k in APART): f.extension for f in runs}
        spaces = [dict(pairs) for pairs in sorted(kinds, key=lambda k: _rank(dict(k), kinds[k]))]
        several = lambda s, k: len({o[k] for o in spaces if o["space"] == s["space"]}) > 1
        return [
            {k: v for k, v in s.items() if v and (k in ("space", "desc") or several(s, k))}
            for s in spaces
        ]


def recordings_of(root):
    """List the recordings of a data set, by modality and task; an empty room is none.

    Returns
    -------
    recordings : list of Recording
    """
    found = {}
    for place, names in _folders(root):
        if place.name not in DATATYPES or EMPTY_ROOM in place.parts:
            continue
        for file in _parsed(place, names):
            ours = file.suffix == DATATYPES[place.name] and file.extension in FORMATS
            if ours and file.entities.get("sub"):
                key = (place.name, file.entities.get("task", ""))
                found.setdefault(key, []).append(file)
    order = list(DATATYPES)
    keys = sorted(found, key=lambda key: (order.index(key[0]), key[1]))
    return [Recording(*key, tuple(found[key])) for key in keys]


def derivatives_of(folder):
    """Read the names of a derivatives folder; None if it has no preprocessed run and no mask."""
    folder = Path(folder)
    files = [f for place, names in _folders(folder) for f in _parsed(place, names)]
    kept = tuple(f for f in files if f.suffix in ("bold", "mask", "timeseries"))
    return Derivatives(folder, kept) if kept else None


def derivatives_inside(root):
    """List what lies in the folder derivatives/ of a data set."""
    places = sorted(p for p in (Path(root) / "derivatives").glob("*") if p.is_dir())
    found = [derivatives_of(place) for place in [Path(root) / "derivatives", *places]]
    return [d for d in found if d is not None]


def size_on_disk(root):
    """Return how many files lie below a folder, and their bytes.

    Returns
    -------
    n_files, n_bytes : int
    """
    n_files = n_bytes = 0
    for place, _, names in os.walk(root):
        for name in names:
            n_files += 1
            try:
                n_bytes += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # gone meanwhile, or not ours to look at
                continue
    return n_files, n_bytes


def _folders(root):
    """Yield every folder below the subjects' with the names in it, but not those of recordings."""
    for subject in sorted(p for p in Path(root).glob("sub-*") if p.is_dir()):
        for place, folders, names in os.walk(subject):
            recordings = [f for f in folders if f.endswith(".ds")]
            folders[:] = sorted(set(folders) - set(recordings) - {"figures", "log"})
            yield Path(place), sorted([*names, *recordings])


def _parsed(place, names):
    parsed = (parse_name(place / name) for name in names)
    return [f for f in parsed if f is not None]


def _is_preprocessed(file):
    """Say whether it is a volume of desc-preproc, or a surface."""
    desc = file.entities.get("desc", "")
    return desc == "preproc" or (file.extension not in NIFTI and not desc)


def _rank(entities, extension):
    space = entities["space"]
    known = BEST_SPACES.index(space) if space in BEST_SPACES else len(BEST_SPACES)
    return extension not in NIFTI, known, space, entities["res"], entities["den"]
