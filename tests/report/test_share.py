"""A report that is passed on holds no identifier, and no picture that nobody may show."""

import re

import pytest

from neurodecode.core.store import Artifact
from neurodecode.report.share import Shared, withheld
from tests.report.conftest import draw
from tests.report.study import fabricate

OPEN = {"licence": "CC BY-SA 3.0"}


@pytest.mark.parametrize(
    "facts, shown",
    [
        ({"licence": "CC0 1.0"}, True),
        ({"licence": "CC BY 4.0"}, True),
        (OPEN, True),
        ({"licence": "CC BY-NC 4.0"}, False),
        ({"licence": "CC BY-ND 4.0"}, False),
        ({"licence": "data use agreement"}, False),
        ({}, False),
        ({"licence": "CC0 1.0", "stimuli": {"licence": "COCO terms, non-commercial"}}, False),
        ({"licence": "own terms", "stimuli": {"licence": "CC BY 4.0"}}, True),
        ({"licence": "own terms", "stimuli": {"show": True}}, True),
        ({"licence": "CC0 1.0", "stimuli": {"show": False}}, False),
        ({"licence": "CC0 1.0", "stimuli": {"train": 1200, "test": 100}}, True),
    ],
)
def test_only_pictures_that_anybody_may_show_are_shown(facts, shown):
    assert (withheld(facts) == "") == shown


def test_an_unknown_licence_says_so():
    assert "not known" in withheld({})


@pytest.fixture(scope="module")
def identified(tmp_path_factory):
    """A study whose artifacts tell who was scanned, where, and on which machine."""
    artifacts, records = fabricate(tmp_path_factory.mktemp("identified"), audited=True)
    recipe = {"name": "world", "facts": "", "subjects": ["sub-01", "sub-02"]}
    config = {"recipe": recipe, "log": "kept at /home/anna/mri/log.txt", "root": "~/mri"}
    index = artifacts["index"]
    artifacts["index"] = Artifact(index.folder, index.manifest | {"config": config})
    records = {key: value | {"host": "annas-laptop"} for key, value in records.items()}
    return artifacts, records


@pytest.fixture(scope="module")
def shared(identified, tmp_path_factory):
    return draw(tmp_path_factory.mktemp("shared") / "out", *identified, share=True)


def test_no_file_of_a_shared_report_names_subject_path_or_host(identified, shared, tmp_path):
    told = re.compile(r"sub-0\d|/home/anna|~/mri|annas-laptop|/nets/clip")
    plain = draw(tmp_path / "plain", *identified)
    assert told.search((plain / "report.html").read_text(encoding="utf-8"))
    files = [p for p in shared.rglob("*") if p.is_file()]
    assert len(files) > 20
    for path in files:
        assert not told.search(path.name), path.name
        if path.suffix in (".html", ".json", ".csv", ".svg"):
            assert not told.search(path.read_text(encoding="utf-8")), path.name


def test_subjects_of_a_shared_report_are_numbered_in_order(shared):
    html = (shared / "report.html").read_text(encoding="utf-8")
    assert "<span>S1</span>" in html and "<span>S2</span>" in html
    assert (shared / "figures" / "brain_S1_ridge_weight_norm.png").is_file()


def test_stimuli_without_a_licence_are_left_out_and_the_page_says_so(shared):
    html = (shared / "report.html").read_text(encoding="utf-8")
    assert "their licence is not known" in html
    assert 'alt="original' not in html and '"o":-1' in html and '"o":0' not in html
    gallery = html.partition('<section id="pictures">')[2].partition("</section>")[0]
    assert "true features" not in gallery and "ridge" in gallery


def test_stimuli_with_an_open_licence_are_shown(identified, tmp_path):
    artifacts, records = identified
    index = artifacts["index"]
    recipe = {"recipe": {"name": "world", "facts": "world"}}
    opened = artifacts | {"index": Artifact(index.folder, index.manifest | {"config": recipe})}
    html = (draw(tmp_path / "out", opened, records, share=True) / "report.html").read_text("utf-8")
    assert 'alt="original' in html and "S1" in html and "sub-01" not in html


def test_a_bare_number_stands_for_a_subject_only_where_it_stands_alone():
    class View:
        def has(self, stage):
            return True

        def json(self, stage, name, each=None):
            return ["1", "2"] if name == "subjects.json" else {"1": {"repeats": "1", "n": "run 1"}}

    found = Shared(View()).json("split", "split.json")
    assert found == {"S1": {"repeats": "1", "n": "run 1"}}
