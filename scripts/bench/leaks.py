"""How often a planted leak through windows, runs or subjects is found, and one that is not there.

Trials of a window, run or subject share a state in the leaky studies, and none in the clean ones.
The split is drawn trial by trial, so that every group has trials on both sides.
"""

import argparse

import numpy as np
import pandas as pd

from neurodecode.rigour.leaks.state import shared_state
from neurodecode.rigour.leaks.windows import overlapping_windows, time_windows

N_SUBJECTS, N_RUNS, N_TRIALS, N_CHANNELS = 4, 6, 20, 100
WINDOW_S, TRIAL_S = 16.0, 4.0


def study(rng):
    """Trials of a design without signal; a quarter of them is tested, at random."""
    names = [(s, r, t) for s in range(N_SUBJECTS) for r in range(N_RUNS) for t in range(N_TRIALS)]
    table = pd.DataFrame(names, columns=["subject", "run", "trial"])
    trials = table.assign(session="", onset_s=TRIAL_S * table["trial"], duration_s=TRIAL_S)
    return trials, np.where(rng.random(len(trials)) < 0.25, "test", "train")


def groups_of(trials, kind):
    """Return what shares a state, and the strata within which groups are dealt."""
    if kind == "subject":
        return trials["subject"].to_numpy(), None
    run = trials.groupby(["subject", "run"]).ngroup().to_numpy()
    if kind == "run":
        return run, trials["subject"].to_numpy()
    return time_windows(trials, WINDOW_S), run


def responses_of(groups, state, rng):
    """Noise of unit variance, with `state` of it shared by the trials of a group."""
    shared = rng.normal(size=(groups.max() + 1, N_CHANNELS))[groups]
    own = rng.normal(size=(len(groups), N_CHANNELS))
    return np.sqrt(state) * shared + np.sqrt(1 - state) * own


def share_found(kind, state, n_studies, rng, alpha=0.05):
    """Return the share of studies with p of at most `alpha`."""
    found = 0
    for _ in range(n_studies):
        trials, sides = study(rng)
        groups, within = groups_of(trials, kind)
        responses = responses_of(groups, state, rng)
        result = shared_state(responses, groups, sides, rng, within, n_permutations=199)
        found += result.p <= alpha
    return found / n_studies


def share_overlapping(n_studies, rng):
    """Return how often trials that overlap by a tenth, and ones that do not, are reported."""
    found = np.zeros(2)
    for _ in range(n_studies):
        trials, sides = study(rng)
        for i, beyond in enumerate((0.1 * TRIAL_S, 0.0)):
            found[i] += len(overlapping_windows(trials, sides, beyond)[0]) > 0
    return found / n_studies


def main(arguments=None):
    """Print power at several strengths of a planted state, and type-I error without one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200, help="for power")
    parser.add_argument("--null", type=int, default=1000, help="studies without a leak")
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    planted, clean = share_overlapping(given.studies, rng)
    print(f"overlapping windows (exact): planted {planted:.3f}, clean {clean:.3f}")
    for kind in ("window", "run", "subject"):
        power = {s: share_found(kind, s, given.studies, rng) for s in (0.02, 0.05, 0.1)}
        told = ", ".join(f"{value:.3f} at {state:.0%}" for state, value in power.items())
        null = share_found(kind, 0.0, given.null, rng)
        print(f"{kind:<8} power {told} of the variance; without a leak {null:.3f}", flush=True)


if __name__ == "__main__":
    main()
