"""Permutations: p-values of a run among runs of the same that were trained on permuted labels.

Not a stage of a run but a step after several, as `neurodecode report`. The permutations of a run
itself deal out its predictions; these go through all that is fitted, and so see a leak in it.
"""

from pathlib import Path

from neurodecode.core.errors import UserError
from neurodecode.data.configurations import is_seed, plain
from neurodecode.data.runs import read_runs
from neurodecode.stages.group import how_to_run

KEY = "train.permutation"
SCORE = ["subject", "condition", "metric", "space", "set_size"]


def permutation_report(paths, out=None):
    """Judge a run's scores among those of its permutations; write permutations.tsv.

    Parameters
    ----------
    paths : list of path
        Folders of runs or sweeps: one run, and runs that differ from it by `train.permutation`.
    out : path or None
        Folder to write in; None: that of the run.

    Returns
    -------
    table : DataFrame
        `SCORE`, value, null_mean, null_sd, n_permutations, p.
    place : Path

    Raises
    ------
    UserError
        If there is not exactly one run, no permutation of it, or they differ by more than that.
    """
    runs = [run for run in read_runs(paths) if not run.problem]
    real = [run for run in runs if run.config.get(KEY) is None]
    drawn = {run.config[KEY]: run for run in runs if run.config.get(KEY) is not None}
    if len(real) != 1 or not drawn:
        raise UserError(
            f"expected one finished run and others with {KEY}=1, 2, …, got {len(real)} without "
            f"and {len(drawn)} with it"
        )
    _same_otherwise(real[0], drawn.values(), how_to_run(runs))
    table = _judged(real[0].metrics, [run.metrics for run in drawn.values()])
    place = Path(out if out is not None else real[0].folder) / "permutations.tsv"
    place.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(place, sep="\t", index=False, lineterminator="\n", na_rep="n/a")
    return table, place


def told(table):
    """The model's pooled scores of the full set in print, one line each."""
    lines = []
    model = table[table["condition"] == "model"]
    full = model.groupby("metric")["set_size"].transform("max")
    model = model[~(model["set_size"] < full)]
    pooled = model[model["subject"] == "all"]
    for row in (pooled if len(pooled) else model).itertuples():
        of = "" if row.set_size != row.set_size else f" of {row.set_size:g}"
        lines.append(
            f"{row.metric}{of}: {row.value:.3f}, permuted {row.null_mean:.3f} "
            f"(SD {row.null_sd:.3f}, {row.n_permutations} runs), p = {row.p:.3g}"
        )
    return lines


def _same_otherwise(real, drawn, plumbing):
    for run in drawn:
        keys = {k for k in real.config | run.config if real.config.get(k) != run.config.get(k)}
        other = sorted(k for k in keys - plumbing - {KEY} if not is_seed(k))
        if other or run.split != real.split:
            what = other[0] if other else "the test set"
            values = [plain(r.config.get(what)) for r in (real, run)] if other else ["", ""]
            raise UserError(
                f"{run.name} differs from {real.name} in {what} ({' and '.join(values)}): "
                f"permutations differ by {KEY} alone"
            )


def _judged(metrics, drawn):
    import numpy as np
    import pandas as pd

    from neurodecode.core.seeds import child_rng
    from neurodecode.rigour.permutation import permutation_p

    whole = lambda table: table.assign(set_size=table["set_size"].fillna(0))  # NaN finds nothing
    null = whole(pd.concat(drawn, ignore_index=True)).groupby(SCORE)["value"].agg(list)
    lines = []
    fitted = metrics[metrics["kind"].isin(["model", "baseline"])]
    for row in whole(fitted).to_dict("records"):
        key = tuple(row[name] for name in SCORE)
        values = np.array(null.get(key, []), dtype=float)
        if len(values):
            rng = child_rng(0, "ties", *map(str, key))
            found = {"null_mean": values.mean(), "null_sd": values.std()}
            found["n_permutations"] = len(values)
            found["p"] = permutation_p(row["value"], values, rng, row["better"])
            lines.append({name: row[name] for name in (*SCORE, "value")} | found)
    return pd.DataFrame(lines).replace({"set_size": {0: np.nan}})
