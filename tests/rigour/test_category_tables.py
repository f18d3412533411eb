"""The tables of a category study say the same thing in different ways."""

import numpy as np
import pandas as pd
import pytest

from neurodecode.rigour import category_tables as tables
from neurodecode.rigour.category import CategoryStudy

CLASSES = ["cat", "face", "house"]
LABELS, RUNS = np.tile(np.arange(3), 4), np.repeat(["a", "b", "c", "d"], 3)
CONDITIONS = [
    {"name": "model", "kind": "model"},
    {"name": "lda", "kind": "baseline"},
    {"name": "svm", "kind": "baseline"},
]


@pytest.fixture
def studies():
    """The model names all rows; lda misses one in sub-01, svm two in both."""
    made = {}
    for subject, misses in (("sub-01", {"model": 0, "lda": 1, "svm": 2}), ("sub-02", {"svm": 2})):
        made[subject] = CategoryStudy(LABELS, RUNS, 3)
        for condition in ("model", "lda", "svm"):
            named = LABELS.copy()
            named[: misses.get(condition, 0)] = 2
            made[subject].scores[condition] = np.eye(3)[named]
    return made


def judged(studies):
    return tables.judge_all(studies, CONDITIONS, 100, lambda s: np.random.default_rng(0))


def rng_of(*names):
    return np.random.default_rng(0)


def test_scores_are_given_for_each_subject_and_pooled(studies):
    table = tables.metrics_table(judged(studies), CONDITIONS, 3, 0.95, rng_of)
    accuracy = table[table["metric"] == "accuracy"].set_index(["condition", "subject"])["value"]
    assert accuracy["lda", "sub-01"] == 11 / 12 and accuracy["lda", "sub-02"] == 1
    assert np.isclose(accuracy["lda", "all"], 23 / 24)
    assert table["chance"].unique().tolist() == [1 / 3, 1.0] and table["p"].isna().all()


def test_mcnemar_counts_the_rows_that_only_one_got_right(studies):
    table = tables.comparison_table(judged(studies), studies, "model", 0.95)
    pooled = table[table["subject"] == "all"].set_index("b")
    assert pooled.loc["svm", ["only_a", "only_b"]].tolist() == [4, 0]
    assert pooled.loc["svm", "p"] == pytest.approx(2 * 0.5**4 - 0.5**4)  # mid-p
    assert pooled.loc["lda", "p"] == pytest.approx(0.5) and np.isclose(
        pooled.loc["lda", "difference"], 1 / 24
    )


def test_the_best_baseline_is_the_most_accurate_and_never_the_model(studies):
    assert tables.best_baseline(judged(studies), CONDITIONS) == "lda"
    assert tables.best_baseline(judged(studies), CONDITIONS[:1]) is None


def test_blocks_list_what_each_condition_named_them(studies):
    trials = pd.DataFrame({"trial_id": [f"t{i}" for i in range(12)]})
    trials["stimulus_id"] = np.array(CLASSES)[LABELS]
    both = dict.fromkeys(studies, trials)
    folds = tables.fold_table(studies, both, CLASSES, "model")
    assert len(folds) == 24 and folds["fold"].tolist() == [*RUNS, *RUNS]
    assert (folds["predicted_svm"] != folds["true"]).sum() == 4
    assert folds["ranking"].str.startswith(tuple(CLASSES)).all()
    blocks = tables.block_table(studies, both)
    wrong = blocks[(blocks["metric"] == "accuracy") & (blocks["value"] == 0)]
    assert sorted(wrong["condition"]) == ["lda", "svm", "svm", "svm", "svm"]
