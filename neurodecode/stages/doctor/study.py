"""Examine a BIDS data set, recording by recording: what it holds, and what can be asked of it."""

from collections import Counter
from dataclasses import dataclass, field, replace

from neurodecode.data.bids import inherited
from neurodecode.stages.doctor import columns as tables
from neurodecode.stages.doctor import signals
from neurodecode.stages.doctor.advice import guess_columns, questions_of, words_of_recording
from neurodecode.stages.doctor.findings import Finding, error, warning
from neurodecode.stages.doctor.pictures import check_pictures
from neurodecode.stages.doctor.questions import ask
from neurodecode.stages.doctor.walk import Attempts, below


@dataclass
class Examined:
    """One recording of a study: what is seen, what is wrong, what can be asked."""

    title: str
    rows: list = field(default_factory=list)
    columns: list = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    questions: list = field(default_factory=list)


def examine_recording(recording, root, derivatives, compose, several_tasks=False):
    """Examine all runs of one modality and task.

    Parameters
    ----------
    recording : neurodecode.stages.doctor.recordings.Recording
    root : path
        The raw data set.
    derivatives : list of neurodecode.stages.doctor.recordings.Derivatives
        What may be used with it.
    compose : callable (words) -> dict
    several_tasks : bool
        Whether the task must be named.

    Returns
    -------
    examined : Examined
    """
    made = Examined(recording.name, _about_runs(recording, derivatives))
    made.findings += _uneven(recording)
    events = {
        str(f.path): (inherited(root, f, "events", ".tsv") or [""])[-1] for f in recording.files
    }
    paths = sorted({str(p) for p in events.values() if p})
    if not paths:
        made.findings.append(_no_events(recording, root))
        return made
    read = tables.read_columns(paths)
    pictures, labels = guess_columns(read, root)
    made.columns = tables.column_rows(read, pictures, labels)
    words = words_of_recording(recording, root, derivatives, several_tasks)
    questions = questions_of(read, paths, root, words, pictures, labels)
    for about, asked in questions:
        before = next((q.walked for q in made.questions if q.walked), None)
        made.questions.append(ask(about, asked, compose, root, before))
    if not made.questions:
        made.findings.append(_no_column(read, paths, root))
        return made
    _finish(made, recording, root, read)
    return made


def _finish(made, recording, root, read):
    """Check the files of the first question that can be asked; the others read the same runs."""
    first = next((q for q in made.questions if q.can_be_run), made.questions[0])
    made.questions.sort(key=lambda q: q is not first)
    walked = first.walked
    made.findings += first.findings
    if walked is None:
        return
    attempt = Attempts(root)
    own = []
    for run, fact in zip(walked.runs, walked.facts, strict=True):
        check = lambda: signals.check_run(run, fact)  # noqa: B023
        own += attempt("signal", run.signal, check) or []
    own += signals.check_channels(walked.runs, walked.facts)
    own += signals.check_positions(walked.runs)
    if not first.config["recipe"]["label_column"]:
        own += _pictures(read, first.config["recipe"], root, walked)
    own = [replace(f, where=below(root, f.where)) for f in own]
    made.findings += _not_told(walked.findings, own) + own + attempt.findings
    made.findings += _without_runs(recording, walked) + _others(made.questions[1:])
    made.rows += signals.summary(walked.runs, walked.facts)
    if first.can_be_read:
        made.rows += _about_trials(walked, first.sides)


def _not_told(findings, own):
    """Leave out what the checks of single files tell better."""
    known = {(f.where, f.level) for f in own}
    missing = any(f.code == "picture missing" for f in own)
    doubled = lambda f: f.code == "header" and (f.where, f.level) in known
    return [f for f in findings if not doubled(f) and not (missing and f.code == "pictures")]


def _without_runs(recording, walked):
    """Name subjects that have raw runs and none that will be used."""
    lost = sorted(set(recording.runs_of) - {r.subject for r in walked.runs})
    if not lost or not walked.runs:
        return []
    what = f"{len(lost)} subjects have no preprocessed run: {', '.join(lost[:6])}"
    return [warning("derivatives", what, "they are left out; preprocess them to take them in")]


