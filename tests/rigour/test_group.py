"""Seeds are no new subjects: what is pooled over what, against scipy and planted truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from neurodecode.rigour.group import (
    between_runs,
    over_subjects,
    own_lines,
    pool_differences,
    pool_scores,
    winners,
)


def scores(values, who, run, subject=None):
    """Lines of one metric and condition: a run's subjects and its pooled line."""
    table = pd.DataFrame({"value": values, "who": who, "run": run})
    table["subject"] = who if subject is None else subject
    pooled = table.groupby("run", sort=False)["value"].mean().reset_index()
    table = pd.concat([table, pooled.assign(subject="all", who="all")], ignore_index=True)
    score = {"metric": "top1", "space": "embedding", "set_size": 50, "condition": "model"}
    return table.assign(**score, kind="model", better="higher", chance=0.02, n=50)


def differences(lines):
    """The same lines as differences between model and shuffled, with intervals of ± .1."""
    lines = lines.rename(columns={"value": "difference"}).assign(a="model", b="shuffled")
    return lines.assign(lo=lines["difference"] - 0.1, hi=lines["difference"] + 0.1)


def test_the_interval_over_subjects_is_that_of_a_t_test():
    values = np.random.default_rng(0).normal(0.4, 0.1, 9)
    names = [f"sub-{i}" for i in range(9)]
    for level in (0.9, 0.95):
        found = over_subjects(values, names, level)
        known = stats.ttest_1samp(values, 0).confidence_interval(level)
        assert np.allclose([found["subjects_lo"], found["subjects_hi"]], known)


def test_the_interval_over_subjects_covers_the_population_mean():
    rng, held = np.random.default_rng(1), 0
    for _ in range(1000):
        truth = rng.normal(0.5, 0.1, 8)  # eight people
        lines = truth[:, None] + rng.normal(0, 0.05, (8, 3))  # in three runs each
        found = over_subjects(lines.ravel(), np.repeat(list("abcdefgh"), 3))
        held += found["subjects_lo"] <= 0.5 <= found["subjects_hi"]
    assert 0.93 <= held / 1000 <= 0.97


def test_more_seeds_of_the_same_subjects_narrow_nothing():
    values, names = list(np.linspace(0.2, 0.6, 8)), list("abcdefgh")
    once, often = over_subjects(values, names), over_subjects(values * 10, names * 10)
    assert once == pytest.approx(often) and once["n_subjects"] == 8


@pytest.mark.parametrize(("n", "pooled"), [(1, False), (3, False), (7, False), (8, True)])
def test_fewer_than_eight_subjects_are_not_pooled(n, pooled):
    found = over_subjects(np.linspace(0.1, 0.3, n), list("abcdefgh")[:n])
    assert np.isfinite(found["subjects_lo"]) == np.isfinite(found["subjects_hi"]) == pooled
    assert found["n_subjects"] == n and np.isfinite(found["subjects_mean"])


def test_spread_between_runs_is_that_of_a_sample():
    values = [0.4, 0.5, 0.75]
    found = between_runs(values)
    assert found["sd"] == pytest.approx(np.std(values, ddof=1))
    assert (found["least"], found["most"], found["n_runs"]) == (0.4, 0.75, 3)
    assert np.isnan(between_runs([0.4])["sd"])


def test_scores_of_seeds_on_the_same_people_keep_the_number_of_people():
    lines = scores([0.2, 0.4, 0.3, 0.5], who=list("abab"), run=["s0", "s0", "s1", "s1"])
    line = pool_scores(lines).iloc[0]
    assert line["values"] == pytest.approx([0.3, 0.4]) and line["mean"] == pytest.approx(0.35)
    assert line["n_runs"] == 2 and line["n_subjects"] == 2 and np.isnan(line["subjects_lo"])


def test_people_spread_over_runs_are_pooled_over_people():
    values = np.linspace(0.2, 0.6, 8) ** 2
    lines = scores(values, who=list("abcdefgh"), run=[f"j{k}" for k in range(8)])
    line = pool_scores(lines).iloc[0]
    known = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (line["subjects_lo"], line["subjects_hi"]) == pytest.approx((known.low, known.high))


def test_people_of_one_name_with_other_recordings_are_other_people():
    lines = scores(
        [0.2, 0.4, 0.9], who=["a 1", "a 2", "a 3"], run=["s0", "s1", "s2"], subject=["a"] * 3
    )
    assert pool_scores(lines).iloc[0]["n_subjects"] == 3


def test_runs_and_subjects_whose_interval_excludes_zero_are_counted():
    lines = differences(
        scores([0.5, 0.05, 0.5, 0.3], who=list("abab"), run=["s0", "s0", "s1", "s1"])
    )
    line = pool_differences(lines).iloc[0]
    assert (line["runs_a"], line["runs_b"]) == (2, 0)
    assert line["subjects_a"] == 1  # b's interval holds zero in the first run
    flipped = lines.assign(difference=-lines["difference"], lo=-lines["hi"], hi=-lines["lo"])
    line = pool_differences(flipped).iloc[0]
    assert (line["runs_a"], line["runs_b"], line["subjects_b"]) == (0, 2, 1)


def test_where_less_is_better_the_lower_one_wins():
    lines = pd.DataFrame({"lo": [1, -3, -1], "hi": [2, -2, 1], "better": "lower"})
    assert list(winners(lines)) == ["b", "a", ""]
    assert list(winners(lines.assign(better="higher"))) == ["a", "b", ""]


def test_a_run_of_one_subject_speaks_for_itself():
    lines = pd.DataFrame({"run": ["x", "y", "y", "y"], "subject": ["a", "a", "b", "all"]})
    assert list(own_lines(lines)) == [True, False, False, True]


def test_the_order_of_runs_changes_no_figure():
    values = np.linspace(0.2, 0.6, 8) ** 2
    lines = scores(values, who=list("abcdefgh"), run=["s0"] * 4 + ["s1"] * 4)
    other = pool_scores(lines.iloc[::-1]).iloc[0]
    line = pool_scores(lines).iloc[0]
    for name in ("mean", "sd", "least", "most", "subjects_mean", "subjects_lo", "subjects_hi"):
        assert line[name] == pytest.approx(other[name])
