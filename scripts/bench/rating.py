"""How good the statistics of ratings are: coverage, false alarms, and the power of a study.

    python scripts/bench/rating.py [--studies 200]

Answers are drawn from a logistic model with random raters and random stimuli. Under the null the
stimuli still differ (one of the two pictures of a trial may look better whatever is asked), and
nobody knows which is which.
"""

import argparse

import numpy as np

from neurodecode.rigour.ratings import share_interval, sign_flip_p

DESIGNS = [(n_raters, n_trials) for n_raters in (5, 10, 20) for n_trials in (25, 50, 100)]
LEVELS = (0.56, 0.62, 0.68, 0.74)  # accuracy of the median rater with the median stimulus


def simulate(rng, accuracy, n_raters, n_stimuli, rater_sd=0.5, stimulus_sd=1.0):
    """Draw one study: hits, raters and stimuli of all answers, crossed."""
    level = np.log(accuracy / (1 - accuracy))
    raters = rater_sd * rng.normal(size=n_raters) if accuracy != 0.5 else np.zeros(n_raters)
    logits = level + raters[:, None] + stimulus_sd * rng.normal(size=n_stimuli)
    hits = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    rater, stimulus = np.indices(hits.shape)
    return hits.ravel().astype(float), rater.ravel(), stimulus.ravel()


def expected(accuracy, rater_sd=0.5, stimulus_sd=1.0, n=200_000):
    """The share of hits over all raters and stimuli there could be."""
    rng = np.random.default_rng(0)
    sd = np.hypot(rater_sd, stimulus_sd)
    logits = np.log(accuracy / (1 - accuracy)) + sd * rng.normal(size=n)
    return float((1 / (1 + np.exp(-logits))).mean())


def main():
    """Print coverage and false alarms by design, then power."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200)
    n = parser.parse_args().studies
    shares = ", ".join(f"{expected(a):.3f}" for a in (0.7, 0.9, *LEVELS))
    print(f"shares of right answers: {shares}")
    print("raters trials | covered at the first two | false alarms | power at the others")
    for n_raters, n_trials in DESIGNS:
        covered = [_covered(a, n_raters, n_trials, n) for a in (0.7, 0.9)]
        alarms, *power = [_found(a, n_raters, n_trials, n) for a in (0.5, *LEVELS)]
        cells = " ".join(f"{p:.2f}" for p in power)
        held = " ".join(f"{c:.3f}" for c in covered)
        print(f"{n_raters:6d} {n_trials:6d} | {held} | {alarms:.3f} | {cells}")


def _covered(accuracy, n_raters, n_trials, n):
    truth, held = expected(accuracy), 0
    for k in range(n):
        answers = simulate(np.random.default_rng(k), accuracy, n_raters, n_trials)
        _, low, high = share_interval(*answers)
        held += low <= truth <= high
    return held / n


def _found(accuracy, n_raters, n_trials, n):
    found = 0
    for k in range(n):
        rng = np.random.default_rng(k)
        hits, _, stimuli = simulate(rng, accuracy, n_raters, n_trials)
        found += sign_flip_p(hits, stimuli, rng, n_draws=999) < 0.05
    return found / n


if __name__ == "__main__":
    main()
