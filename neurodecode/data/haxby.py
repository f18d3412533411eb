"""The study of Haxby et al. (2001) as BIDS: from an OpenfMRI folder, or from nilearn's download.

Both doors write the same tree: raw runs with events below ``sub-NN/func``, and a derivative with
confounds and masks, so that the study is read like anybody's own. The same input gives the same
bytes.
"""

import gzip
import json
import os
import shutil
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurodecode import __version__
from neurodecode.data.recipe import facts

TASK = "objectviewing"
TR_S = 2.5
DERIVATIVE = "haxby"
IMAGES = ("bold.nii.gz", "bold_1slice.nii.gz", "bold_25mm.nii.gz")  # the richest first
MOTION = ("rot_x", "rot_y", "rot_z", "trans_x", "trans_y", "trans_z")  # rad, mm: MCFLIRT's order
MASKS = {"brain": "brain", "mask": "brain", "vt": "vt"}  # file stem -> desc
PICTURES = {".jpg", ".jpeg", ".png", ".txt"}  # pictures and their licence
REST = "rest"


@dataclass
class Recording:
    """One run, ready to be written.

    ``bold`` is a path to copy or an image; ``events`` the text of a table ``onset duration
    trial_type``; ``confounds`` maps column names to one value per volume.
    """

    subject: str
    run: int
    bold: object
    events: str
    confounds: dict = field(default_factory=dict)


def import_openfmri(folder, out, stimuli=None):
    """Turn an OpenfMRI folder (``sub001/BOLD/task001_run001/bold*.nii.gz``) into BIDS.

    Runs are copied byte by byte. Of several images of a run (``bold``, ``bold_1slice``,
    ``bold_25mm``) the richest is taken. Masks are those files below ``sub001/masks`` and
    ``concatenated/mask.nii.gz`` that lie on the grid of the runs; without one of the brain, it is
    where the signal is above 0 and varies in every run.

    Parameters
    ----------
    folder : path
        With ``sub001`` and so on.
    out : path
        The BIDS folder to write; must not exist.
    stimuli : path, optional
        Folder of pictures, copied to ``stimuli/``; by default a neighbour ``{folder}_stimuli``.

    Raises
    ------
    FileNotFoundError
        Naming the file or folder that is missing.
    FileExistsError
        If `out` is there already.
    ValueError
        If events or motion do not fit their run.
    """
    folder = Path(folder).expanduser()
    subjects = _openfmri_subjects(folder)
    stimuli = _stimuli_folder(folder, stimuli)
    with _new_folder(out) as bids:
        for source in subjects:
            label = f"sub-{int(source.name[3:]):02d}"
            runs = [_openfmri_run(label, run) for run in _openfmri_runs(source)]
            _write_subject(bids, runs, _openfmri_masks(folder, source, runs))
        _write_study(bids, [f"sub-{int(s.name[3:]):02d}" for s in subjects], "import haxby")
        if stimuli is not None:
            _copy_pictures(stimuli, bids / "stimuli")


def fetch(out, subjects=(2,), cache=None):
    """Download the study with nilearn and turn it into BIDS.

    The download holds no motion estimates: the confounds are the mean signal of the brain
    (``global_signal``) alone. Runs without task labels (run 8 of subject 5) are left out.

    Parameters
    ----------
    out : path
        The BIDS folder to write; must not exist.
    subjects : sequence of int
        1 to 6; about 300 MB each.
    cache : path, optional
        Where nilearn keeps its downloads.

    Raises
    ------
    ConnectionError
        If the download fails.
    FileExistsError
        If `out` is there already.
    """
    with _new_folder(out) as bids:
        data = _download(subjects, cache)
        for number, bold, labels, vt in zip(
            subjects, data.func, data.session_target, data.mask_vt, strict=True
        ):
            masks = {"brain": _binary(data.mask), "vt": _binary(vt)}
            _write_subject(bids, _session_runs(f"sub-{number:02d}", bold, labels, masks), masks)
        _write_study(bids, [f"sub-{n:02d}" for n in subjects], "fetch haxby")
        if pictures := data.get("stimuli"):
            _copy_pictures(_common_folder(pictures), bids / "stimuli")


# The OpenfMRI layout


def _openfmri_subjects(folder):
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give that with sub001/BOLD in it")
    found = sorted(p for p in folder.glob("sub[0-9]*") if (p / "BOLD").is_dir())
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no sub001/BOLD: give the top folder of the OpenfMRI layout"
        )
    return found


