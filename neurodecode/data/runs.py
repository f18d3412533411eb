"""Read runs back: what they scored, on whom, under which configuration, and how they ended."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from neurodecode.core.documents import read_json, read_yaml
from neurodecode.core.errors import UserError
from neurodecode.core.finished import wrong_in
from neurodecode.core.key import digest
from neurodecode.core.store import read_artifact

SCORING = ("evaluate", "crossvalidate", "classify")  # the stages that score
ALL = "all"  # the subject of lines pooled within a run
METRICS = dict.fromkeys("subject condition kind metric better".split(), False)
METRICS |= dict.fromkeys("value lo hi n".split(), True)
NUMBERS = {"chance", "p", "ceiling", "set_size"}  # where there are such columns
COMPARISONS = dict.fromkeys("subject metric a b".split(), False)
COMPARISONS |= dict.fromkeys("difference lo hi p".split(), True)
ENDS = {  # what run.json says of a run that is not done
    "running": "is running, or was killed",
    "interrupted": "was interrupted",
    "failed": "failed",
}


@dataclass(frozen=True)
class Run:
    """One run, as far as it came.

    Parameters
    ----------
    name : str
        Short, distinct among the runs that are read together.
    folder : Path or None
        None for a job of a sweep that never began.
    problem : str
        "" if it is done and was scored; else what is wrong with it.
    overrides : tuple of str
        What was changed on the command line; empty where that is not recorded.
    config : dict
        ``{"train.batch": 64, …}``: every leaf; empty where none is recorded.
    split : str
        Hash of who was tested on what; "" where not recorded.
    who : dict
        Subject -> a name of that person's recordings: equal in two runs of the same ones.
    traced : bool
        Whether `who` was read from the artifacts; without a store, names must do.
    scored_in : str
        The artifact that its scores were copied from; "" where not recorded.
    by_fold : bool
        Whether it was scored by folds over runs; its intervals then draw runs, not test stimuli.
    metrics, comparisons : DataFrame or None
    """

    name: str
    folder: Path | None
    problem: str = ""
    overrides: tuple = ()
    config: dict = field(default_factory=dict)
    split: str = ""
    who: dict = field(default_factory=dict)
    traced: bool = False
    scored_in: str = ""
    by_fold: bool = False
    metrics: object = field(default=None, compare=False)
    comparisons: object = field(default=None, compare=False)


def read_runs(paths, planned=lambda sweep: []):
    """Read run folders and sweeps.

    Parameters
    ----------
    paths : list of path
        Folders of runs, folders of sweeps, or patterns of either.
    planned : callable (folder) -> list of list of str
        The overrides of every job that a sweep was to run, in order; empty where that cannot be
        known.

    Returns
    -------
    runs : list of Run
        Jobs that never began included.

    Raises
    ------
    UserError
        For a path that leads nowhere, or to a folder that is neither a run nor a sweep.
    """
    found = {}
    for given in paths:
        for folder in _matches(Path(given).expanduser()):
            for run in _runs_of(folder, planned):
                found.setdefault(run.folder.resolve() if run.folder else run.name, run)
    names = [run.name for run in found.values()]
    return [
        replace(run, name=str(run.folder)) if names.count(run.name) > 1 and run.folder else run
        for run in found.values()
    ]


def is_run(folder):
    """Whether a folder is that of a run, begun at least."""
    return (folder / "run.json").is_file() or (folder / ".hydra").is_dir()


def is_sweep(folder):
    """Whether a folder is that of a sweep, with a run in each of its sub-folders."""
    return (folder / "multirun.yaml").is_file() or any(_jobs(folder))


def _matches(path):
    if path.exists():
        return [path]
    parts = path.parts
    first = next((i for i, part in enumerate(parts) if re.search(r"[*?\[]", part)), None)
    found = []
    if first is not None:
        found = sorted(Path(*parts[:first]).glob(str(Path(*parts[first:]))))
        found = [f for f in found if f.is_dir()]
    if not found:
        raise UserError(f"{path}: there is no such folder; give that of a run or of a sweep")
    return found


def _runs_of(folder, planned):
    if folder.is_dir() and is_run(folder):
        return [read_run(folder, folder.name)]
    if not (folder.is_dir() and is_sweep(folder)):
        raise UserError(
            f"{folder} is no run: expected a folder with run.json, as `neurodecode run` writes it, "
            "or the folder of a sweep with one such folder per job"
        )
    runs = [read_run(job, f"{folder.name}/{job.name}") for job in _jobs(folder)]
    begun = {run.overrides for run in runs}
    for number, overrides in enumerate(planned(folder)):
        if tuple(overrides) not in begun and not (folder / str(number)).is_dir():
            name = f"{folder.name}/{number}"
            runs.append(Run(name, None, "never began", tuple(overrides)))
    return runs


def _jobs(folder):
    inside = [f for f in folder.iterdir() if f.is_dir() and (f.name.isdigit() or is_run(f))]
    return sorted(inside, key=lambda f: (len(f.name), f.name) if f.name.isdigit() else (99, f.name))


def read_run(folder, name):
    """Read one run's folder; what is missing or unreadable is its problem, not an error."""
    state, problem = _state(folder / "run.json")
    try:
        metrics = _table(folder / "metrics.tsv", METRICS)
        comparisons = _table(folder / "comparisons.tsv", COMPARISONS)
        _check_conditions(folder, metrics, comparisons)
    except ValueError as error:
        metrics, comparisons, problem = None, None, f"has scores that cannot be read: {error}"
    artifacts = _artifacts(state)
    subjects = [] if metrics is None else list(metrics["subject"].unique())
    who = {s: _recordings(artifacts.get("index"), s) for s in subjects}
    card = _document(folder / "score_card.json") or {}
    figures = _document(folder / "figures.json") or {}
    told = card.get("split")
    split = figures.get("split") or (told.get("hash") if isinstance(told, dict) else "") or ""
    traced, folders = artifacts.get("index") is not None, _folders(state)
    return Run(
        name=name,
        folder=folder,
        problem=problem or _problem(state, metrics),
        overrides=_overrides(folder / ".hydra" / "overrides.yaml"),
        config=_config(folder, artifacts),
        split=split if isinstance(split, str) else "",
        who={s: found or s for s, found in who.items()},
        traced=traced,
        scored_in=next((folders[stage] for stage in SCORING if stage in folders), ""),
        by_fold="crossvalidate" in artifacts,
        metrics=metrics,
        comparisons=comparisons,
    )


