"""The score card holds what its schema says, and the protocol names what makes scores unlike."""

import copy
import json

import numpy as np
import pytest

from neurodecode.core.store import Artifact, describe, write_json
from neurodecode.core.views import View
from neurodecode.report.protocol import fit_rows, leaks, metric_versions
from neurodecode.report.score_card import SCHEMA, check_score_card, score_card
from neurodecode.stages.report import run
from tests.report.study import fabricate_categories

METRICS = {
    "retrieval": {"_target_": "neurodecode.metrics.retrieval.Retrieval", "top": [1]},
    "pixcorr": {"_target_": "neurodecode.metrics.pixel.PixCorr", "device": "cpu"},
    "off": None,
}
CODE = {"neurodecode.metrics.retrieval": "aaaa", "neurodecode.metrics.score": "bbbb"}


def with_manifest(artifact, **changes):
    return Artifact(artifact.folder, artifact.manifest | changes)


def card_of(artifacts, records):
    made = score_card(View(run, artifacts, None, records), "study")
    return json.loads(json.dumps(made, default=lambda o: o.tolist()))


@pytest.fixture
def artifacts(study):
    """Of the fabricated study, scored by two metrics."""
    scored = study[0]["evaluate"]
    config = scored.manifest["config"] | {"metrics": METRICS, "interval": "bca", "level": 0.9}
    return study[0] | {"evaluate": with_manifest(scored, config=config, code=CODE)}


@pytest.fixture
def card(artifacts, study):
    return card_of(artifacts, study[1])


def test_the_card_is_what_the_schema_says(card):
    check_score_card(card)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert set(card) == set(schema["required"])
    assert set(schema["properties"]) == {*card, "headline"}
    for part, rule in schema["properties"]["protocol"]["properties"].items():
        assert set(rule.get("required", card["protocol"][part])) == set(card["protocol"][part])


def test_the_schema_is_json_schema_with_every_key_explained():
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert schema["$schema"].startswith("https://json-schema.org/")
    common = schema["properties"]["protocol"]["properties"]["common"]["properties"]
    assert all(
        rule.get("description") for rule in [*schema["properties"].values(), *common.values()]
    )


def test_the_schema_and_the_page_name_the_same_keys(card):
    from tests.docs.blocks import DOCS

    text = (DOCS / "score_card.md").read_text(encoding="utf-8")
    names = {*card, *card["protocol"]["common"], *card["protocol"]["embedding"]}
    assert not [n for n in {*names, *card["protocol"]["picture"]} if f"`{n}`" not in text]


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("schema_version",), 7, "schema_version is 7, expected 1"),
        (("subjects",), "sub-01", "subjects is 'sub-01': expected array"),
        (("seeds", "train"), "one", "seeds: train is 'one': expected integer"),
        (("test_openings", "predict"), True, "predict is True: expected integer"),
        (("protocol", "common", "averaging"), "all", "expected one of"),
        (("metrics", 0), {"subject": "all"}, r"metrics\[0\] has no condition, kind"),
        (("protocol", "common"), {}, "common has no recordings, split"),
    ],
)
def test_another_card_is_refused_by_its_key(card, place, value, words):
    broken = copy.deepcopy(card)
    inner = broken
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=words):
        check_score_card(broken, "runs/a/score_card.json")


def test_what_is_no_card_is_refused():
    with pytest.raises(ValueError, match=r"x.json: schema_version is list"):
        check_score_card([], "x.json")


def test_the_protocol_holds_what_the_artifacts_say(card, study):
    common = card["protocol"]["common"]
    assert common["split"] == "a1b2c3d4" * 8 and common["repeats"]["sub-01"] == {"3": 24}
    assert common["test_stimuli"]["sub-01"] == common["test_stimuli"]["sub-02"]
    assert common["test_stimuli"]["sub-01"]["n"] == 24
    assert common["interval"] == {"interval": "bca", "level": 0.9}
    assert common["beta_preparation"] == card["beta_preparation"]
    assert set(common["recordings"]) == {"sub-01", "sub-02"} == set(card["subjects"])
    assert card["protocol"]["picture"]["sample"]["uses_truth"] is False
    assert card["candidates"]["brain_to_image_top1"] == [10, 100]
    assert card["verdict"] is None and card["leaks"]["allowed"] == []


def test_a_metric_has_the_version_of_the_code_that_made_the_scores(artifacts, study):
    def versions(code):
        moved = artifacts | {"evaluate": with_manifest(artifacts["evaluate"], code=code)}
        return metric_versions(View(run, moved, None, study[1]))

    first = versions(CODE)
    assert list(first) == ["retrieval", "pixcorr"]
    assert first["pixcorr"]["options"] == {}, "where it ran is no option of the metric"
    assert first["retrieval"]["space"] == "embedding" and first["retrieval"]["options"] == {
        "top": [1]
    }
    other = versions(
        CODE | {"neurodecode.metrics.retrieval": "cccc", "neurodecode.core.views": "x"}
    )
    assert other["retrieval"]["version"] != first["retrieval"]["version"]
    assert other["pixcorr"] == first["pixcorr"], "its module is the same, and core is no metric"
    both = versions(CODE | {"neurodecode.metrics.score": "cccc"})
    assert all(both[n]["version"] != first[n]["version"] for n in first), "both read score"


def test_a_stage_that_saw_test_rows_before_the_test_was_fitted_on_all(artifacts, study):
    records = dict(study[1])
    saw = [{"stage": "align", "subject": "sub-01"}]
    records["align", None] = records["align", None] | {"test_openings": saw}
    view = View(run, artifacts, None, records)
    assert fit_rows(view, {"preprocess": {"fit_rows": "train"}}) == {
        "preprocess": "train",
        "align": "all",
        "train": "train",
    }
    assert fit_rows(view, {"preprocess": {"fit_rows": "all"}})["preprocess"] == "all"


def test_leaks_that_were_let_pass_and_the_verdict_are_on_the_card(artifacts, study, tmp_path):
    found = {"kind": "stimulus", "n": 2, "sides": ["train", "test"], "examples": [["a", "b"]]}
    named = {
        "split": {"leaks.json": {"checked": {"pairs": 9}, "findings": [found], "allowed": ["run"]}},
        "audit": {"verdict.json": {"subjects": {"all": {"level": "category"}}}},
    }
    named["split"]["split.json"] = json.loads(artifacts["split"].path("split.json").read_text())
    made = artifacts | {
        name: artifact(tmp_path / name, name, files) for name, files in named.items()
    }
    card = card_of(made, study[1])
    check_score_card(card)
    assert card["leaks"]["findings"] == [found] and card["leaks"]["checked"] == {"pairs": 9}
    assert card["protocol"]["common"]["leaks_allowed"] == ["run"]
    assert card["verdict"]["subjects"]["all"]["level"] == "category"
    assert leaks(View(run, {}, None, {}))["findings"] == []


def artifact(folder, stage, documents):
    """An artifact that holds JSON documents."""
    folder.mkdir()
    for name, document in documents.items():
        write_json(folder / name, document)
    blank = {"each": None, "key": stage, "config": {}, "code": {}, "commit": "", "versions": {}}
    return Artifact(folder, blank | {"stage": stage, "hardware": {}, "files": describe(folder)})


def test_a_study_scored_by_folds_has_a_card_too(tmp_path):
    card = card_of(*fabricate_categories(tmp_path / "study"))
    check_score_card(card)
    assert card["protocol"]["common"]["test_stimuli"] is None
    assert list(card["metric_versions"]) == ["crossvalidate"]
    assert np.isfinite([m["value"] for m in card["metrics"]]).all()
