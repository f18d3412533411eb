"""The split by hash: published numbers, and what does not change it."""

import numpy as np
import pandas as pd
import pytest

from neurodecode.rigour.splits import HashSplit
from neurodecode.rigour.splits.hashed import hashed, side_of
from tests.golden.rule import golden

GOLDEN = golden("brainmagick_split_hash")


def study(n=400, per_sentence=4):
    ids = [f"word-{i:03d}" for i in range(n)]
    sentences = [f"sentence {i // per_sentence}" for i in range(n)]
    stimuli = pd.DataFrame({"stimulus_id": ids, "partition": "", "sentence": sentences})
    trials = pd.concat(
        pd.DataFrame({"subject": s, "session": "", "run": "run-1", "stimulus_id": ids})
        for s in ("sub-01", "sub-02")
    )
    return trials.reset_index(drop=True), stimuli


def split(rule, shown, seed=0):
    return rule(*shown, np.random.default_rng(seed))


@pytest.mark.parametrize("name", GOLDEN["u"])
def test_numbers_and_sides_agree_with_the_golden_ones(name):
    assert hashed(name, GOLDEN["seed"]) == GOLDEN["u"][name]
    assert side_of(name, GOLDEN["seed"]) == GOLDEN["split"][name]


def test_a_sentence_stands_on_one_side_in_every_subject():
    trials, stimuli = study()
    labels = split(HashSplit(column="sentence"), (trials, stimuli))
    sentence = trials["stimulus_id"].map(stimuli.set_index("stimulus_id")["sentence"])
    assert (pd.Series(labels).groupby(sentence).nunique() == 1).all()
    assert [side_of(s) for s in sentence] == list(labels)
    words = split(HashSplit(), (trials, stimuli))
    assert (pd.Series(words).groupby(sentence).nunique() > 1).any()
    in_trials = trials.assign(sentence=sentence), stimuli.drop(columns="sentence")
    assert list(split(HashSplit(column="sentence"), in_trials)) == list(labels)


def test_neither_seed_nor_other_stimuli_move_a_stimulus():
    trials, stimuli = study()
    labels = split(HashSplit(), (trials, stimuli))
    assert list(split(HashSplit(), (trials, stimuli), seed=5)) == list(labels)
    half = trials["stimulus_id"].isin(stimuli["stimulus_id"][:200])
    fewer = split(HashSplit(), (trials[half].reset_index(drop=True), stimuli[:200]))
    assert list(fewer) == list(labels[half])


def test_another_salt_deals_anew():
    shown = study()
    first, second = (split(HashSplit(salt=salt), shown) for salt in (12, 13))
    assert 0.2 < (first != second).mean() < 0.7


def test_about_the_fractions_asked_are_dealt():
    labels = split(HashSplit(test_fraction=0.4, val_fraction=0.2), study(2000))
    shares = [(labels == side).mean() for side in ("test", "val", "train")]
    assert shares == pytest.approx([0.4, 0.2, 0.4], abs=0.05)  # 4 standard errors of 2000
    none = split(HashSplit(val_fraction=0.0), study())
    assert set(none) == {"train", "test"}


def test_a_side_or_class_without_trials_and_an_unknown_column_are_refused():
    with pytest.raises(ValueError, match="no test trial"):
        split(HashSplit(test_fraction=0.0), study())
    with pytest.raises(ValueError, match="'story' is a column neither"):
        split(HashSplit(column="story"), study())
    trials, stimuli = study()
    with pytest.raises(ValueError, match="needs both train and test"):
        split(HashSplit(class_column="stimulus_id"), (trials, stimuli))
