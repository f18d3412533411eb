"""Intervals that say of whom they speak: of other stimuli, of other subjects, or of both.

Rows of a study stand in a hierarchy: subjects have sessions, sessions have rows. Stimuli lie across
it, since all subjects see the same ones. A level is drawn anew where the interval is to speak of
others of its kind, and held fixed where it speaks of these. Stimuli that several subjects saw are
drawn once for all of them, subjects once for all stimuli (crossed effects [1]_); where each subject
saw stimuli of its own this is the nested draw.

Resampling a few subjects makes intervals too narrow, and resampling both ways at once too wide
(noise that belongs to neither is counted three times [1]_). For subjects, and for both, the
interval is therefore Student's t with the variance of crossed clusters [2]_; the draws are for
scores that are no means.

References
----------
.. [1] Owen & Eckles, Bootstrapping data arrays of arbitrary order, Ann. Appl. Stat. 6 (2012).
.. [2] Cameron, Gelbach & Miller, Robust inference with multiway clustering, JBES 29 (2011).
"""

import numpy as np

from neurodecode.rigour.bootstrap import percentile_interval, resample_counts, wilson_interval

POPULATIONS = {
    "stimuli": ("stimulus",),
    "subjects": ("subject", "session"),
    "both": ("subject", "session", "stimulus"),
}
LEAST_SUBJECTS = (
    8  # of fewer, the spread between people is not known well enough to speak of others
)


def row_counts(subjects, sessions, stimuli, population, n_draws, rng):
    """Draw how often each row is taken.

    Parameters
    ----------
    subjects, sessions, stimuli : array_like of str, shape (n_rows,)
        `sessions` None: one for each subject.
    population : {"stimuli", "subjects", "both"}
        Which levels are drawn anew; sessions go with their subjects.
    n_draws : int
    rng : numpy.random.Generator

    Returns
    -------
    counts : ndarray, shape (n_draws, n_rows)
        The product over levels: a subject drawn twice, of whom a stimulus is drawn three times,
        counts six times.
    """
    levels = _levels(population)
    subject = _numbers(subjects)
    sessions = subjects if sessions is None else sessions
    session = _numbers([f"{a}\n{b}" for a, b in zip(subjects, sessions, strict=True)])
    counts = np.ones((n_draws, len(subject)))
    if "subject" in levels:
        counts *= resample_counts(subject.max() + 1, n_draws, rng)[:, subject]
    if "session" in levels:
        for number in range(subject.max() + 1):
            mine = subject == number
            own = _numbers(session[mine])
            counts[:, mine] *= resample_counts(own.max() + 1, n_draws, rng)[:, own]
    if "stimulus" in levels:
        stimulus = _numbers(stimuli)
        counts *= resample_counts(stimulus.max() + 1, n_draws, rng)[:, stimulus]
    return counts


def draws(values, subjects, sessions, stimuli, population, n_draws, rng):
    """Draw the mean score anew: each subject counts alike, as often as it was drawn.

    Parameters
    ----------
    values : ndarray, shape (n_rows,)
    subjects, sessions, stimuli, population, n_draws, rng
        As for `row_counts`.

    Returns
    -------
    means : ndarray, shape (n_draws,)
        NaN where nothing was drawn.
    """
    counts = row_counts(subjects, sessions, stimuli, population, n_draws, rng)
    subject = _numbers(subjects)
    weights = counts / np.bincount(subject)[subject]
    total = weights.sum(axis=1)
    return weights @ np.asarray(values, dtype=float) / np.where(total > 0, total, np.nan)


def population_interval(values, subjects, stimuli, population, rng, n_draws=1000, level=0.95):
    """Interval of the mean over subjects of their mean scores.

    Parameters
    ----------
    values : ndarray, shape (n_rows,)
    subjects, stimuli : array_like of str, shape (n_rows,)
    population : {"stimuli", "subjects", "both"}
        ``stimuli``: these subjects, other stimuli (resampled). ``subjects``: other subjects, these
        stimuli (Student's t over subjects). ``both``: Student's t with the variance of crossed
        clusters and Satterthwaite's degrees of freedom, never narrower than either alone.
    rng : numpy.random.Generator
        Of the resampled stimuli.
    n_draws : int
    level : float

    Returns
    -------
    mean, low, high : float
        low and high are NaN where one subject cannot speak of others.
    """
    from scipy.stats import t

    values, subject, stimulus = np.asarray(values, float), _numbers(subjects), _numbers(stimuli)
    share = 1 / (subject.max() + 1) / np.bincount(subject)[subject]
    mean = float((share * values).sum())
    _levels(population)
    if population == "stimuli":
        found = draws(values, subjects, None, stimuli, population, n_draws, rng)
        if values.min() >= 0 and values.max() <= 1:
            return mean, *wilson_interval(found, mean, stimulus.max() + 1, level)
        return mean, *map(float, percentile_interval(found, level))
    if subject.max() < 1:
        return mean, np.nan, np.nan
    variance, freedom = crossed_variance(share * (values - mean), subject, stimulus, population)
    half = t.ppf((1 + level) / 2, freedom) * np.sqrt(variance)
    return mean, float(mean - half), float(mean + half)


def generalises_to(n_subjects, population="stimuli"):
    """Of whom an interval speaks, in words; below `LEAST_SUBJECTS` of these subjects only.

    Parameters
    ----------
    n_subjects : int
    population : {"stimuli", "subjects", "both"}
        What was drawn anew.
    """
    _levels(population)
    who = "this subject only" if n_subjects == 1 else f"these {n_subjects} subjects only"
    if n_subjects < LEAST_SUBJECTS:
        return f"{who}: fewer than {LEAST_SUBJECTS} say little of others, so each is shown"
    return {
        "stimuli": f"{who}, seeing other stimuli",
        "subjects": f"other subjects like these {n_subjects}, seeing these stimuli",
        "both": f"other subjects like these {n_subjects}, seeing other stimuli",
    }[population]


def _levels(population):
    if population not in POPULATIONS:
        raise ValueError(f"population is {population!r}: choose one of {', '.join(POPULATIONS)}")
    return POPULATIONS[population]


def _numbers(labels):
    return np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)


def crossed_variance(influence, subject, stimulus, population):
    """Variance of a sum of row influences, and its degrees of freedom."""
    by_subject, n_subjects = _cluster_variance(influence, subject)
    if population == "subjects":
        return by_subject, n_subjects - 1
    by_stimulus, n_stimuli = _cluster_variance(influence, stimulus)
    cells = subject * n_stimuli + stimulus
    by_cell, _ = _cluster_variance(influence, _numbers(cells))
    variance = max(by_subject + by_stimulus - by_cell, by_subject, by_stimulus)
    least = min(n_subjects, n_stimuli) - 1
    parts = by_subject**2 / (n_subjects - 1) + by_stimulus**2 / max(n_stimuli - 1, 1)
    return variance, max(variance**2 / parts, least) if parts > 0 else least


def _cluster_variance(influence, cluster):
    sums = np.bincount(cluster, influence)
    n = len(sums)
    return n / max(n - 1, 1) * (sums**2).sum(), n
