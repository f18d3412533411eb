"""Examine what is no BIDS tree: plain folders, epochs, runs of ours, files, nothing."""

import json
from pathlib import Path

from neurodecode.data.bids import parse_name
from neurodecode.data.stimuli import TABLES
from neurodecode.stages.doctor import Command, Examination, Section
from neurodecode.stages.doctor import columns as tables
from neurodecode.stages.doctor.advice import CATEGORY, PICTURE
from neurodecode.stages.doctor.findings import error, ranked, warning
from neurodecode.stages.doctor.kinds import EPOCHS, TOLD, about_file, data_sets_near
from neurodecode.stages.doctor.pictures import check_pictures
from neurodecode.stages.doctor.questions import ask
from neurodecode.stages.doctor.recordings import size_on_disk
from neurodecode.stages.doctor.text import bytes_told
from neurodecode.stages.doctor.walk import below

EXPERIMENTS = {  # by kind: for pictures, for categories, and what both need
    "folder": ("folder", "folder_categories", {}),
    "epochs": ("retrieval_meeg", "categories", {"recipe": "epochs", "preprocess": "epochs_files"}),
}
KNOWN_KINDS = (
    "neurodecode reads a BIDS data set (sub-*/…), fMRIPrep's output beside one, a folder with "
    "responses.npy, trials.tsv and stimuli/, or files of mne.Epochs (*-epo.fif)"
)


def examine_folder(path, kind, compose):
    """Examine responses.npy and trials.tsv, of one subject or in sub-*/."""
    places = _places(path, "responses.npy")
    rows, findings = [], []
    for place in places:
        found, about = _responses(place, path)
        findings += found
        rows.append((place.name if place != path else "responses", about))
    read = tables.read_columns([p / "trials.tsv" for p in places if (p / "trials.tsv").is_file()])
    return _of_one_kind(path, kind, compose, rows, findings, read)


def examine_epochs(path, kind, compose):
    """Examine files of mne.Epochs, of one subject or in sub-*/."""
    files = sorted({f for pattern in EPOCHS for f in path.rglob(pattern)})
    rows, findings, metadata = [("files", str(len(files)))], [], []
    for file in files:
        about, found, table = _epochs(file, path)
        rows.append((below(path, str(file)), about))
        findings += found
        metadata += table
    rows = rows[:9] + ([("…", f"{len(rows) - 9} more")] if len(rows) > 9 else [])
    read = tables.columns_of([{k: str(v) for k, v in row.items()} for row in metadata])
    return _of_one_kind(path, kind, compose, rows, findings, read)


def examine_run(path, kind, compose):
    """Say how a run of ours ended, and where its report lies."""
    try:
        record = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as stopped:
        finding = error("run", f"cannot be read ({stopped})", "run it again", "run.json")
        return _examination(path, kind, findings=[finding])
    stages = list(dict.fromkeys(e["stage"] for e in record.get("done", [])))
    rows = [("status", record.get("status", "unknown")), ("last change", record.get("at", ""))]
    rows += [("done", ", ".join(stages)), ("waiting", ", ".join(record.get("waiting", [])))]
    report = path / "report.html"
    hints = [f"open {report}"] if report.is_file() else []
    done = record.get("status") == "done"
    hints += [] if done else ["run the same command again: it goes on from where it was"]
    stopped = [error("run", str(record["error"]))] if record.get("error") else []
    return _examination(path, kind, [(k, v) for k, v in rows if v], stopped, hints=hints)


def examine_store(path, kind, compose):
    """Say what a store holds."""
    stages = sorted(
        p.name for p in path.iterdir() if p.is_dir() and any(p.glob("*/*/manifest.json"))
    )
    n_files, n_bytes = size_on_disk(path)
    rows = [
        ("stages", ", ".join(stages)),
        ("size", f"{n_files:,} files, {bytes_told(n_bytes)}"),
    ]
    return _examination(
        path, kind, rows, hints=[f"use it for runs: neurodecode run … store={path}"]
    )


def examine_file(path, kind, compose):
    """Say what one file is, and of which data set it may be."""
    named = parse_name(path)
    rows = [("file", about_file(path)), ("size", bytes_told(path.stat().st_size))]
    if named and named.entities:
        rows.append(("of", ", ".join(f"{k}-{v}" for k, v in named.entities.items())))
    what = "a single file is no study: the doctor looks at folders"
    return _examination(path, kind, rows, [error("file", what, _towards(path))])


def examine_nothing(path, kind, compose):
    """Say why there is nothing to do here."""
    what = {
        "missing": "there is no such file or folder",
        "empty": "the folder is empty",
        "subject": "this is one subject of a data set",
        "unknown": "nothing here is a recording that neurodecode knows",
    }[kind]
    return _examination(path, kind, findings=[error(kind, what, _towards(path))])


