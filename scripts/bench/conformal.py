"""Coverage and size of conformal candidate sets over simulated studies.

    python scripts/bench/conformal.py            # 2,000 studies a cell; about two minutes
    python scripts/bench/conformal.py --studies 200

Each study draws training, validation and test pictures, a decoder that is better on some rows than
on others, and averages as many repeats on both sides. `relative` measures similarity against the
training pictures. A line is "ok" where mean coverage lies within
[.90, .90 + 1 / (n + 1)], give or take three Monte-Carlo errors.
"""

import argparse

import numpy as np

from neurodecode.rigour.conformal import calibrate, candidate_sets, judge_sets, relative_similarity

LEVEL = 0.9
N_TEST, N_REFERENCE, DIM, REPEATS = 100, 200, 64, 3


def unit(x):
    """Scale rows to length one."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def study(n_validation, signal, rng):
    """Simulate one study: for each side similarity to its pictures, and to the training pictures.

    Pictures share a direction, as embeddings of picture encoders do; a row's noise and its gain
    differ from row to row.
    """
    mean = 2.0 * unit(rng.normal(size=DIM))
    draw = lambda n: unit(mean + unit(rng.normal(size=(n, DIM))))
    training, sides = draw(N_REFERENCE), []
    for n in (n_validation, N_TEST):
        truth = draw(n)
        gain = signal * rng.uniform(0.5, 1.5, (n, 1))
        noise = rng.gamma(4, 0.25, (n, 1)) * rng.normal(size=(REPEATS, n, DIM)).mean(axis=0)
        predicted = unit(unit(mean) + gain * (truth - unit(mean)) + 0.1 * noise)
        sides.append((predicted @ truth.T, predicted @ training.T))
    return sides


def cell(n_validation, signal, n_studies, relative, seed=0):
    """Run the studies of one cell; return coverage and mean size of each."""
    rng = np.random.default_rng([seed, n_validation, int(100 * signal)])
    found = np.empty((n_studies, 2))
    for number in range(n_studies):
        (validation, reference), (test, test_reference) = study(n_validation, signal, rng)
        if relative:
            validation = relative_similarity(validation, reference)
            test = relative_similarity(test, test_reference)
        threshold = calibrate(validation, np.arange(n_validation), LEVEL, rng)
        judged = judge_sets(candidate_sets(test, threshold), np.arange(N_TEST))
        found[number] = judged["coverage"], judged["mean_size"]
    return found


def main():
    """Print one line a cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies a cell")
    studies = parser.parse_args().studies
    print(f"{studies} studies a cell, {N_TEST} test pictures, level {LEVEL}")
    print("validation  signal  score     coverage  error   expected        mean size of 100")
    fine = True
    for n_validation in (5, 9, 20, 50, 100):
        for signal in (0.0, 0.3, 1.0, 3.0):
            for name in ("cosine", "relative"):
                found = cell(n_validation, signal, studies, name == "relative")
                coverage, size = found.mean(axis=0)
                error = found[:, 0].std(ddof=1) / np.sqrt(studies)
                low, high = LEVEL, LEVEL + 1 / (n_validation + 1)
                if n_validation < 9:
                    low = high = 1.0  # all candidates
                ok = low - 3 * error <= coverage <= high + 3 * error
                fine &= ok
                print(
                    f"{n_validation:10d}  {signal:6.1f}  {name:8s}  {coverage:8.4f}  {error:.4f}  "
                    f"[{low:.4f}, {high:.4f}]  {size:8.1f}  {'ok' if ok else 'OUTSIDE'}"
                )
    print("every cell within its bounds" if fine else "some cells are outside")
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
