"""Ranges stand in signatures: a value outside is refused with its key, before anything runs."""

from dataclasses import dataclass

import pytest

from neurodecode.core.build import check_targets
from neurodecode.core.checks import dataclass_from, typed
from neurodecode.core.errors import ConfigError
from neurodecode.core.ranges import Count, Level, PartShare, Positive, Share


@dataclass(frozen=True)
class Config:
    share: Share = 0.5
    n: Count | None = None


class Target:
    def __init__(self, rate: Positive = 1.0, dropout: PartShare = 0.0):
        self.rate = rate


@pytest.mark.parametrize(
    "annotation, inside, outside, words",
    [
        (Share, (0, 0.5, 1), (-0.1, 1.1), "0 to 1"),
        (PartShare, (0, 0.99), (1, -1), "0 to less than 1"),
        (Level, (0.95,), (0, 1), "more than 0 to less than 1"),
        (Positive, (1e-9, 5), (0, -1), "more than 0"),
        (Count, (1, 7), (0, -3), "1 or more"),
    ],
)
def test_what_lies_inside_passes_and_what_lies_outside_is_named(annotation, inside, outside, words):
    for value in inside:
        assert typed(value, annotation, "key") == value
    for value in outside:
        with pytest.raises(ConfigError, match=f"key: expected {words}, got {value}"):
            typed(value, annotation, "key")


def test_not_a_number_lies_in_no_range():
    with pytest.raises(ConfigError, match="expected 0 to 1, got nan"):
        typed(float("nan"), Share, "key")


def test_types_are_checked_before_ranges_in_stages_and_in_targets():
    assert dataclass_from({"share": 1}, Config, "stage") == Config(share=1.0)
    with pytest.raises(ConfigError, match="stage.share: expected a number, got 'much'"):
        dataclass_from({"share": "much"}, Config, "stage")
    with pytest.raises(ConfigError, match="stage.n: expected 1 or more or null, got 0"):
        dataclass_from({"n": 0}, Config, "stage")
    node = {"_target_": f"{__name__}.Target", "dropout": 1.0}
    with pytest.raises(ConfigError, match="model.dropout: expected 0 to less than 1, got 1"):
        check_targets(node, "model")
