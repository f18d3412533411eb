"""How often the verdict is right: simulated brains of known content, graded.

A study has 10 categories, 1,000 training and 200 test pictures. Half of what its low-level features
say goes with the category. A third of the embeddings' variance is the category's, a third is a bent
function of the low-level features, a third is the picture's own. Brains carry

  full                     category, another bent function of the features, and the picture's own
  category_only            the category
  low_level_only           the bent function of the features
  category_and_low_level   both, and nothing of the picture's own
  none                     nothing

in 300 voxels, read by ridge from single training trials and from test pictures averaged over three
repeats. The noise is white plus, as minds wander, .7 times the response to another picture; it is
so large that two responses to one picture correlate as stated. Every brain sees every set of
pictures.

  python scripts/bench/verdict_power.py --studies 100 --jobs 2

prints every cell, then what it is held to, and ends with 1 where that is missed.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd

from neurodecode.core.seeds import child_rng
from neurodecode.rigour.verdict import LEVELS, Pictures, grade_on
from neurodecode.rigour.verdict.regression import Ridge

CARRIED = {
    "full": ("category", "low_level", "own"),
    "category_only": ("category",),
    "low_level_only": ("low_level",),
    "category_and_low_level": ("category", "low_level"),
    "none": (),
}
CORRELATIONS = (0.05, 0.1, 0.2, 0.4)
HELD_TO_FALSE = ("category_only", "low_level_only", "none")
N_CATEGORIES, N_LATENT, N_OWN, N_VOXELS, DIM = 10, 12, 16, 300, 64
WANDERING, REPEATS = 0.7, 3
MOST_FALSE, LEAST_POWER, LEAST_AUC, CLEAR = 0.05, 0.9, 0.95, 0.1


def main(arguments=None):
    """Simulate, print every cell and the verdict on the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=100, help="studies per cell")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--n-train", type=int, default=1000, help="training pictures")
    parser.add_argument("--n-test", type=int, default=200, help="test pictures")
    parser.add_argument("--alpha", type=float, default=None, help="significance; None: as shipped")
    parser.add_argument("--training", choices=("categories", "plain"), default="categories")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="write every study here, as TSV")
    asked = parser.parse_args(arguments)
    sizes = (asked.n_train, asked.n_test)
    how = {} if asked.alpha is None else {"alpha": asked.alpha}
    one = partial(study, sizes=sizes, seed=asked.seed, training=asked.training, **how)
    if asked.jobs == 1:
        studies = list(map(one, range(asked.studies)))
    else:
        with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
            studies = list(pool.map(one, range(asked.studies)))
    found = pd.DataFrame([line for lines in studies for line in lines])
    if asked.out:
        found.to_csv(asked.out, sep="\t", index=False)
    print(cells(found).to_string(float_format="%.2f"))
    lines, failures = held(found)
    print("\n".join(lines + failures))
    return 1 if failures else 0


def study(number, sizes, seed, training="categories", n_permutations=1000, **how):
    """Show one set of pictures to every brain; a line (dict) per brain and correlation."""
    rng = child_rng(seed, "study", number)
    parts, features, truth, category = pictures(sum(sizes), rng)
    train, test = np.arange(sizes[0]), np.arange(sizes[0], sum(sizes))
    known = (truth[train], features[train], category[train])
    known = known if training == "categories" else known[:2]
    described = Pictures.of(truth[test], category[test], features[test], known, rng=rng)
    lines = []
    for signal, carried in CARRIED.items():
        for correlation in CORRELATIONS:
            responses = brain([parts[name] for name in carried], correlation, train, test, rng)
            predicted = Ridge.fit(responses[0], truth[train])(responses[1])
            graded = grade_on(described, predicted, n_permutations, rng=rng, **how)
            tests = {f"{t['name']} {key}": t[key] for t in graded.tests for key in ("value", "p")}
            line = {"signal": signal, "correlation": correlation, "level": graded.level}
            lines.append(line | tests)
    return lines


