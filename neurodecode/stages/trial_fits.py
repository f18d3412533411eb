"""What stage classify fits: every condition on every fold, honestly and as published."""

import os
from dataclasses import fields, replace

import numpy as np

from neurodecode.core.seeds import child_rng, child_seed
from neurodecode.rigour import trial_folds as protocols

MODEL, DEALT, NUISANCE, MAJORITY = "model", "dealt", "nuisance", "majority"


def honestly(config, study, classifiers, out):
    """Classify all trials with whole groups held out.

    Returns
    -------
    answers : dict
        Condition -> list of (scores (n_trials, n_classes), labels (n_trials,)); the windows of a
        trial are averaged.
    """
    from neurodecode.models.flat_logistic import FlatLogistic

    fold = trial_folds(config, study)
    folds = within_subjects(config, study, protocols.honest(fold, study.pieces))
    protocols.check_classes(study.labels[study.pieces.trial], folds, study.classes)
    inner = inner_groups(config, study)[study.pieces.trial]
    classifiers = {name: switched(c, False) for name, c in classifiers.items()}
    said = fit_all(config, study, classifiers, folds, inner, out, "honest")
    answers = {name: [(averaged(study, s), t) for s, t in found] for name, found in said.items()}
    beside = Fits(config, study, folds, inner, of="nuisance")
    nuisance = beside.scores(FlatLogistic(), study.labels, *cache(out, "honest", NUISANCE))
    answers[NUISANCE] = [(averaged(study, nuisance), study.labels)]
    answers[MAJORITY] = [(averaged(study, majority(study, folds)), study.labels)]
    return answers


def as_published(config, study, classifiers, leaks, out):
    """Classify as published protocols did, with the leaks that are asked for.

    Returns
    -------
    trial : ndarray of int, shape (n_rows,)
        Of every row that was judged: windows where these were dealt or tested one by one.
    answers : dict
        As of :func:`honestly`, of the classifier, its baselines and the dealt labels.
    """
    pieces, seed = study.pieces, child_seed(config.seed, "folds")
    inner, alone = inner_groups(config, study)[pieces.trial], False
    n_windows = len(pieces) // len(study.labels)
    subjects = study.table["subject"].to_numpy(str)[pieces.trial]
    if leaks.windows_across_folds:
        folds = each_subject(
            config, subjects, lambda own: protocols.windows_dealt(own, config.n_folds, seed), pieces
        )
        inner, alone = np.arange(len(pieces)), True
    elif leaks.stimuli_across_folds and n_windows > 1:
        folds = each_subject(
            config, subjects, lambda own: protocols.along_time(own, config.n_folds), pieces
        )
        inner, alone = np.arange(len(pieces)), True
    elif leaks.stimuli_across_folds:
        deal = lambda own: protocols.trials_dealt(
            study.labels[own.trial], renumbered(own), config.n_folds, seed
        )
        folds = each_subject(config, subjects, deal, pieces)
        inner = pieces.trial
    else:
        fold = trial_folds(config, study)
        folds = within_subjects(config, study, protocols.honest(fold, pieces))
    if leaks.fit_on_all:
        study = replace(study, responses={s: scaled(x) for s, x in study.responses.items()})
    classifiers = {name: switched(c, leaks.fit_on_all) for name, c in classifiers.items()}
    said = fit_all(config, study, classifiers, folds, inner, out, "published", leaks.select_on_test)
    if alone:
        by_row = lambda labels: labels[pieces.trial]
        return pieces.trial, {n: [(s, by_row(t)) for s, t in f] for n, f in said.items()}
    answers = {name: [(averaged(study, s), t) for s, t in found] for name, found in said.items()}
    return np.arange(len(study.labels)), answers


def fit_all(config, study, classifiers, folds, inner, out, protocol, peeks=False):
    """Fit all classifiers, and the first of them on labels dealt anew.

    Returns
    -------
    said : dict
        Condition -> list of (scores (n_pieces, n_classes), labels (n_trials,)).
    """
    fits = Fits(config, study, folds, inner, peeks=peeks)
    said = {
        name: [(fits.scores(c, study.labels, *cache(out, protocol, name)), study.labels)]
        for name, c in classifiers.items()
    }
    dealt = study.dealt(config.n_refits, child_rng(config.seed, "refits"))
    anew = [
        (fits.scores(classifiers[MODEL], t, *cache(out, protocol, f"{DEALT} {k + 1}")), t)
        for k, t in enumerate(dealt)
    ]
    return said | ({DEALT: anew} if anew else {})


