"""Does training know the state that test trials were recorded in? A test on the responses.

Noise, drift and vigilance are shared by trials of one window, run or session, and whoever a subject
is by all trials of that subject. Where such a group has trials on both sides, a decoder can tell
test trials by it. Tables say where groups are cut; this test says whether the responses carry it.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.permutation import permutation_p


@dataclass(frozen=True)
class SharedState:
    """What test trials share with training trials of their own group.

    Parameters
    ----------
    value : float
        Mean correlation of a test trial with the mean training response of its own group, minus
        that with the other groups.
    p : float
        Share of permutations of the test trials' groups with as much; NaN if nothing can be tested.
    n : int
        Test trials whose group has training trials too.
    n_groups : int
        Groups that have both.
    """

    value: float
    p: float
    n: int
    n_groups: int


def shared_state(responses, groups, sides, rng, within=None, n_permutations=999):
    """Test whether test rows are closer to training rows of their own group than to others.

    Under the null the responses do not depend on the group: the groups of the test rows are dealt
    anew (within strata), training rows keep theirs, and the p-value is exact.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels)
        Standardised channels count alike. Where stimuli of a group resemble each other, as in
        blocks of a category, subtract the mean response of the category first.
    groups : array, shape (n_trials,)
        Run, session, subject or window of each trial (`windows.time_windows`).
    sides : array of str, shape (n_trials,)
        ``train`` and ``test``; rows of other sides are left out.
    rng : numpy.random.Generator
    within : array, shape (n_trials,), optional
        Strata within which groups are dealt: the subject, where groups are runs, so that what is
        found is not the subject.
    n_permutations : int

    Returns
    -------
    found : SharedState
        With ``n = 0`` and ``p`` NaN where fewer than two groups have both sides: nothing is shared.
    """
    sides, groups = np.asarray(sides), np.asarray(groups)
    strata = np.zeros(len(groups), int) if within is None else np.asarray(within)
    scored, columns, stratum = [], [], []
    for value in np.unique(strata):
        mine = strata == value
        train, test = mine & (sides == "train"), mine & (sides == "test")
        both = np.intersect1d(groups[train], groups[test])
        test &= np.isin(groups, both)
        if len(both) < 2:
            continue
        similarity = _to_groups(responses, groups, train, test, both)
        scored.append(_against_others(similarity))
        columns.append(np.searchsorted(both, groups[test]))
        stratum.append(len(both))
    if not scored:
        return SharedState(np.nan, np.nan, 0, 0)
    n = sum(map(len, columns))
    total = lambda dealt: sum(
        s[np.arange(len(c)), c].sum() for s, c in zip(scored, dealt, strict=True)
    )
    value = total(columns) / n
    null = [total([rng.permutation(c) for c in columns]) / n for _ in range(n_permutations)]
    p = permutation_p(value, np.array(null), rng, "higher")
    return SharedState(float(value), float(p), n, sum(stratum))


def _to_groups(responses, groups, train, test, both):
    """Correlate test rows with the mean training response of each group: (n_test, n_groups)."""
    centre = responses[train].mean(axis=0)
    means = np.stack([responses[train & (groups == g)].mean(axis=0) for g in both]) - centre
    rows = responses[test] - centre
    unit = lambda x: x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return unit(rows) @ unit(means).T


def _against_others(similarity):
    """What each column has more than the mean of the other columns."""
    n = similarity.shape[1]
    return similarity - (similarity.sum(axis=1, keepdims=True) - similarity) / (n - 1)
