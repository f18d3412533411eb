"""Splits: nothing tied lies on two sides, every subject has every side, or it says why not."""

import networkx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodecode.rigour.splits import (
    RunSplit,
    StimulusSplit,
    check_filled,
    count_sides,
    folds_by_run,
    split_hash,
    tied_groups,
)

RUN = ["subject", "session", "run"]


def study(shown):
    """Trials from (subject, run, stimulus) triples."""
    table = pd.DataFrame(shown, columns=["subject", "run", "stimulus_id"], dtype=str)
    ids = [
        f"{s}_{r}_{i:04d}"
        for i, (s, r) in enumerate(zip(table["subject"], table["run"], strict=True))
    ]
    return table.assign(session="", trial_id=ids)


def stimuli_of(trials, test=()):
    ids = sorted(set(trials["stimulus_id"]))
    return pd.DataFrame(
        {"stimulus_id": ids, "partition": ["test" if i in test else "" for i in ids]}
    )


def simple(n_subjects=2, n_runs=20, per_run=5):
    return study(
        [
            (f"sub-{s:02d}", f"run-{r:02d}", f"pic-{r}-{i}")
            for s in range(n_subjects)
            for r in range(n_runs)
            for i in range(per_run)
        ]
    )


def sides_of(trials, labels, columns):
    return trials.assign(split=labels).groupby(columns)["split"].nunique()


@st.composite
def studies(draw):
    """Subjects with runs of stimuli, partly shared, partly repeated in other runs."""
    triples = []
    for subject in range(draw(st.integers(1, 3))):
        shared = draw(st.booleans())
        for run in range(draw(st.integers(4, 12))):
            for i in range(draw(st.integers(1, 4))):
                owner = "" if shared else f"s{subject}-"
                triples.append((f"sub-{subject}", f"run-{run}", f"{owner}pic-{run}-{i}"))
        if draw(st.booleans()):
            triples.append((f"sub-{subject}", "run-1", triples[-1][2]))
    return study(triples)


