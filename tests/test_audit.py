"""`neurodecode audit`: anybody's tables, scored beside chance and controls; mistakes by number."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from neurodecode import cli
from neurodecode.core.errors import ConfigError
from neurodecode.data.predictions import read_labels, read_predictions
from neurodecode.metrics.identification import TwoWay
from neurodecode.metrics.retrieval import Retrieval
from neurodecode.rigour.battery import Checks, Stimuli, judge_embeddings
from neurodecode.rigour.controls import oracle_two_way
from neurodecode.stages.audit_files import audit_files
from tests.docs.blocks import DOCS, commands, run, write_files

IDS = [f"pic{i:02d}" for i in range(20)]
CATEGORY = np.repeat(["a", "b"], 10)
QUICK = {"n_bootstrap": 50, "n_permutations": 199}


def table(values, **columns):
    made = pd.DataFrame(values, columns=[f"d{i}" for i in range(values.shape[1])])
    return made.assign(**{"stimulus_id": IDS, **columns})


@pytest.fixture
def files(tmp_path, monkeypatch):
    """``predicted.tsv`` and ``true.tsv`` of a good decoder, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(20, 8))
    table(truth, category=CATEGORY).to_csv("true.tsv", sep="\t", index=False)
    predicted = table(truth + 0.5 * rng.normal(size=(20, 8)))
    predicted.to_csv("predicted.tsv", sep="\t", index=False)
    return SimpleNamespace(truth=truth, predicted=predicted, folder=tmp_path)


def audited(**options):
    """What is printed and written, without the checks of other modules."""
    asked = {"predictions": "predicted.tsv", "truth": "true.tsv"} | QUICK | options
    said = audit_files(None, **asked)
    folder = asked.get("out", "audit")
    with open(f"{folder}/figures.json", encoding="utf-8") as file:
        return said, json.load(file)


def values(figures, condition="model", subject="all"):
    return {
        (line["metric"], line["set_size"]): line["value"]
        for line in figures["metrics"]
        if (line["condition"], line["subject"]) == (condition, subject)
    }


def test_the_document_prints_what_it_shows(tmp_path):
    assert write_files("audit.md", tmp_path) == ["make_tables.py"]
    said = [run(words, tmp_path) for words in commands("audit.md")]
    assert [done.returncode for done in said] == [0, 0], said[-1].stderr
    shown = (DOCS / "audit.md").read_text().split("```\naudit of")[1].split("```")[0]
    for line in filter(None, f"audit of{shown}".splitlines()):
        assert line in said[-1].stdout, line
    assert (tmp_path / "audit" / "audit.html").is_file()
    oracle = oracle_two_way(40, 4)
    assert f"{oracle:.3f}" in shown, "the oracle of the document is the closed form"


def test_scores_are_those_of_the_metrics_themselves(files):
    _, figures = audited()
    predicted = files.predicted.filter(like="d").drop(columns="stimulus_id").to_numpy()
    found = values(figures)
    for metric in (Retrieval(), TwoWay()):
        for score in metric(files.truth, predicted):
            mean = getattr(np, score.summary)(np.diagonal(score.values))
            assert found[score.name, score.set_size] == pytest.approx(mean, abs=1e-6)


def test_a_collapsed_decoder_scores_chance(files):
    table(np.ones((20, 8))).to_csv("flat.tsv", sep="\t", index=False)
    _, figures = audited(predictions="flat.tsv")
    for line in figures["metrics"]:
        if line["metric"].endswith("_compat"):
            assert line["value"] == 0, "all are tied, and ties lose as published"
        else:
            assert line["value"] == pytest.approx(line["chance"]), line["metric"]
    assert all(line["p"] > 0.001 for line in figures["metrics"])


def test_the_category_oracle_stands_beside_the_score(files):
    said, figures = audited(category="category")
    oracle = {o["metric"]: o["value"] for o in figures["oracle"]}
    assert oracle["two_way_embedding"] == pytest.approx(oracle_two_way(20, 2))
    assert "category oracle" in said and f"{oracle_two_way(20, 2):.3f}" in said
    pd.DataFrame({"stimulus_id": IDS[::-1], "kind": CATEGORY[::-1]}).to_csv(
        "kinds.csv", index=False
    )
    assert audited(categories="kinds.csv")[1]["oracle"] == figures["oracle"]
    assert "category oracle" not in audited()[0]