class Fits:
    """A protocol's folds, on which any classifier can be fitted and asked.

    Parameters
    ----------
    config : ClassifyConfig
    study : TrialStudy
    folds : list of (train, test)
        Pieces.
    inner : ndarray, shape (n_pieces,)
        What stays together where a classifier cuts off rows to choose on.
    of : {"responses", "nuisance"}
    peeks : bool
        Show classifiers the test rows to choose on.
    """

    def __init__(self, config, study, folds, inner, of="responses", peeks=False):
        self.config, self.study, self.folds = config, study, folds
        self.inner, self.of, self.peeks = inner, of, peeks

    def scores(self, classifier, labels, folder, progress, name):
        """Score every piece without its fold: (n_pieces, n_classes).

        A fold that was done before a kill is read from `folder`, where each is kept.
        """
        pieces = self.study.pieces
        found = np.full((len(pieces), len(self.study.classes)), np.nan)
        label = name.replace("_", " ")
        for k, (_, test) in enumerate(progress(self.folds, label=f"{label}, folds")):
            file = folder / f"{name} {k}.npy"
            if not file.is_file():
                part = file.with_suffix(".part.npy")
                np.save(part, self._fold(classifier, labels[pieces.trial], k))
                os.replace(part, file)
            found[test] = np.load(file, allow_pickle=False)
        return found

    def _fold(self, classifier, labels, k):
        train, test = self.folds[k]
        asked = self.study.take(test, self.of)
        more = {"peek": (asked, labels[test])} if self.peeks else {}
        if classifier.fits_on_all:
            more["also"] = asked
        predict = classifier.fit(
            self.study.take(train, self.of), labels[train], self.inner[train],
            len(self.study.classes), self.study.sfreq_hz,
            child_seed(self.config.seed, "fit", k), self.config.device, **more,
        )  # fmt: skip
        return np.asarray(predict(asked), float)


def cache(out, protocol, name):
    """Where the folds of a condition are kept, how its progress is told, and its name."""
    folder = out.work / "folds"
    folder.mkdir(exist_ok=True)
    return folder, out.progress, f"{protocol} {name}"


def trial_folds(config, study):
    """The fold in which each trial is tested, whole groups together: (n_trials,).

    Folds by run or stimulus are each subject's own; those by subject hold out whole subjects.
    """
    seed, groups = child_seed(config.seed, "folds"), study.groups(config.folds)
    subject = study.table["subject"].to_numpy(str)
    if config.folds == "subject":
        check_channels(study)
        return protocols.group_folds(study.labels, groups, config.n_folds, seed)
    fold = np.empty(len(groups), int)
    for name in study.subjects:
        own = np.flatnonzero(subject == name)
        try:
            fold[own] = protocols.group_folds(study.labels[own], groups[own], config.n_folds, seed)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return fold


def within_subjects(config, study, folds):
    """Cut folds so that training and test are of one subject; those by subject stay as they are."""
    if config.folds == "subject":
        return folds
    subject = study.table["subject"].to_numpy(str)[study.pieces.trial]
    return [
        (train[subject[train] == s], test[subject[test] == s])
        for s in study.subjects
        for train, test in folds
        if (subject[test] == s).any()
    ]


def each_subject(config, subjects, deal, pieces):
    """Deal the pieces of each subject, or, where subjects are pooled, all of them at once."""
    if config.folds == "subject":
        return deal(pieces)
    found = []
    for name in dict.fromkeys(subjects):
        own = np.flatnonzero(subjects == name)
        part = protocols.Pieces(pieces.trial[own], pieces.start[own], pieces.n_samples)
        found += [(own[train], own[test]) for train, test in deal(part)]
    return found


def renumbered(pieces):
    """The same pieces, their trials numbered from 0."""
    return replace(pieces, trial=np.unique(pieces.trial, return_inverse=True)[1])


def inner_groups(config, study):
    """What stays together within the training rows: the groups of the folds.

    Where subjects are held out and only one is left to train on, its stimuli.
    """
    many = config.folds != "subject" or len(study.subjects) > 2
    return study.groups(config.folds if many else "stimulus")


def check_channels(study):
    """Raise ValueError where subjects differ in channels: one classifier cannot read them all."""
    channels = {s: x.shape[1] for s, x in study.responses.items()}
    if len(set(channels.values())) > 1:
        told = ", ".join(f"{s} {n}" for s, n in channels.items())
        raise ValueError(
            f"classify.folds=subject trains one classifier on several subjects, and these differ "
            f"in their channels ({told}): pick the same ones in preprocess.method, or hold out "
            "runs or stimuli"
        )


def switched(classifier, on):
    """A classifier that can fit what needs no labels on test rows too, told whether to."""
    if "fits_on_all" in {f.name for f in fields(classifier)}:
        return replace(classifier, fits_on_all=on)
    return classifier


def scaled(x):
    """Standardise channels by the mean and spread of all trials, those of the test included."""
    mean, spread = x.mean(axis=(0, 2), keepdims=True), x.std(axis=(0, 2), keepdims=True)
    return ((x - mean) / np.where(spread > 0, spread, 1)).astype(np.float32)


def averaged(study, scores):
    """Mean score over the pieces of each trial, (n_trials, n_classes)."""
    n_trials = len(study.labels)
    total = np.zeros((n_trials, scores.shape[1]))
    np.add.at(total, study.pieces.trial, scores)
    return total / np.bincount(study.pieces.trial, minlength=n_trials)[:, None]


def majority(study, folds):
    """1 for the most frequent class of the training trials, equal ones alike; (n_pieces, n)."""
    labels = study.labels[study.pieces.trial]
    found = np.full((len(labels), len(study.classes)), np.nan)
    for train, test in folds:
        counts = np.bincount(labels[train], minlength=len(study.classes))
        found[test] = counts == counts.max()
    return found