@given(studies(), st.integers(0, 2**31), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
@settings(max_examples=80, deadline=None)
def test_no_stimulus_and_no_run_on_two_sides(trials, seed, test_fraction, val_fraction):
    rule = StimulusSplit(test_fraction, val_fraction)
    try:
        labels = rule(trials, stimuli_of(trials), np.random.default_rng(seed))
    except ValueError as error:
        assert "stimuli fall into" in str(error)
        return
    assert (sides_of(trials, labels, "stimulus_id") == 1).all()
    assert (sides_of(trials, labels, RUN) == 1).all()
    assert (trials.assign(split=labels).groupby("subject")["split"].nunique() == 3).all()


@given(studies())
@settings(max_examples=50, deadline=None)
def test_groups_are_the_connected_components_of_networkx(trials):
    graph = networkx.Graph()
    for row in trials.itertuples():
        graph.add_edge(row.Index, ("stimulus", row.stimulus_id))
        graph.add_edge(row.Index, ("run", row.subject, row.run))
    group = tied_groups(trials, ("stimulus_id", "run"))
    theirs = networkx.connected_components(graph)
    expected = {frozenset(n for n in c if isinstance(n, int)) for c in theirs}
    assert {frozenset(np.flatnonzero(group == g)) for g in set(group)} == expected


def test_the_frozen_test_set_is_exactly_what_is_tested():
    trials = simple()
    frozen = {f"pic-{r}-{i}" for r in (3, 7) for i in range(5)}
    labels = StimulusSplit()(trials, stimuli_of(trials, frozen), np.random.default_rng(0))
    assert set(trials["stimulus_id"][labels == "test"]) == frozen


def test_a_frozen_test_set_inside_training_runs_is_refused_with_numbers():
    trials = simple()
    stimuli = stimuli_of(trials, {"pic-3-0", "pic-4-0"})
    with pytest.raises(ValueError, match=r"2 of 2 frozen test stimuli .* 16 trials of other"):
        StimulusSplit()(trials, stimuli, np.random.default_rng(0))
    labels = StimulusSplit(ties=("stimulus_id",))(trials, stimuli, np.random.default_rng(0))
    assert set(trials["stimulus_id"][labels == "test"]) == {"pic-3-0", "pic-4-0"}


def test_about_the_fraction_asked_is_taken():
    trials = simple(n_runs=100, per_run=1)
    labels = StimulusSplit(0.2, 0.25)(trials, stimuli_of(trials), np.random.default_rng(0))
    counts = count_sides(trials, labels)["sub-00"]
    assert counts["test"]["stimuli"] == 20 and counts["val"]["stimuli"] == 20
    assert counts["train"] == {"trials": 60, "stimuli": 60, "runs": 60}


def test_subjects_with_stimuli_of_their_own_all_get_every_side():
    trials = pd.concat(
        [
            simple(1, n)
            .replace({"sub-00": f"sub-{n}"})
            .assign(stimulus_id=lambda t, n=n: f"{n}-" + t["stimulus_id"])
            for n in (20, 40)
        ],
        ignore_index=True,
    )
    labels = StimulusSplit()(trials, stimuli_of(trials), np.random.default_rng(0))
    for sides in count_sides(trials, labels).values():
        total = sum(side["stimuli"] for side in sides.values())
        assert 0.05 <= sides["test"]["stimuli"] / total <= 0.2
        assert 0.04 <= sides["val"]["stimuli"] / total <= 0.2


def test_a_stimulus_repeated_in_every_run_makes_a_split_impossible_and_it_says_so():
    trials = study([("sub-01", f"run-{r}", f"pic-{r}-{i}") for r in range(6) for i in range(9)])
    everywhere = study([("sub-01", f"run-{r}", "pic-same") for r in range(6)])
    tied = pd.concat([trials, everywhere], ignore_index=True)
    with pytest.raises(ValueError, match=r"55 stimuli fall into 1 group\(s\)"):
        StimulusSplit()(tied, stimuli_of(tied), np.random.default_rng(0))


def test_groups_too_large_for_the_fraction_say_which_fraction_would_do():
    trials = simple(1, n_runs=4)
    with pytest.raises(ValueError, match=r"Ask test_fraction=0.25"):
        StimulusSplit(0.1)(trials, stimuli_of(trials), np.random.default_rng(0))
    StimulusSplit(0.25, 0.33)(trials, stimuli_of(trials), np.random.default_rng(0))


def test_the_seed_decides_and_no_validation_side_is_a_choice():
    trials, stimuli = simple(), stimuli_of(simple())
    one, same, other = (
        StimulusSplit()(trials, stimuli, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert (one == same).all() and (one != other).any()
    assert "val" not in StimulusSplit(val_fraction=0.0)(trials, stimuli, np.random.default_rng(0))


def test_classes_must_be_on_both_sides_if_asked():
    trials = simple(1).assign(trial_type=lambda t: np.where(t["run"] == "run-00", "rare", "often"))
    rule = StimulusSplit(class_column="trial_type")
    with pytest.raises(ValueError, match="class 'rare' of sub-00"):
        rule(trials, stimuli_of(trials), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_fraction": 1.0}, "test_fraction is 1.0"),
        ({"ties": ("run",)}, "use the rule RunSplit"),
        ({"ties": ("stimulus_id", "day")}, "'day'"),
    ],
)
def test_choices_that_cannot_be_are_refused(options, message):
    trials = simple()
    with pytest.raises(ValueError, match=message):
        StimulusSplit(**options)(trials, stimuli_of(trials), np.random.default_rng(0))


def test_a_subject_without_test_stimuli_is_named():
    trials = simple()
    labels = np.where(trials["subject"] == "sub-00", "train", "test")
    with pytest.raises(ValueError, match="sub-00 has no test trial among its 100"):
        check_filled(trials, labels, ("test",))


def categories(n_runs=4):
    return study([("sub-01", f"run-{r}", c) for r in range(n_runs) for c in ("face", "house")])


def test_runs_are_held_out_by_name():
    labels = RunSplit(("run-3",), ("run-0",))(categories(), None, None)
    assert labels.tolist() == ["val"] * 2 + ["train"] * 4 + ["test"] * 2
    with pytest.raises(ValueError, match="run-9"):
        RunSplit(("run-9",))(categories(), None, None)
    with pytest.raises(ValueError, match="both test and val"):
        RunSplit(("run-1",), ("run-1",))(categories(), None, None)


def test_runs_held_out_by_name_must_hold_every_class_if_asked():
    trials = categories().assign(
        trial_type=lambda t: np.where(t["run"] == "run-3", "rare", "often")
    )
    assert set(RunSplit(("run-3",))(trials, None, None)) == {"train", "test"}
    with pytest.raises(ValueError, match="class 'often' of sub-01"):
        RunSplit(("run-3",), class_column="trial_type")(trials, None, None)


def test_leaving_one_run_out_tests_every_trial_once():
    trials = categories()
    folds = list(folds_by_run(trials, class_column="stimulus_id"))
    assert [name for name, *_ in folds] == [f"run-{r}" for r in range(4)]
    assert sorted(np.concatenate([test for *_, test in folds])) == list(range(8))
    for _, train, test in folds:
        assert not set(trials["run"].iloc[train]) & set(trials["run"].iloc[test])
        assert sorted([*train, *test]) == list(range(8))


def test_one_run_cannot_be_left_out():
    with pytest.raises(ValueError, match="at least 2 runs"):
        list(folds_by_run(categories(1)))


def test_the_hash_knows_who_is_where_and_not_in_which_order():
    ids, labels = ["a", "b", "c"], ["train", "test", "val"]
    assert split_hash(ids, labels) == split_hash(ids[::-1], labels[::-1])
    assert split_hash(ids, labels) != split_hash(ids, ["test", "train", "val"])