def _openfmri_runs(source):
    """The runs of a subject with the image to take, the same kind in all of them."""
    runs = sorted(p for p in (source / "BOLD").glob("task001_run*") if p.is_dir())
    if not runs:
        raise FileNotFoundError(f"{source / 'BOLD'} holds no folder task001_run001 …")
    for image in IMAGES:
        if (runs[0] / image).is_file():
            return [_need(run / image) for run in runs]
    raise FileNotFoundError(f"{runs[0]} holds none of {', '.join(IMAGES)}")


def _openfmri_run(subject, bold):
    import nibabel

    folder = bold.parent
    n_volumes = nibabel.load(bold).shape[3]
    motion = _need(folder / "bold_moest.txt")
    values = np.loadtxt(motion, ndmin=2)
    if values.shape != (n_volumes, len(MOTION)):
        raise ValueError(
            f"{motion} has {values.shape[0]} rows of {values.shape[1]}; the run has {n_volumes} "
            f"volumes and motion {len(MOTION)} columns ({', '.join(MOTION)})"
        )
    confounds = dict(zip(MOTION, values.T, strict=True))
    events = _openfmri_events(_need(folder / "bold_events.tsv"), n_volumes * TR_S)
    return Recording(subject, int(folder.name.rpartition("run")[2]), bold, events, confounds)


def _openfmri_events(path, run_s):
    text = path.read_text(encoding="utf-8")
    header, *rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    if header[:3] != ["onset", "duration", "trial_type"]:
        raise ValueError(f"{path} must begin with onset, duration and trial_type, not {header}")
    late = [row for row in rows if float(row[0]) >= run_s]
    if late or not rows:
        what = f"an event at {late[0][0]} s" if late else "no event"
        raise ValueError(f"{path} has {what}; the run lasts {run_s:g} s")
    return "".join("\t".join(row) + "\n" for row in [header, *rows])


def _openfmri_masks(folder, source, runs):
    """Binary masks on the grid of the runs: ``{"brain": image, "vt": image}``."""
    import nibabel

    grid = nibabel.load(runs[0].bold)
    files = [folder / "concatenated" / "mask.nii.gz", *sorted(source.glob("masks/**/*.nii.gz"))]
    masks = {}
    for path in files:
        desc = MASKS.get(path.name.removesuffix(".nii.gz"))
        if desc and path.is_file() and _same_grid(nibabel.load(path), grid):
            masks[desc] = _binary(path)
    if "brain" not in masks:
        masks["brain"] = _varying(runs)
    return masks


def _same_grid(mask, grid):
    return mask.shape[:3] == grid.shape[:3] and np.allclose(mask.affine, grid.affine, atol=1e-3)


def _varying(runs):
    """Where the signal is above 0 and varies in every run."""
    import nibabel

    images = [nibabel.load(r.bold) for r in runs]
    inside = np.ones(images[0].shape[:3], dtype=bool)
    for image in images:
        bold = np.asanyarray(image.dataobj)
        inside &= (bold.min(axis=3) > 0) & (np.ptp(bold, axis=3) > 0)
    return _image(inside.astype(np.uint8), images[0].affine)


def _stimuli_folder(folder, stimuli):
    if stimuli is None:
        neighbour = folder.resolve().with_name(folder.resolve().name + "_stimuli")
        return neighbour if neighbour.is_dir() else None
    stimuli = Path(stimuli).expanduser()
    if not stimuli.is_dir():
        raise FileNotFoundError(f"the pictures' folder {stimuli} is not there")
    return stimuli


# nilearn's download


def _download(subjects, cache):
    from nilearn.datasets import fetch_haxby

    try:
        with unpacking_inside():
            return fetch_haxby(data_dir=cache, subjects=list(subjects), fetch_stimuli=True)
    except tarfile.FilterError as error:
        raise ValueError(f"the archive of the study leads out of its folder: {error}") from error
    except OSError as error:  # requests' and urllib's errors are OSErrors
        raise ConnectionError(
            f"the study could not be downloaded ({error}): check the connection and try again, or "
            "bring an OpenfMRI folder and use `neurodecode import haxby FOLDER`"
        ) from error


@contextmanager
def unpacking_inside():
    """Let tar archives, whoever unpacks them, write below their folder only: no links out of it."""
    before = tarfile.TarFile.__dict__.get("extraction_filter")
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before