OTHERS = {
    "folder": examine_folder,
    "epochs": examine_epochs,
    "run": examine_run,
    "store": examine_store,
    "file": examine_file,
    "subject": examine_nothing,
    "empty": examine_nothing,
    "unknown": examine_nothing,
    "missing": examine_nothing,
}


def _examination(path, kind, rows=(), findings=(), commands=(), hints=(), columns=()):
    sections = (Section("", tuple(rows), tuple(columns)),) if rows or columns else ()
    return Examination(
        str(path),
        kind,
        TOLD[kind],
        sections,
        tuple(ranked(findings)),
        tuple(commands),
        tuple(hints),
    )


def _towards(path):
    near = data_sets_near(path)
    if near:
        return f"look at the data set: neurodecode doctor {near[0]}"
    return KNOWN_KINDS


def _places(path, name=None):
    places = [path, *sorted(p for p in path.glob("sub-*") if p.is_dir())]
    return [p for p in places if name is None or (p / name).is_file()]


def _responses(place, root):
    """Compare the header of responses.npy with the rows of trials.tsv."""
    import numpy as np

    where = below(root, str(place / "responses.npy"))
    table = place / "trials.tsv"
    found = []
    try:
        responses = np.load(place / "responses.npy", mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as stopped:
        do = "write it by numpy.save, (n_trials, n_channels) or (n_trials, n_channels, n_times)"
        return [error("responses", f"cannot be read ({stopped})", do, where)], "unreadable"
    shape = " × ".join(map(str, responses.shape))
    if responses.ndim not in (2, 3) or responses.dtype.kind not in "fiu":
        what = f"has shape ({shape}) of {responses.dtype}"
        do = "expected numbers, (n_trials, n_channels) or (n_trials, n_channels, n_times)"
        found.append(error("responses", what, do, where))
    if not table.is_file():
        do = "write one row a trial, in the order of responses.npy: stim_file or trial_type, run"
        found.append(error("trials", "is not there", do, below(root, str(table))))
        return found, shape
    n_rows = tables.read_columns([table]).n_rows
    if responses.ndim and n_rows != len(responses):
        what = f"has {len(responses)} trials, trials.tsv {n_rows} rows"
        found.append(error("responses", what, "make one row a trial, in the same order", where))
    return found, f"{shape} {responses.dtype}, {n_rows} trials"


def _epochs(file, root):
    """Read the header of one file of epochs: about, findings, rows of its metadata."""
    where = below(root, str(file))
    try:
        import mne

        epochs = mne.read_epochs(file, preload=False, verbose="error")
    except Exception as stopped:  # each way of being broken raises its own
        return "unreadable", [error("epochs", f"cannot be read ({stopped})", "", where)], []
    about = (
        f"{len(epochs)} epochs, {len(epochs.ch_names)} channels, {epochs.tmin:g} to "
        f"{epochs.tmax:g} s at {epochs.info['sfreq']:g} Hz"
    )
    if epochs.metadata is None:
        names = {v: k for k, v in epochs.event_id.items()}
        rows = [{"trial_type": names.get(code, str(code))} for code in epochs.events[:, 2]]
        what = "has no metadata: nothing but the names of its events says what was shown"
        do = "set epochs.metadata to a table with stim_file, or decode by event name"
        return about, [warning("metadata", what, do, where)], rows
    return about, [], epochs.metadata.astype(str).to_dict("records")


def _of_one_kind(path, kind, compose, rows, findings, read):
    """Ask what the columns of the trials let one ask."""
    pictures = tables.picture_columns(read, tables.pictures_below(path))
    labels = tables.label_columns(read, pictures)
    retrieval, categories, words = EXPERIMENTS[kind]
    words = words | {"recipe.root": str(path)}
    has_table = any((path / name).is_file() for name in TABLES)
    asked = []
    if pictures:
        own = {"experiment": retrieval} | words
        own |= {} if pictures[0] == "stim_file" else {"recipe.stim_column": pictures[0]}
        own |= {"recipe.stimulus_table": None} if has_table and kind == "epochs" else {}
        asked.append((PICTURE, own))
        findings += [] if has_table else check_pictures(path, read.shown(pictures[0]))
    if labels:
        own = {} if labels[0] == "trial_type" else {"recipe.label_column": labels[0]}
        asked.append((CATEGORY, {"experiment": categories} | words | own))
    if not asked and read.n_rows:
        what = f"no column of {', '.join(read.values)} names a picture below stimuli/ or a category"
        findings.append(
            error("columns", what, "add stim_file, relative to stimuli/, or trial_type")
        )
    questions = [ask(about, own, compose, path) for about, own in asked]
    for question in questions[:1]:
        findings += question.findings + (question.walked.findings if question.walked else ())
    errors = any(f.level == "error" for f in findings)
    commands = [Command(q.about, q.words, not errors) for q in questions if q.can_be_run]
    columns = tables.column_rows(read, pictures, labels)
    return _examination(Path(path), kind, rows, findings, commands, columns=columns)
