"""Numbers as papers print them; metrics in words."""

import pytest

from neurodecode.report.words import (
    condition_colours,
    metric_label,
    metric_words,
    number,
    p_value,
    seconds,
    signed,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4213, ".42"),
        (-0.3, "−.30"),
        (1.0, "1.00"),
        (1200, "1,200"),
        (49.5, "49.5"),
        (-0.001, ".00"),
        (float("nan"), "–"),
    ],
)
def test_numbers_read_as_in_papers(value, text):
    assert number(value) == text


def test_signs_p_values_and_durations():
    assert (signed(0.02), signed(-0.02)) == ("+.02", "−.02")
    assert (p_value(0.0002), p_value(0.03), p_value(0.4)) == ("< .001", ".030", ".40")
    assert (seconds(4.2), seconds(75), seconds(3700)) == ("4.2 s", "1 min 15 s", "1 h 01 min")


def test_retrieval_names_its_set_and_others_do_not():
    assert metric_label("brain_to_image_top1", 300) == "brain → image, top 1 of 300"
    assert metric_label("pixcorr", 300) == "pixel correlation"


def test_an_unknown_metric_speaks_for_itself():
    assert metric_words("my_new_score") == ("my new score", "other", "")


def test_no_two_conditions_share_a_colour():
    names = ["model", "ridge", "shuffled", "logistic", "svm", "lda"]
    assert len(set(condition_colours(names).values())) == len(names)
