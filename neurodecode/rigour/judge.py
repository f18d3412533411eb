"""From a score's table to a line of results: value, interval, chance and p, alone and in pairs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neurodecode.rigour.bootstrap import (
    bca_interval,
    leave_one_out_counts,
    percentile_interval,
    resample_counts,
    weighted_mean,
    weighted_median,
    wilson_interval,
)
from neurodecode.rigour.controls import mismatched_mean
from neurodecode.rigour.permutation import (
    permutation_p,
    permuted_truths,
    permuted_values,
    swaps,
    two_sided_p,
)

SUMMARIES = {"mean": weighted_mean, "median": weighted_median}
INTERVALS = ("wilson", "percentile", "bca")


@dataclass(frozen=True)
class Draws:
    """The random draws that all scores of a study share; a unit is a test stimulus.

    Parameters
    ----------
    counts : ndarray, shape (n_bootstrap, n_units)
        How often each unit is resampled.
    keys : ndarray, shape (n_permutations, n_units)
        Their order permutes units.
    flips : ndarray of bool, shape (n_permutations, n_units)
        Which units swap two compared conditions.
    """

    counts: np.ndarray
    keys: np.ndarray
    flips: np.ndarray

    @classmethod
    def make(cls, n_units, n_bootstrap, n_permutations, rng):
        """Draw once for a study of `n_units` test stimuli."""
        return cls(
            resample_counts(n_units, n_bootstrap, rng),
            rng.random((n_permutations, n_units)),
            swaps(n_units, n_permutations, rng),
        )


@dataclass(frozen=True)
class Rows:
    """Whose rows are scored: one subject's predictions.

    Parameters
    ----------
    unit : ndarray of int, shape (n_rows,)
        Number of each row's stimulus among all test stimuli of the study.
    own : ndarray of int, shape (n_rows,)
        Its number among the truths of this subject, the rows of a score's table.
    """

    unit: np.ndarray
    own: np.ndarray

    @property
    def n_units(self):
        """Number of different stimuli."""
        return len(np.unique(self.unit))


def number_stimuli(stimulus_ids):
    """Number the test stimuli, so that subjects who saw the same one are resampled together.

    Parameters
    ----------
    stimulus_ids : dict of str to sequence of str
        For each subject, the stimulus of each row.

    Returns
    -------
    truths : dict of str to ndarray of str
        Each subject's stimuli, sorted: the candidates of its retrieval.
    rows : dict of str to Rows
    n_units : int
        Number of different test stimuli of the study.
    """
    truths, own = {}, {}
    for subject, ids in stimulus_ids.items():
        truths[subject], own[subject] = np.unique(np.asarray(ids, dtype=str), return_inverse=True)
    units = np.unique(np.concatenate(list(truths.values())))
    rows = {s: Rows(np.searchsorted(units, truths[s])[own[s]], own[s]) for s in truths}
    return truths, rows, len(units)


@dataclass(frozen=True)
class Verdict:
    """A score, or a difference of two, with all its draws; subjects average to a pooled one.

    Parameters
    ----------
    value, chance : float
    n : int
        Number of stimuli it rests on.
    draws : ndarray, shape (n_bootstrap,)
    left_out : ndarray, shape (n_units,)
        The score without each stimulus.
    null : ndarray, shape (n_permutations,)
    rows : ndarray, shape (n_rows,)
        The trial scores; empty for a pooled one.
    summary, better : str
        As in the score.
    share : bool
        Whether no row can earn less than 0 or more than 1.
    """

    value: float
    chance: float
    n: int
    draws: np.ndarray
    left_out: np.ndarray
    null: np.ndarray
    rows: np.ndarray
    summary: str
    better: str
    share: bool = False


@dataclass(frozen=True)
class Panel:
    """The draws as one subject's rows see them; made once, used for every score.

    Parameters
    ----------
    rows : Rows
    counts : ndarray, shape (n_bootstrap, n_rows)
    left_out : ndarray, shape (n_units, n_rows)
    truths : ndarray of int, shape (n_permutations, n_rows)
        The truth each row is dealt in each permutation.
    flips : ndarray of bool, shape (n_permutations, n_rows)
    """

    rows: Rows
    counts: np.ndarray
    left_out: np.ndarray
    truths: np.ndarray
    flips: np.ndarray

    @cached_property
    def signs(self):
        """-1 where a unit swaps, else 1."""
        return np.where(self.flips, -1.0, 1.0)

    @classmethod
    def of(cls, rows, draws):
        """Look the draws of the units up for `rows`."""
        units, first, unit_of_row = np.unique(rows.unit, return_index=True, return_inverse=True)
        dealt = permuted_truths(draws.keys[:, units], rows.own[first])
        return cls(
            rows,
            draws.counts[:, rows.unit],
            leave_one_out_counts(draws.counts.shape[1])[:, rows.unit],
            np.asfortranarray(dealt[:, unit_of_row]),
            draws.flips[:, rows.unit],
        )


def judge(score, panel):
    """Judge one score of one subject and condition.

    Parameters
    ----------
    score : object with values, chance, summary, better, sampled
        ``values[i, j]`` is what row j earns against truth i; of a sampled one line 0 holds the own
        pairs and the others mismatched ones.
    panel : Panel

    Returns
    -------
    verdict : Verdict
        Chance is the score's own, or the mean over mismatched pairs where it has none.
    """
    trial_scores, mismatched, null = (_of_sampled if score.sampled else _of_all)(score, panel)
    chance = mismatched if score.chance is None else score.chance
    return Verdict(
        **_resampled(trial_scores, panel, score.summary),
        chance=float(chance),
        n=panel.rows.n_units,
        null=_summary_of(null, score.summary),
        rows=trial_scores,
        summary=score.summary,
        better=score.better,
        share=bool(score.values.min() >= 0 and score.values.max() <= 1),
    )


def _of_all(score, panel):
    """Own pairs, mean of the mismatched ones (where chance is asked of them), permuted pairs."""
    own = panel.rows.own
    rows = score.values[own, np.arange(len(own))]
    mismatched = mismatched_mean(score.values, own) if score.chance is None else None
    return rows, mismatched, permuted_values(score.values, panel.truths)


def _of_sampled(score, panel):
    """The same, each row dealt one of the truths it was compared with beside its own.

    Rows are dealt truths independently, which varies more than a permutation (no truth is used
    once and only once): p is a little too large, never too small.
    """
    rows, others = score.values[0], score.values[1:]
    return rows, float(others.mean()), permuted_values(others, panel.truths % len(others))


def difference(a, b, panel):
    """Judge a minus b, two conditions of one subject on the same rows; no difference is chance."""
    one, other = (_resampled(v.rows, panel, v.summary) for v in (a, b))
    return Verdict(
        **{name: one[name] - other[name] for name in one},
        chance=0.0,
        n=a.n,
        null=_swapped(a.rows, b.rows, panel, a.summary),
        rows=a.rows - b.rows,
        summary=a.summary,
        better=a.better,
    )


def pool(verdicts, n_units):
    """Average subjects: each counts alike, draws of the same stimuli go together.

    Parameters
    ----------
    verdicts : list of Verdict
        One per subject, of the same score.
    n_units : int
        Number of test stimuli of the study.
    """
    mean = lambda name: np.mean([getattr(v, name) for v in verdicts], axis=0)
    return Verdict(
        value=float(mean("value")),
        chance=float(mean("chance")),
        n=n_units,
        draws=mean("draws"),
        left_out=mean("left_out"),
        null=mean("null"),
        rows=np.empty(0),
        summary=verdicts[0].summary,
        better=verdicts[0].better,
        share=all(v.share for v in verdicts),
    )


def interval_of(verdict, kind, level):
    """Interval of a verdict: ``wilson``, ``bca`` or ``percentile``, each where it holds.

    Wilson's is for means of values between 0 and 1, BCa for means (the jackknife it leans on fails
    for medians): all others keep the percentile interval.
    """
    if kind not in INTERVALS:
        raise ValueError(f"interval is {kind!r}: {', '.join(INTERVALS[:-1])} or {INTERVALS[-1]}")
    if kind == "wilson" and verdict.share and verdict.summary == "mean":
        return wilson_interval(verdict.draws, verdict.value, verdict.n, level)
    if kind == "bca" and verdict.summary == "mean":
        return bca_interval(verdict.draws, verdict.value, verdict.left_out, level)
    low, high = percentile_interval(verdict.draws, level)
    return float(low), float(high)


def p_of(verdict, rng):
    """One-sided permutation p of a score: pairings of rows and truths dealt anew."""
    return permutation_p(verdict.value, verdict.null, rng, verdict.better)


def p_of_difference(verdict, rng):
    """Two-sided p of a difference: conditions swapped stimulus by stimulus."""
    return two_sided_p(verdict.value, verdict.null, rng)


def _resampled(trial_scores, panel, summary):
    summarise, column = SUMMARIES[summary], trial_scores[:, None]
    return {
        "value": float(summarise(column, np.ones((1, len(column))))[0, 0]),
        "draws": summarise(column, panel.counts)[:, 0],
        "left_out": summarise(column, panel.left_out)[:, 0],
    }


def _swapped(a, b, panel, summary):
    """Differences after the swaps of each draw; of means it is the mean of differences, signed."""
    if summary == "mean":
        return panel.signs @ (a - b) / len(a)
    flips = panel.flips
    first, second = np.where(flips, b, a), np.where(flips, a, b)
    return _summary_of(first, summary) - _summary_of(second, summary)


def _summary_of(values, summary):
    return values.mean(axis=1) if summary == "mean" else np.median(values, axis=1)
