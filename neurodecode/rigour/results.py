"""The lines of the result tables: subjects and the pooled row, conditions, scores, comparisons.

Verdicts come as ``{(subject, condition): {key: Verdict}}``, key = (space, metric, set_size).
"""

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.rigour.correction import fdr, max_t
from neurodecode.rigour.equivalence import equivalent
from neurodecode.rigour.judge import (
    difference,
    interval_of,
    p_of,
    p_of_difference,
    pool,
)

ALL = "all"  # the subject of pooled lines
CLAIMED = ("model", "baseline")  # kinds of conditions whose scores are claims


def pool_subjects(verdicts, n_units):
    """Add the pooled lines: each score that every subject has, averaged over subjects."""
    subjects = list(dict.fromkeys(subject for subject, _ in verdicts))
    pooled = {}
    for condition in dict.fromkeys(condition for _, condition in verdicts):
        each = [verdicts.get((subject, condition), {}) for subject in subjects]
        shared = [key for key in each[0] if all(key in found for found in each)]
        pooled[ALL, condition] = {key: pool([f[key] for f in each], n_units) for key in shared}
    return verdicts | pooled


def metric_lines(verdicts, kinds, interval="wilson", level=0.95, seed=0):
    """Say of every score: value, interval, n, chance, p (alone and corrected) and ceiling.

    ``p_max`` is corrected for all scores of its subject's models and baselines (max-T), ``q`` the
    share of false alarms among those with no larger q; missing for controls and ceilings, which
    nothing is claimed of.

    Parameters
    ----------
    verdicts : dict
        From `pool_subjects`.
    kinds : dict of str to str
        Condition -> model, baseline, control or ceiling. The ceiling of a score is its value in
        the (first) condition of that kind.
    interval, level
        As `interval_of`.
    seed : int
        Breaks ties among permutations, for each line by its own name.

    Returns
    -------
    lines : list of dict
    """
    top = next((condition for condition, kind in kinds.items() if kind == "ceiling"), None)
    lines, corrected = [], corrected_p(verdicts, kinds, seed)
    for (subject, condition), scores in verdicts.items():
        best = verdicts.get((subject, top), {})
        for key, verdict in scores.items():
            space, metric, set_size = key
            low, high = interval_of(verdict, interval, level)
            rng = child_rng(seed, "ties", subject, condition, *map(str, key))
            lines.append(
                {
                    "subject": subject,
                    "condition": condition,
                    "kind": kinds[condition],
                    "metric": metric,
                    "space": space,
                    "set_size": set_size,
                    "value": verdict.value,
                    "lo": low,
                    "hi": high,
                    "n": verdict.n,
                    "chance": verdict.chance,
                    "p": p_of(verdict, rng),
                    "p_max": corrected.get((subject, condition, key), np.nan),
                    "ceiling": best[key].value if key in best else np.nan,
                    "better": verdict.better,
                    "summary": verdict.summary,
                }
            )
    return with_q(lines)


def corrected_p(verdicts, kinds, seed=0):
    """Correct p for each subject's family, {(subject, condition, key): p}; see `max_t`."""
    found = {}
    for subject in dict.fromkeys(subject for subject, _ in verdicts):
        family = {
            (subject, condition, key): (verdict.value, verdict.null, verdict.better)
            for (whose, condition), scores in verdicts.items()
            if whose == subject and kinds[condition] in CLAIMED
            for key, verdict in scores.items()
        }
        found |= max_t(family, child_rng(seed, "ties", subject, "max-T"))
    return found


def with_q(lines):
    """Add ``q`` to lines, over the family of each subject's claimed scores."""
    for subject in dict.fromkeys(line["subject"] for line in lines):
        own = [line for line in lines if line["subject"] == subject]
        p = [line["p"] if line["kind"] in CLAIMED else np.nan for line in own]
        for line, q in zip(own, fdr(p), strict=True):
            line["q"] = float(q)
    return lines


def differences(verdicts, pairs, panels, n_units, keep=lambda key: True):
    """Judge pairs of conditions, for every subject and pooled.

    Parameters
    ----------
    verdicts : dict
        Subjects' lines, as for `pool_subjects`.
    pairs : list of (str, str)
        Conditions a and b, for a minus b.
    panels : dict of str to Panel
    n_units : int
        Number of test stimuli of the study.
    keep : callable (key) -> bool
        Which scores are compared.

    Returns
    -------
    judged : dict
        ``{(subject, (a, b)): {key: Verdict}}``, the pooled ones included.
    """
    judged = {}
    for subject in panels:
        for pair in pairs:
            a, b = (verdicts.get((subject, condition), {}) for condition in pair)
            judged[subject, pair] = {
                key: difference(a[key], b[key], panels[subject])
                for key in a
                if key in b and keep(key)
            }
    return pool_subjects(judged, n_units) if judged else {}


def comparison_lines(judged, interval="wilson", level=0.95, seed=0, margin=None):
    """Say of every difference: its size, interval, n and two-sided p; see `metric_lines`.

    With a `margin` in units of the score, ``p_equivalent`` is of the claim that a difference of
    means is within ± margin; NaN without one, and for medians.
    """
    lines = []
    for (subject, (a, b)), scores in judged.items():
        for key, verdict in scores.items():
            low, high = interval_of(verdict, interval, level)
            rng = child_rng(seed, "ties", subject, a, b, *map(str, key))
            lines.append(
                {
                    "subject": subject,
                    "metric": key[1],
                    "a": a,
                    "b": b,
                    "difference": verdict.value,
                    "lo": low,
                    "hi": high,
                    "n": verdict.n,
                    "p": p_of_difference(verdict, rng),
                    "p_equivalent": _p_equivalent(verdict, margin),
                    "space": key[0],
                    "better": verdict.better,
                }
            )
    return lines


def _p_equivalent(verdict, margin):
    if margin is None or verdict.summary != "mean" or verdict.n < 2:
        return np.nan
    return equivalent(verdict.value, verdict.draws, verdict.n, margin).p
