"""Examine BIDS trees: raw data with what lies beside them, or derivatives alone."""

from dataclasses import replace
from pathlib import Path

from neurodecode.stages.doctor import Command, Examination, Section
from neurodecode.stages.doctor.findings import error, note, ranked, warning
from neurodecode.stages.doctor.kinds import TOLD, description_of, raw_data_of
from neurodecode.stages.doctor.recordings import (
    Derivatives,
    derivatives_inside,
    derivatives_of,
    recordings_of,
    size_on_disk,
)
from neurodecode.stages.doctor.study import examine_recording
from neurodecode.stages.doctor.text import bytes_told


def examine_bids(root, compose, derivatives=None):
    """Examine a BIDS data set; see `neurodecode.stages.doctor.examine`."""
    root, findings = Path(root), []
    recordings = recordings_of(root)
    derived = _derivatives(root, derivatives, findings)
    tasks = {}
    for recording in recordings:
        tasks.setdefault(recording.datatype, []).append(recording.task)
    if not recordings:
        findings.append(error("signals", "no signal file of a known format in sub-*", _FORMATS))
    several = {kind for kind, names in tasks.items() if len(names) > 1}
    examined = [
        examine_recording(r, root, derived, compose, r.datatype in several) for r in recordings
    ]
    findings += _of_recordings(recordings, examined, several)
    sections = [Section("", tuple(_about(root, derived)))]
    sections += [Section(e.title, tuple(e.rows), tuple(e.columns)) for e in examined]
    commands = [c for e in examined for c in _commands(e)]
    return Examination(
        str(root), "bids", TOLD["bids"], tuple(sections), tuple(ranked(findings)), tuple(commands)
    )


def examine_derivatives(folder, compose):
    """Examine derivatives without raw data: with the data set that they lie in, if they do."""
    raw = raw_data_of(folder)
    if raw is not None:
        found = examine_bids(raw, compose, folder)
        what = f"these derivatives are read together with the data set they lie in, {raw}"
        return Examination(
            str(folder),
            "derivatives",
            "derivatives of a BIDS data set",
            found.sections,
            tuple(ranked([*found.findings, note("derivatives", what)])),
            found.commands,
        )
    return _alone(folder, derivatives_of(folder) or Derivatives(Path(folder), ()))


def _alone(folder, derived):
    """Describe derivatives, and ask for the raw data."""
    runs = [f for f in derived.files if f.suffix == "bold"]
    tasks = sorted({f.entities.get("task", "") for f in runs})
    subjects = sorted({f"sub-{f.entities.get('sub', '?')}" for f in derived.files})
    spaces = derived.spaces(tasks[0]) if tasks else []
    rows = _about(folder, [])
    rows += [("subjects", f"{len(subjects)}: {', '.join(subjects[:8])}")]
    rows += [("tasks", ", ".join(tasks)), ("spaces", "; ".join(map(_entities, spaces)))]
    words = {"experiment": "retrieval", "recipe.root": "RAW", "recipe.derivatives": str(folder)}
    words |= {"recipe.task": tasks[0]} if tasks and tasks[0] else {}
    words |= {"recipe.bold_entities": spaces[0]} if spaces else {}
    what = "these are derivatives alone: no events.tsv says what was shown"
    do = f"give the raw data set too: neurodecode doctor RAW --derivatives {folder}"
    return Examination(
        str(folder),
        "derivatives",
        TOLD["derivatives"],
        (Section("", tuple(rows)),),
        (error("events", what, do),),
        (Command("with RAW, the raw BIDS data set", words, False),),
    )


_FORMATS = (
    "sub-*/func/*_bold.nii.gz, or sub-*/{eeg,meg,ieeg}/*.{vhdr,fif,edf,bdf,set,ds} are looked for"
)


def _derivatives(root, given, findings):
    if given is None:
        return derivatives_inside(root)
    found = derivatives_of(Path(given).expanduser())
    if found is None:
        what = f"{given} holds no preprocessed run, mask or confounds table in sub-*/"
        findings.append(error("derivatives", what, "give the folder that fMRIPrep wrote"))
    return [found] if found else []


def _about(root, derived):
    about = description_of(root)
    n_files, n_bytes = size_on_disk(root)
    rows = [("name", about["Name"])] if about.get("Name") else []
    rows.append(("size", f"{n_files:,} files, {bytes_told(n_bytes)}"))
    named = [
        str(d.folder.relative_to(root)) if d.folder.is_relative_to(root) else str(d.folder)
        for d in derived
    ]
    return rows + ([("derivatives", ", ".join(named))] if named else [])


def _of_recordings(recordings, examined, several):
    findings, pairs = [], list(zip(recordings, examined, strict=True))
    for kind in sorted(several):
        own = [(r.task or "(none)", e) for r, e in pairs if r.datatype == kind]
        silent = [task for task, e in own if not e.questions]
        what = f"{len(own)} tasks, none chosen: {', '.join(task for task, _ in own)}"
        what += f"; nothing can be asked of {', '.join(silent)}" if silent else ""
        level = note if len(own) - len(silent) == 1 else warning
        findings.append(level("tasks", what, "choose by recipe.task, as the commands below do"))
    able = any(e.questions for e in examined)
    for e in examined:
        own = [
            replace(f, where=e.title) if not f.where and len(examined) > 1 else f
            for f in e.findings
        ]
        if able and not e.questions:  # resting state beside a task is no mistake
            own = [note(f.code, f.what, "left out", f.where) for f in own]
        findings += own
    return findings


def _commands(examined):
    """The commands of one recording; index alone, where nothing more is possible."""
    errors = any(f.level == "error" for f in examined.findings)
    commands = [
        Command(f"{examined.title}: {q.about}", q.words, not errors)
        for q in examined.questions
        if q.can_be_run
    ]
    readable = [q for q in examined.questions if q.can_be_read]
    if readable and (errors or not commands):
        words = readable[0].words | {"stages": ["index"]}
        commands.append(Command(f"{examined.title}: list its trials, no more", words, True))
    if not commands:
        unread = [q for q in examined.questions if q.walked and not q.can_be_read]
        commands = [Command(f"{examined.title}: {q.about}", q.words, False) for q in unread[:1]]
    return commands


def _entities(entities):
    return " ".join(f"{k}-{v}" for k, v in entities.items())