def test_the_order_and_the_format_of_the_files_do_not_matter(files, monkeypatch):
    _, expected = audited()
    shuffled = files.predicted.sample(frac=1, random_state=1)
    numbers = shuffled.drop(columns="stimulus_id").to_numpy()
    ids = shuffled["stimulus_id"].to_numpy(str)
    shuffled.to_csv("p.csv", index=False)
    shuffled.to_parquet("p.parquet")
    pd.DataFrame({"stimulus_id": ids, "embedding": list(numbers)}).to_parquet("lists.parquet")
    np.savez("p.npz", embeddings=numbers, ids=ids)
    np.save("p.npy", numbers)
    pd.DataFrame({"stimulus_id": ids}).to_csv("p.tsv", sep="\t", index=False)
    for name in ("p.csv", "p.parquet", "lists.parquet", "p.npz", "p.npy"):
        found = values(audited(predictions=name)[1])
        assert found == pytest.approx(values(expected)), name


def test_trials_of_a_stimulus_are_its_rows_and_subjects_are_averaged(files):
    rng = np.random.default_rng(1)
    parts = []
    for subject in ("sub-01", "sub-02"):
        for repeat in (0, 1):
            noisy = files.truth + rng.normal(size=(20, 8))
            trials = [f"{i}_{repeat}" for i in IDS]
            parts.append(table(noisy, subject=subject, trial_id=trials))
    pd.concat(parts).to_csv("trials.tsv", sep="\t", index=False)
    said, figures = audited(predictions="trials.tsv")
    assert "80 rows of 2 subjects, 20 stimuli" in said
    each = [values(figures, subject=s) for s in ("sub-01", "sub-02")]
    pooled = values(figures)
    assert pooled["two_way_embedding", None] == pytest.approx(
        np.mean([v["two_way_embedding", None] for v in each])
    )
    assert {line["n"] for line in figures["metrics"]} == {20}
    assert ("image_to_brain_top1", 20) not in pooled, "a picture with two rows has no single answer"


def test_controls_are_compared_row_by_row(files):
    rng = np.random.default_rng(2)
    table(rng.normal(size=(20, 8))).to_csv("prior.tsv", sep="\t", index=False)
    said, figures = audited(prior="prior.tsv", ceiling="true.tsv")
    lines = {(c["metric"], c["b"]): c for c in figures["comparisons"] if c["subject"] == "all"}
    gap = lines["two_way_embedding", "prior_only"]
    model, prior = values(figures), values(figures, "prior_only")
    key = ("two_way_embedding", None)
    assert gap["difference"] == pytest.approx(model[key] - prior[key]) and gap["lo"] > 0
    assert values(figures, "true_features")[key] == 1.0
    assert {line["ceiling"] for line in figures["metrics"] if line["metric"] == key[0]} == {1.0}
    assert "minus prior only" in said
    page = (files.folder / "audit" / "audit.html").read_text()
    assert "Against the controls" in page and "true features" in page
    assert pd.read_csv("audit/comparisons.tsv", sep="\t")["b"].nunique() == 2


def test_the_page_asks_nobody(files):
    audited(category="category")
    page = (files.folder / "audit" / "audit.html").read_text()
    assert "two-way, predicted embedding" in page and "category oracle" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page) and "<script" not in page


def graded(predicted, truth, categories, low_level, *, n_permutations, rng):
    """A stand-in for the grader that tells what it was given."""
    given = [None if v is None else list(np.shape(v)) for v in (categories, low_level)]
    test = {"name": "decoded", "p": float(rng.random()), "n": n_permutations}
    reasons = [f"{np.shape(predicted)} {np.shape(truth)}", str(given)]
    return SimpleNamespace(level="category", reasons=reasons, tests=[test])


def collapsed(predicted, truth, train):
    span = float(np.abs(predicted - truth).max())
    return {
        "n_train": len(train), "dim": truth.shape[1], "rank_truth": 8.0, "rank_predicted": 2.0,
        "out_of_span_truth": 0.5, "out_of_span_predicted": span, "collapsed": True,
    }  # fmt: skip


def attributed(model, prior, ceiling, counts, better):
    ratio = lambda weights: (weights @ (model - prior)) / (weights @ (ceiling - prior))
    return ratio(np.ones(len(model))), ratio(counts)


FAKES = Checks(graded, collapsed, attributed)