def _session_runs(subject, bold, labels, masks):
    """Cut one long series into runs, and its label per volume into blocks."""
    import nibabel

    series = nibabel.load(bold)
    table = [line.split() for line in Path(labels).read_text().splitlines()[1:] if line.strip()]
    if len(table) != series.shape[3]:
        raise ValueError(f"{labels} has {len(table)} rows; {bold} has {series.shape[3]} volumes")
    names = np.array([row[0] for row in table])
    chunks = np.array([int(row[1]) for row in table])
    inside = np.asanyarray(masks["brain"].dataobj) > 0
    for number, chunk in enumerate(np.unique(chunks), start=1):
        volumes = np.flatnonzero(chunks == chunk)
        if np.all(names[volumes] == REST):
            continue
        data = np.asanyarray(series.dataobj[..., volumes[0] : volumes[-1] + 1])
        confounds = {"global_signal": data[inside].mean(axis=0, dtype=np.float64)}
        image = _image(data, series.affine, TR_S)
        yield Recording(subject, number, image, _blocks(names[volumes]), confounds)


def _blocks(labels):
    """The events table of one label per volume: each stretch of one label is a block."""
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    ends = np.r_[starts[1:], len(labels)]
    rows = [
        f"{start * TR_S}\t{(end - start) * TR_S}\t{labels[start]}\n"
        for start, end in zip(starts, ends, strict=True)
        if labels[start] != REST
    ]
    return "onset\tduration\ttrial_type\n" + "".join(rows)


def _common_folder(pictures):
    """The folder of a nested dictionary of paths."""
    paths, rest = [], [pictures]
    while rest:
        for value in rest.pop().values():
            rest += [value] if isinstance(value, dict) else []
            paths += [] if isinstance(value, dict) else np.atleast_1d(value).tolist()
    return Path(os.path.commonpath([Path(p).parent for p in paths]))


# Writing BIDS


@contextmanager
def _new_folder(out):
    """A folder that appears under its name only when it is whole."""
    out = Path(out).expanduser()
    if out.exists():
        raise FileExistsError(f"{out} is there already: choose another --out, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_subject(bids, runs, masks):
    subject = None
    for recording in runs:
        subject = recording.subject
        name = f"{subject}_task-{TASK}_run-{recording.run:02d}"
        raw, derived = bids / subject / "func", _derived(bids, subject)
        _write_image(raw / f"{name}_bold.nii.gz", recording.bold)
        _write_text(raw / f"{name}_events.tsv", recording.events)
        _write_text(
            derived / f"{name}_desc-confounds_timeseries.tsv", _columns(recording.confounds)
        )
    for desc, mask in sorted(masks.items()):
        path = _derived(bids, subject) / f"{subject}_task-{TASK}_desc-{desc}_mask.nii.gz"
        _write_image(path, mask)


def _derived(bids, subject):
    return bids / "derivatives" / DERIVATIVE / subject / "func"


def _write_study(bids, subjects, made_by):
    """Write what is said once for the whole study."""
    sheet = facts("haxby2001")
    maker = [{"Name": f"neurodecode {made_by}", "Version": __version__}]
    about = {
        "Name": sheet["title"],
        "BIDSVersion": "1.10.0",
        "DatasetType": "raw",
        "License": sheet["licence"],
        "Authors": sheet["authors"],
        "HowToAcknowledge": sheet["citation"],
        "ReferencesAndLinks": [f"https://doi.org/{sheet['doi']}"],
        "GeneratedBy": maker,
    }
    derived = {
        "Name": f"{sheet['title']}: confounds and masks",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "License": sheet["licence"],
        "GeneratedBy": maker,
    }
    sidecar = {"TaskName": "object viewing", "RepetitionTime": TR_S}
    _write_json(bids / "dataset_description.json", about)
    _write_json(bids / "derivatives" / DERIVATIVE / "dataset_description.json", derived)
    _write_json(bids / f"task-{TASK}_bold.json", sidecar)
    _write_json(bids / f"task-{TASK}_events.json", {"trial_type": {"Levels": sheet["categories"]}})
    _write_text(bids / "participants.tsv", "participant_id\n" + "".join(f"{s}\n" for s in subjects))
    _write_text(bids / "README", f"{sheet['about'].strip()}\n\n{sheet['citation']}\n")


def _copy_pictures(source, target):
    for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in PICTURES):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _need(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    return path


def _binary(path):
    import nibabel

    mask = nibabel.load(path)
    return _image((np.asanyarray(mask.dataobj) > 0).astype(np.uint8), mask.affine)


def _image(data, affine, tr_s=None):
    import nibabel

    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    if tr_s is not None:
        image.header["pixdim"][4] = tr_s
    return image


def _write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, Path):
        shutil.copyfile(image, path)
    else:  # no name and no time in the header of the gzip file
        path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def _columns(table):
    rows = ("\t".join(f"{v:.6g}" for v in row) for row in zip(*table.values(), strict=True))
    return "\t".join(table) + "\n" + "".join(f"{row}\n" for row in rows)


def _write_json(path, obj):
    _write_text(path, json.dumps(obj, indent=2, ensure_ascii=False) + "\n")


def _write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
