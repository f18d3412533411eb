"""Published quirks that are on mark the page; what authors report stands apart from our scores."""

from types import SimpleNamespace

import pytest

from neurodecode.report import quirks
from neurodecode.report.published import as_published

ABOUT = {
    "system": "Some decoder",
    "row": "both pipelines",
    "n_test": 982,
    "provenance": "from memory of the paper",
    "figures": {"ssim": 0.323},
    "quirks": {"own partner loses its target": "train.loss.compat=true"},
}


class Run:
    """The settings of a run, stage by stage."""

    def __init__(self, **configs):
        self.configs = configs

    def has(self, stage):
        return stage in self.configs

    def members(self, stage):
        return []

    def record(self, stage, each=None):
        return {}

    def manifest(self, stage, each=None):
        return {"stage": stage, "config": self.configs[stage]}


@pytest.mark.parametrize(
    "config, on",
    [
        ({"loss": {"compat": True}}, ["train.loss.compat=true"]),
        ({"loss": {"compat": False}}, []),
        (
            {"compat": {"select_on_test": True, "fit_on_all": False}},
            ["train.compat.select_on_test=true"],
        ),
        ({"target": {"compat": "mindeye2"}}, ["train.target.compat=mindeye2"]),
        ({"selection": "oracle_compat"}, ["train.selection=oracle_compat"]),
        ({"published": {"quirks": {"compat": True}}}, []),
    ],
)
def test_quirks_are_the_options_named_compat_that_are_on(config, on):
    assert quirks.quirks(Run(train=config)) == on


def test_published_forms_of_scores_stand_beside_the_others_and_mark_nothing():
    assert quirks.quirks(Run(evaluate={"metrics": {"two_way": {"compat": True}}})) == []


def test_a_quirk_is_a_banner_of_the_page():
    (banner,) = quirks.notice(Run(train={"loss": {"compat": True}}))
    assert banner["kind"] == "leak" and "not evidence" in banner["title"]
    assert banner["lines"] == ["train.loss.compat=true"]
    assert quirks.notice(Run(train={"loss": {"compat": False}})) == []


def test_the_section_says_what_was_published_and_which_quirks_are_on():
    study = SimpleNamespace(published=ABOUT, inputs=Run(train={"loss": {"compat": True}}))
    html = as_published(study)
    for words in ("Some decoder", "982", "0.323", "from memory of the paper", "on in this run"):
        assert words in html
    assert "no row of the tables above" in html


def test_a_decoder_of_ours_has_no_such_section():
    assert as_published(SimpleNamespace(published=None, inputs=Run())) is None
