"""Scores of several runs together: spread between runs, and intervals over subjects.

Runs that differ by their seed on the same recordings are no independent evidence: averaging them
narrows nothing. The interval of a run stays that of its own test stimuli; the spread between runs
stands beside it. Only distinct subjects are drawn from a population: where there are at least
`LEAST_SUBJECTS`, each one's mean over its runs enters Student's t interval, which speaks of other
subjects seeing these stimuli.
"""

import numpy as np

from neurodecode.rigour.hierarchical import LEAST_SUBJECTS
from neurodecode.rigour.results import ALL

SCORE = ["metric", "space", "set_size", "condition"]  # what makes two lines the same score
DIFFERENCE = ["metric", "space", "a", "b"]


def between_runs(values):
    """Mean and spread of one score over runs.

    Parameters
    ----------
    values : array_like, shape (n_runs,)

    Returns
    -------
    spread : dict
        mean, sd (of a sample; NaN for one run), least, most, n_runs.
    """
    values = np.asarray(values, dtype=float)
    sd = values.std(ddof=1) if len(values) > 1 else np.nan
    ends = {"least": values.min(), "most": values.max()}
    return {"mean": values.mean(), "sd": sd, **ends, "n_runs": len(values)}


def over_subjects(values, subjects, level=0.95):
    """Mean over distinct subjects, and Student's t interval where there are enough of them.

    Parameters
    ----------
    values : array_like, shape (n_lines,)
        A subject's score in one run.
    subjects : sequence of str, shape (n_lines,)
        Who; a subject met in several runs is averaged over them first.
    level : float

    Returns
    -------
    pooled : dict
        subjects_mean, subjects_lo, subjects_hi (NaN below `LEAST_SUBJECTS`), n_subjects.
    """
    from scipy.stats import t

    names = list(dict.fromkeys(subjects))
    values, subjects = np.asarray(values, dtype=float), np.asarray(subjects, dtype=str)
    means = np.array([values[subjects == name].mean() for name in names])
    n = len(means)
    low = high = np.nan
    if n >= LEAST_SUBJECTS:
        half = t.ppf((1 + level) / 2, n - 1) * means.std(ddof=1) / np.sqrt(n)
        low, high = means.mean() - half, means.mean() + half
    mean = means.mean() if n else np.nan
    return {"subjects_mean": mean, "subjects_lo": low, "subjects_hi": high, "n_subjects": n}


def pool_scores(lines, level=0.95):
    """One line per score and condition of the runs of one configuration.

    Parameters
    ----------
    lines : DataFrame
        metrics.tsv of all runs, with columns ``run`` and ``who`` (the distinct subject).
    level : float
        Coverage of the intervals over subjects.

    Returns
    -------
    pooled : DataFrame
        `SCORE`, kind, better, the columns of `between_runs` and `over_subjects`, chance (mean over
        runs; chance_least and chance_most), n (test rows of a run, the fewest), values (a list,
        one per run, in order), and lo, hi: the interval of a single run, NaN of several.
    """
    import pandas as pd

    lines, out = lines.assign(own=own_lines(lines)), []
    for key, rows in lines.groupby(SCORE, sort=False, dropna=False):
        whole, single = rows[rows["own"]], rows[rows["subject"] != ALL]
        chance = whole["chance"]
        out.append(
            dict(zip(SCORE, key, strict=True))
            | {"kind": rows["kind"].iloc[0], "better": rows["better"].iloc[0]}
            | between_runs(whole["value"])
            | over_subjects(single["value"], single["who"], level)
            | {"chance": chance.mean(), "chance_least": chance.min(), "chance_most": chance.max()}
            | {"n": int(whole["n"].min()), "values": whole["value"].tolist()}
            | _own_interval(whole)
        )
    return pd.DataFrame(out)


def pool_differences(lines, level=0.95):
    """One line per paired difference of the runs of one configuration.

    Parameters
    ----------
    lines : DataFrame
        comparisons.tsv of all runs, with columns ``run``, ``who`` and ``better``.
    level : float

    Returns
    -------
    pooled : DataFrame
        `DIFFERENCE`, better, the columns of `between_runs` and `over_subjects`; in how many runs
        a is ahead or b is (``runs_a``, ``runs_b``: the run's own interval excludes zero); of how
        many subjects the same is true in every run they are in (``subjects_a``, ``subjects_b``);
        values, lo and hi as of `pool_scores`.
    """
    import pandas as pd

    lines = lines.assign(own=own_lines(lines), winner=winners(lines))
    out = []
    for key, rows in lines.groupby(DIFFERENCE, sort=False, dropna=False):
        whole, single = rows[rows["own"]], rows[rows["subject"] != ALL]
        always = single.groupby("who", sort=False)["winner"].agg(
            lambda won: won.iloc[0] if won.nunique() == 1 else ""
        )
        out.append(
            dict(zip(DIFFERENCE, key, strict=True))
            | {"better": rows["better"].iloc[0]}
            | between_runs(whole["difference"])
            | over_subjects(single["difference"], single["who"], level)
            | {f"runs_{side}": int((whole["winner"] == side).sum()) for side in "ab"}
            | {f"subjects_{side}": int((always == side).sum()) for side in "ab"}
            | {"values": whole["difference"].tolist()}
            | _own_interval(whole)
        )
    return pd.DataFrame(out)


def _own_interval(whole):
    """The interval of a single run; several have none together."""
    one = len(whole) == 1
    return {end: float(whole[end].iloc[0]) if one else np.nan for end in ("lo", "hi")}


def winners(lines):
    """Who wins each difference a - b: "a", "b", or "" where its interval holds zero."""
    up = np.where(lines["better"] == "lower", -1, 1)
    above, below = (lines["lo"] > 0).to_numpy(), (lines["hi"] < 0).to_numpy()
    a, b = np.where(up > 0, above, below), np.where(up > 0, below, above)
    return np.where(a, "a", np.where(b, "b", ""))


def own_lines(lines):
    """Which lines are a run's own: those pooled over its subjects; of a single subject, that one's.

    Parameters
    ----------
    lines : DataFrame
        With columns run and subject.

    Returns
    -------
    own : Series of bool
    """
    pooled = lines["subject"] == ALL
    has_pooled = pooled.groupby(lines["run"]).transform("any")
    return pooled | ~has_pooled
