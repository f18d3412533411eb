"""The page says what the stage audit found out, first of all the level that was reached."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.store import Artifact, describe
from neurodecode.core.views import View
from neurodecode.report import trials as report_trials
from neurodecode.report.notices import opened
from neurodecode.report.tables import every_number, score_table
from neurodecode.report.verdict import LEVELS, figures, verdict
from neurodecode.report.words import condition_colours, metric_words
from neurodecode.stages.report import run
from tests.report.conftest import draw
from tests.report.study import fabricate


@pytest.fixture(scope="module")
def view(audited):
    return View(run, audited[0], None, audited[1], {"preprocess": ("responses.npy",)})


@pytest.fixture(scope="module")
def html(audited_report):
    return (audited_report / "report.html").read_text(encoding="utf-8")


def changed(study, folder, stage, name, document):
    """The study with one document of a stage replaced."""
    artifact = study[0][stage]
    shutil.copytree(artifact.folder, folder)
    (folder / name).write_text(json.dumps(document), encoding="utf-8")
    manifest = artifact.manifest | {"files": describe(folder)}
    return study[0] | {stage: Artifact(folder, manifest)}, study[1]


def section(html, anchor):
    return html.partition(f'<section id="{anchor}">')[2].partition("</section>")[0]


def text(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_level_stands_before_every_number(html):
    header = html.partition("<header>")[2].partition("</header>")[0]
    assert "Level reached: within-category" in text(header)
    assert text(header).index("Level reached") < text(header).index("the decoder beats")
    assert "These 2 subjects only: fewer than 8" in text(header)


@pytest.mark.parametrize("level", LEVELS)
def test_each_subject_has_its_own_level_and_steps(audited, tmp_path, level):
    about = {"level": level, "reasons": ["why"], "tests": []}
    subjects = {"sub-01": about, "sub-02": about | {"level": "none"}, "all": about}
    told = {"category": "shape", "subjects": subjects}
    artifacts, records = changed(audited, tmp_path / "audit", "audit", "verdict.json", told)
    found = verdict(View(run, artifacts, None, records))
    assert [s["name"] for s in found["subjects"]] == ["all", "sub-01", "sub-02"]
    assert found["level"] == level and found["subjects"][2]["place"] == 0
    assert found["subjects"][1]["place"] == list(LEVELS).index(level)


def test_of_whom_the_numbers_speak_is_said_in_the_words_of_the_intervals(view, html):
    from neurodecode.rigour.hierarchical import generalises_to

    header = text(html.partition("<header>")[2].partition("</header>")[0])
    assert generalises_to(2) in header.replace("These 2", "these 2")


def test_an_unknown_level_is_refused(audited, tmp_path):
    told = {"subjects": {"sub-01": {"level": "genuine"}}}
    artifacts, records = changed(audited, tmp_path / "audit", "audit", "verdict.json", told)
    with pytest.raises(ValueError, match="'genuine', not one of none, low-level"):
        verdict(View(run, artifacts, None, records))


def test_without_an_audit_the_comparisons_speak_alone(report):
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "Level reached" not in html and 'class="verdict"' in html
    for anchor in ("brain-share", "sets", "ceilings"):
        assert f'<section id="{anchor}">' not in html


def test_headline_figures_stand_beside_chance_ceiling_and_n(view):
    first, *_, share, sets = figures(view)
    metrics = view.table("evaluate", "metrics.tsv")
    mine = metrics[(metrics["condition"] == "model") & (metrics["subject"] == "all")]
    row = mine[mine["metric"] == "brain_to_image_top1"].iloc[0]
    assert float(first["value"]) == round(row["value"], 2)
    assert [name for name, _ in first["beside"]] == ["chance", "n"]
    assert share["value"] == ".81" and sets["value"].endswith("of 24")


def test_a_leak_that_was_allowed_marks_the_page(html, report):
    header = text(html.partition("<header>")[2].partition("</header>")[0])
    assert "Leaks between training and test were allowed" in header
    assert "near-duplicate of a training picture: scene0001 and scene0099" in header
    assert "were allowed" not in (report / "report.html").read_text(encoding="utf-8")


def test_openings_of_the_test_set_are_told(view, html):
    told = opened(view)
    assert told.startswith("The test set was opened 4 times: predict 2, evaluate 1, audit 1")
    assert told in text(html)


def test_conditions_of_a_kind_stand_together_and_the_ceiling_beside_every_row(view):
    metrics = view.table("evaluate", "metrics.tsv")
    table = score_table(metrics, "all", condition_colours(list(metrics["condition"].unique())))
    assert [kind for kind, _ in table["spans"]] == [
        "decoder", "baselines", "controls", "references", "ceiling",
    ]  # fmt: skip
    assert dict(table["spans"])["controls"] == 6
    lines = {line["label"]: line for group in table["groups"] for line in group["rows"]}
    best = metrics[(metrics["condition"] == "true_features") & (metrics["subject"] == "all")]
    value = best.set_index("metric")["value"]["pixcorr"]
    assert lines["pixel correlation"]["ceiling"] == f"{value:.2f}".lstrip("0")


def test_corrected_p_values_are_columns_of_the_full_table(view):
    metrics = view.table("evaluate", "metrics.tsv")
    heads, rows = every_number(metrics)
    place = {head: i for i, head in enumerate(heads)}
    model = next(r for r in rows if r[place["condition"]] == "decoder")
    control = next(r for r in rows if r[place["kind"]] == "control")
    assert model[place["p, max-T"]] == ".002" and model[place["q, FDR"]] == "< .001"
    assert control[place["p, max-T"]] == control[place["q, FDR"]] == "–"


def test_rows_as_published_are_marked_and_missing_weights_named(html):
    assert metric_words("two_way_embedding_compat")[0] == (
        "two-way, predicted embedding, as published: ties lose"
    )
    scores = html.partition('<section id="scores">')[2].partition("</section>")[0]
    assert scores.count('class="tag"') >= 3
    assert "not computed: weights missing" in text(scores)


def test_every_table_lies_beside_the_page_at_full_precision(audited, audited_report):
    saved = pd.read_csv(audited_report / "tables" / "attributable.csv")
    truth = pd.read_csv(audited[0]["audit"].path("attributable.tsv"), sep="\t")
    assert np.array_equal(saved["value"], truth["value"], equal_nan=True)
    names = {p.name for p in (audited_report / "tables").iterdir()}
    assert {"metrics.csv", "comparisons.csv", "bottleneck.csv", "candidate_sets.csv",
            "ceilings.csv", "collapse.csv"} <= names  # fmt: skip


def test_every_figure_is_there_as_png_and_svg(audited_report):
    names = [p.stem for p in (audited_report / "figures").glob("*.png")]
    assert len(names) > 8
    for name in names:
        svg = (audited_report / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert "<svg" in svg[:600]


def trials_of(html):
    return json.loads(html.partition('id="trial-data">')[2].partition("</script>")[0])


def test_trials_carry_rank_nearest_set_and_flag(audited, html):
    data = trials_of(html)
    audit = pd.read_parquet(audited[0]["audit"].path("rows.parquet"))
    assert len(data["trials"]) == len(audit) == 48
    assert [t["k"] for t in data["trials"]] == audit["set_size"].tolist()
    assert [t["a"] for t in data["trials"]] == audit["abstain"].astype(int).tolist()
    assert data["categories"] == ["disc", "ring", "star"]
    for one in data["trials"]:
        assert len(one["near"]) == 5 and 1 <= one["rank" if "rank" in one else "r"] <= 24
        assert (one["near"][0][0] == one["o"]) == (one["r"] == 1)


def test_a_trial_of_a_stimulus_shown_too_seldom_has_no_set(audited):
    table = pd.read_parquet(audited[0]["audit"].path("rows.parquet"))
    table = table.astype({"set_size": "Int64", "in_set": "boolean"})
    table.loc[0, ["set_size", "in_set"]], table.loc[0, "p_prior"] = pd.NA, np.nan
    trials = object.__new__(report_trials._Trials)
    trials._audited = report_trials._by_row(table)
    without, other = (trials._audit(*table.loc[i, ["subject", "row_id"]]) for i in (0, 1))
    assert set(without) == {"a"} and other["k"] == table["set_size"][1]


def test_ranks_are_those_of_an_independent_count(audited, html):
    first = trials_of(html)["trials"][:24]
    truth = np.load(audited[0]["embed"].path("pooled.npy"))[:24].astype(float)
    predicted = np.load(audited[0]["predict"]["sub-01"].path("model/pooled.npy")).astype(float)
    unit = predicted / np.linalg.norm(predicted, axis=1, keepdims=True)
    similarity = unit @ truth.T
    ranks = 1 + (similarity > np.diag(similarity)[:, None]).sum(axis=1)
    assert [t["r"] for t in first] == ranks.tolist()


def test_each_picture_is_in_the_trials_once(html):
    data = trials_of(html)
    assert len(data["pictures"]) == len(set(data["pictures"]))
    used = {p for t in data["trials"] for p in [t["o"], t["m"], *(n for n, _ in t["near"])]}
    used |= {p for t in data["trials"] for _, places in t.get("d", []) for p in places}
    assert used == set(range(len(data["pictures"])))


def test_recovery_is_what_the_audit_wrote(audited, audited_report, html):
    saved = pd.read_csv(audited_report / "tables" / "recovery.csv")
    truth = pd.read_csv(audited[0]["audit"].path("recovery.tsv"), sep="\t")
    pd.testing.assert_frame_equal(saved, truth)
    said = text(section(html, "recovery"))
    for line in ("sub-01 decoder 18 25 .72 .31 24", "sub-02 ridge 12 25 .48 .31 24"):
        assert line in said


def test_ceilings_say_in_words_of_what_they_are(html):
    said = text(section(html, "ceilings"))
    assert "all channels response 1 ratio of sums .42 [.36, .49] 24" in said
    assert "decoder decoding, no trial noise ∞ ratio of sums" in said


def test_long_tables_stand_in_tabs_by_subject(html):
    for anchor, name, subjects in (
        ("brain-share", "attributable", 3),
        ("ceilings", "ceilings", 2),
    ):
        part = section(html, anchor)
        assert part.count(f'name="{name}"') == part.count('class="pane"') == subjects


def test_what_was_not_computed_is_named_in_short_with_a_reason(html):
    said = text(section(html, "scores"))
    assert "AlexNet (2) and (5), two-way not computed: weights missing" in said
    assert "METEOR not computed: WordNet missing: get it" in said


def test_knees_stand_beside_chance_and_n(html):
    said = text(section(html, "brain-share"))
    assert "sub-01 ridge 12.1 [9.4, 15.2] .95 .00 24" in said
    assert "bottleneck_sub-01_top1.svg" in section(html, "brain-share")


@pytest.fixture(scope="module")
def null_report(audited, tmp_path_factory):
    """The report of the same study with permuted training labels."""
    train = audited[0]["train"]
    config = train.manifest["config"] | {"permutation": 3}
    artifacts = audited[0] | {"train": Artifact(train.folder, train.manifest | {"config": config})}
    return draw(tmp_path_factory.mktemp("null") / "out", artifacts, audited[1])


def test_a_run_with_permuted_labels_claims_nothing(null_report, html):
    page = (null_report / "report.html").read_text(encoding="utf-8")
    header = text(page.partition("<header>")[2].partition("</header>")[0])
    banner = "Labels permuted: this run is a draw of the null, no decoder."
    assert header.index(banner) < header.index("Level that this draw of the null reached")
    assert (
        "Level reached" not in header and "Pictures of one category are told apart." not in header
    )
    assert "Labels permuted, a draw of the null: In" in header
    assert "Labels permuted" not in html
    card = json.loads((null_report / "score_card.json").read_text(encoding="utf-8"))
    assert card["headline"]["sentence"].startswith("Labels permuted")


def test_the_methods_paragraph_names_what_ran(html):
    paste = text(html.partition('id="methods-text"')[2].partition("</pre>")[0])
    for said in ("2 subjects", "Procrustes", "hash a1b2c3d4a1b2", "Leaks were allowed",
                 "maximum statistic", "false discovery rate", "Test trials were opened 4 times",
                 "these 2 subjects only", "neurodecode 0.1.0"):  # fmt: skip
        assert said in paste, said


def test_references_are_whole_bibtex_entries_of_what_ran(html, report):
    entries = lambda page: re.findall(
        r"@\w+\{(\w+),", page.partition('id="bibtex"')[2].partition("</pre>")[0]
    )
    keys = entries(html)
    assert len(keys) == len(set(keys))
    assert {"neurodecode", "mayo2024", "nichols2002", "benjamini1995", "haxby2011"} <= set(keys)
    assert "nichols2002" not in entries((report / "report.html").read_text(encoding="utf-8"))
    bib = html.partition('id="bibtex"')[2].partition("</pre>")[0]
    assert bib.count("{") == bib.count("}")


@pytest.mark.slow
def test_a_thousand_natural_pictures_take_less_than_twenty_megabytes(tmp_path):
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos, rng = load_sample_images().images, np.random.default_rng(0)

    def crop():
        photo, edge = photos[rng.integers(2)], rng.integers(100, 400)
        y, x = (rng.integers(0, n - edge) for n in photo.shape[:2])
        return np.asarray(Image.fromarray(photo[y : y + edge, x : x + edge]).resize((128, 128)))

    pictures = np.stack([crop() for _ in range(1000)])
    size = {"n_test": 1000, "n_subjects": 2, "n_gallery": 20, "audited": True}
    out = draw(tmp_path / "out", *fabricate(tmp_path / "study", pictures=pictures, **size))
    page = out / "report.html"
    assert page.stat().st_size < 20e6
    data = trials_of(page.read_text(encoding="utf-8"))
    assert len(data["trials"]) == 2000
    assert sum("d" in t for t in data["trials"]) == 200, "all samples for a hundred trials each"
