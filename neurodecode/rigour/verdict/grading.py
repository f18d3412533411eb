"""Grade what a decoder read from a brain: nothing, low-level features, the category, the picture.

Three hypotheses are tested in this order by two-way matching (`matching`):

* decoded: predictions match their pictures among all test pictures. Null: pictures dealt anew;
* category: after low-level features are taken out (`residuals`), a prediction is nearer to the mean
  of the other pictures of its category than to those of other categories. Null: as above;
* within-category: after category and low-level features are taken out, a prediction is nearer to
  its own picture than to others of its category. Null: pictures dealt anew inside categories.

A level is reached if its test and all before it pass. The order is fixed, so that each is held to
`alpha` and the chance of any level too high is still at most `alpha`.

"within-category" also asks for `ENOUGH_TRAINING` training pictures. What low-level features
foretell is learned from them, and what was not learned stays behind and looks like content: of 14
simulated brains that carried low-level features and category alone, 9 passed that test with 50
training pictures, 3 with 150, 1 with 400.

References
----------
.. [1] Benjamin, D. J. et al. (2018). Redefine statistical significance. Nat. Hum. Behav. 2.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.verdict.matching import among_all, judged, not_judged, similarity
from neurodecode.rigour.verdict.pictures import ENOUGH_TRAINING, Pictures
from neurodecode.rigour.verdict.regression import centred
from neurodecode.rigour.verdict.words import reasons_for

LEVELS = ("none", "low-level", "category", "within-category")
TESTS = ("decoded", "category", "within-category")  # of the levels above "none"
ALPHA = 0.005  # a verdict is quoted without its p: the stricter convention of Benjamin et al. [1]_


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
        name value lo hi p n chance, in the order of the levels. "category, all" and
        "within-category, all" are before low-level features are taken out: they decide nothing.
    """

    level: str
    reasons: list
    tests: list


def grade(
    predicted, truth, categories, low_level, train=None, n_permutations=5000, alpha=ALPHA, *, rng
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
        (truth, low_level) or (truth, low_level, categories) of training pictures, or of any others
        like them, from which it is learned what low-level features foretell of the truth. Without
        categories, a picture counts to that whose mean embedding is nearest. With fewer than 400
        "within-category" is not claimed. None: low-level features are not taken out, and nothing
        above "low-level" can be shown.
    n_permutations : int
        Also the number of bootstrap draws.
    alpha : float
        Significance of each test.
    rng : numpy.random.Generator

    Returns
    -------
    Grade

    Raises
    ------
    ValueError
        Where shapes do not fit, a number is not finite, there are fewer than 4 pictures, or so few
        permutations that no p-value could reach `alpha`.
    """
    pictures = Pictures.of(truth, categories, low_level, train, rng=rng)
    return grade_on(pictures, predicted, n_permutations, alpha, rng=rng)


def grade_on(pictures, predicted, n_permutations=5000, alpha=ALPHA, *, rng):
    """As `grade`, of pictures that are described once for many decoders or subjects."""
    predicted = pictures.checked(predicted)
    if (n_permutations + 1) * alpha < 1:
        raise ValueError(
            f"{n_permutations} permutations give no p-value below {1 / (n_permutations + 1):.2g}, "
            f"alpha is {alpha:g}: draw {int(np.ceil(1 / alpha)) - 1} or more"
        )
    tests = [_decoded(predicted, pictures.truth, n_permutations, rng)]
    for comparison in pictures.comparisons:
        tests += _compared(predicted, comparison, n_permutations, rng)
    level = reached({test["name"]: test["p"] for test in tests}, alpha, pictures.n_train)
    return Grade(level, reasons_for(level, tests, pictures, alpha), tests)


def reached(p, alpha, n_train):
    """The highest level whose test, and all before it, pass; `p` maps tests to p-values."""
    level = LEVELS[0]
    for name, above in zip(TESTS, LEVELS[1:], strict=True):
        if not p.get(name, 1.0) <= alpha:
            break
        level = above
    return level if n_train >= ENOUGH_TRAINING else min(level, "category", key=LEVELS.index)


def _decoded(predicted, truth, n_permutations, rng):
    one = np.zeros(len(truth), dtype=int)
    table = _table(predicted, truth, one, among_all)
    return judged(TESTS[0], table, one, n_permutations, rng)


def _compared(predicted, comparison, n_permutations, rng):
    """Lines of one comparison: of all that is predicted, and beyond low-level features."""
    names = (f"{comparison.name}, all", comparison.name)
    if comparison.impossible:
        return [not_judged(name, len(comparison.rows)) for name in names]
    predicted = predicted[:, comparison.rows]
    pairs = [(predicted, comparison.truth)]
    if comparison.residuals is not None:
        left = [comparison.residuals.predicted_left(p) for p in predicted]
        pairs.append((left, comparison.residuals.truth_left))
    dealt = comparison.dealt_inside
    tables = [_table(*pair, dealt, comparison.share) for pair in pairs]
    both = zip(names, tables, strict=False)  # without residuals there is the first only
    return [judged(name, table, dealt, n_permutations, rng) for name, table in both]


def _table(predicted, truth, groups, share):
    """Two-way matching of what differs inside groups, averaged over subjects."""
    truth = centred(truth, groups)
    return np.mean([share(similarity(centred(p, groups), truth)) for p in predicted], axis=0)
