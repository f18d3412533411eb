"""docs/decoders.md is what conf/ and docs/tables say; every row says what a referee asks."""

import os
import re
from functools import cache

import pytest
import yaml

from neurodecode.cli.compose import composed
from neurodecode.core.build import locate
from tests.scripts import load_script

decoders_page = load_script("decoders_page.py")
FILES = {f.stem: f for f in (decoders_page.ROOT / "conf" / "experiment").glob("*.yaml")}
ROWS = sorted(n for n, f in FILES.items() if "\npublished:" in f.read_text(encoding="utf-8"))
rows = cache(decoders_page.rows)


def test_the_page_is_up_to_date():
    tables = map(decoders_page.read, ("decoders", "training_steps"))
    written = decoders_page.page(rows(), *tables)
    if os.environ.get("NEURODECODE_WRITE_DOCS"):
        decoders_page.PAGE.write_text(written, encoding="utf-8")
    assert decoders_page.PAGE.read_text(encoding="utf-8") == written, (
        "run python scripts/decoders_page.py"
    )


def test_every_row_has_a_block_of_its_own():
    assert list(rows()) == ROWS


@pytest.mark.parametrize("row", ROWS)
def test_a_row_says_all_that_a_referee_asks(row):
    about = rows()[row]["published"]
    assert set(decoders_page.NEEDED) <= set(about), set(decoders_page.NEEDED) - set(about)
    assert about["figures"] == {} or about["provenance"], "figures need to say where they are from"
    assert all(isinstance(value, int | float | None) for value in about["figures"].values())
    named = yaml.safe_load(FILES[row].read_text(encoding="utf-8"))["published"].get("figures", {})
    own = {n for n, value in about["figures"].items() if value is not None}
    assert own <= set(named or own), "figures of the row that it begins from"


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_named_as_its_file_and_looks_at_a_small_simulated_study(row):
    config = rows()[row]
    assert config["name"] == row
    assert config["recipe"]["name"] in ("world_tiny", "world_eeg_tiny")


@pytest.mark.parametrize("row", ROWS)
def test_no_quirk_is_on_unless_asked_and_each_can_be_turned_on(row):
    about = rows()[row]["published"]
    ways = [how for how in map(str, about["quirks"].values()) if re.fullmatch(r"[\w.]+=\S+", how)]
    for how in ways:
        key, _, value = how.partition("=")
        if "." not in key:
            continue  # a choice of a group
        assert "compat" in how, f"{how} stands behind no compat option"
        node = rows()[row]
        for part in key.split("."):
            assert part in node, f"{how}: {row} has no {part}"
            node = node[part]
        assert str(node).lower() != value.lower(), f"{how} is on"
    words = [how for how in map(str, about["quirks"].values()) if how not in ways]
    assert all(len(how.split()) > 1 for how in words), "a quirk says how, or why not"


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_the_published_size_composes_with_the_published_target_and_generator(row):
    about = rows()[row]["published"]
    given = ["recipe.root=/data", "recipe.task=t", *about["at_size"]]
    config = composed([f"experiment={row}", "name=t", "size=published", *given])
    node = (config.get("train") or {}).get("model") or config["classify"]["classifier"]
    assert locate(node["_target_"])
