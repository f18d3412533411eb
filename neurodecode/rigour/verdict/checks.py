"""What `grade` asks of its arguments."""

import numpy as np

from neurodecode.rigour.verdict.residuals import Features
from neurodecode.rigour.verdict.study import FEWEST, Study


def checked(predicted, truth, categories, low_level, train, rng):
    """Turn the arguments of `grade` into predictions (n_subjects, n, dim) and a Study."""
    predicted, truth = _numbers("predicted", predicted), _numbers("truth", truth)
    predicted = predicted[None] if predicted.ndim == 2 else predicted
    if predicted.ndim != 3 or truth.ndim != 2 or predicted.shape[1:] != truth.shape:
        raise ValueError(
            f"predicted is {predicted.shape}, truth {truth.shape}: expected (n, dim) or "
            "(n_subjects, n, dim) against (n, dim), row by row the same pictures"
        )
    n, dim = truth.shape
    if n < FEWEST:
        raise ValueError(f"{n} test pictures: a verdict needs at least {FEWEST}")
    low_level = None if low_level is None else _rows("low_level", low_level, n)
    truth_train, low_level_train, categories_train = _training(train, dim, low_level)
    groups, groups_train = _numbered(categories, categories_train, n, truth_train)
    features = None if low_level is None else Features.of(low_level, low_level_train, rng)
    return predicted, Study(truth, groups, features, truth_train, groups_train)


def _training(train, dim, low_level):
    """The three parts of `train`, each None where it is not given."""
    if train is None:
        return None, None, None
    truth, features, categories = (*train, None)[:3]
    truth = _numbers("the truth of train", truth)
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
    values = _numbers(name, values)
    if values.ndim != 2 or len(values) != n:
        raise ValueError(
            f"{name} has shape {values.shape}: expected one row for each of {n} pictures"
        )
    return values


def _numbers(name, values):
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} holds {int((~np.isfinite(values)).sum())} numbers that are not finite"
        )
    return values
