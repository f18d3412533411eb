"""docs/api.md: every example on the page does what it says."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from neurodecode import cli
from neurodecode.api.apply import ApplyConfig
from tests.api.small_run import TEST_RUN, table_of

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.fixture
def here(small, tmp_path, monkeypatch):
    """A folder in which the names of the page are there."""
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "first").mkdir()
    state = (small.run / "run.json").read_text()
    (tmp_path / "runs" / "demo" / "first" / "run.json").write_text(state)
    (tmp_path / "new").symlink_to(small.new)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_in_python_run_one_after_the_other(small, here):
    made = small.made["preprocess"]["sub-01"]
    tested = table_of(made, "trials.tsv")["run"] == TEST_RUN
    names = {"responses": np.load(made.folder / "responses.npy")[tested]}
    for block in blocks("python"):
        exec(block, names)
    assert names["ids"].shape == (12, 5) and names["pictures"].shape == (12, 8, 8, 3)
    assert (here / "runs" / "demo" / "first" / "applied-1" / "decoded.html").is_file()
    assert len(names["scores"]) == 5 and min(names["scores"]) > 0.9


def test_the_commands_run(here):
    (lines,) = blocks("bash")
    for line in lines.strip().splitlines():
        command, *given = shlex.split(line)
        assert command == "neurodecode" and cli.main([*given, "threads=1"]) == 0
    assert (here / "decoded" / "decoded.tsv").is_file()


def test_the_page_names_every_option():
    told = set(re.findall(r"`(\w+)`", PAGE))
    assert set(ApplyConfig.__dataclass_fields__) <= told
