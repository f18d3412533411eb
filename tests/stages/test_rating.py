"""Rating: trials are balanced, the page gives nothing away, answers are checked and judged."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from neurodecode import cli
from neurodecode.core.errors import UserError
from neurodecode.core.finished import FinishedRun
from neurodecode.stages import rating_run
from neurodecode.stages.rating import KEY, make_trials, study_id
from neurodecode.stages.rating_answers import answer_files, read_answers
from tests.report.study import fabricate

PLACES = [(subject, k) for subject in "ab" for k in range(20)]
ROWS = pd.DataFrame(
    [{"subject": s, "row_id": f"{s}_{k}", "stimulus_id": f"pic{k}"} for s, k in PLACES]
)


def trials(n=60, seed=0, conditions=("model", "ridge"), pairs=(("model", "ridge"),)):
    return make_trials(ROWS, conditions, pairs, n, seed)


def test_kinds_and_sides_are_balanced_and_foils_are_other_pictures():
    key = trials()
    assert list(key.columns) == KEY and key["trial"].is_unique
    counts = key.groupby(["kind", "condition"]).size()
    assert counts["identification", "model"] == counts["identification", "ridge"] == 20
    assert counts["preference", "model"] == 20 and counts["catch", "original"] == 6
    for _, block in key.groupby(["kind", "condition"]):
        assert abs((block["answer"] == "left").mean() - 0.5) <= 0.5 / len(block) + 1e-9
    asked = key[key["kind"] == "identification"]
    assert (asked["stimulus_id"] != asked["foil_id"]).all()
    assert asked.groupby("condition")["stimulus_id"].nunique().eq(20).all(), "each picture once"
    assert asked["foil_id"].value_counts().max() <= 4
    for row in asked.itertuples():
        own = getattr(row, row.answer)
        assert own == f"{row.condition}|{row.subject}|{row.row_id}"
    both = key[key["kind"] == "preference"].iloc[0]
    assert {both["left"].split("|", 1)[0], both["right"].split("|", 1)[0]} == {"model", "ridge"}
    assert both["left"].split("|", 1)[1] == both["right"].split("|", 1)[1]


def test_a_seed_gives_the_same_page_and_another_seed_another():
    assert trials().equals(trials()) and study_id(trials()) == study_id(trials())
    assert study_id(trials()) != study_id(trials(seed=1))


@pytest.mark.parametrize(
    "how, message",
    [
        ({"conditions": (), "pairs": ()}, "nothing to rate"),
        ({"n": 2}, "n_trials is 2, for 3 kinds"),
    ],
)
def test_what_cannot_be_asked_is_told(how, message):
    with pytest.raises(UserError, match=message):
        trials(**how)


def answers(key, rater, accuracy, rng, catch=1.0, skip=0):
    """A rater who is right so often, as the page writes it."""
    asked = key[key["kind"] != "practice"].sample(frac=1, random_state=int(rng.integers(99)))
    lines = []
    for position, row in enumerate(asked.iloc[skip:].itertuples(), 1):
        right = rng.random() < (catch if row.kind == "catch" else accuracy)
        wrong = {"left": "right", "right": "left"}[row.answer]
        choice = row.answer if right else wrong
        lines.append([study_id(key), rater, position, row.trial, choice, 900, 0])
    return pd.DataFrame(lines, columns="study rater position trial choice rt_ms changed".split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A fabricated run, in the form that the commands open."""
    folder = tmp_path_factory.mktemp("rated")
    artifacts, _ = fabricate(folder / "study", pictures=None)
    return FinishedRun(folder, {}, artifacts)


@pytest.fixture
def page(finished, tmp_path, monkeypatch):
    """``page(…)``: the folder that `rate` writes of the fabricated run."""
    monkeypatch.setattr(rating_run, "open_run", lambda *_: finished)
    return lambda **how: rating_run.make_page("run", out=tmp_path / "rating", **how)


def key_of(folder):
    return pd.read_csv(folder / "key.tsv", sep="\t", keep_default_na=False)


def test_the_page_is_whole_offline_and_gives_no_answer_away(page):
    folder = page(n_trials=30)
    html = (folder / "rating.html").read_text()
    assert "http" not in html.replace("http-equiv", "") and len(html) < 2_000_000
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.S).group(1))
    key = key_of(folder)
    assert len(data["trials"]) == (key["kind"] != "practice").sum() == 33
    assert {frozenset(t) for t in data["trials"]} == {frozenset("nolr")}
    catch = key.loc[key["kind"] == "catch", "trial"].tolist()
    for trial in data["trials"]:
        if trial["n"] in catch:
            shown = [data["pictures"][trial[k]] for k in "olr"]
            assert shown[0] not in shown[1:], "equal bytes would tell the catch trials"
    for word in ("scene", "ridge", "identification", "original|", "sub-"):
        assert word not in html, word