def test_verdict_collapse_and_attributable_score_get_what_they_need(files):
    rng = np.random.default_rng(3)
    table(rng.normal(size=(20, 8))).to_csv("prior.tsv", sep="\t", index=False)
    table(rng.normal(size=(20, 3))).to_csv("low.tsv", sep="\t", index=False)
    train = table(rng.normal(size=(20, 8))).assign(stimulus_id=[f"t{i}" for i in range(20)])
    train.to_csv("train.tsv", sep="\t", index=False)
    twice = pd.concat([files.predicted.assign(trial_id=[f"{i}{r}" for i in IDS]) for r in "xy"])
    twice.to_csv("twice.tsv", sep="\t", index=False)
    prior = pd.concat([table(np.zeros((20, 8)), trial_id=[f"{i}{r}" for i in IDS]) for r in "xy"])
    prior.to_csv("prior2.tsv", sep="\t", index=False)
    best = pd.concat([table(files.truth, trial_id=[f"{i}{r}" for i in IDS]) for r in "xy"])
    best.to_csv("best2.tsv", sep="\t", index=False)
    options = {"prior": "prior2.tsv", "ceiling": "best2.tsv", "low_level": "low.tsv"}
    said = audit_files(FAKES, predictions="twice.tsv", truth="true.tsv", category="category",
                       train="train.tsv", **options, **QUICK)  # fmt: skip
    figures = json.loads((files.folder / "audit" / "figures.json").read_text())
    verdict = figures["verdict"]["predictions"]
    assert verdict["level"] == "category" and verdict["tests"][0]["n"] == 199
    assert verdict["reasons"] == ["(20, 8) (20, 8)", "[[20], [20, 3]]"], "a row a stimulus"
    assert figures["collapse"][0]["out_of_span_predicted"] == pytest.approx(
        np.abs(files.predicted.drop(columns="stimulus_id").to_numpy() - files.truth).max(), rel=1e-6
    )
    line = next(a for a in figures["attributable"] if a["metric"] == "two_way_embedding")
    model, chance = values(figures)["two_way_embedding", None], 0.5
    assert line["value"] == pytest.approx((model - chance) / (1 - chance))
    assert line["lo"] <= line["value"] <= line["hi"]
    assert figures["not_computed"] == []
    assert "verdict: category\n    (20, 8)" in said and "predictions have collapsed" in said
    assert f"brain-attributable, two_way_embedding: {line['value']:.3f}" in said
    page = (files.folder / "audit" / "audit.html").read_text()
    assert "What the brain adds" in page and "Dimensions" in page


def test_subjects_who_saw_the_same_are_graded_together():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(6, 4))
    stimuli = Stimuli(np.array(IDS[:6]), {"pooled": truth})
    predicted = {s: {"model": {"pooled": truth + rng.normal(size=(6, 4))}} for s in ("one", "two")}
    seen = dict.fromkeys(predicted, IDS[:6])
    found = judge_embeddings(predicted, seen, stimuli, [TwoWay()], 20, 199, checks=FAKES)
    assert list(found["verdict"]) == ["all", "one", "two"]
    assert found["verdict"]["all"]["reasons"][0] == "(2, 6, 4) (6, 4)"
    seen["two"] = IDS[:5]
    predicted["two"]["model"]["pooled"] = predicted["two"]["model"]["pooled"][:5]
    found = judge_embeddings(predicted, seen, stimuli, [TwoWay()], 20, 199, checks=FAKES)
    assert list(found["verdict"]) == ["one", "two"]


def test_what_is_not_computed_is_listed_with_its_reason(files):
    said, figures = audited()
    assert "verdict: " in said and "not computed: collapse: give train=" in said
    assert dict(figures["not_computed"])["brain-attributable score"] == "give prior= and ceiling="


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Folders of true and of reconstructed pictures, half as large."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    for name in ("true", "made"):
        (tmp_path / name).mkdir()
    for number in range(6):
        picture = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        picture.resize((32, 32)).save(f"true/pic{number}.png")
        picture.resize((16, 16)).save(f"made/pic{number}.png")
    return tmp_path


def test_folders_of_pictures_are_scored_as_pictures(pictures):
    said, figures = audited(predictions="made", truth="true")
    found = values(figures)
    assert found["pixcorr", None] > 0.9 and found["ssim", None] > 0.5
    assert {line["p"] for line in figures["metrics"] if line["subject"] == "all"} <= {0.005, 0.01}
    reasons = dict(figures["not_computed"])
    assert "it takes embeddings" in reasons["retrieval"] and "it takes" in reasons["verdict"]
    with pytest.raises(ValueError, match="are pictures and truth=.* embeddings"):
        table(np.ones((20, 2))).to_csv("true.tsv", sep="\t", index=False)
        audited(predictions="made")


def broken(files, change, name="bad.tsv"):
    made = change(files.predicted.copy())
    made.to_csv(name, sep="\t", index=False)
    return name


def of_first(frame, **columns):
    for name, value in columns.items():
        frame.loc[0, name] = value
    return frame


