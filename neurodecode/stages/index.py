"""Index: read a study's tables, and say for every trial what was shown and which files hold it.

No signal is read, only headers. What the raw files contain enters by their digests: a data set that
moves keeps its results, one whose bytes change does not.
"""

from dataclasses import dataclass, field
from pathlib import Path

from neurodecode.core.build import build
from neurodecode.core.stage import stage
from neurodecode.data.bids import derivatives_folder
from neurodecode.data.recipe import Recipe
from neurodecode.data.stimuli import known_stimuli, name_stimuli, stimulus_table, with_table
from neurodecode.data.trials import trial_table


@dataclass(frozen=True)
class IndexConfig:
    """Which study, and how its folder is to be read."""

    recipe: Recipe = field(default_factory=Recipe)


def raw_files(config):
    """List the files of a recorded study that count; a simulated one is an input of its own."""
    recipe = config.recipe
    if not recipe.root:
        return []
    root = Path(recipe.root).expanduser()
    recipe = with_table(recipe, root)
    files = [p for run in build(recipe.layout).runs(recipe, root) for p in run.files()]
    if not recipe.label_column:
        shown = [
            root / "stimuli",
            *([root / recipe.stimulus_table] if recipe.stimulus_table else []),
        ]
        files += [p for p in shown if p.exists()]
    return list(dict.fromkeys(files))


@stage("index", config=IndexConfig, inputs=("?simulate:bids/*",), external=raw_files)
def run(config, inputs, out):
    """Read events and headers; write the trials and files of every subject, and the stimuli."""
    recipe = config.recipe
    root, digest = _data_set(recipe, inputs)
    recipe = with_table(recipe, root)
    layout = build(recipe.layout)
    runs = layout.runs(recipe, root)
    facts = [layout.facts(r) for r in runs]

    known = known_stimuli(recipe, root)
    events = []
    for r, fact in zip(runs, facts, strict=True):
        table = layout.events(r, recipe, fact)
        table["stimulus_id"] = name_stimuli(table["shown"], known, recipe, r.events)
        events.append((r, table))

    subjects = list(dict.fromkeys(r.subject for r in runs))
    trials = {s: trial_table([e for e in events if e[0].subject == s]) for s in subjects}
    stimuli = _stimuli(trials, events, known, recipe, root, digest)
    for subject in subjects:
        out.save_table(f"{subject}/trials.tsv", trials[subject])
        out.save_table(
            f"{subject}/files.tsv", file_table(subject, runs, facts, recipe, root, digest)
        )
    out.save_table("trials.tsv", _stack(trials.values()))
    out.save_table("stimuli.tsv", stimuli)
    out.save_json("subjects.json", subjects)
    n_trials = sum(map(len, trials.values()))
    n_runs = sum(t["run"].nunique() for t in trials.values())
    out.log(
        f"{recipe.name}: {len(subjects)} subjects, {n_runs} runs, {n_trials} trials of "
        f"{len(stimuli)} stimuli"
    )


def _data_set(recipe, inputs):
    """Return the folder of the data set, and how its files are digested."""
    if recipe.root:
        return Path(recipe.root).expanduser(), inputs.raw_digest
    if not inputs.has("simulate"):
        raise ValueError(
            "recipe.root is empty and the experiment does not simulate a study: give the folder of "
            "a BIDS data set, recipe.root=/path"
        )
    root = inputs.path("simulate", "bids")
    known = inputs.manifest("simulate")["files"]  # digested when they were written
    return root, lambda path: known["bids/" + path.relative_to(root).as_posix()]["sha256"]


def file_table(subject, runs, facts, recipe, root, digest):
    """Tabulate the files of one subject's signal; paths are relative to what `folder` names."""
    import pandas as pd

    derived = derivatives_folder(recipe, root)
    rows = []
    for r, fact in zip(runs, facts, strict=True):
        signals = [("signal", name, path) for name, path in r.signals.items()]
        others = [(*kind.partition("/")[::2], path) for kind, path in r.others.items()]
        for kind, name, path in [*signals, *others] if r.subject == subject else ():
            # Wherever the derivatives lie, inside the data set or not: the table is the same.
            derivative = derived != root and path.is_relative_to(derived)
            folder, base = ("derivatives", derived) if derivative else ("root", root)
            place = {"folder": folder, "path": path.relative_to(base).as_posix()}
            rows.append({"run": r.run, "kind": kind, "name": name, **place, "source": path})
            rows[-1] |= fact if kind == "signal" else {}
    table = pd.DataFrame(rows)
    digests = {path: digest(path) for path in table["source"].unique()}
    table["sha256"] = table.pop("source").map(digests)
    order = ["run", "kind", "name", "folder", "path", "sha256"]
    counts = [c for c in table.columns if c.startswith("n_")]
    others = [c for c in table.columns if c not in order]
    return table[[*order, *others]].astype(dict.fromkeys(counts, "Int64"))


def _stimuli(trials, events, known, recipe, root, digest):
    shown = _stack(table[["shown", "stimulus_id"]] for _, table in events)
    return stimulus_table(_stack(trials.values()), shown["shown"], known, recipe, root, digest)


def _stack(tables):
    import pandas as pd

    return pd.concat(list(tables), ignore_index=True)
