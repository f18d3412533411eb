"""Attribute accuracy: scikit-learn's, and chance as what mismatched pairs agree on."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from neurodecode.metrics.agreement import AttributeAccuracy
from neurodecode.rigour.controls import mismatched_mean

rng = np.random.default_rng(0)
TRUTH = pd.DataFrame({"shape": rng.choice(list("abc"), 40), "light": rng.choice(list("xy"), 40)})
READ = pd.DataFrame({"shape": rng.choice(list("abc"), 40), "light": TRUTH["light"], "size": "big"})


def scores(truth, read, **options):
    return {s.name: s.values for s in AttributeAccuracy(**options)(truth, read)}


def test_the_diagonal_is_accuracy():
    found = scores(TRUTH, READ)
    assert set(found) == {"attribute_mean", "attribute_shape", "attribute_light"}
    for name in ("shape", "light"):
        theirs = accuracy_score(TRUTH[name], READ[name])
        assert np.diagonal(found[f"attribute_{name}"]).mean() == pytest.approx(theirs)


def test_the_mean_is_the_mean_of_the_attributes():
    found = scores(TRUTH, READ)
    mean = (found["attribute_shape"] + found["attribute_light"]) / 2
    np.testing.assert_allclose(found["attribute_mean"], mean)


def test_one_answer_for_everything_scores_its_own_chance():
    values = scores(TRUTH, READ.assign(shape="a"))["attribute_shape"]
    share = (TRUTH["shape"] == "a").mean()
    assert np.diagonal(values).mean() == pytest.approx(share)
    assert mismatched_mean(values, np.arange(40)) == pytest.approx(share)


def test_attributes_may_be_chosen_and_must_exist():
    assert set(scores(TRUTH, READ, attributes=("light",))) == {"attribute_mean", "attribute_light"}
    with pytest.raises(ValueError, match="colour"):
        scores(TRUTH, READ, attributes=("colour",))


def test_numbers_and_their_text_are_one_class():
    truth, read = pd.DataFrame({"size": [1, 2]}), pd.DataFrame({"size": ["1", "1"]})
    np.testing.assert_array_equal(scores(truth, read)["attribute_size"], [[1, 1], [0, 0]])