MISTAKES = {
    "unknown": (
        lambda f: of_first(f, stimulus_id="other"),
        r"1 of 20 predicted stimuli are not in truth=true.tsv: other",
    ),
    "missing": (lambda f: f.iloc[6:], r"6 stimuli of truth=.* have no prediction: .* and 3 more"),
    "double": (
        lambda f: of_first(f, stimulus_id="pic07"),
        r"1 ids stand there more than once as stimulus_id: pic07; several trials",
    ),
    "nan": (lambda f: of_first(f, d3=np.nan), r"1 of 20 rows hold NaN or infinite numbers: pic00"),
    "dims": (lambda f: f.drop(columns="d7"), r"has 7 dimensions, truth=true.tsv 8 dimensions"),
    "no numbers": (lambda f: f[["stimulus_id"]], r"no numeric columns"),
    "no ids": (lambda f: f.drop(columns="stimulus_id"), r"no stimulus_id, which says"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_tables_that_do_not_fit_are_told_by_number_and_example(files, mistake):
    change, words = MISTAKES[mistake]
    with pytest.raises(ValueError, match=words):
        audited(predictions=broken(files, change))


def test_one_stimulus_is_too_few(files):
    for name in ("predicted", "true"):
        pd.read_csv(f"{name}.tsv", sep="\t").iloc[:1].to_csv(f"{name}1.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match="one stimulus only"):
        audited(predictions="predicted1.tsv", truth="true1.tsv")


def test_other_files_that_do_not_fit_are_told(files):
    pd.concat([pd.read_csv("true.tsv", sep="\t")] * 2).to_csv("twice.tsv", sep="\t", index=False)
    table(np.ones((20, 3))).to_csv("narrow.tsv", sep="\t", index=False)
    files.predicted.iloc[3:].to_csv("fewer.tsv", sep="\t", index=False)
    (files.folder / "x.pkl").write_text("")
    (files.folder / "empty").mkdir()
    np.savez("objects.npz", embeddings=np.ones((1, 2)), ids=np.array([{}], dtype=object))
    np.savez("unnamed.npz", np.ones((1, 2)))
    np.save("alone.npy", np.ones((1, 2)))
    mistakes = [
        ({"truth": "twice.tsv"}, "20 ids stand there more than once"),
        ({"truth": "nowhere.tsv"}, "truth=nowhere.tsv: there is no such file"),
        ({"predictions": "x.pkl"}, r"expected .tsv, .csv, .parquet, .npz, .npy, or a folder"),
        ({"predictions": "empty"}, "no picture in it"),
        ({"predictions": "objects.npz"}, "ids.npy holds Python objects"),
        ({"predictions": "unnamed.npz"}, "no array 'embeddings'; it has arr_0"),
        ({"predictions": "alone.npy"}, r"ids are sought in alone.tsv, which is not there"),
        ({"prior": "narrow.tsv"}, "3 dimensions, truth=true.tsv 8"),
        ({"ceiling": "fewer.tsv"}, r"ceiling=fewer.tsv lacks the rows of .*: 3, pic00, pic01"),
        ({"low_level": "fewer.tsv"}, "low_level=fewer.tsv lacks 3 stimuli"),
        ({"train": "true.tsv"}, "20 training stimuli are tested as well"),
        ({"category": "colour"}, r"has no such column of text \(category\)"),
        ({"categories": "predicted.tsv"}, "say which column"),
        ({"n_bootstrap": 0}, "audit.n_bootstrap"),
        ({"predicted": "x"}, "did you mean predictions"),
        ({"truth": None}, "give truth=FILE"),
    ]
    for options, words in mistakes:
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            audited(**options)


def test_mistakes_are_exit_code_two_and_one_message(files, capsys):
    assert cli.main(["audit", "predictions=predicted.tsv"]) == 2
    assert cli.main(["audit", "predictions=predicted.tsv", "truth=gone.tsv"]) == 2
    told = capsys.readouterr().err
    assert "give truth=FILE" in told and "there is no such file" in told
    assert "Traceback" not in told


def test_labels_are_read_by_stimulus_and_may_not_be_empty(files):
    pd.DataFrame({"stimulus_id": ["01", "02"], "kind": ["a", "b"]}).to_csv("k.csv", index=False)
    assert read_labels("k.csv", "categories") == {"01": "a", "02": "b"}
    pd.DataFrame({"stimulus_id": ["01", "02"], "kind": ["a", ""]}).to_csv("k.csv", index=False)
    with pytest.raises(ValueError, match="kind is empty for some"):
        read_labels("k.csv", "categories")
    with pytest.raises(ValueError, match="no column 'hue'; it has kind"):
        read_labels("k.csv", "categories", "hue")
    with pytest.raises(FileNotFoundError, match="categories=gone.tsv"):
        read_labels("gone.tsv", "categories")


def test_ids_of_digits_stay_text(files):
    made = files.predicted.assign(stimulus_id=[f"{i:03d}" for i in range(20)])
    made.to_csv("digits.csv", index=False)
    assert read_predictions("digits.csv", "predictions").stimulus_ids[7] == "007"


def test_an_option_that_is_not_known_is_named():
    with pytest.raises(ConfigError, match="audit.colour: there is no such key"):
        audit_files(predictions="x", truth="y", colour="red")