def pictures(n, rng):
    """Draw pictures: what brains can carry of them, features, embeddings and categories.

    Returns
    -------
    parts : dict of str to ndarray (n, …)
        Each with a variance of one in all.
    features : ndarray, shape (n, 36)
    truth : ndarray, shape (n, 64), unit rows
    category : ndarray of str, shape (n,)
    """
    category = rng.integers(N_CATEGORIES, size=n)
    latent = rng.normal(size=(N_CATEGORIES, N_LATENT))[category] + rng.normal(size=(n, N_LATENT))
    latent /= np.sqrt(2)
    features = np.hstack([mixed(latent, N_LATENT, rng), np.tanh(mixed(latent, 2 * N_LATENT, rng))])
    own = rng.normal(size=(n, N_OWN))
    parts = {
        "category": of_size_one(np.eye(N_CATEGORIES)[category]),
        "low_level": of_size_one(bent(latent, N_OWN, rng)),
        "own": of_size_one(own),
    }
    shown = [parts["category"], of_size_one(bent(latent, N_OWN, rng)), parts["own"]]
    truth = np.sum([of_size_one(mixed(part, DIM, rng)) for part in shown], axis=0)
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    return parts, features, truth, category.astype(str)


def brain(parts, correlation, train, test, rng):
    """Responses to single training trials, and to test pictures averaged over repeats."""
    n = len(train) + len(test)
    carried = np.hstack([np.zeros((n, 1)), *parts])
    specific = mixed(carried, N_VOXELS, rng)
    if parts:
        specific = (specific - specific.mean(axis=0)) / specific.std(axis=0)
        noise = np.sqrt(1 / correlation - 1 - WANDERING**2)
    else:
        noise = 1.0

    def once(rows):
        elsewhere = specific[rng.integers(n, size=len(rows))]
        return specific[rows] + WANDERING * elsewhere + noise * rng.normal(size=elsewhere.shape)

    return once(train), np.mean([once(test) for _ in range(REPEATS)], axis=0)


def mixed(rows, n_columns, rng):
    """Random sums of columns, (n, k) -> (n, n_columns)."""
    return rows @ rng.normal(size=(rows.shape[1], n_columns)) / np.sqrt(rows.shape[1])


def bent(latent, n_columns, rng):
    """A random network of one hidden layer: what no linear regression takes out."""
    hidden = np.tanh(2 * mixed(latent, 40, rng) + rng.normal(size=40))
    return mixed(hidden, n_columns, rng)


def of_size_one(rows):
    """Centre columns, and scale to a variance of one in all."""
    rows = rows - rows.mean(axis=0)
    return rows / np.sqrt((rows**2).sum(axis=1).mean())


def cells(found):
    """Share of every level, and the mean within-category matching, in every cell."""
    cell = found.groupby(["signal", "correlation"], sort=False)
    shares = cell["level"].value_counts(normalize=True).unstack(fill_value=0.0)
    table = shares.reindex(columns=list(LEVELS), fill_value=0.0)
    for name in ("category", "within-category"):
        table[f"{name} matching"] = cell[f"{name} value"].mean()
    return table.join(cell.size().rename("studies"))


def held(found):
    """What the verdict is held to: lines to print, and which were missed."""
    highest = found["level"] == LEVELS[-1]
    lines, failures = [], []

    def hold(what, value, passes):
        (lines if passes else failures).append(f"{'' if passes else 'MISSED: '}{what}: {value:.3f}")

    others = found["signal"].isin(HELD_TO_FALSE)
    false = highest[others].mean()
    hold(f"false {LEVELS[-1]}, pooled (at most {MOST_FALSE})", false, false <= MOST_FALSE)
    for correlation in [c for c in CORRELATIONS if c >= CLEAR]:
        here = found["correlation"] == correlation
        full, other = here & (found["signal"] == "full"), here & others
        power = highest[full].mean()
        hold(f"power at {correlation} (at least {LEAST_POWER})", power, power >= LEAST_POWER)
        statistic = found[f"{LEVELS[-1]} value"]
        area = auc(statistic[full], statistic[other])
        hold(f"AUC at {correlation} (at least {LEAST_AUC})", area, area >= LEAST_AUC)
    return lines, failures


def auc(higher, lower):
    """Chance that one of `higher` exceeds one of `lower`, ties half."""
    from scipy.stats import mannwhitneyu

    return mannwhitneyu(higher, lower).statistic / (len(higher) * len(lower))


if __name__ == "__main__":
    sys.exit(main())
