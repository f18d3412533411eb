"""Examine a BIDS data set, recording by recording: what it holds, and what can be asked of it."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from neurodecode.data.bids import inherited
from neurodecode.stages.doctor import columns as tables
from neurodecode.stages.doctor import signals
from neurodecode.stages.doctor.findings import Finding, error, warning
from neurodecode.stages.doctor.pictures import check_pictures
from neurodecode.stages.doctor.questions import ask
from neurodecode.stages.doctor.walk import below

FEWEST_PICTURES = 10  # fewer different pictures are categories
PICTURE, CATEGORY = "which picture was seen", "which category was seen"
IGNORED = ["n/a", "rest", "blank", "fixation"]  # as in conf/recipe/bids.yaml


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
    pictures, labels = _guessed(read, root)
    made.columns = column_rows(read, pictures, labels)
    words = _words_of_recording(recording, root, derivatives, several_tasks)
    questions = _questions(read, paths, root, words, pictures, labels)
    for about, asked in questions:
        before = next((q.walked for q in made.questions if q.walked), None)
        made.questions.append(ask(about, asked, compose, root, before))
    if not made.questions:
        made.findings.append(_no_column(read, paths, root))
        return made
    _finish(made, root, read)
    return made


def _finish(made, root, read):
    """Check what the first question reads; the others repeat its findings."""
    first = next((q for q in made.questions if q.can_be_run), made.questions[0])
    made.questions.sort(key=lambda q: q is not first)
    walked = first.walked
    made.findings += first.findings
    if walked is None:
        return
    own = [
        f
        for run, fact in zip(walked.runs, walked.facts, strict=True)
        for f in signals.check_run(run, fact)
    ]
    own += signals.check_channels(walked.runs) + signals.check_positions(walked.runs)
    made.rows += signals.summary(walked.runs, walked.facts)
    recipe = first.config["recipe"]
    if not recipe["label_column"]:
        own += _pictures(read, recipe, root, walked)
    known = {(f.where, f.level) for f in own}
    doubled = lambda f: f.code in ("header", "pictures") and (f.where, f.level) in known
    missing = any(f.code == "picture missing" for f in own)
    kept = [f for f in walked.findings if not doubled(f) and not (missing and f.code == "pictures")]
    made.findings += kept + [replace(f, where=below(root, f.where)) for f in own]
    if first.can_be_read:
        made.rows += _about_trials(walked, first.sides)


def _pictures(read, recipe, root, walked):
    if walked.stimuli is not None:
        shown = [p.removeprefix("stimuli/") for p in walked.stimuli["path"]]
    else:
        column = recipe["stim_column"]
        values = read.shown(column) if column in read.values else []
        shown = [v for v in values if v not in recipe["ignore"]]
        if recipe["stimulus_table"] and not any(tables._ends_as_picture(v) for v in shown):
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
        ("trials", f"{len(trials)}, {signals._span(list(per_subject))} a subject"),
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


def column_rows(read, pictures, labels):
    """Tabulate columns of events: name, what they may be, number of values, examples."""
    role = lambda c: "picture?" if c in pictures else "category?" if c in labels else ""
    examples = lambda c: ", ".join(v or "(empty)" for v in read.examples(c))
    return [(c, role(c), len(values), examples(c)) for c, values in read.values.items()]


def _words_of_recording(recording, root, derivatives, several_tasks):
    words = {"recipe.root": str(root)}
    if recording.task and several_tasks:
        words["recipe.task"] = recording.task
    if recording.datatype == "func":
        return words | _words_of_derivatives(recording, root, derivatives)
    kind = {"recipe": f"bids_{recording.datatype}"}
    return kind | words | {"recipe.mask": {}, "recipe.confounds": {}, "preprocess": "epochs"}


def _words_of_derivatives(recording, root, derivatives):
    """Choose preprocessed runs, else masks and confounds that fit the raw ones, else neither."""
    for derived in derivatives:
        spaces = derived.spaces(recording.task)
        runs = derived.of(recording.task, "bold", **spaces[0]) if spaces else recording.files
        masks = _belonging(derived, runs, "mask", "brain")
        confounds = _belonging(derived, runs, "timeseries", "confounds")
        if spaces or masks or confounds:
            inside = derived.folder.is_relative_to(root)
            place = derived.folder.relative_to(root) if inside else derived.folder.absolute()
            words = {"recipe.derivatives": str(place)}
            words |= {"recipe.bold_entities": spaces[0]} if spaces else {}
            words |= {} if masks else {"recipe.mask": {}}
            return words | ({} if confounds else _NO_CONFOUNDS)
    return {"recipe.mask": {}} | _NO_CONFOUNDS


def _belonging(derived, signals_, suffix, desc):
    """Say whether a kind of derivatives belongs to any signal file: names no more than it does."""
    kind = [f.entities for f in derived.files if f.suffix == suffix]
    named = [e for e in kind if e.get("desc") == desc]
    own = [f.entities | {"desc": desc} for f in signals_]
    return any(e.items() <= o.items() for o in own for e in named)


_NO_CONFOUNDS = {"recipe.confounds": {}, "preprocess.method.confounds": []}


def _guessed(read, root):
    """Guess the columns of pictures and those of categories, the likelier first."""
    known = set()
    for table in filter(Path.is_file, [Path(root) / "stimuli" / "stimuli.tsv"]):
        values = tables.read_columns([table]).values
        known = {*values.get("stim_file", ()), *values.get("stimulus_id", ())}
    pictures = tables.picture_columns(read, tables.pictures_below(root), known)
    return pictures, tables.label_columns(read, pictures)


def _questions(read, paths, root, words, pictures, labels):
    """List what may be asked: ``(about, words)``, the likelier first."""
    has_table = (Path(root) / "stimuli" / "stimuli.tsv").is_file()
    asked = []
    if pictures:
        asked.append((PICTURE, _picture_words(read, words, pictures[0], labels, has_table)))
    if labels:
        asked.append((CATEGORY, _label_words(words, labels[0], paths)))
    if pictures and labels and len(read.shown(pictures[0])) < FEWEST_PICTURES:
        asked.reverse()
    return asked


def _picture_words(read, words, column, labels, has_table):
    asked = {"experiment": "retrieval"} | words
    if column != "stim_file":
        asked["recipe.stim_column"] = column
    if not has_table:
        asked["recipe.stimulus_table"] = ""
    never = tables.never_labelled(read, column, labels[0]) if labels else []
    if never:
        asked["recipe.ignore"] = [*IGNORED, *never]
    return asked


def _label_words(words, column, paths):
    asked = {"experiment": "categories"} | words
    if column != "trial_type":
        asked["recipe.label_column"] = column
    gap_s = tables.block_gap_s(paths, column)
    return asked | ({"recipe.merge_gap_s": gap_s} if gap_s else {})


def _listed(names, n=8):
    names = list(names)
    shown = names if len(names) <= n else [*names[: n - 1], "…", names[-1]]
    return f"{len(names)}: {', '.join(shown)}"
