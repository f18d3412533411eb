"""Who may be trained on, who selects, who is tested: splits by stimulus and by run."""

import hashlib
from dataclasses import dataclass

import numpy as np

from neurodecode.core.ranges import PartShare

SPLITS = ("train", "val", "test")
RUN = [
    "subject",
    "session",
    "run",
]  # a run is one recording: its number alone repeats over subjects


@dataclass(frozen=True)
class StimulusSplit:
    """Hold out whole stimuli, and with them the runs they were shown in.

    Trials that share a stimulus (in any subject) or a run are tied, directly or through others, and
    a tied group lies on one side. Stimuli that the study froze as ``test`` are the test side; a
    study that froze none gets a drawn one. ``val`` is drawn from the rest.

    Parameters
    ----------
    test_fraction : float
        Share of each subject's stimuli drawn for test where the study froze none.
    val_fraction : float
        Share of each subject's remaining stimuli drawn for val; 0 for no val side.
    ties : tuple of str
        What ties two trials: ``stimulus_id``, ``run`` (of one subject and session), ``session``
        or any column of the trial table. ``stimulus_id`` is always needed.
    class_column : str or None
        Column of the trial table whose values must each occur on the train and the test side of
        every subject that has them.
    """

    test_fraction: PartShare = 0.1
    val_fraction: PartShare = 0.1
    ties: tuple[str, ...] = ("stimulus_id", "run")
    class_column: str | None = None

    def __call__(self, trials, stimuli, rng):
        """Label every trial; see `split_by_stimulus`."""
        labels = split_by_stimulus(
            trials, stimuli, self.test_fraction, self.val_fraction, tuple(self.ties), rng
        )
        sides = SPLITS if self.val_fraction > 0 else ("train", "test")
        check_filled(trials, labels, sides, self.class_column)
        return labels


@dataclass(frozen=True)
class RunSplit:
    """Hold out named runs: for category studies, whose stimuli repeat in every run.

    Parameters
    ----------
    test_runs : tuple of str
        Values of the ``run`` column that are tested, in every subject.
    val_runs : tuple of str
        Values of the ``run`` column that select, in every subject; none by default.
    class_column : str or None
        As in `StimulusSplit`.
    """

    test_runs: tuple[str, ...]
    val_runs: tuple[str, ...] = ()
    class_column: str | None = None

    def __call__(self, trials, stimuli, rng):
        """Label every trial by its run; `stimuli` and `rng` are not used."""
        runs = trials["run"].astype(str)
        _check_runs(self.test_runs, self.val_runs, sorted(set(runs)))
        labels = np.full(len(trials), "train", dtype="<U5")
        labels[runs.isin(list(self.val_runs)).to_numpy()] = "val"
        labels[runs.isin(list(self.test_runs)).to_numpy()] = "test"
        sides = SPLITS if self.val_runs else ("train", "test")
        check_filled(trials, labels, sides, self.class_column)
        return labels


def _check_runs(test_runs, val_runs, known):
    unknown = sorted({*test_runs, *val_runs} - set(known))
    if unknown:
        raise ValueError(f"no run is called {unknown}: the trials have runs {known}")
    both = sorted(set(test_runs) & set(val_runs))
    if both:
        raise ValueError(f"runs {both} are asked for both test and val: name each once")


def split_by_stimulus(trials, stimuli, test_fraction, val_fraction, ties, rng):
    """Label trials train, val or test so that nothing tied lies on two sides.

    Parameters
    ----------
    trials : DataFrame, n_trials rows
        Columns ``subject session run stimulus_id`` and whatever `ties` names.
    stimuli : DataFrame
        Columns ``stimulus_id partition``; partition ``"test"`` is the study's frozen test set.
    test_fraction, val_fraction : float in [0, 1)
        See `StimulusSplit`. The share that comes out is between half and twice the one asked:
        groups are taken whole.
    ties : tuple of str
        See `StimulusSplit`.
    rng : numpy.random.Generator

    Returns
    -------
    labels : ndarray of str, shape (n_trials,)

    Raises
    ------
    ValueError
        When ties make the split impossible, with the sizes of what is tied.
    """
    _check_choices(trials, stimuli, test_fraction, val_fraction, ties)
    group = tied_groups(trials, ties)
    partition = stimuli.set_index("stimulus_id")["partition"]
    frozen = trials["stimulus_id"].map(partition).eq("test").to_numpy()
    if frozen.any():
        _check_frozen(trials, group, frozen, ties)
        test = frozen
    else:
        test = _draw_groups(trials, group, test_fraction, "test", ties, rng)
    val = np.zeros(len(trials), dtype=bool)
    if val_fraction > 0:
        val[~test] = _draw_groups(trials[~test], group[~test], val_fraction, "val", ties, rng)
    return np.select([test, val], ["test", "val"], "train").astype("<U5")


