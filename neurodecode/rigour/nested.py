"""Choose a pipeline by inner folds, test it on outer ones: leave one run out, twice over."""

import numpy as np

FEWEST_RUNS = 3  # one is held out, two must remain to choose by


def nested_scores(score, labels, runs):
    """Score every row by a pipeline that was chosen without its run.

    For each held-out run, every candidate is tried on the remaining runs, each left out in turn;
    the most accurate one is fitted to all of them and scores the held-out run.

    Parameters
    ----------
    score : callable (train, test) -> ndarray, shape (n_candidates, n_test, n_classes)
        Fits all candidates to the rows `train` and scores the rows `test`; higher is likelier.
    labels : ndarray of int, shape (n_rows,)
        Class of each row, a column of the scores.
    runs : array, shape (n_rows,)

    Returns
    -------
    scores : ndarray, shape (n_rows, n_classes)
    chosen : dict
        Number of the candidate chosen for each run.

    Raises
    ------
    ValueError
        If there are fewer than three runs: one is held out, two must remain to choose by.
    """
    runs = np.asarray(runs)
    names = list(dict.fromkeys(runs))
    if len(names) < FEWEST_RUNS:
        raise ValueError(f"nested folds need {FEWEST_RUNS} runs, there are {len(names)}: {names}")
    scores, chosen = None, {}
    for name in names:
        train, test = np.flatnonzero(runs != name), np.flatnonzero(runs == name)
        chosen[name] = choose(score, labels, runs, train)
        held_out = score(train, test)[chosen[name]]
        scores = np.full((len(runs), held_out.shape[1]), np.nan) if scores is None else scores
        scores[test] = held_out
    return scores, chosen


def choose(score, labels, runs, rows):
    """Choose a candidate by leaving one run of `rows` out in turn.

    Parameters
    ----------
    score, labels, runs
        As in :func:`nested_scores`.
    rows : ndarray of int
        The rows that may be looked at.

    Returns
    -------
    best : int
        The most accurate candidate; of equal ones that which ranks the true class higher on
        average, and of those the first.
    """
    hits = misplaced = 0.0
    for name in dict.fromkeys(runs[rows]):
        train, test = rows[runs[rows] != name], rows[runs[rows] == name]
        tried = score(train, test)
        hits = hits + top_hits(tried, labels[test]).sum(axis=-1)
        misplaced = misplaced + ranks(tried, labels[test]).sum(axis=-1)
    return int(np.lexsort((misplaced, -hits))[0])


def ranks(scores, labels):
    """How many classes score above the true one, ties counting half.

    Parameters
    ----------
    scores : ndarray, shape (..., n_rows, n_classes)
    labels : ndarray of int, shape (n_rows,)

    Returns
    -------
    rank : ndarray, shape (..., n_rows)
        0 where the true class is alone at the top.
    """
    own = _own(scores, labels)
    return (scores > own).sum(axis=-1) + ((scores == own).sum(axis=-1) - 1) / 2


def top_hits(scores, labels):
    """1 where the true class scores highest, 1/k where k classes share the top, otherwise 0.

    Parameters and shape as in :func:`ranks`.
    """
    own = _own(scores, labels)
    on_top = (scores > own).sum(axis=-1) == 0
    return on_top / (scores == own).sum(axis=-1)


def _own(scores, labels):
    """Score of the true class, shape (..., n_rows, 1)."""
    return np.take_along_axis(
        scores, np.broadcast_to(labels[:, None], (*scores.shape[:-1], 1)), axis=-1
    )
