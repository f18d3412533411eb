"""Grade what a decoder read from a brain: nothing, low-level features, the category, the picture.

Three hypotheses are tested by two-way matching (`matching`):

* decoded: predictions match their pictures among all test pictures. Null: pictures dealt anew;
* category: after low-level features are taken out (`residuals`), a prediction is nearer to the
  other pictures of its category than to pictures of other categories;
* within-category: after category and low-level features are taken out, a prediction is nearer to its
  own picture than to others of its category. Null: pictures dealt anew inside categories.

The first is a gate; behind it, the two others are held to `alpha` jointly (Holm). So a brain that
says nothing gets another grade than "none" at most `alpha` of the time, and one that says no more
than low-level features gets a higher grade at most `alpha` of the time.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.verdict.matching import (
    among_all,
    among_others,
    among_own,
    judged,
    not_judged,
    similarity,
)
from neurodecode.rigour.verdict.regression import centred
from neurodecode.rigour.verdict.checks import checked
from neurodecode.rigour.verdict.residuals import residuals
from neurodecode.rigour.verdict.study import FEWEST
from neurodecode.rigour.verdict.words import reasons_for

LEVELS = ("none", "low-level", "category", "within-category")


@dataclass(frozen=True)
class Grade:
    """The verdict on one decoder.

    Parameters
    ----------
    level : str
        One of `LEVELS`.
    reasons : list of str
        Plain sentences.
    tests : list of dict
        name value lo hi p n chance, in the order of the levels. ``category, all`` and
        ``within-category, all`` are before low-level features are taken out: they decide nothing.
    """

    level: str
    reasons: list
    tests: list


def grade(
    predicted, truth, categories, low_level, train=None, n_permutations=1000, alpha=0.05, *, rng
):
    """Name the level that predictions reach, with reasons.

    Parameters
    ----------
    predicted : ndarray, shape (n, dim) or (n_subjects, n, dim)
        Predicted embeddings, one row per test picture (average repeats first). Several subjects who
        saw the same pictures are judged together: each counts alike, the pictures are resampled.
    truth : ndarray, shape (n, dim)
        Embeddings of the pictures.
    categories : sequence of str, shape (n,), or None
        Named by people, or clusters of the embeddings. None: nothing above "low-level" can be
        shown.
    low_level : ndarray, shape (n, n_features), or None
        `metrics.low_level.low_level_features` of the pictures. None: they may explain whatever is
        found, and nothing above "low-level" can be shown.
    train : tuple or None
        (truth, low_level) or (truth, low_level, categories) of training pictures, on which truth is
        regressed. None: on other test pictures, at a loss of power.
    n_permutations : int
        Also the number of bootstrap draws.
    alpha : float
    rng : numpy.random.Generator

    Returns
    -------
    Grade

    Raises
    ------
    ValueError
        Where shapes do not fit, a number is not finite, or there are fewer than 4 pictures.
    """
    predicted, study = checked(predicted, truth, categories, low_level, train, rng)
    tests = [_decoded(predicted, study, n_permutations, rng)]
    if study.groups is not None:
        tests += _category(predicted, study, n_permutations, rng)
        tests += _within(predicted, study, n_permutations, rng)
    level = reached({test["name"]: test["p"] for test in tests}, alpha)
    return Grade(level, reasons_for(level, tests, study, alpha), tests)


def reached(p, alpha):
    """The highest level that the p-values of the tests (by name) allow: Holm's rule behind a gate."""
    if p["decoded"] > alpha:
        return "none"
    level, left = "low-level", sorted((n for n in LEVELS if n in p), key=p.get)
    while left and p[left[0]] <= alpha / len(left):
        level = max(level, left.pop(0), key=LEVELS.index)
    return level


def _decoded(predicted, study, n_permutations, rng):
    one = np.zeros(len(study.truth), dtype=int)
    table = _table(predicted, study.truth, one, among_all)
    return judged("decoded", table, one, n_permutations, rng)


def _category(predicted, study, n_permutations, rng):
    """Matching between categories: of all that is predicted, and beyond low-level features."""
    centres, known = _centres(study)
    rows = np.flatnonzero(known)
    if len(rows) < FEWEST or len(np.unique(study.groups[rows])) < 2:
        return _not_judged("category", len(rows), study)
    part, predicted, centres = study[rows], predicted[:, rows], centres[rows]
    pairs = {"category, all": (predicted, centres)}
    if part.features is not None:
        train = None if part.groups_train is None else _means(part.truth_train, part.groups_train)
        pairs["category"] = residuals(part.features, predicted, centres, train, rng=rng)
    one, share = np.zeros(len(rows), dtype=int), lambda s: among_others(s, part.groups)
    tables = {name: _table(*pair, one, share) for name, pair in pairs.items()}
    return [judged(name, table, one, n_permutations, rng) for name, table in tables.items()]


def _within(predicted, study, n_permutations, rng):
    """Matching within categories: of all that is predicted, and beyond low-level features."""
    rows = np.flatnonzero(np.bincount(study.groups)[study.groups] > 1)
    if len(rows) < FEWEST:
        return _not_judged("within-category", len(rows), study)
    part, predicted = study[rows], predicted[:, rows]
    pairs = {"within-category, all": (predicted, part.truth)}
    if part.features is not None:
        inside = {"groups": part.groups, "groups_train": part.groups_train, "rng": rng}
        left = residuals(part.features, predicted, part.truth, part.truth_train, **inside)
        pairs["within-category"] = left
    share = lambda s: among_own(s, part.groups)
    tables = {name: _table(*pair, part.groups, share) for name, pair in pairs.items()}
    return [judged(n, table, part.groups, n_permutations, rng) for n, table in tables.items()]


def _table(predicted, truth, groups, share):
    """Two-way matching of what differs inside groups, averaged over subjects."""
    truth = centred(truth, groups)
    return np.mean([share(similarity(centred(p, groups), truth)) for p in predicted], axis=0)


def _not_judged(name, n, study):
    names = [f"{name}, all"] + [name] * (study.features is not None)
    return [not_judged(name, n) for name in names]


def _centres(study):
    """The mean embedding of the others of each picture's category, and whether there are any.

    Test pictures and, where their categories are known, training pictures.
    """
    truth, groups = study.truth, study.groups
    if study.groups_train is not None:
        truth = np.concatenate([truth, study.truth_train])
        groups = np.concatenate([groups, study.groups_train])
    n = np.bincount(groups)[study.groups][:, None]
    sums = np.zeros((groups.max() + 1, truth.shape[1]))
    np.add.at(sums, groups, truth)
    return (sums[study.groups] - study.truth) / np.maximum(n - 1, 1), n[:, 0] > 1


def _means(rows, groups):
    return rows - centred(rows, groups)
