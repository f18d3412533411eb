"""The reasons of a verdict, in sentences a referee reads."""

import numpy as np

from neurodecode.rigour.verdict.pictures import ENOUGH_TRAINING


def reasons_for(level, tests, pictures, alpha):
    """Say, test by test, what was found and what follows.

    Parameters
    ----------
    level : str
    tests : list of dict
        Lines of results, as in a Grade.
    pictures : Pictures
    alpha : float

    Returns
    -------
    sentences : list of str
    """
    found = {test["name"]: test for test in tests}
    decoded = f"Among all test pictures, matching is {_figures(found['decoded'])}."
    sentences = [_CONCLUSIONS[level], decoded]
    if "category, all" not in found:
        return [*sentences, "No categories were given: content cannot be told from category."]
    sentences += [
        _compared("Between categories", found, "category"),
        _compared("Within category", found, "within-category"),
    ]
    if not pictures.n_train:
        return [*sentences, _NOT_TAKEN_OUT]
    if pictures.n_train < ENOUGH_TRAINING and found["within-category"]["p"] <= alpha:
        sentences.append(
            f"{pictures.n_train} training pictures are too few to learn what low-level features "
            f"foretell: within-category is claimed from {ENOUGH_TRAINING} on."
        )
    elif level == "low-level" and found["within-category"]["p"] <= alpha:
        sentences.append(_OUT_OF_ORDER)
    return [*sentences, _how(pictures, alpha)]


_CONCLUSIONS = {
    "none": "Nothing is read from the brain that could be told from chance.",
    "low-level": "Something is read from the brain, but no more than low-level features of the "
    "pictures can explain.",
    "category": "The category of a picture is read, beyond its low-level features; that pictures "
    "of one category are told apart beyond these is not shown.",
    "within-category": "Pictures of one category are told apart, beyond what their low-level "
    "features can explain.",
}
_NOT_TAKEN_OUT = (
    "Low-level features, of these pictures and of training pictures, were not given: they may "
    "explain all of this, so no level above low-level can be claimed."
)
_OUT_OF_ORDER = (
    "Pictures within a category are told apart although categories are not: low-level features "
    "that the description misses may do this, so the level is not claimed."
)


def _compared(where, found, name):
    before, after = found[f"{name}, all"], found.get(name)
    if np.isnan(before["value"]):
        return f"{where} nothing can be tested: {before['n']} pictures share their category."
    if after is None:
        return f"{where}, matching is {_figures(before)}."
    return (
        f"{where}, after low-level features were taken out, matching is {_figures(after)} "
        f"(before: {before['value']:.2f}, {_p(before['p'])})."
    )


def _how(pictures, alpha):
    return (
        "Low-level features were regressed out of predictions and of true embeddings by kernel "
        f"ridge (truth from {pictures.n_train} training pictures); the tests are made in this "
        f"order, each at {alpha:g}."
    )


def _figures(test):
    return (
        f"{test['value']:.2f} [{test['lo']:.2f}, {test['hi']:.2f}], chance {test['chance']:g}, "
        f"{_p(test['p'])}, n = {test['n']}"
    )


def _p(p):
    return f"p = {p:.3f}" if p >= 0.0005 else f"p = {p:.1g}"
