"""How often is each test wrong, and how often does each interval hold the truth? By simulation.

    python scripts/bench/error_rates.py                       all of it, some minutes on two cores
    python scripts/bench/error_rates.py --only max_t mcnemar  these
    python scripts/bench/error_rates.py --studies 400         a quick look

Each test judges studies in which there is nothing to find, by the project's own functions, and its
p-values are counted; each interval is counted against the expected score of new studies. The exit
code is 1 where a test is wrong in other than 5 ± 1 % (a family of tests: in more than 6 %) of the
studies, or an interval that is to hold covers other than 95 ± 2 %, beyond three Monte-Carlo errors.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from neurodecode.metrics.agreement import agreement
from neurodecode.metrics.identification import own_two_way
from neurodecode.metrics.retrieval import brain_to_image, expected_hits, image_to_brain
from neurodecode.metrics.score import Score, cosine, count_rivals
from neurodecode.rigour.bootstrap import resample_counts
from neurodecode.rigour.clusters import clusters_above_chance
from neurodecode.rigour.correction import max_t
from neurodecode.rigour.equivalence import equivalent
from neurodecode.rigour.hierarchical import population_interval
from neurodecode.rigour.judge import (
    Draws,
    Panel,
    Rows,
    difference,
    interval_of,
    judge,
    number_stimuli,
    p_of,
    p_of_difference,
    pool,
)
from neurodecode.rigour.mcnemar import mcnemar
from neurodecode.rigour.permutation import permutation_p
from neurodecode.rigour.run_draws import deal_labels, dealt_scores
from neurodecode.rigour.zero_shot import PairWeights, all_pairs, choices, right

ALPHA = 0.05
N, DIM, N_PERMUTATIONS = 40, 12, 199  # stimuli and dimensions of a study, and its permutations


# ---- tests: each function is one study without an effect; it returns {what was tested: p}


def scores(rng):
    """Every kind of score of one subject against permuted pairings; and two subjects pooled."""
    draws = Draws.make(N, 1, N_PERMUTATIONS, rng)
    panel = Panel.of(_all_rows(N), draws)
    truth = rng.standard_normal((N, DIM))
    lean = rng.standard_normal(DIM)
    found = []
    for _ in range(2):
        said = lean + rng.standard_normal((N, DIM))
        found.append({s.name: judge(s, panel) for s in _scores_of(truth, said)})
    p = {name: p_of(v, rng) for name, v in found[0].items()}
    for name in ("top1", "two_way"):
        both = pool([verdicts[name] for verdicts in found], N)
        p[f"{name}, two subjects pooled"] = p_of(both, rng)
    return p


def differences(rng):
    """Two decoders that are equally good, on the same stimuli: conditions swapped."""
    panel = Panel.of(_all_rows(N), Draws.make(N, 1, N_PERMUTATIONS, rng))
    truth = rng.standard_normal((N, DIM))
    common = 0.5 * truth + 0.5 * rng.standard_normal((N, DIM))
    pair = [_scores_of(truth, common + rng.standard_normal((N, DIM))) for _ in range(2)]
    p = {}
    for one, other in zip(*pair, strict=True):
        gap = difference(judge(one, panel), judge(other, panel), panel)
        p[f"difference of {one.name}"] = p_of_difference(gap, rng)
    return p


def mcnemars(rng):
    """Two classifiers that are right equally often, on 100 rows."""
    hard = rng.random(100)
    a, b = (rng.random(100) < 0.3 + 0.5 * hard for _ in range(2))
    return {"McNemar": mcnemar(a, b)[0]}


def clusters(rng):
    """Smooth noise over 30 times: of 20 subjects, and as two-way scores of 30 stimuli."""
    from scipy.ndimage import gaussian_filter1d

    smooth = lambda *shape: gaussian_filter1d(rng.standard_normal(shape), 2.0, axis=-1)
    truth = rng.standard_normal((30, DIM))
    said = smooth(30, DIM, 30)
    tables = np.stack([cosine(truth, said[:, :, t]) for t in range(30)])
    studies = {"subjects": (smooth(20, 30), 0.0), "stimuli": (own_two_way(tables).T, 0.5)}
    p = {}
    for who, (values, chance) in studies.items():
        found = clusters_above_chance(values, chance, N_PERMUTATIONS + 1, rng)
        p[f"clusters of times, {who}"] = min((c.p for c in found), default=1.0)
    return p


def categories(rng):
    """Labels dealt within runs: 6 runs of 6 classes, scores that know the run alone."""
    labels, runs = np.tile(np.arange(6), 6), np.repeat(np.arange(6), 6)
    said = rng.standard_normal((6, 6))[runs] + rng.standard_normal((36, 6))
    hits = np.stack([said.argmax(axis=1) == k for k in range(6)]).astype(float)
    null = dealt_scores(hits, deal_labels(labels, runs, N_PERMUTATIONS, rng))
    value = dealt_scores(hits, labels[None])[0]
    return {"category accuracy": permutation_p(value, null, rng)}


def zero_shot(rng):
    """Names of 6 classes permuted, where responses know nothing of names."""
    labels, names = np.arange(6), rng.standard_normal((6, 4))
    orders = np.stack([labels, *(rng.permutation(6) for _ in range(N_PERMUTATIONS))])
    hits = []
    alike = rng.random((6, 6))
    for pair in all_pairs(6):
        weights = alike[list(pair)] + 0.1 * rng.random((2, 6))
        weights[:, list(pair)] = 0
        weights /= weights.sum(axis=1, keepdims=True)
        found = PairWeights(pair, np.array(pair), weights)
        hits.append(right(choices(found, labels, names, orders)).mean(axis=1))
    value, *null = np.mean(hits, axis=0)
    return {"zero-shot pairs": permutation_p(value, np.array(null), rng)}


def equivalence(rng):
    """A difference as large as the margin, which is not to be called equivalent."""
    p = {}
    for n, margin in ((20, 0.15), (200, 0.05)):
        values = margin + 0.1 * rng.standard_t(8, size=n)
        draws = resample_counts(n, 1000, rng) @ values / n
        found = equivalent(values.mean(), draws, n, margin)
        p[f"equivalence at the margin, n = {n}"] = found.p
    return p


def max_t_family(rng):
    """50 tests, 10 regions x 5 metrics, of decoders that share half of what they say."""
    panel = Panel.of(_all_rows(N), Draws.make(N, 1, N_PERMUTATIONS, rng))
    truth, common = rng.standard_normal((2, N, DIM))
    family = {}
    for region in range(10):
        said = common + rng.standard_normal((N, DIM))
        for score in _scores_of(truth, said, all_kinds=False):
            verdict = judge(score, panel)
            family[region, score.name] = verdict.value, verdict.null, verdict.better
    return {"family of 50: max-T": min(max_t(family, rng).values())}


def max_t_normal(rng):
    """50 correlated means of 30 subjects (.5), signs flipped; two-sided."""
    values = np.sqrt(0.5) * (rng.standard_normal((30, 1)) + rng.standard_normal((30, 50)))
    signs = rng.choice([-1.0, 1.0], (N_PERMUTATIONS, 30))
    means, null = values.mean(axis=0), signs @ values / 30
    family = {k: (means[k], null[:, k], "either") for k in range(50)}
    return {"family of 50: max-T, two-sided": min(max_t(family, rng).values())}


TESTS = {
    "scores": scores,
    "differences": differences,
    "mcnemar": mcnemars,
    "clusters": clusters,
    "categories": categories,
    "zero_shot": zero_shot,
    "equivalence": equivalence,
    "max_t": max_t_family,
    "max_t_normal": max_t_normal,
}


# ---- intervals: each function is one study; it returns {name: [(score, low, high) by kind]}


KINDS = ("wilson", "percentile", "bca")


def stimuli_interval(signal, leaning, rng, n=200, n_draws=500):
    """One subject, 200 new test stimuli: `signal` in noise, and what all predictions share."""
    panel = Panel.of(_all_rows(n), _draws(n, n_draws, 1, int(rng.integers(20))))
    truth = rng.standard_normal((n, 30))
    fixed = np.random.default_rng(0).standard_normal(30)
    said = signal * truth + leaning * fixed + rng.standard_normal((n, 30))
    found = {}
    for score in _scores_of(truth, said, all_kinds=False):
        verdict = judge(score, panel)
        ends = [interval_of(verdict, kind, 0.95) for kind in KINDS]
        found[score.name] = [(verdict.value, *pair) for pair in ends]
    return found


def pooled_interval(signal, rng, n=200, n_subjects=4, n_draws=500):
    """The mean of four fixed subjects who saw the same 200 new stimuli, and a difference."""
    names = {f"sub-{s}": [f"{i:04d}" for i in range(n)] for s in range(n_subjects)}
    _, rows, _ = number_stimuli(names)
    panel = Panel.of(rows["sub-0"], _draws(n, n_draws, 1, int(rng.integers(20))))
    truth = rng.standard_normal((n, 30))
    of = lambda s: signal * truth + rng.standard_normal((n, 30)) * (1 + 0.2 * s)
    tables = [Score("top1", brain_to_image(cosine(truth, of(s))), 1 / n, n) for s in range(4)]
    judged = [judge(table, panel) for table in tables]
    whole, gap = pool(judged, n), difference(judged[0], judged[3], panel)
    ends = lambda verdict: [(verdict.value, *interval_of(verdict, k, 0.95)) for k in KINDS]
    return {"top1, 4 subjects pooled": ends(whole), "difference of top1": ends(gap)}


def people_interval(n_subjects, population, rng, n=100):
    """Hits of subjects drawn from a population, their true scores .1 to .6, on 100 stimuli."""
    fixed = np.random.default_rng(1).standard_normal(n)
    hard = rng.standard_normal(n) if population == "both" else fixed - fixed.mean()
    skill = rng.normal(-0.5, 0.4, n_subjects)
    chance = 1 / (1 + np.exp(-(skill[:, None] + 0.8 * hard)))
    values = (rng.random((n_subjects, n)) < chance).astype(float).ravel()
    who, what = np.repeat(np.arange(n_subjects), n), np.tile(np.arange(n), n_subjects)
    found = population_interval(values, who, what, population, rng)
    return {f"{n_subjects} subjects, speaking of {population}": [found]}


# top-1 from .02 to .98 at 200 candidates, and one study whose predictions lean to one side
INTERVALS = {
    **{f"signal {s:g}": partial(stimuli_interval, s, 0) for s in (0, 0.1, 0.3, 0.6, 1)},
    "leaning": partial(stimuli_interval, 0.3, 3.0),
    **{f"pooled {s:g}": partial(pooled_interval, s) for s in (0.3, 0.8)},
    **{
        f"people {n} {population}": partial(people_interval, n, population)
        for n in (8, 20, 40)
        for population in ("subjects", "both")
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=4000, help="null studies of each test")
    parser.add_argument("--coverage", type=int, default=500, help="studies of each interval")
    parser.add_argument("--only", nargs="*", help="names of tests, or intervals, or parts of names")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wanted = lambda name: not arguments.only or any(part in name for part in arguments.only)
    fails = 0
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool_of:
        studied = partial(run_studies, pool_of, arguments.seed)
        tests = {name: study for name, study in TESTS.items() if wanted(name)}
        if tests:
            print(f"{'test':42}{'studies':>8}{'wrong at .05':>14}", flush=True)
        for study in tests.values():
            fails += tell_tests(studied(study, arguments.studies))
        intervals = {name: study for name, study in INTERVALS.items() if wanted(name)}
        if intervals:
            print(f"\n{'study':20}{'interval of':36}{'mean':>7}  covered by {', '.join(KINDS)}")
        for name, study in intervals.items():
            fails += tell_intervals(name, studied(study, arguments.coverage))
    print("passed" if not fails else f"{fails} FAILED")
    return 1 if fails else 0


def run_studies(pool_of, seed, study, n_studies):
    """Run a study many times, in chunks with seeds of their own; a list of what it returned."""
    sizes = [len(part) for part in np.array_split(range(n_studies), min(40, n_studies))]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    parts = pool_of.map(run_chunk, [study] * len(sizes), sizes, seeds)
    return [found for part in parts for found in part]


def run_chunk(study, n_studies, seed):
    """Run a study some times from one seed."""
    rng = np.random.default_rng(seed)
    return [study(rng) for _ in range(n_studies)]


def tell_tests(found):
    """Print how often each test was wrong; count those that are so too often or too seldom."""
    fails = 0
    for name in found[0]:
        p = np.array([study[name] for study in found])
        rate, error = (p <= ALPHA).mean(), np.sqrt(ALPHA * (1 - ALPHA) / len(p))
        least = 0 if name.startswith("family") else 0.04
        bad = not least - 3 * error <= rate <= 0.06 + 3 * error
        fails += bad
        print(f"{name:42}{len(p):8}{rate:14.4f}{'  FAILED' if bad else ''}", flush=True)
    return fails


def tell_intervals(study, found):
    """Print how often each interval held the expected score; count those outside 95 ± 2 %."""
    fails = 0
    for name in found[0]:
        value, low, high = np.moveaxis(np.array([one[name] for one in found]), -1, 0)
        truth = np.median(value) if "rank" in name else value.mean()
        covered = ((low <= truth + 1e-12) & (truth - 1e-12 <= high)).mean(axis=0)
        error = np.sqrt(0.05 * 0.95 / len(found))
        asked = demanded(study, name, truth)
        bad = asked and not 0.93 - 3 * error <= covered[0] <= 0.97 + 3 * error
        fails += bad
        rates = "  ".join(f"{c:.3f}" for c in covered)
        note = "  FAILED" if bad else "" if asked else "  (not demanded)"
        print(f"{study:20}{name:36}{truth:7.3f}  {rates}{note}", flush=True)
    return fails


def demanded(study, name, truth):
    """Whether an interval is to hold: 200 stimuli or 20 people, scores of .02 to .98."""
    if study.startswith("people"):
        return not study.startswith("people 8")
    return study != "leaning" and "rank" not in name and (name == "cosine" or 0.02 < truth < 0.98)


def _all_rows(n):
    return Rows(np.arange(n), np.arange(n))


def _scores_of(truth, said, all_kinds=True):
    """One score of every kind, of predictions (n, dim) against truths (n, dim)."""
    similarity = cosine(truth, said)
    n = len(truth)
    above, tied = count_rivals(similarity, axis=0)  # once for all scores of ranks
    hits = lambda top, size: expected_hits(above, tied, n, top, size)
    found = [
        Score("top1", hits(1, n), 1 / n, n),
        Score("top5 of 10", hits(5, 10), 0.5, 10),
        Score("two_way", hits(1, 2), 0.5),
        Score("cosine", similarity),
        Score("median rank", above + tied / 2, (n - 1) / 2, n, "median", "lower"),
    ]
    if all_kinds:
        kinds = [np.sign(x[:, :2] + 1) @ [1, 2] for x in (truth, said)]
        found += [
            Score("top1, image to brain", image_to_brain(similarity, 1), 1 / n, n),
            Score("attribute", agreement(*kinds)),
        ]
    return found


@cache
def _draws(n, n_bootstrap, n_permutations, number):
    """Draws of a study: some dozens serve all studies, since they know nothing of the data."""
    return Draws.make(n, n_bootstrap, n_permutations, np.random.default_rng(number))


if __name__ == "__main__":
    sys.exit(main())
