"""Published networks come in sizes: one number of four holds, and only where there are four."""

import pytest

from neurodecode.cli.compose import composed
from neurodecode.core.errors import ConfigError

FOUR = "++train.model.hidden='${size:16,32,64,128}'"


@pytest.mark.parametrize(
    "size, hidden", [("tiny", 16), ("24gb", 32), ("80gb", 64), ("published", 128)]
)
def test_the_size_chooses_the_number(size, hidden):
    assert composed(["name=t", FOUR, f"size={size}"])["train"]["model"]["hidden"] == hidden


def test_tiny_is_what_is_taken_unasked():
    assert composed(["name=t", FOUR])["train"]["model"]["hidden"] == 16


def test_a_size_that_changes_nothing_is_refused():
    with pytest.raises(ConfigError, match="size=24gb changes nothing here"):
        composed(["name=t", "experiment=demo", "size=24gb"])


def test_a_size_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="expected one of tiny, 24gb, 80gb, published"):
        composed(["name=t", FOUR, "size=huge"])


def test_fewer_numbers_than_sizes_are_refused():
    with pytest.raises(Exception, match="has 2 values: give one each for tiny"):
        composed(["name=t", "++train.model.hidden='${size:16,32}'"])
