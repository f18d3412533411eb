"""Run the whole pipeline on brains that carry nothing, with many seeds, and look for luck.

    python scripts/null_study.py --seeds 20 --out runs/null
    python scripts/null_study.py --seeds 20 --out runs/category --signal category_only

signal=none: over seeds, each score's mean must lie at its chance and its p-values must be uniform.
signal=category_only: the brain carries shape alone. Shape must be read better than without a brain,
every other attribute no better than without one.

Many scores are looked at, and some leave chance by luck: over 20 seeds an honest score lies beyond
3 standard errors with probability .007 (Student's t) and fails a KS test at .01 with probability
.01, so that of 300 honest scores five are expected to. One score of each family, named beforehand,
is therefore held to these limits as they are; all others to .01 after Holm's correction over all
scores. How many lie beyond the plain limits is printed beside what luck alone would give. Exit code
1 when a score fails.
"""

import argparse
import logging
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

STAGES = "simulate index embed split preprocess align train predict reconstruct evaluate".split()
SCORE = ["subject", "condition", "space", "metric", "set_size"]
Z_LIMIT, KS_LIMIT = 3.0, 0.01
PRIMARY = ("brain_to_image_top1", "two_way_embedding", "pixcorr", "ssim", "attribute_mean")
CATEGORY = "shape"  # what the brain carries in the dial category_only


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--signal", choices=["none", "category_only"], default="none")
    parser.add_argument("--out", type=Path, default=Path("runs/null"), help="results per seed")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at once, one thread each")
    parser.add_argument("--keep", action="store_true", help="keep every seed's store")
    parser.add_argument("overrides", nargs="*", default=[], help="more Hydra overrides")
    arguments = parser.parse_args()
    tables = run_seeds(arguments)
    check = check_null if arguments.signal == "none" else check_category
    table, failures = check(tables)
    table.to_csv(arguments.out / f"{arguments.signal}.tsv", sep="\t", index=False)
    print(table.to_string(index=False, float_format="%.4g", na_rep=""))
    print("\n".join(failures) or f"passed: {len(table)} scores, {arguments.seeds} seeds")
    return 1 if failures else 0


def run_seeds(arguments):
    """Run every seed that has no result yet; return all metrics with a column `seed`."""
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    folders = {seed: arguments.out / f"{arguments.signal}-seed-{seed:03d}" for seed in seeds}
    waiting = [s for s in seeds if not (folders[s] / "metrics.tsv").exists()]
    jobs = [(s, folders[s], arguments.signal, arguments.overrides, arguments.keep) for s in waiting]
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for done, seed in (
            enumerate(pool.map(run_seed, *zip(*jobs, strict=True)), 1) if jobs else ()
        ):
            print(f"seed {seed} done ({done}/{len(jobs)})", file=sys.stderr, flush=True)
    read = lambda seed: pd.read_csv(folders[seed] / "metrics.tsv", sep="\t").assign(seed=seed)
    return pd.concat([read(seed) for seed in seeds], ignore_index=True)


def run_seed(seed, folder, signal, overrides, keep):
    """Run the small simulated study once, in this process, on a store of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "run.log", format="%(message)s", force=True)
    logging.getLogger("neurodecode").setLevel(logging.INFO)
    from neurodecode.cli import run_composed

    asked = [
        "recipe=world_small",
        f"recipe.study.signal={signal}",
        f"seed={seed}",
        f"name=null-{seed}",
        f"store={folder / 'store'}",
        "threads=1",
        f"stages=[{','.join(STAGES)}]",
        *overrides,
    ]
    run_composed(compose(asked), folder)
    if not keep:
        shutil.rmtree(folder / "store")
    return seed


def compose(overrides):
    """The configuration that `neurodecode run` would compose, as plain values."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from neurodecode.cli import conf_folder

    with initialize_config_dir(str(conf_folder().absolute()), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=overrides), resolve=True)


