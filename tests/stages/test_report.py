"""The report stage: sections follow from artifacts, numbers agree with the tables."""

import json
import shutil

import pandas as pd
import pytest

from neurodecode.core.store import Artifact, describe
from tests.report.conftest import draw
from tests.report.study import fabricate, fabricate_categories


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return fabricate(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return draw(tmp_path_factory.mktemp("report") / "out", *study)


@pytest.fixture(scope="module")
def light(study, tmp_path_factory):
    """The same study without its figures, and its page."""
    artifacts = {k: v for k, v in study[0].items() if k not in ("preprocess", "align", "train")}
    out = draw(tmp_path_factory.mktemp("light") / "out", artifacts, study[1])
    return (artifacts, study[1]), text_of(out)


def text_of(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_every_section_of_a_whole_study_is_there(report):
    html = text_of(report)
    for anchor in ("glance", "pictures", "scores", "comparisons", "reader", "brain", "quality",
                   "alignment", "training", "what-ran", "words", "citation"):  # fmt: skip
        assert f'<section id="{anchor}">' in html, anchor


def test_sections_without_artifacts_are_left_out(light, tmp_path):
    artifacts = {k: v for k, v in light[0][0].items() if k != "reconstruct"}
    html = text_of(draw(tmp_path / "out", artifacts, light[0][1]))
    for anchor in ("pictures", "brain", "alignment", "training", "blocks"):
        assert f'<section id="{anchor}">' not in html, anchor
    assert '<section id="scores">' in html


def test_the_score_card_carries_the_tables_unrounded(report, study):
    card = json.loads((report / "score_card.json").read_text(encoding="utf-8"))
    metrics = pd.read_csv(study[0]["evaluate"].path("metrics.tsv"), sep="\t")
    assert [m["value"] for m in card["metrics"]] == metrics["value"].tolist()
    assert card["split"]["hash"] == "a1b2c3d4" * 8
    assert card["seeds"]["split"] == 0 and card["versions"]["numpy"] == "2.4.6"
    assert card["averaging"]["sub-01"]["repeats_averaged"] == {"3": 24}
    assert card["selection"]["uses_truth"] is False


def test_test_openings_are_counted_once_for_each_subject_and_key(report):
    card = json.loads((report / "score_card.json").read_text(encoding="utf-8"))
    assert card["test_openings"] == {"predict": 2, "evaluate": 1}


def test_the_same_study_gives_the_same_bytes(report, study, tmp_path):
    again = draw(tmp_path / "out", *study)
    files = sorted(p.relative_to(report) for p in report.rglob("*") if p.is_file())
    assert any(p.suffix == ".png" for p in files)
    assert all((report / p).read_bytes() == (again / p).read_bytes() for p in files)


OPTIONS = [
    {"title": "My study"},
    {"headline_metric": "pixcorr"},
    {"rank_metric": "pixcorr"},
    {"n_gallery": 3},
    {"published": {"system": "Some decoder"}},
]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: next(iter(option)))
def test_every_option_changes_the_page(light, tmp_path, option):
    assert text_of(draw(tmp_path / "out", *light[0], **option)) != light[1]


def test_the_seed_draws_the_gallery_where_reconstruct_drew_none(tmp_path):
    study = fabricate(tmp_path / "study", n_subjects=1, n_samples=1)
    pages = [text_of(draw(tmp_path / f"out{s}", *study, seed=s, n_gallery=4)) for s in (0, 1)]
    assert pages[0] != pages[1]


def test_a_curve_is_said_to_select_where_it_does(study, tmp_path):
    train, found = study[0]["train"], {}
    folder = shutil.copytree(train.folder, tmp_path / "train")
    history = pd.read_csv(folder / "history.tsv", sep="\t")
    history.assign(name="score").to_csv(folder / "history.tsv", sep="\t", index=False)
    for select in ("best", "last"):
        made = {"config": {"decoder_training": {"select": select}}, "files": describe(folder)}
        artifacts = study[0] | {"train": Artifact(folder, train.manifest | made)}
        html = text_of(draw(tmp_path / select, artifacts, study[1], figures=()))
        found[select] = "decoder: score that selects" in html, "prior: validation score" in html
    assert found == {"best": (True, True), "last": (False, True)}


def test_figures_are_kept_in_the_formats_that_were_asked_for(study, tmp_path):
    kinds = {}
    for asked in (("pdf",), ()):
        out = draw(tmp_path / f"out{len(asked)}", *study, figures=asked)
        kinds[asked] = {p.suffix for p in out.glob("figures/*")}
        assert "data:image/svg+xml" in text_of(out)
    assert kinds == {("pdf",): {".pdf"}, (): set()}


def test_where_the_pictures_lie_changes_no_page_and_without_them_it_has_none(light, tmp_path):
    moved = shutil.copytree(light[0][0]["simulate"].path("bids"), tmp_path / "moved")
    assert text_of(draw(tmp_path / "out", *light[0], root=str(moved))) == light[1]
    bare = text_of(draw(tmp_path / "bare", *light[0], root=str(tmp_path / "nowhere")))
    assert 0 < bare.count("<img") < light[1].count("<img")


def test_the_recipe_gives_the_page_its_name_and_its_facts(light, tmp_path):
    index = light[0][0]["index"]
    pages = {}
    for name, facts in (("quokka", ""), ("quokka", "haxby2001")):
        made = {"recipe": {"name": name, "facts": facts}}
        artifacts = light[0][0] | {
            "index": Artifact(index.folder, index.manifest | {"config": made})
        }
        pages[facts] = text_of(draw(tmp_path / f"out{facts}", artifacts, light[0][1]))
    assert "<title>quokka" in pages[""] and "10.1126/science.1063736" not in pages[""]
    assert "<title>quokka" not in pages["haxby2001"]
    assert "10.1126/science.1063736" in pages["haxby2001"]


def test_pictures_without_attributes_are_ranked_by_pixels(light, tmp_path):
    scores = pd.read_parquet(light[0][0]["evaluate"].path("per_trial.parquet"))
    folder = tmp_path / "evaluate"
    shutil.copytree(light[0][0]["evaluate"].folder, folder)
    scores[scores["metric"] == "pixcorr"].to_parquet(folder / "per_trial.parquet", index=False)
    manifest = light[0][0]["evaluate"].manifest | {"files": describe(folder)}
    artifacts = light[0][0] | {"evaluate": Artifact(folder, manifest)}
    html = text_of(draw(tmp_path / "out", artifacts, light[0][1]))
    assert "worst test pictures by pixel correlation" in html


def test_a_rank_metric_nobody_scored_is_refused(light, tmp_path):
    with pytest.raises(ValueError, match="rank_metric=lpips"):
        draw(tmp_path / "out", *light[0], rank_metric="lpips")


def test_a_study_of_categories_shows_its_blocks_instead_of_reconstructions(tmp_path):
    study = fabricate_categories(tmp_path / "study")
    out = draw(tmp_path / "out", *study, n_gallery=10)
    html = text_of(out)
    for anchor in (
        "glance",
        "blocks",
        "confusions",
        "scores",
        "comparisons",
        "quality",
        "what-ran",
    ):
        assert f'<section id="{anchor}">' in html, anchor
    for anchor in ("pictures", "brain", "training", "reader"):
        assert f'<section id="{anchor}">' not in html, anchor
    folds = study[0]["crossvalidate"].path("folds.tsv")
    hits = pd.read_csv(folds, sep="\t")
    assert html.count('class="tile hit"') <= 10 and (hits["true"] == "face").any()
    assert (
        "The decoder names .78 [.73, .83] of held-out blocks rightly, where chance is .125" in html
    )
    assert "The decoder beats random vectors and nuisance (no brain)" in html
    assert "no difference can be told: +.02" in html


def test_pictures_that_stand_for_categories_count_in_the_key(tmp_path):
    from neurodecode.stages.report import ReportConfig, run

    config = ReportConfig(root=str(tmp_path))
    assert run.external(config) == [] and run.external(ReportConfig()) == []
    for name in ("face/b.png", "face/a.jpg", "house/c.png", "shoe/notes.txt"):
        (tmp_path / "stimuli" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "stimuli" / name).touch()
    (tmp_path / "stimuli" / "of-a-trial.png").touch()  # known by its digest in stimuli.tsv
    shown = [path.relative_to(tmp_path / "stimuli").as_posix() for path in run.external(config)]
    assert shown == ["face/a.jpg", "house/c.png"]


def test_pictures_of_a_category_are_examples_from_the_study(tmp_path):
    from PIL import Image

    for i in range(5):
        path = tmp_path / "bids" / "stimuli" / "face" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (50 * i, 0, 0)).save(path)
    study = fabricate_categories(tmp_path / "study")
    plain = text_of(draw(tmp_path / "out", *study))
    shown = text_of(draw(tmp_path / "out2", *study, root=str(tmp_path / "bids")))
    blocks = lambda html: html.partition('<section id="blocks">')[2].partition("</section>")[0]
    assert blocks(plain).count("<img") == 0 and blocks(shown).count("<img") > 0
