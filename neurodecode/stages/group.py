"""Group: read the runs of a sweep and report them together, over subjects and seeds.

Not a stage of a run but a step after several: it reads run folders and writes beside them.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.errors import ConfigError, UserError
from neurodecode.core.progress import log
from neurodecode.core.sealed import write_json
from neurodecode.core.stage import load_stage
from neurodecode.core.trust import foreign
from neurodecode.data.configurations import (
    group_labels,
    grouped,
    is_seed,
    is_subjects,
    plain,
    run_labels,
    twins,
    what_varies,
)
from neurodecode.data.runs import is_sweep, read_runs

PAGE = "group_report.html"


@dataclass(frozen=True)
class GroupReport:
    """What was made: the page, and whether every run that was asked for is in it."""

    page: Path
    complete: bool
    sentence: str


def group_report(paths, out=None, planned=lambda sweep: [], level=0.95):
    """Report several runs together; configurations stay side by side, seeds are pooled within.

    Parameters
    ----------
    paths : list of path
        Run folders, sweep folders, or patterns of either.
    out : path or None
        Folder of what is written; None: the sweep's own if one is named, else the current one.
    planned : callable (folder) -> list of list of str
        The overrides of every job that a sweep was to run.
    level : float
        Coverage of the intervals over subjects.

    Returns
    -------
    made : GroupReport
        Beside the page lie group_metrics.tsv, group_comparisons.tsv and group.json.

    Raises
    ------
    UserError
        For a path that is no run, and where not one run is finished.
    """
    from neurodecode.report.group import group_page, verdict

    runs = read_runs(paths, planned)
    finished = [run for run in runs if not run.problem]
    if not finished:
        told = "; ".join(f"{_title(run)} {run.problem}" for run in runs)
        raise UserError(f"none of these runs is finished, so there is nothing to report: {told}")
    study = _study(runs, finished, level)
    folder = _out_folder(paths, out)
    folder.mkdir(parents=True, exist_ok=True)
    document = _document(study, runs, verdict(study))
    for name, table in _tables(study).items():
        table.to_csv(folder / name, sep="\t", index=False, lineterminator="\n", na_rep="n/a")
    write_json(folder / "group.json", document)
    page = folder / PAGE
    page.write_text(group_page(study), encoding="utf-8")
    for problem in study.problems:
        log.warning("incomplete: %s", problem)
    return GroupReport(page, not study.problems, document["verdict"]["sentence"])


def _out_folder(paths, out):
    if out is not None:
        return Path(out).expanduser()
    one = Path(paths[0]).expanduser()
    return one if len(paths) == 1 and one.is_dir() and is_sweep(one) else Path.cwd()


def _study(runs, finished, level):
    from neurodecode.report.group import GroupStudy

    varying, plumbing = what_varies(runs), how_to_run(finished)
    again = twins(finished)
    finished = [run for run in finished if run.name not in again]
    choices = [k for k in varying if not (k in plumbing or is_seed(k) or is_subjects(k))]
    labels = run_labels(runs, varying)
    groups = grouped(finished, choices)
    names = group_labels(groups, choices)
    return GroupStudy(
        title=_study_title(finished),
        members=[
            _member(run, labels, _group_of(run, groups, names), again.get(run.name)) for run in runs
        ],
        problems=[f"{_title(run)} {run.problem}" for run in runs if run.problem],
        notes=_notes(runs, finished, groups),
        varying=[
            {"key": key} | {labels[r.name]: plain(r.config.get(key)) for r in runs if r.config}
            for key in varying
        ],
        groups=[
            _group(members, label, labels, level)
            for members, label in zip(groups, names, strict=True)
        ],
        unit=("runs", "blocks") if finished[0].by_fold else ("test stimuli", "test stimuli"),
        level=level,
    )


def how_to_run(runs):
    """Keys that only say how or where to run, and enter no artifact's key.

    Parameters
    ----------
    runs : list of Run

    Returns
    -------
    keys : set of str
        A stage of somebody's own that is not installed here adds none.
    """
    stages = next((r.config["stages"] for r in runs if r.config.get("stages")), [])
    unkeyed = {"name", "store", "trust"}
    unkeyed |= {k for r in runs for k in r.config if k.startswith("launcher.")}
    for name in stages:
        try:
            with foreign():
                stage = load_stage(str(name))
        except (ImportError, ConfigError):
            continue
        unkeyed |= {
            f"{stage.name}.{field.name}"
            for field in dataclasses.fields(stage.config)
            if not field.metadata.get("keyed", True)
        }
    return unkeyed


def _group(runs, label, labels, level):
    from neurodecode.report.group import Group
    from neurodecode.rigour.group import own_lines, pool_differences, pool_scores, winners

    metrics = _stacked(runs, labels, "metrics")
    better = metrics.drop_duplicates("metric").set_index("metric")["better"]
    compared = _stacked(runs, labels, "comparisons")
    if len(compared):
        space = compared["space"] if "space" in compared else ""
        compared = compared.assign(better=compared["metric"].map(better), space=space)
        compared = compared.assign(own=own_lines(compared), winner=winners(compared))
    return Group(
        label=label,
        runs=[labels[run.name] for run in runs],
        replication=_replication(runs),
        n_subjects=len(set().union(*(_people(run) for run in runs))),
        n_splits=len({run.split for run in runs}),
        metrics=metrics.assign(own=own_lines(metrics)),
        compared=compared,
        scores=pool_scores(metrics, level),
        differences=pool_differences(compared, level) if len(compared) else compared,
        kinds=metrics.drop_duplicates("condition").set_index("condition")["kind"].to_dict(),
    )


def _stacked(runs, labels, name):
    """The tables of several runs in one, each line with its run and its distinct subject."""
    import pandas as pd

    shared = _names_of_several(runs)
    parts = []
    for run in runs:
        table = getattr(run, name)
        if table is not None and len(table):
            called = labels[run.name]
            who = {s: f"{s}, {called}" if s in shared else s for s in run.who}
            columns = {"who": table["subject"].map(run.who), "label": table["subject"].map(who)}
            parts.append(table.assign(run=called, **columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _names_of_several(runs):
    """Names that mean different people, or different recordings, in different runs."""
    meant = {}
    for run in runs:
        for subject, who in run.who.items():
            meant.setdefault(subject, set()).add(who)
    return {subject for subject, known in meant.items() if len(known) > 1}


def _people(run):
    return {who for subject, who in run.who.items() if subject != "all"}


def _replication(runs):
    people = [_people(run) for run in runs]
    if len(runs) == 1:
        return "one"
    if all(one == people[0] for one in people):
        return "same"
    total = sum(map(len, people))
    return "disjoint" if len(set().union(*people)) == total else "mixed"


def _member(run, labels, configuration, repeats):
    again = f"repeats {labels[repeats]}, counted once" if repeats else ""
    return {
        "run": labels[run.name],
        "folder": str(run.folder) if run.folder else run.name,
        "configuration": configuration or "the same",
        "subjects": ", ".join(s for s in run.who if s != "all") or "–",
        "test set": run.split[:8] or "–",
        "state": run.problem or again or "done",
    }


def _group_of(run, groups, names):
    return next((n for g, n in zip(groups, names, strict=True) if run in g), "–")


def _notes(runs, finished, groups):
    n, of = len(finished), len(runs)
    notes = [
        f"{n} of {of} runs are finished, scored and distinct, in {len(groups)} configuration"
        f"{'s, side by side and never pooled' if len(groups) > 1 else ''}."
    ]
    common = [o for o in _changed(runs[0]) if all(o in run.overrides for run in runs)]
    if common:
        notes.append(f"All were asked for {' '.join(common)}.")
    splits = {run.split for run in finished}
    if len(splits) > 1:
        notes.append(
            f"The test sets differ: {len(splits)} splits (hashes below). Scores of runs with "
            "different test sets are not paired; their spread includes that of the test sets."
        )
    elif splits != {""}:
        notes.append(f"All were tested on the same set (split {splits.copy().pop()[:8]}).")
    if not all(run.traced for run in finished):
        notes.append(
            "The store of some runs is not in reach: there, subjects of one name are taken for the "
            "same person."
        )
    if not all(run.config for run in finished):
        notes.append(
            "Some runs keep no record of their configuration: each of these stands by itself."
        )
    return notes


def _study_title(runs):
    names = [str(run.config.get("recipe.name") or run.config.get("name") or "") for run in runs]
    return ", ".join(dict.fromkeys(n for n in names if n)) or "runs"


def _title(run):
    called = f" ({' '.join(_changed(run))})" if not run.folder and run.overrides else ""
    return f"{run.folder or run.name}{called}"


def _changed(run):
    return [o for o in run.overrides if not o.startswith(("hydra", "launcher", "store="))]


def _tables(study):
    """group_metrics.tsv and group_comparisons.tsv: a line per configuration and score."""
    import pandas as pd

    out = {}
    for name, of in (("group_metrics.tsv", "scores"), ("group_comparisons.tsv", "differences")):
        parts = [getattr(g, of).assign(configuration=g.label or "the same") for g in study.groups]
        table = pd.concat(parts, ignore_index=True)
        if "values" in table:
            table["values"] = table["values"].map(lambda v: ",".join(f"{x:.6g}" for x in v))
        first = ["configuration"]
        out[name] = table[first + [c for c in table.columns if c not in first]]
    return out


def _document(study, runs, verdict):
    return {
        "complete": not study.problems,
        "problems": study.problems,
        "notes": study.notes,
        "verdict": verdict,
        "level": study.level,
        "varying": study.varying,
        "runs": [
            m | {"overrides": list(r.overrides)} for m, r in zip(study.members, runs, strict=True)
        ],
        "groups": [
            {
                "configuration": group.label or "the same",
                "runs": group.runs,
                "replication": group.replication,
                "n_subjects": group.n_subjects,
                "n_splits": group.n_splits,
                "metrics": _records(group.scores),
                "comparisons": _records(group.differences),
            }
            for group in study.groups
        ],
    }


def _records(table):
    """Lines for JSON, which knows no NaN: null where there is no value."""
    missing = lambda v: not isinstance(v, list | str) and v != v
    lines = table.astype(object).to_dict("records")
    return [{k: None if missing(v) else _json(v) for k, v in line.items()} for line in lines]


def _json(value):
    return value.item() if hasattr(value, "item") else value