def _check_choices(trials, stimuli, test_fraction, val_fraction, ties):
    for name, fraction in (("test_fraction", test_fraction), ("val_fraction", val_fraction)):
        if not 0 <= fraction < 1:
            raise ValueError(f"{name} is {fraction}: a share of the stimuli lies in [0, 1)")
    if "stimulus_id" not in ties:
        raise ValueError(
            f"ties are {list(ties)}: stimulus_id must be one of them, or a picture is trained on "
            "and tested; to hold out runs of a category study use the rule RunSplit"
        )
    missing = sorted(set(ties) - set(trials.columns))
    if missing:
        raise ValueError(f"ties {missing} are not columns of the trials {list(trials.columns)}")
    strangers = sorted(set(trials["stimulus_id"]) - set(stimuli["stimulus_id"]))
    if strangers:
        raise ValueError(
            f"{len(strangers)} stimuli of the trials are not in stimuli.tsv, e.g. {strangers[:3]}"
        )


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


def _check_frozen(trials, group, frozen, ties):
    mixed = np.intersect1d(group[frozen], group[~frozen])
    if mixed.size:
        stuck = trials["stimulus_id"][frozen & np.isin(group, mixed)].nunique()
        beside = int(np.isin(group[~frozen], mixed).sum())
        raise ValueError(
            f"{stuck} of {trials['stimulus_id'][frozen].nunique()} frozen test stimuli are tied "
            f"(by {list(ties)}) to {beside} trials of other stimuli, in {mixed.size} groups: this "
            "study shows test and training stimuli in the same runs. Split with ties=[stimulus_id] "
            "and say so beside the figures"
        )


def _draw_groups(trials, group, fraction, side, ties, rng):
    """Draw whole groups until every subject has about `fraction` of its stimuli; trial mask."""
    pairs = trials[["subject", "stimulus_id"]].assign(group=group).drop_duplicates()
    counts = pairs.groupby(["group", "subject"]).size().unstack(fill_value=0)
    sizes = counts.to_numpy()  # (n_groups, n_subjects) distinct stimuli
    quota = fraction * sizes.sum(axis=0)
    taken, chosen = np.zeros(sizes.shape[1]), []
    for row in rng.permutation(len(sizes)):
        in_group = sizes[row] > 0
        wanted = (taken < quota)[in_group].any()
        if wanted and (taken + sizes[row] <= 2 * quota)[in_group].all():
            taken += sizes[row]
            chosen.append(counts.index[row])
    short = taken < quota / 2
    if short.any():
        _refuse(counts, short, fraction, side, ties)
    return np.isin(group, chosen)


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


def check_filled(trials, labels, sides, class_column=None):
    """Raise ValueError where a subject lacks a side, or a class lacks train or test trials."""
    subjects = trials["subject"].to_numpy()
    for subject in sorted(set(subjects)):
        for side in sides:
            if not (labels[subjects == subject] == side).any():
                n_trials = int((subjects == subject).sum())
                raise ValueError(
                    f"{subject} has no {side} trial among its {n_trials}: name test stimuli this "
                    "subject saw, or leave the subject out"
                )
    if class_column is not None:
        _check_classes(trials, labels, class_column)


def _check_classes(trials, labels, class_column):
    if class_column not in trials:
        raise ValueError(f"class_column {class_column!r} is not one of {list(trials.columns)}")
    for (subject, name), rows in trials.groupby(["subject", class_column]).indices.items():
        counts = {side: int((labels[rows] == side).sum()) for side in SPLITS}
        if not (counts["train"] and counts["test"]):
            raise ValueError(
                f"class {name!r} of {subject} has {counts} trials: it needs both train and test "
                "trials; use another seed or larger fractions, or set class_column to null"
            )


def folds_by_run(trials, class_column=None):
    """Leave one run out: yield each fold's name and its train and test rows.

    For category studies, whose stimuli repeat in every run: only the run ties trials there. The run
    of that session and name is left out in all subjects at once.

    Yields
    ------
    name : str
        Session and run, e.g. ``"run-03"`` or ``"ses-01_run-03"``.
    train, test : ndarray of int
        Row numbers into `trials`.
    """
    session = trials["session"].fillna("").astype(str)
    name = (session + "_" + trials["run"].astype(str)).str.strip("_").to_numpy()
    runs = sorted(set(name))
    if len(runs) < 2:
        raise ValueError(f"leave-one-run-out needs at least 2 runs, the trials have {runs}")
    for run in runs:
        if class_column is not None:
            _check_classes(trials, np.where(name == run, "test", "train"), class_column)
        yield run, np.flatnonzero(name != run), np.flatnonzero(name == run)


def split_hash(trial_ids, labels):
    """SHA-256 of who is where, whatever the order of the trials: printed beside every figure."""
    lines = sorted(f"{trial}\t{label}\n" for trial, label in zip(trial_ids, labels, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def count_sides(trials, labels):
    """Count trials, stimuli and runs per subject and side: ``{subject: {side: {...}}}``."""
    table = trials.assign(split=labels)
    counts = {subject: {} for subject in sorted(set(table["subject"]))}
    for (subject, side), rows in table.groupby(["subject", "split"]):
        counts[subject][side] = {
            "trials": len(rows),
            "stimuli": int(rows["stimulus_id"].nunique()),
            "runs": len(rows[RUN].drop_duplicates()),
        }
    return counts
