"""Look at headers and at the tables beside them: is a recording whole, and do its files agree?"""

import gzip
import os
from pathlib import Path

from neurodecode.data.readers import format_of
from neurodecode.data.readers.meeg import DATA_BESIDE
from neurodecode.stages.doctor.findings import error, note, warning
from neurodecode.stages.doctor.text import bytes_told
from neurodecode.stages.doctor.walk import NOT_YOURS

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
VOLUMES = (".nii.gz", ".nii", ".dtseries.nii", ".func.gii")
SAMPLES_INSIDE = (".fif", ".edf", ".bdf", ".set")
LEAST_BYTES = 2048  # example data sets write a few samples in place of a recording
ISIZE = 1 << 32  # gzip counts the bytes it holds modulo this
FETCH = "fetch the signals, for instance by `datalad get .` in the data set"


def check_run(run, facts):
    """Check one run's files against one another.

    Parameters
    ----------
    run : neurodecode.data.layouts.base.Run
    facts : dict
        From its header; {} where that could not be read.

    Returns
    -------
    findings : list of Finding
    """
    closed = [p for p in run.files() if not os.access(p, os.R_OK)]
    if closed:
        return [error("permission", "may not be read by you", NOT_YOURS, p) for p in closed]
    empty = list(run.signals.values()) if is_empty(run, facts) else []
    if empty:
        return [error("signal", "is empty: the data set came without it", FETCH, p) for p in empty]
    found = []
    for path in (p for p in run.signals.values() if ".nii" in p.suffixes and facts):
        found += _truncated(path) + _mask_elsewhere(path, run.others.get("mask"))
    if "confounds" in run.others:
        found += _confounds(run.others["confounds"], facts.get("n_volumes"))
    return found


def is_empty(run, facts):
    """Say whether a run came without its signal: a file without a byte, or of too few."""
    path = run.signal
    if format_of(path) in VOLUMES:
        return facts.get("n_volumes") == 0 if facts else not path.stat().st_size
    if path.is_dir():
        samples = [p for p in path.glob("*.meg4") if p.exists()]  # else a link that leads nowhere
    else:
        beside = [path.with_suffix(end) for end in DATA_BESIDE.get(path.suffix, ())]
        samples = [p for p in beside if p.is_file()] or [path]
    n_bytes = sum(p.stat().st_size for p in samples)
    holds_samples = samples != [path] or path.suffix in SAMPLES_INSIDE
    return n_bytes < (LEAST_BYTES if holds_samples else 1)


def check_channels(runs, facts):
    """Compare the channels of the runs of each subject, and of the subjects, by channels.tsv.

    Where there are recordings, `neurodecode.stages.doctor.opening` compares what they hold.

    Parameters
    ----------
    runs : list of neurodecode.data.layouts.base.Run
    facts : list of dict

    Returns
    -------
    findings : list of Finding
    """
    found, first_of = [], {}
    for run, fact in zip(runs, facts, strict=True):
        if "channels" not in run.others:
            continue
        mine = set(_column(run.others["channels"], "name"))
        first, other = first_of.setdefault(run.subject, (run, mine))
        if mine != other and is_empty(run, fact):
            what = f"{_difference(mine - other, other - mine)}, unlike {first.subject} {first.run}"
            do = "name the channels they share in preprocess.method.picks, or leave the run out"
            found.append(error("channels", what, do, run.others["channels"]))
    sets = {frozenset(channels) for _, channels in first_of.values()}
    if len(sets) > 1:
        what = f"{len(first_of)} subjects have {len(sets)} different sets of channels"
        found.append(note("channels", what, "what is fitted to one cannot be used for another"))
    return found


def check_positions(runs):
    """Look for the positions of the sensors of EEG and intracranial recordings.

    Returns
    -------
    findings : list of Finding
    """
    without = [r for r in runs if "electrodes" not in r.others and r.signal.suffix != ".fif"]
    without = [r for r in without if r.signal.stem.endswith(("_eeg", "_ieeg"))]
    if not without:
        return []
    first = without[0]
    channels = first.others.get("channels")
    names = _of_kind(channels, "EEG") if channels else []
    known = _standard_names() if names else set()
    unknown = [n for n in names if n.lower() not in known]
    if names and not unknown:
        what = f"has no electrodes.tsv, but the 10-05 system knows all {len(names)} names"
        return [note("positions", what, "its standard positions can be used", first.signal)]
    what = "has no electrodes.tsv: nobody knows where the sensors were"
    if unknown and len(unknown) < len(names):
        what += f" (the 10-05 system does not know {', '.join(unknown[:4])})"
    do = "add *_electrodes.tsv and *_coordsystem.json for maps; decoding works without"
    return [warning("positions", what, do, first.signal)]


