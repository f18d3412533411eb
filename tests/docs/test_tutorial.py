"""docs/your_own_data.md does what it says: its blocks are written, its commands run, in order."""

import json
import re

import pytest

from neurodecode.core.views import read_table
from tests.docs.blocks import DOCS, commands, run, write_files

DOCUMENT = "your_own_data.md"
HERE = ["threads=1", "device=cpu", "hydra.run.dir=run"]
QUICK = {  # what a test shortens of a command
    "experiment=folder": ["evaluate.n_bootstrap=100", "evaluate.n_permutations=100"],
    "experiment=retrieval": ["evaluate.n_bootstrap=100", "evaluate.n_permutations=100"],
    "experiment=folder_categories": [
        "crossvalidate.n_refits=0",
        "crossvalidate.n_bootstrap=50",
        "crossvalidate.n_permutations=50",
        "crossvalidate.n_channels=[null]",
        "crossvalidate.scalings=[zscored]",
    ],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder in which the reader stands, with the files of the document."""
    folder = tmp_path_factory.mktemp("tutorial")
    assert write_files(DOCUMENT, folder) == ["make_study.py", "make_bids.py"]
    for words in commands(DOCUMENT):
        if words[0] == "python":
            done = run(words, folder)
            assert done.returncode == 0, done.stderr
    return folder


def told(study, number):
    """Run one `neurodecode` command of the document, by its place; return what it prints."""
    words = [w for w in commands(DOCUMENT) if w[0] == "neurodecode"][number]
    quick = next(QUICK[w] for w in words if w in QUICK)
    done = run(words, study, *HERE, *quick)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def scores(study):
    found = json.loads((study / "run" / "figures.json").read_text())["metrics"]
    pooled = [line for line in found if line["subject"] == "all"]
    return {(line["condition"], line["metric"]): line["value"] for line in pooled}


def test_every_command_is_run_by_a_test_below():
    ours = [w for w in commands(DOCUMENT) if w[0] == "neurodecode"]
    chosen = [next(w for w in words if w.startswith("experiment=")) for words in ours]
    assert chosen == [
        "experiment=folder",
        "experiment=folder",
        "experiment=folder_categories",
        "experiment=retrieval",
    ]


def test_the_first_look_prints_what_the_document_shows(study):
    said = told(study, 0)
    shown = (DOCS / DOCUMENT).read_text().split("```\n▸ index\n")[1].split("```")[0]
    for line in shown.splitlines():
        line = re.sub(r"correlate .*", "correlate", line.split(" …")[0])
        assert line in said, line


@pytest.mark.slow
def test_a_plain_folder_ends_in_a_report_that_beats_its_controls(study):
    said = told(study, 1)
    assert "report: " in said and (study / "run" / "report.html").is_file()
    found = scores(study)
    two_way = {name: found[name, "two_way_embedding"] for name in ("model", "ridge", "shuffled")}
    assert min(two_way["model"], two_way["ridge"]) > 0.65 > two_way["shuffled"]


@pytest.mark.slow
def test_categories_of_a_plain_folder_are_named_above_chance(study):
    told(study, 2)
    metrics = read_table(study / "run" / "metrics.tsv")
    metrics = metrics.set_index(["subject", "condition", "metric"])
    own = metrics.loc[("all", "model", "accuracy")]
    assert own["lo"] > own["chance"] == 0.25
    assert (study / "run" / "report.html").is_file()


@pytest.mark.slow
def test_the_same_study_as_bids_ends_in_a_report_too(study):
    told(study, 3)
    found = scores(study)
    assert found["model", "two_way_embedding"] > 0.65 > found["shuffled", "two_way_embedding"]
