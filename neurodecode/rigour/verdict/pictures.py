"""What a verdict knows of the test pictures, described once for all decoders and subjects."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from neurodecode.rigour.verdict.matching import among_others, among_own
from neurodecode.rigour.verdict.regression import centred
from neurodecode.rigour.verdict.residuals import Features, Residuals

FEWEST = 4  # pictures that a test needs
ENOUGH_TRAINING = 400  # pictures that "within-category" asks for


@dataclass(frozen=True)
class Comparison:
    """The pictures' side of one test.

    Parameters
    ----------
    name : str
    rows : ndarray of int
        The test pictures that take part.
    truth : ndarray, shape (n_rows, dim)
        What predictions are held against.
    dealt_inside : ndarray of int, shape (n_rows,)
        Groups inside which pictures are dealt anew.
    share : callable (similarity) -> table
        One of the functions of `matching`.
    residuals : Residuals or None
        None where low-level features cannot be taken out, or nothing can be tested.
    impossible : bool
        Too few pictures, or a single category.
    """

    name: str
    rows: np.ndarray
    truth: np.ndarray
    dealt_inside: np.ndarray
    share: Callable
    residuals: Residuals | None
    impossible: bool


@dataclass(frozen=True)
class Pictures:
    """Embeddings of the test pictures, and how the levels are to be told apart.

    Parameters
    ----------
    truth : ndarray, shape (n, dim)
    comparisons : list of Comparison
        Between and within categories; none where there are no categories.
    n_train : int
        Training pictures that the truth is regressed on; 0: low-level features are not taken out.
    """

    truth: np.ndarray
    comparisons: list
    n_train: int

    @classmethod
    def of(cls, truth, categories, low_level, train=None, *, rng):
        """Describe pictures; the arguments are those of `grade`."""
        truth = _rows("truth", truth, len(truth))
        n, dim = truth.shape
        if n < FEWEST:
            raise ValueError(f"{n} test pictures: a verdict needs at least {FEWEST}")
        low_level = None if low_level is None else _rows("low_level", low_level, n)
        truth_train, low_level_train, categories_train = _training(train, dim, low_level)
        if categories is None:
            return cls(truth, [], 0)
        groups, groups_train = _numbered(categories, categories_train, n, truth_train)
        if low_level_train is None:
            known, features = (None, None), None
        else:
            if groups_train is None:
                groups_train = _nearest(truth, groups, truth_train)
            known = (truth_train, groups_train)
            features = Features.of(low_level, low_level_train, rng)
        comparisons = [side(truth, groups, features, *known) for side in (_between, _within)]
        return cls(truth, comparisons, 0 if features is None else len(truth_train))

    def checked(self, predicted):
        """Predictions of these pictures as (n_subjects, n, dim)."""
        predicted = _finite("predicted", predicted)
        predicted = predicted[None] if predicted.ndim == 2 else predicted
        if predicted.ndim != 3 or predicted.shape[1:] != self.truth.shape:
            raise ValueError(
                f"predicted is {predicted.shape}, truth {self.truth.shape}: expected (n, dim) or "
                "(n_subjects, n, dim) against (n, dim), row by row the same pictures"
            )
        return predicted


def _between(truth, groups, features, truth_train, groups_train):
    """Predictions against the mean of the others of a category, among all categories."""
    centres, known = _centres(truth, groups, truth_train, groups_train)
    rows = np.flatnonzero(known)
    impossible = len(rows) < FEWEST or len(np.unique(groups[rows])) < 2
    one, residuals = np.zeros(len(rows), dtype=int), None
    if features is not None and not impossible:
        means = truth_train - centred(truth_train, groups_train)
        residuals = Residuals.fit(features[rows], centres[rows], one, means, None)
    share = partial(among_others, groups=groups[rows])
    return Comparison("category", rows, centres[rows], one, share, residuals, impossible)


def _within(truth, groups, features, truth_train, groups_train):
    """Predictions against their own pictures, inside categories."""
    rows = np.flatnonzero(np.bincount(groups)[groups] > 1)
    impossible, own, residuals = len(rows) < FEWEST, groups[rows], None
    if features is not None and not impossible:
        residuals = Residuals.fit(features[rows], truth[rows], own, truth_train, groups_train)
    share = partial(among_own, groups=own)
    return Comparison("within-category", rows, truth[rows], own, share, residuals, impossible)


def _nearest(truth, groups, truth_train):
    """The category whose mean among test pictures is nearest to each training picture.

    Of categories with two test pictures or more; where there are none, a category of their own.
    """
    names, counts = np.unique(groups, return_counts=True)
    names = names[counts > 1]
    if not len(names):
        return np.full(len(truth_train), groups.max() + 1)
    means = np.stack([truth[groups == name].mean(axis=0) for name in names])
    apart = (means**2).sum(axis=1) - 2 * truth_train @ means.T
    return names[apart.argmin(axis=1)]


def _centres(truth, groups, truth_train, groups_train):
    """The mean embedding of the others of each picture's category, and whether there are any.

    Others are test pictures and, if there are any, training pictures.
    """
    known, of_known = truth, groups
    if groups_train is not None:
        known = np.concatenate([truth, truth_train])
        of_known = np.concatenate([groups, groups_train])
    others = np.bincount(of_known)[groups] - 1
    sums = np.zeros((of_known.max() + 1, truth.shape[1]))
    np.add.at(sums, of_known, known)
    return (sums[groups] - truth) / np.maximum(others, 1)[:, None], others > 0


def _training(train, dim, low_level):
    """The three parts of `train`, each None where it is not given."""
    if train is None:
        return None, None, None
    truth, features, categories = (*train, None)[:3]
    truth = _finite("the truth of train", truth)
    if truth.ndim != 2 or truth.shape[1] != dim:
        raise ValueError(f"the truth of train is {truth.shape}: expected (n_train, {dim})")
    if low_level is None:
        return truth, None, categories
    features = _rows("the low-level features of train", features, len(truth))
    if features.shape[1] != low_level.shape[1]:
        raise ValueError(
            f"train has {features.shape[1]} low-level features, low_level {low_level.shape[1]}: "
            "describe training and test pictures by the same ones"
        )
    return truth, features, categories


def _numbered(categories, categories_train, n, truth_train):
    """Number the categories, the same for test and training pictures."""
    if categories is None:
        return None, None
    names = np.asarray(categories, dtype=str)
    if names.shape != (n,):
        raise ValueError(
            f"categories are {names.shape}: expected one for each of {n} test pictures"
        )
    if categories_train is None:
        return np.unique(names, return_inverse=True)[1], None
    known = np.asarray(categories_train, dtype=str)
    if known.shape != (len(truth_train),):
        raise ValueError(
            f"the categories of train are {known.shape}: expected one for each of its "
            f"{len(truth_train)} pictures"
        )
    number = np.unique(np.concatenate([names, known]), return_inverse=True)[1]
    return number[:n], number[n:]


def _rows(name, values, n):
    values = _finite(name, values)
    if values.ndim != 2 or len(values) != n:
        raise ValueError(
            f"{name} has shape {values.shape}: expected one row for each of {n} pictures"
        )
    return values


def _finite(name, values):
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} holds {int((~np.isfinite(values)).sum())} numbers that are not finite"
        )
    return values