def span(numbers):
    """Write the least and the greatest of some numbers."""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def summary(runs, facts):
    """Say how the runs were sampled: ``[(label, text), …]``."""
    rows = []
    known = [f for f in facts if f]
    for label, key, unit in (
        ("TR", "tr_s", "s"),
        ("sampling rate", "sfreq_hz", "Hz"),
        ("volumes", "n_volumes", ""),
        ("length", "duration_s", "s"),
    ):
        values = sorted({round(f[key], 3) for f in known if f.get(key)})
        if values:
            text = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
            rows.append((label, f"{text} {unit}".strip() + ("" if label != "length" else " a run")))
    n_empty = sum(is_empty(r, f) for r, f in zip(runs, facts, strict=True))
    if n_empty:
        rows.append(("signal files", f"{n_empty} of {len(runs)} are empty"))
    channels = [len(_column(r.others["channels"], "name")) for r in runs if "channels" in r.others]
    if channels:
        rows.append(("channels", span(channels)))
        n_placed = sum("electrodes" in r.others for r in runs)
        if n_placed:
            rows.append(("positions", f"electrodes.tsv for {n_placed} of {len(runs)} runs"))
    memory = _memory_bytes(runs)
    if memory:
        rows.append(("memory", f"about {bytes_told(memory)} to preprocess the largest run"))
    return rows


def _memory_bytes(runs):
    """Estimate from the headers of the largest files: twice the run in float32."""
    import nibabel

    paths = [p for r in runs for p in r.signals.values() if ".nii" in p.suffixes]
    largest = max(paths, key=lambda p: p.stat().st_size, default=None)
    if largest is None or not largest.stat().st_size:
        return 0
    try:
        shape = nibabel.load(largest).shape
    except Exception:  # a broken header is a finding of its own
        return 0
    n = 1
    for length in shape:
        n *= length
    return 2 * 4 * n


def _truncated(path):
    """Compare what a NIfTI file holds with what its header announces, without reading it."""
    import nibabel

    image = nibabel.load(path)
    n = image.header.get_data_dtype().itemsize
    for length in image.shape:
        n *= length
    n += int(image.dataobj.offset)
    if path.suffix != ".gz":
        whole = path.stat().st_size >= n
    else:
        with open(path, "rb") as file:
            file.seek(-4, os.SEEK_END)
            isize = int.from_bytes(file.read(4), "little")
        # A file of several gzip members tells the length of the last: then it must be unpacked.
        whole = isize == n % ISIZE or _unpacked_bytes(path) >= n
    if whole:
        return []
    return [error("truncated", "ends before its last volume", "fetch or copy it again", path)]


def _unpacked_bytes(path):
    n = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(1 << 22):
                n += len(block)
    except (EOFError, OSError, ValueError):
        pass
    except Exception:  # zlib.error: damaged inside
        pass
    return n


def _mask_elsewhere(path, mask):
    import nibabel
    import numpy as np

    if mask is None or not Path(mask).stat().st_size:
        return [] if mask is None else [error("mask", "is empty", FETCH, mask)]
    try:
        image, brain = nibabel.load(path), nibabel.load(mask)
    except Exception as stopped:
        return [error("mask", f"cannot be read ({stopped})", "make or fetch it again", mask)]
    do = "resample one to the other, or choose files of one space (recipe.mask)"
    if image.shape[:3] != brain.shape[:3]:
        what = f"has {brain.shape[:3]} voxels, the run {path.name} {image.shape[:3]}"
        return [error("mask", what, do, mask)]
    if not np.allclose(image.affine, brain.affine, atol=1e-3):
        return [error("mask", f"lies elsewhere than {path.name}: other affine", do, mask)]
    return []


def _confounds(path, n_volumes):
    header, n_rows = _shape(path)
    if not header:
        return [error("confounds", "cannot be read as a table", "make it again", path)]
    if n_volumes and n_rows and n_rows != n_volumes:
        what = f"has {n_rows} rows, the run {n_volumes} volumes"
        return [error("confounds", what, "they are of different versions: make it again", path)]
    missing = [m for m in MOTION if m not in header]
    if missing:
        what = f"has no column {', '.join(missing)}"
        do = "name its columns in preprocess.method.confounds, or [] for none"
        return [error("confounds", what, do, path)]
    return []


def _shape(path):
    """Return the header of a table and how many rows follow."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return [], 0
    return (lines[0].split("\t"), sum(map(bool, lines[1:]))) if lines else ([], 0)


def _column(path, name):
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    header = lines[0].split("\t") if lines else []
    if name not in header:
        return []
    place = header.index(name)
    return [cells[place] for line in lines[1:] if len(cells := line.split("\t")) > place]


def _of_kind(path, kind):
    names, kinds = _column(path, "name"), _column(path, "type")
    return [n for n, k in zip(names, kinds, strict=False) if k == kind]


def _standard_names():
    from mne.channels import make_standard_montage

    return {name.lower() for name in make_standard_montage("colin27_1005").ch_names}


def _difference(more, fewer):
    some = lambda names: ", ".join(sorted(names)[:4]) + (" …" if len(names) > 4 else "")
    parts = [f"lacks {some(fewer)}"] if fewer else []
    return " and ".join([*parts, f"has {some(more)}"] if more else parts)