def _others(questions):
    """Say why a second question cannot be asked, where the first one can."""
    unread = [q for q in questions if q.walked is not None and not q.can_be_read]
    return [
        replace(f, level="warning", do=f"only needed to ask {q.about}")
        for q in unread
        for f in q.walked.findings[:1]
    ]


def _pictures(read, recipe, root, walked):
    if walked.stimuli is not None:
        shown = [p.removeprefix("stimuli/") for p in walked.stimuli["path"]]
    else:
        column = recipe["stim_column"]
        values = read.shown(column) if column in read.values else []
        shown = [v for v in values if v not in recipe["ignore"]]
        if recipe["stimulus_table"] and not any(tables.ends_as_picture(v) for v in shown):
            return []
    return check_pictures(root, shown)


def _about_runs(recording, derivatives):
    counts = recording.runs_of
    rows = [("subjects", _listed(sorted(counts)))]
    if recording.sessions:
        rows.append(("sessions", _listed(recording.sessions)))
    spread = sorted(set(counts.values()))
    each = f"{spread[0]}" if len(spread) == 1 else f"{spread[0]} to {spread[-1]}"
    rows.append(("runs", f"{sum(counts.values())}, {each} a subject"))
    formats = Counter(f.extension for f in recording.files)
    rows.append(("files", ", ".join(f"{n} {end}" for end, n in formats.most_common())))
    if recording.datatype == "func":
        for derived in derivatives:
            spaces = [
                " ".join(f"{k}-{v}" for k, v in s.items()) for s in derived.spaces(recording.task)
            ]
            if spaces:
                rows.append(("spaces", f"{'; '.join(spaces)} in {derived.folder.name}"))
    return rows


def _about_trials(walked, sides):
    trials, stimuli = walked.trials, walked.stimuli
    per_subject = trials.groupby("subject").size()
    shown = trials.groupby(["subject", "stimulus_id"]).size()
    low, high = shown.min(), shown.max()
    rows = [
        ("trials", f"{len(trials)}, {signals.span(list(per_subject))} a subject"),
        (
            "stimuli",
            f"{len(stimuli)}, each shown {low if low == high else f'{low} to {high}'} times"
            " to a subject",
        ),
    ]
    n_frozen = int(stimuli["partition"].eq("test").sum())
    rows.append(("frozen test set", f"{n_frozen} stimuli" if n_frozen else "none"))
    if sides:
        subject = min(sides)
        told = [
            f"{side} {n['trials']} trials of {n['stimuli']}" for side, n in sides[subject].items()
        ]
        rows.append(("split", f"{subject}: {', '.join(told)} stimuli"))
    return rows


def _uneven(recording):
    counts = recording.runs_of
    if len(set(counts.values())) < 2:
        return []
    usual = Counter(counts.values()).most_common(1)[0][0]
    odd = [f"{s} has {n}" for s, n in sorted(counts.items()) if n != usual]
    what = f"subjects differ in their number of runs: most have {usual}, {', '.join(odd[:5])}"
    return [
        warning("runs", what, "check that none was lost; a run without partner is used as it is")
    ]


def _no_events(recording, root):
    what = f"no *_events.tsv for any of the {len(recording.files)} files of {recording.name}"
    if recording.datatype in ("meg", "eeg", "ieeg"):
        do = (
            "write onset, duration and what was shown; markers inside the recording are not "
            "read, mne_bids.write_raw_bids(…, events=…) turns them into a table"
        )
    else:
        do = "write onset, duration and what was shown, one row a trial"
    return error("events", what, do, below(root, str(recording.files[0].path)))


def _no_column(read, paths, root):
    if not read.n_rows:
        return error(
            "events",
            "holds no event",
            "it must list onset, duration and what was shown",
            below(root, paths[0]),
        )
    what = f"no column of {', '.join(read.values)} names a picture below stimuli/ or a category"
    do = "add a column stim_file (relative to stimuli/), or trial_type with a category"
    return error("columns", what, do, below(root, paths[0]))


def _listed(names, n=8):
    names = list(names)
    shown = names if len(names) <= n else [*names[: n - 1], "…", names[-1]]
    return f"{len(names)}: {', '.join(shown)}"
