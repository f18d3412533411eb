"""Every mistake of the catalogue: one message, exit code 2, no traceback, nothing half-written.

docs/mistakes.md holds the messages as users see them. NEURODECODE_WRITE_DOCS=1 writes it anew.
"""

import logging
import os
import re
from pathlib import Path

import pytest

from neurodecode import cli
from tests.mistakes.catalogue import CATALOGUE, IMPORT

TABLE = Path(__file__).parents[2] / "docs" / "mistakes.md"
HEAD = """\
# Mistakes, and what they are answered

Every line was produced by `tests/mistakes`. Each mistake ends the command with exit code 2 and this
one message, without a traceback; nothing is left half-written, and what was finished is kept.
`STUDY` stands for the folder of the data, `HERE` for that of the run.
"""


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """``said(overrides)``: run the command in a folder of its own; its exit code and message."""

    def run(overrides):
        monkeypatch.chdir(tmp_path)
        own = [f"store={tmp_path / 'store'}", f"hydra.run.dir={tmp_path / 'run'}", "threads=1"]
        own = [
            o for o in own if o.partition("=")[0] not in {g.partition("=")[0] for g in overrides}
        ]
        handlers = logging.getLogger().handlers[:]
        try:
            words = ["run", *overrides, *own, "device=cpu"]
            code = cli.main(overrides if overrides[0] == IMPORT else words)
        finally:
            logging.getLogger().handlers[:] = handlers
        return code, capsys.readouterr().err

    return run


def message(text, folder):
    """The message alone, without what differs from machine to machine."""
    line = next(x for x in text.splitlines() if x.startswith(("error:", "unforeseen")))
    line = line.replace(str(folder / "study"), "STUDY").replace(str(folder), "HERE")
    line = re.sub(r"/[0-9a-f]{20}/[0-9a-f]{12}/", "/…/", line)  # keys
    line = re.sub(r"scratch/[\w-]+", "scratch/…", line)
    return re.sub(r"\b\d+\.\d\d GiB", "0.00 GiB", line).removeprefix("error: ")


def documented():
    """The messages in docs/mistakes.md: ``{(chapter, name): message}``."""
    rows, chapter = {}, ""
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            chapter = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| mistake"):
            name, text = line.strip("| ").split(" | ", 1)
            rows[chapter, name] = text.replace("\\|", "|").strip("`")
    return rows


@pytest.mark.parametrize("mistake", CATALOGUE, ids=lambda m: m.name.replace(" ", "-"))
def test_a_mistake_gets_one_message_that_says_what_to_do(mistake, said, tmp_path):
    with mistake.within(tmp_path):
        code, text = said(mistake.plant(tmp_path))
        check_nothing_is_half_written(tmp_path)
    assert code == 2, text
    assert "Traceback" not in text
    for words in mistake.says:
        assert words in text, f"{words!r} is not in {text!r}"
    assert (
        not list((tmp_path / "store" / "scratch").glob("*")) if (tmp_path / "store").exists() else 1
    )
    for artifact in (tmp_path / "store").glob("*/*/*"):
        beside = artifact.suffix == ".json" or ".work" in artifact.name
        whole = beside or (artifact / "manifest.json").is_file()
        assert whole or artifact.parts[-3] in ("leases", "scratch"), artifact
    told = message(text, tmp_path)
    if os.environ.get("NEURODECODE_WRITE_DOCS"):
        collected[mistake.chapter, mistake.name] = told
    else:
        assert documented().get((mistake.chapter, mistake.name)) == told


def check_nothing_is_half_written(folder):
    """No scratch is left, and every artifact has its manifest."""
    for store in folder.rglob("store"):
        assert not list(store.glob("scratch/*"))
        for artifact in (p for p in store.glob("*/*/*") if p.is_dir() and ".work" not in p.name):
            assert (artifact / "manifest.json").is_file(), artifact


collected = {}


def test_the_table_lists_every_mistake_of_the_catalogue_once():
    if os.environ.get("NEURODECODE_WRITE_DOCS"):
        write_table(collected)
    names = [(m.chapter, m.name) for m in CATALOGUE]
    assert len(set(names)) == len(names)
    assert set(documented()) == set(names)


def write_table(rows):
    """Write docs/mistakes.md."""
    lines, chapters = [HEAD], dict.fromkeys(c for c, _ in rows)
    for chapter in chapters:
        lines += [f"## {chapter}", "", "| mistake | message |", "|---|---|"]
        for (own, name), text in rows.items():
            if own == chapter:
                safe = text.replace("|", "\\|")
                lines.append(f"| {name} | `{safe}` |")
        lines.append("")
    TABLE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
