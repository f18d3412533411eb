"""What is tied lies on one side: groups of trials, and how whole groups are taken."""

import numpy as np

RUN = ["subject", "session", "run"]  # a run is one recording: its number repeats over subjects


def tied_groups(trials, ties):
    """Number the groups of trials that share a tie, directly or through others.

    Connected components of the graph whose edges join each trial to its stimulus, its run, …

    Returns
    -------
    group : ndarray of int, shape (n_trials,)
        From 0, in order of first appearance.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_trials = len(trials)
    ends, n_nodes = [], n_trials
    for tie in ties:
        columns = RUN[: RUN.index(tie) + 1] if tie in RUN else [tie]
        number = trials.groupby(columns, sort=False, dropna=False).ngroup().to_numpy()
        ends.append(n_nodes + number)
        n_nodes += number.max(initial=-1) + 1
    starts = np.tile(np.arange(n_trials), len(ties))
    edges = (np.ones(starts.size, dtype=bool), (starts, np.concatenate(ends)))
    _, label = connected_components(coo_array(edges, shape=(n_nodes, n_nodes)), directed=False)
    _, first, group = np.unique(label[:n_trials], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group]


def check_untied(trials, group, test, ties, what):
    """Raise ValueError where trials of `test` (mask) are tied to others; `what` names them."""
    mixed = np.intersect1d(group[test], group[~test])
    if mixed.size:
        stuck = trials["stimulus_id"][test & np.isin(group, mixed)].nunique()
        beside = int(np.isin(group[~test], mixed).sum())
        raise ValueError(
            f"{stuck} of {trials['stimulus_id'][test].nunique()} {what} stimuli are tied "
            f"(by {list(ties)}) to {beside} trials of other stimuli, in {mixed.size} groups: this "
            "study shows test and training stimuli in the same runs. Split with ties=[stimulus_id] "
            "and say so beside the figures"
        )


def count_groups(trials, group):
    """Count the distinct stimuli of every group (rows) that each subject (columns) saw."""
    pairs = trials[["subject", "stimulus_id"]].assign(group=group).drop_duplicates()
    return pairs.groupby(["group", "subject"]).size().unstack(fill_value=0)


def take_groups(counts, order, fraction, side, ties):
    """Take whole groups, in order, until every subject has about `fraction` of its stimuli.

    Parameters
    ----------
    counts : DataFrame
        From `count_groups`.
    order : array of int
        Row numbers of `counts`: which are tried first.
    fraction : float
        What comes out lies between half and twice that.

    Returns
    -------
    chosen : list of int
        Numbers of the groups taken.

    Raises
    ------
    ValueError
        Where groups are too large for the fraction, with their sizes.
    """
    sizes = counts.to_numpy()  # (n_groups, n_subjects) distinct stimuli
    quota = fraction * sizes.sum(axis=0)
    taken, chosen = np.zeros(sizes.shape[1]), []
    for row in order:
        in_group = sizes[row] > 0
        wanted = (taken < quota)[in_group].any()
        if wanted and (taken + sizes[row] <= 2 * quota)[in_group].all():
            taken += sizes[row]
            chosen.append(counts.index[row])
    short = taken < quota / 2
    if short.any():
        _refuse(counts, short, fraction, side, ties)
    return chosen


def _refuse(counts, short, fraction, side, ties):
    subject = counts.columns[short][0]
    sizes = counts[subject][counts[subject] > 0]
    smallest = sizes.min() / sizes.sum()
    raise ValueError(
        f"no {side} side of {fraction:.0%} of the stimuli can be drawn for {subject}: its "
        f"{sizes.sum()} stimuli fall into {len(sizes)} group(s) tied by {list(ties)}, the smallest "
        f"{sizes.min()} stimuli ({smallest:.0%}), the largest {sizes.max()}. "
        + (
            f"Ask {side}_fraction={smallest:.2f}, or loosen the ties (ties=[stimulus_id])"
            if len(sizes) > 1
            else "Loosen the ties (ties=[stimulus_id])"
        )
    )
