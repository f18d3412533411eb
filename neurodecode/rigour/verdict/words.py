"""The reasons of a verdict, in sentences a referee reads."""

import numpy as np


def reasons_for(level, tests, study, alpha):
    """Say, test by test, what was found and what follows.

    Parameters
    ----------
    level : str
    tests : list of dict
        Lines of results, as in a Grade.
    study : Study
    alpha : float

    Returns
    -------
    sentences : list of str
    """
    by_name = {test["name"]: test for test in tests}
    sentences = [_CONCLUSIONS[level], _decoded(by_name["decoded"])]
    if study.groups is None:
        return [*sentences, "No categories were given: content cannot be told from category."]
    if study.features is None:
        sentences.append(
            "Low-level features were not given: they may explain all that follows, so that no "
            "level above low-level can be claimed."
        )
    sentences += [_between(by_name), _inside(by_name)]
    if study.features is not None:
        sentences.append(_how(study, alpha))
    return sentences


_CONCLUSIONS = {
    "none": "Nothing is read from the brain that this test could tell from chance.",
    "low-level": "Something is read from the brain, but no more than low-level features of the "
    "pictures can explain.",
    "category": "The category of a picture is read beyond its low-level features; of pictures within "
    "a category, no more than low-level features can explain.",
    "within-category": "Pictures of one category are told apart, beyond what their low-level features "
    "can explain.",
}


def _decoded(test):
    return f"Among all test pictures, matching is {_figures(test)}."


def _between(by_name):
    return _sentence("Between categories", by_name, "category")


def _inside(by_name):
    return _sentence("Within category", by_name, "within-category")


def _sentence(where, by_name, name):
    before, after = by_name[f"{name}, all"], by_name.get(name)
    if np.isnan(before["value"]):
        return f"{where} nothing could be tested: {before['n']} pictures share a category with another."
    if after is None:
        return f"{where}, matching is {_figures(before)}."
    return (
        f"{where}, after low-level features were taken out, matching is {_figures(after)} "
        f"(before: {before['value']:.2f}, p {_p(before['p'])})."
    )


def _how(study, alpha):
    if study.truth_train is None:
        fitted = "other test pictures"
    else:
        fitted = f"{len(study.truth_train)} training pictures"
    return (
        f"Low-level features were regressed out of predictions and of true embeddings (kernel ridge, "
        f"fitted to {fitted} for the truth); the two tests share a significance of {alpha:g} (Holm)."
    )


def _figures(test):
    return (
        f"{test['value']:.2f} [{test['lo']:.2f}, {test['hi']:.2f}], chance {test['chance']:.2g}, "
        f"p {_p(test['p'])}, n = {test['n']}"
    )


def _p(p):
    return f"= {p:.3f}" if p >= 0.0005 else f"= {p:.1g}"