def test_simulated_raters_are_judged_as_they_are(page, tmp_path):
    folder, rng = page(n_trials=60, conditions="model,ridge", pairs="model:ridge"), None
    rng, key = np.random.default_rng(0), key_of(folder)
    given = tmp_path / "answers"
    given.mkdir()
    for k in range(8):
        answers(key, f"good{k}", 0.8, rng).to_csv(given / f"{k}.csv", index=False)
    answers(key, "blind", 0.5, rng, catch=0.3).to_csv(given / "blind.csv", index=False)
    answers(key, "short", 0.8, rng, skip=50).to_csv(given / "short.csv", index=False)
    found = rating_run.analyse("run", str(given), out=folder)
    assert found["n_raters"] == 8 and found["n_excluded"] == 2
    reasons = {r["rater"]: r["excluded"] for r in found["raters"]}
    assert "catch trials right" in reasons["blind"] and "of the trials" in reasons["short"]
    for line in found["ratings"]:
        assert line["lo"] < 0.8 < line["hi"] and line["p_holm"] >= line["p"]
        assert line["p"] < 0.05 and line["n_answers"] == 160
    saved = json.loads((folder / "ratings.json").read_text())
    assert [r["value"] for r in saved["ratings"]] == [r["value"] for r in found["ratings"]]
    assert len(pd.read_csv(folder / "ratings.tsv", sep="\t")) == 3
    html = (folder / "ratings.html").read_text()
    assert "Krippendorff" in html and "8 raters; 2 left out" in html
    assert "good0" not in rating_run.told(found) and "blind" in rating_run.told(found)


def test_people_and_a_metric_that_say_the_same_correlate():
    key = trials(n=40, conditions=("model",), pairs=())
    score = pd.Series(np.linspace(0, 1, 20), index=[f"pic{k}" for k in range(20)])
    main = key[key["kind"] == "identification"]
    truth, thresholds = score[main["stimulus_id"]].to_numpy(), np.linspace(0.05, 0.95, 9)
    kept = pd.concat([main.assign(hit=(truth > t).astype(float)) for t in thresholds])
    lines = ROWS.assign(condition="model", metric="pixcorr")
    lines["value"] = score[ROWS["stimulus_id"]].to_numpy()
    found = rating_run.beside_metrics(kept, lines).iloc[0]
    assert found["rho"] > 0.95 and found["lo"] > 0.8 and found["n"] == len(main)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"study": "other"}, r"line 2: study 'other' is of another page"),
        ({"rater": " "}, "line 2: rater ' ' names nobody"),
        ({"trial": 7}, "line 2: trial '7' is not in key.tsv"),
        ({"choice": "up"}, "line 2: choice 'up' is neither left nor right"),
        ({"rt_ms": "fast"}, "line 2: rt_ms 'fast' is no time"),
        ({"changed": 5}, "line 2: changed '5' is neither"),
    ],
)
def test_a_wrong_line_is_named_with_its_file(tmp_path, change, message):
    key = trials()
    table = answers(key, "r", 0.8, np.random.default_rng(0)).astype(object)
    for column, value in change.items():
        table.loc[0, column] = value
    table.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(UserError, match=rf"bad\.csv, {message}"):
        read_answers([tmp_path / "bad.csv"], key, study_id(key))


def test_files_that_are_none_and_answers_given_twice(tmp_path):
    key, rng = trials(), np.random.default_rng(0)
    file = tmp_path / "a.csv"
    with pytest.raises(UserError, match="there is no"):
        answer_files(tmp_path / "none")
    with pytest.raises(UserError, match="no CSV files"):
        answer_files(tmp_path)
    file.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"a\.csv, line 1: no column study"):
        read_answers([file], key, study_id(key))
    table = answers(key, "r", 0.8, rng)
    table.to_csv(file, index=False)
    (tmp_path / "copy.csv").write_bytes(file.read_bytes())
    assert len(read_answers(answer_files(tmp_path), key, study_id(key))) == len(table)
    table.assign(choice="left").to_csv(tmp_path / "copy.csv", index=False)
    with pytest.raises(UserError, match=r"copy\.csv, line \d+: rater r answered trial"):
        read_answers(answer_files(tmp_path), key, study_id(key))


def test_mistakes_in_the_command_are_told(page, tmp_path, capsys):
    for how, message in [
        ({"n_trials": 0}, "n_trials is 0"),
        ({"conditions": "nobody"}, "nobody was not painted; there are model"),
        ({"pairs": "model"}, "'model' is no pair"),
        ({"pairs": "model:other/model"}, "name it by other=RUN"),
    ]:
        with pytest.raises(UserError, match=message):
            page(**how)
    with pytest.raises(UserError, match="make a page first"):
        rating_run.analyse("run", "x", out=tmp_path / "none")
    folder = page(n_trials=12)
    text = (folder / "key.tsv").read_text()
    (folder / "key.tsv").write_text(text.replace("\tleft\n", "\tright\n", 1))
    with pytest.raises(UserError, match="it was changed"):
        rating_run.analyse("run", "x", out=folder)
    assert cli.main(["rate", str(tmp_path), "n_trails=3"]) == 2
    assert "n_trails: rate knows conditions" in capsys.readouterr().err