def _problem(state, metrics):
    status = state.get("status")
    if status is None:
        return "never began: its folder holds no run.json"
    if status != "done":
        error = f": {state['error']}" if state.get("error") else ""
        return f"{ENDS.get(status, status)}{error}"
    if metrics is None or not len(metrics):
        return "was not scored: it has no metrics.tsv"
    names = set(metrics["subject"])
    return "" if ALL in names or len(names) == 1 else f"has no lines of subject {ALL!r}"


def _config(folder, artifacts):
    composed = _document(folder / ".hydra" / "config.yaml")
    if composed is not None:
        return leaves(composed)
    return {
        f"{stage}.{name}": value
        for stage, artifact in artifacts.items()
        if artifact is not None
        for name, value in leaves(artifact.manifest.get("config") or {}).items()
    }


def _artifacts(state):
    """One artifact of each stage that a run went through; None where the store is not there."""
    return {stage: read_artifact(Path(folder)) for stage, folder in _folders(state).items()}


def _folders(state):
    return {e["stage"]: e["folder"] for e in state.get("done") or [] if e.get("folder")}


def _recordings(index, subject):
    """Digest what the index says of a subject: trials, and digests of the raw files."""
    if index is None:
        return None
    own = {n: f["sha256"] for n, f in index.files.items() if n.startswith(f"{subject}/")}
    return f"{subject} {digest(own)[:12]}" if own else None


def leaves(node, name=""):
    """Flatten nested mappings: ``{"a": {"b": 1}}`` is ``{"a.b": 1}``; lists stay whole."""
    if not isinstance(node, dict) or not node:
        return {name: node}
    dot = f"{name}." if name else ""
    return {k: v for key, value in node.items() for k, v in leaves(value, f"{dot}{key}").items()}


def _state(path):
    """What run.json says, and what is wrong with it; empty where there is none."""
    try:
        state = read_json(path)
    except FileNotFoundError:
        return {}, ""
    except ValueError as error:
        return {}, f"has a run.json that cannot be read: {error}"
    wrong = wrong_in(state)
    return ({}, f"has a damaged run.json: {wrong}") if wrong else (state, "")


def _overrides(path):
    found = _document(path, list) or []
    return tuple(str(word) for word in found)


def _document(path, kind=dict):
    """A JSON or YAML document of a kind, or None where there is none that can be read."""
    try:
        found = read_json(path) if path.suffix == ".json" else read_yaml(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, kind) else None


def _table(path, needed):
    """A table of scores, or None where there is none; ValueError if it is none of scores."""

    from neurodecode.core.views import read_table

    if not path.is_file():
        return None
    table = read_table(path)
    for name, numeric in needed.items():
        if name not in table:
            raise ValueError(f"{path} has no column {name}: run again, which writes it anew")
        if numeric:
            _check_numbers(path, table, name)
    for name in NUMBERS & set(table):
        _check_numbers(path, table, name)
    return table


def _check_conditions(folder, metrics, comparisons):
    """Refuse comparisons of conditions, or scores, that were not scored."""
    if metrics is None or comparisons is None:
        return
    for name, of in {"a": "condition", "b": "condition", "metric": "metric"}.items():
        unknown = sorted(set(map(str, comparisons[name])) - set(map(str, metrics[of])))
        if unknown:
            raise ValueError(
                f"{folder / 'comparisons.tsv'} compares {unknown[0]!r:.40}, which metrics.tsv does "
                "not have: run again, which writes both anew"
            )


def _check_numbers(path, table, name):
    import pandas as pd

    if len(table) and not pd.api.types.is_numeric_dtype(table[name]):
        raise ValueError(f"{path}: {name} holds {table[name].iloc[0]!r:.40}, no numbers")
