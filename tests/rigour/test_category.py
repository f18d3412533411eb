"""A category study keeps what each condition earned, row by row and pair by pair."""

import numpy as np
import pytest

from neurodecode.rigour.category import CategoryStudy

N_CLASSES, N_RUNS = 6, 5
LABELS = np.tile(np.arange(N_CLASSES), N_RUNS)
RUNS = np.repeat([f"run-{r}" for r in range(N_RUNS)], N_CLASSES)


def score_given(labels, train, test):
    """Two candidates: blind, and one that reads the labels it is given."""
    return np.stack([np.zeros((len(test), N_CLASSES)), np.eye(N_CLASSES)[labels[test]]])


@pytest.fixture
def study():
    made = CategoryStudy(LABELS, RUNS, N_CLASSES)
    score = lambda train, test: score_given(LABELS, train, test)
    made.name_blocks({"model": score}, 200, lambda: np.random.default_rng(0))
    return made


def test_inner_folds_choose_the_candidate_that_sees(study):
    assert set(study.chosen["model"].values()) == {1}
    assert (study.row_values("model")["accuracy"] == 1).all()
    assert (study.row_values("model")["rank"] == 0).all()
    assert (study.confusion("model") == N_RUNS * np.eye(N_CLASSES)).all()


def test_labels_dealt_to_predictions_are_at_chance(study):
    null = study.null["model", "accuracy"]
    assert len(null) == 200 and abs(null.mean() - 1 / N_CLASSES) < 0.02
    assert abs(study.null["model", "rank"].mean() - 2.5) < 0.1


def test_a_refit_starts_from_the_dealt_labels(study):
    study.refit("model", score_given, 4, np.random.default_rng(1))
    assert study.null["model", "accuracy"].tolist() == [1.0] * 4  # it reads what it is given
    assert study.null["model", "rank"].tolist() == [0.0] * 4


def test_unseen_pairs_are_judged_with_names_permuted(study):
    names = np.random.default_rng(2).standard_normal((N_CLASSES, 3))

    # weights that reproduce each row's own name from the other two classes as well as they can
    def weigh(train, test):
        seen = np.unique(LABELS[train])
        weights = np.zeros((1, len(test), N_CLASSES))
        basis = names[seen] - names[seen].mean(axis=0)
        around = names[LABELS[test]] - names[seen].mean(axis=0)
        weights[0][:, seen] = around @ np.linalg.pinv(basis) + 1 / len(seen)
        return weights

    orders = np.stack([np.random.default_rng(i).permutation(N_CLASSES) for i in range(300)])
    study.tell_unseen(weigh, {"model": names}, orders)
    judged = study.judged("model", 100, lambda: np.random.default_rng(3))
    assert judged["zero_shot"].value > 0.7 and judged["zero_shot"].n == 15
    assert abs(study.null["model", "zero_shot"].mean() - 0.5) < 0.06
    of_rows = study.row_values("model")["zero_shot"]
    assert np.isclose(of_rows.mean(), judged["zero_shot"].value)


def test_conditions_share_their_draws(study):
    twin = lambda train, test: score_given(LABELS, train, test)
    study.name_blocks({"twin": twin}, 10, lambda: np.random.default_rng(9))
    judge = lambda name: study.judged(name, 50, lambda: np.random.default_rng(4))["accuracy"]
    assert (judge("model").draws == judge("twin").draws).all()
