"""Cross-validated studies: every row is a test row, and every fold is checked before."""

import numpy as np
import pandas as pd
import pytest

from neurodecode.rigour.run_folds import EachRunInTurn


def trials(missing=None):
    rows = [
        {"subject": s, "session": "", "run": f"run-{r}", "stimulus_id": c, "trial_id": f"{s}{r}{c}"}
        for s in ("sub-01", "sub-02")
        for r in range(3)
        for c in ("face", "house")
    ]
    table = pd.DataFrame(rows)
    return table[~table["trial_id"].isin([missing])]


def test_every_row_is_a_test_row():
    labels = EachRunInTurn()(trials(), None, None)
    assert (labels == "test").all() and len(labels) == 12


def test_a_subject_may_lack_a_whole_run_but_no_run_may_lack_a_class():
    table = trials()
    whole = table[~((table["subject"] == "sub-02") & (table["run"] == "run-1"))]
    assert len(EachRunInTurn()(whole, None, None)) == 10
    with pytest.raises(ValueError, match="house.*sub-02"):
        EachRunInTurn()(trials(missing="sub-021house"), None, None)


def test_the_labels_do_not_depend_on_chance():
    a, b = (EachRunInTurn()(trials(), None, np.random.default_rng(i)) for i in range(2))
    assert (a == b).all()


def test_the_column_of_classes_is_the_one_named():
    table = trials().assign(hand=lambda t: np.where(t["run"] == "run-1", "left", "right"))
    assert len(EachRunInTurn()(table, None, None)) == 12
    with pytest.raises(ValueError, match="class 'left' of sub-01"):
        EachRunInTurn("hand")(table, None, None)