def check_null(tables, primary=PRIMARY):
    """Compare every score with its chance, and its p-values with the uniform distribution.

    Parameters
    ----------
    tables : DataFrame
        metrics.tsv of all seeds, with a column ``seed``.
    primary : tuple of str
        Metrics whose model score, pooled over subjects and from the full set, is held to the plain
        limits.

    Returns
    -------
    table : DataFrame
        One line per score: mean, chance, se, z, p of z, KS p, both corrected, and ``primary``.
    failures : list of str
        Empty when all is well.
    """
    tables = tables[tables["kind"] != "ceiling"].copy()
    full = tables.groupby("metric")["set_size"].transform("max")
    named = tables["metric"].isin(primary) & ~(tables["set_size"] < full)
    tables["primary"] = named & (tables["kind"] == "model") & (tables["subject"] == "all")
    lines = []
    for key, rows in tables.groupby(SCORE, dropna=False, sort=False):
        line = dict(zip(SCORE, key, strict=True))
        line |= {"mean": rows["value"].mean(), "chance": rows["chance"].mean()}
        line |= at_chance(rows["value"] - rows["chance"])
        line |= {"ks": stats.kstest(rows["p"], "uniform").pvalue}
        lines.append(line | {"primary": bool(rows["primary"].any())})
    table = pd.DataFrame(lines)
    table["z_holm"], table["ks_holm"] = holm(table["p_z"]), holm(table["ks"])
    far, skewed = table["z"].abs() > Z_LIMIT, table["ks"] < KS_LIMIT
    lucky = 2 * stats.t.sf(Z_LIMIT, tables["seed"].nunique() - 1) * len(table)
    print(f"beyond {Z_LIMIT:g} SE: {far.sum()} of {len(table)} scores, by luck {lucky:.1f}")
    print(f"KS p < {KS_LIMIT:g}: {skewed.sum()}, by luck {KS_LIMIT * len(table):.1f}")
    far = np.where(table["primary"], far, table["z_holm"] < KS_LIMIT)
    skewed = np.where(table["primary"], skewed, table["ks_holm"] < KS_LIMIT)
    failures = [f"FAILED at chance: {name(r)}, z = {r.z:.2f}" for r in table[far].itertuples()]
    failures += [
        f"FAILED uniform p: {name(r)}, KS p = {r.ks:.2g}" for r in table[skewed].itertuples()
    ]
    return table, failures


def check_category(tables):
    """Compare attributes with the prior-only row: shape is read, the others are not.

    Returns
    -------
    table : DataFrame
        One line per attribute of the pooled row: mean of model and prior-only, z of the difference.
    failures : list of str
    """
    pooled = tables[(tables["subject"] == "all") & tables["metric"].str.startswith("attribute_")]
    wide = pooled.pivot_table(index=["metric", "seed"], columns="condition", values="value")
    lines = []
    for metric, rows in wide.groupby("metric"):
        if metric != "attribute_mean":
            gap = at_chance(rows["model"] - rows["prior_only"])
            means = {"model": rows["model"].mean(), "prior_only": rows["prior_only"].mean()}
            lines.append({"metric": metric} | means | gap)
    table = pd.DataFrame(lines)
    failures = []
    for r in table.itertuples():
        if r.metric == f"attribute_{CATEGORY}" and not r.z > Z_LIMIT:
            failures.append(
                f"FAILED: {r.metric} is not read from a brain that carries it, z = {r.z:.2f}"
            )
        if r.metric != f"attribute_{CATEGORY}" and abs(r.z) > Z_LIMIT:
            failures.append(f"FAILED: {r.metric} leaves its prior-only row, z = {r.z:.2f}")
    return table, failures


def at_chance(gaps):
    """Mean, standard error, z and two-sided t-test p of differences that should be zero."""
    n, mean = len(gaps), gaps.mean()
    se = gaps.std(ddof=1) / np.sqrt(n)
    if se < 1e-12:  # a collapsed condition scores chance in every seed, up to rounding
        z = 0.0 if abs(mean) < 1e-9 else np.inf * np.sign(mean)
    else:
        z = mean / se
    return {"gap": mean, "se": se, "z": z, "p_z": 2 * stats.t.sf(abs(z), n - 1), "n_seeds": n}


def holm(p):
    """Holm's correction: adjusted p-values that hold the chance of any false alarm."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1)[np.argsort(order)]


def name(row):
    """How a failed score is called."""
    size = "" if pd.isna(row.set_size) else f" of {int(row.set_size)}"
    return f"{row.subject} {row.condition} {row.metric}{size}"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
