"""Folders of finished runs with made-up scores, for what reads runs back."""

import numpy as np
import pandas as pd
import yaml

from neurodecode.core.sealed import write_json, write_sealed
from neurodecode.core.store import MANIFEST, describe

KINDS = {"model": "model", "ridge": "baseline", "shuffled": "control", "prior_only": "control"}
CHANCE = 0.02


def make_run(
    folder,
    seed=0,
    subjects=("sub-01", "sub-02"),
    recordings="a",
    model=0.5,
    split="s" * 64,
    status="done",
    control=0.02,
    store=None,
    scored_in=None,
    **config,
):
    """Write a run's folder; `model` is its score, or one per subject.

    Parameters
    ----------
    recordings : str
        Another text stands for other recordings of the subjects.
    store : path or None
        Where the index lies; None: beside the run.
    """
    folder.mkdir(parents=True)
    index = (store or folder.parent / f"store_{folder.name}") / "index"
    write_index(index, subjects, recordings)
    own = np.broadcast_to(np.asarray(model, float), len(subjects))
    metrics, compared = tables(subjects, own, control)
    metrics.to_csv(folder / "metrics.tsv", sep="\t", index=False, na_rep="n/a")
    compared.to_csv(folder / "comparisons.tsv", sep="\t", index=False, na_rep="n/a")
    write_json(folder / "figures.json", {"split": split})
    done = [{"stage": "index", "each": None, "folder": str(index)}]
    done += [{"stage": "evaluate", "each": None, "folder": scored_in or str(folder / "scores")}]
    error = "ValueError: it broke" if status == "failed" else None
    write_json(folder / "run.json", {"status": status, "done": done, "error": error})
    everything = {"seed": seed, "subjects": list(subjects), "name": "toy"} | config
    everything["stages"] = ["index", "evaluate"]
    hydra = folder / ".hydra"
    hydra.mkdir()
    (hydra / "config.yaml").write_text(yaml.safe_dump(everything))
    told = [f"seed={seed}", *(f"{k}={v}" for k, v in config.items())]
    (hydra / "overrides.yaml").write_text(yaml.safe_dump(told))
    return folder


def write_index(index, subjects, recordings):
    if not index.exists():
        for subject in subjects:
            (index / subject).mkdir(parents=True)
            (index / subject / "files.tsv").write_text(f"{recordings} {subject}\n")
        write_sealed(index / MANIFEST, {"files": describe(index)})


def tables(subjects, model, control):
    """metrics.tsv and comparisons.tsv, as evaluate writes them."""
    scores = {"model": model, "ridge": model - 0.01}
    scores |= {name: np.full(len(subjects), control) for name in ("shuffled", "prior_only")}
    names, lines, differences = [*subjects, "all"], [], []
    values = {c: [*v, v.mean()] for c, v in scores.items()}
    for place, subject in enumerate(names):
        for condition, kind in KINDS.items():
            value = values[condition][place]
            about = {"subject": subject, "condition": condition, "kind": kind}
            about |= {"metric": "brain_to_image_top1", "space": "embedding", "set_size": 50}
            ends = {"value": value, "lo": value - 0.05, "hi": value + 0.05, "n": 50}
            rest = {"chance": CHANCE, "p": 0.001, "ceiling": 1.0, "better": "higher"}
            lines.append(about | ends | rest)
        for other in ("shuffled", "prior_only", "ridge"):
            d = values["model"][place] - values[other][place]
            about = {"subject": subject, "metric": "brain_to_image_top1", "a": "model", "b": other}
            ends = {"difference": d, "lo": d - 0.04, "hi": d + 0.04, "n": 50, "p": 0.01}
            differences.append(about | ends | {"space": "embedding", "better": "higher"})
    return pd.DataFrame(lines), pd.DataFrame(differences)


def make_sweep(folder, jobs):
    """Write a sweep of jobs, each a dict for `make_run`; return its folder."""
    folder.mkdir(parents=True)
    (folder / "multirun.yaml").write_text("{}\n")
    for number, job in enumerate(jobs):
        make_run(folder / str(number), store=folder.parent / f"store_{number}", **job)
    return folder
