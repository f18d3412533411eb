"""`neurodecode leaderboard` ranks what is comparable, and names what makes the rest unlike."""

import copy
import json

import numpy as np
import pandas as pd
import pytest

from neurodecode import cli
from neurodecode.core.errors import UserError
from neurodecode.core.sealed import write_json, write_sealed
from neurodecode.core.store import MANIFEST, describe
from neurodecode.core.views import View
from neurodecode.report.score_card import score_card
from neurodecode.rigour.alike import grouped, ranks, unlike
from neurodecode.stages.leaderboard import leaderboard, save_csv, table_text
from neurodecode.stages.report import run
from tests.report.study import fabricate

METRIC = "brain_to_image_top1"
STIMULI = [f"scene{i:04d}" for i in range(24)]


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """The score card of a fabricated study."""
    artifacts, records = fabricate(tmp_path_factory.mktemp("study"))
    made = score_card(View(run, artifacts, None, records), "study")
    return json.loads(json.dumps(made, default=lambda o: o.tolist()))


@pytest.fixture
def made(card, tmp_path):
    """``made("a", .6, change)``: a run's folder whose pooled score is .6, its card changed."""

    def make(name, value, change=lambda card: None, per_stimulus=None):
        own = copy.deepcopy(card) | {"keys": {"evaluate": name}}
        own["test_openings"] = {"predict": 2, "evaluate": 1}
        for line in own["metrics"]:
            pooled = (line["subject"], line["condition"], line["metric"]) == (
                "all",
                "model",
                METRIC,
            )
            if pooled and line["set_size"] == 100:
                line |= {"value": value, "lo": value - 0.1, "hi": value + 0.1}
        change(own)
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        write_json(folder / "score_card.json", own)
        if per_stimulus is not None:
            scores = tmp_path / f"store_{name}"
            scores.mkdir()
            columns = {"subject": "sub-01", "row_id": STIMULI, "stimulus_id": STIMULI}
            table = pd.DataFrame(columns | {"condition": "model", "metric": METRIC})
            table.assign(value=per_stimulus).to_parquet(scores / "per_trial.parquet")
            write_sealed(scores / MANIFEST, {"files": describe(scores)})
            done = [{"stage": "evaluate", "each": None, "folder": str(scores)}]
            write_json(folder / "run.json", {"status": "done", "done": done})
        return folder

    return make


def single_trials(card):
    card["protocol"]["common"] |= {"averaging": "none", "repeats": {"sub-01": {"1": 72}}}


def test_runs_of_one_protocol_are_ranked_by_their_score(made):
    folders = [made(name, value) for name, value in (("a", 0.5), ("b", 0.7), ("c", 0.5))]
    board = leaderboard(folders, METRIC)
    assert [(line["rank"], line["run"][-1], line["value"]) for line in board.lines] == [
        (1, "b", 0.7),
        (2, "a", 0.5),
        (2, "c", 0.5),
    ]
    assert {line["set_size"] for line in board.lines} == {100}
    assert {line["chance"] for line in board.lines} == {0.01}
    assert {line["test_openings"] for line in board.lines} == {3}
    text = table_text(board)
    assert "higher is better" in text and "[0.600, 0.800]" in text
    assert leaderboard([folders[0].parent], METRIC).lines == board.lines, "a folder of runs"


def test_where_lower_is_better_the_lowest_is_first(made):
    def rank_of(value):
        def change(card):
            for line in card["metrics"]:
                if line["metric"] == "median_rank":
                    line["value"] = value

        return change

    folders = [made("a", 0.5, rank_of(3.0)), made("b", 0.5, rank_of(9.0))]
    board = leaderboard(folders, "median_rank")
    assert [line["value"] for line in board.lines] == [3.0, 9.0]
    assert "lower is better" in table_text(board)


def test_averaged_and_single_trial_rows_are_not_mixed(made):
    folders = [made("averaged", 0.7), made("single", 0.4, single_trials)]
    with pytest.raises(UserError) as told:
        leaderboard(folders, METRIC)
    text = str(told.value)
    assert "  averaging\n" in text and f"null  in {folders[0]}" in text
    assert f'"none"  in {folders[1]}' in text and "--by protocol" in text
    assert "or --allow averaging --allow repeats if that is the comparison" in text
    code = cli.main(["leaderboard", *map(str, folders), "--metric", METRIC])
    assert code == 2


def of_common(**fields):
    return lambda card: card["protocol"]["common"].update(fields)


def with_version(card):
    card["metric_versions"] = {
        "retrieval": {"target": "x", "space": "embedding", "options": {}, "version": "new"}
    }


def with_fewer(card):
    card["metrics"] = [line for line in card["metrics"] if line["set_size"] != 100]


UNLIKE = {
    "split": of_common(split="f" * 64),
    "recordings": of_common(recordings={"sub-01": "other", "sub-02": "other"}),
    "test_stimuli": of_common(test_stimuli={"sub-01": {"n": 10, "digest": "0"}}),
    "repeats": of_common(repeats={"sub-01": {"1": 24}}),
    "beta_preparation": of_common(beta_preparation={"high_pass_hz": 0.5}),
    "fit_rows": of_common(fit_rows={"align": "all"}),
    "selection": of_common(selection={"decoder_training": "last"}),
    "leaks_allowed": of_common(leaks_allowed=["stimulus"]),
    "interval": of_common(interval={"interval": "bca", "level": 0.9}),
    "target": lambda card: card["protocol"]["embedding"].update(target={"model": "other"}),
    "metric": with_version,
    "candidates": with_fewer,
    "subjects": lambda card: card.update(subjects=["sub-01"]),
}


@pytest.mark.parametrize("field", UNLIKE)
def test_every_field_of_the_protocol_keeps_runs_apart(made, field):
    folders = [made("a", 0.5), made("b", 0.7, UNLIKE[field])]
    with pytest.raises(UserError, match=rf"(?m)^  {field}"):
        leaderboard(folders, METRIC)
    allow = [field, "subjects", "repeats"] if field == "test_stimuli" else [field]
    assert len(leaderboard(folders, METRIC, allow=allow).lines) == 2


def test_pictures_made_by_another_choice_of_samples_matter_for_pictures_only(made):
    change = lambda card: card["protocol"]["picture"].update(sample={"policy": "the best one"})
    folders = [made("a", 0.5), made("b", 0.7, change)]
    assert len(leaderboard(folders, METRIC).lines) == 2
    with pytest.raises(UserError, match=r"sample.policy"):
        leaderboard(folders, "pixcorr")


def by_oracle(card):
    chosen = {"selection": "oracle_compat", "uses_true_picture": True}
    card["selection"] = chosen
    card["protocol"]["picture"]["sample"] = chosen


def test_pictures_chosen_with_the_true_picture_are_marked_and_never_mixed(made):
    folders = [made("a", 0.5), made("b", 0.6, by_oracle)]
    with pytest.raises(UserError, match="sample"):
        leaderboard(folders, "pixcorr")
    alone = leaderboard(folders[1:], "pixcorr")
    assert alone.lines[0]["condition"] == "model (ORACLE)"
    assert "not a decoding result" in table_text(alone)
    assert "ORACLE" not in table_text(leaderboard(folders, METRIC)), "embeddings were not chosen"


def test_by_protocol_there_is_a_table_for_each(made, capsys, tmp_path):
    folders = [made("a", 0.7), made("b", 0.4, single_trials), made("c", 0.8)]
    file = tmp_path / "out" / "board.csv"
    words = ["leaderboard", *map(str, folders), "--by", "protocol", "--csv", str(file)]
    assert cli.main([*words, "--metric", METRIC]) == 0
    told = capsys.readouterr().out
    assert "protocol 1: that of the first run" in told
    assert 'protocol 2: averaging "none"; repeats.sub-01.3 null' in told
    table = pd.read_csv(file)
    assert table[["table", "rank"]].to_numpy().tolist() == [[1, 1], [1, 2], [2, 1]]
    assert table["value"].tolist() == [0.8, 0.7, 0.4]


def test_conditions_and_subjects_can_be_chosen(made):
    folders = [made("a", 0.5), made("b", 0.7)]
    board = leaderboard(folders, METRIC, 10, "sub-02", ["model", "ridge"])
    assert len(board.lines) == 4 and {line["condition"] for line in board.lines} == {
        "model",
        "ridge",
    }
    assert {(line["subject"], line["set_size"]) for line in board.lines} == {("sub-02", 10)}
    assert leaderboard(folders).lines[0]["metric"] == METRIC, "the first that was compared"


def test_the_paired_difference_to_the_best_is_that_of_the_stimuli(made):
    rng = np.random.default_rng(0)
    better, worse = rng.uniform(0.5, 1, 24), rng.uniform(0, 0.5, 24)
    folders = [
        made("a", worse.mean(), per_stimulus=worse),
        made("b", better.mean(), per_stimulus=better),
        made("c", 0.1, per_stimulus=worse),
    ]
    best, second, third = leaderboard(folders, METRIC).lines
    assert "behind" not in best
    assert second["behind"] == pytest.approx((worse - better).mean())
    assert second["behind_lo"] < second["behind"] < second["behind_hi"] < 0
    assert second["behind_p"] <= 0.002
    assert "behind" not in third, "its stimuli do not add up to its score: a smaller set, a median"


def test_the_same_artifacts_count_once(made):
    folders = [made("a", 0.5), made("b", 0.5, lambda card: card.update(keys={"evaluate": "a"}))]
    board = leaderboard(folders, METRIC)
    assert len(board.lines) == 1 and "runs/b repeats" in table_text(board)


def test_the_verdict_stands_on_the_line(made):
    verdict = {"subjects": {"all": {"level": "within-category", "reasons": []}}}
    board = leaderboard([made("a", 0.5, lambda card: card.update(verdict=verdict))], METRIC)
    assert board.lines[0]["verdict"] == "within-category" and "within-category" in table_text(board)


def test_mistakes_are_told(made, tmp_path):
    folder = made("a", 0.5)
    mistakes = [
        ({"paths": [tmp_path / "nowhere"]}, "no such folder"),
        ({"paths": [tmp_path]}, None),
        ({"metric": "top9"}, "no score 'top9': it has brain_to_image_top1"),
        ({"set_size": 7}, "of 7 candidates was not scored: it has 100, 10"),
        ({"subject": "sub-09"}, "no subject 'sub-09'"),
        ({"conditions": ["mean"]}, "no condition 'mean': it has model, ridge"),
        ({"allow": ["colour"]}, "--allow colour: the protocol has subjects, averaging"),
    ]
    for options, words in mistakes:
        asked = {"paths": [folder], "metric": METRIC} | options
        if words:
            with pytest.raises(UserError, match=words):
                leaderboard(**asked)
        else:
            assert leaderboard(**asked).lines
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no score_card.json"):
        leaderboard([tmp_path / "empty"])
    (folder / "score_card.json").write_text('{"title": "old"}')
    with pytest.raises(ValueError, match="schema_version is None, expected 1"):
        leaderboard([folder])
    (folder / "score_card.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        leaderboard([folder])


def test_unlike_fields_are_found_below_and_above():
    protocols = {"x": {"a": {"b": 1, "c": 2}}, "y": {"a": {"b": 1, "c": 3}}, "z": {"a": {"b": 1}}}
    assert unlike(protocols) == {"a.c": {"2": ["x"], "3": ["y"], "null": ["z"]}}
    assert unlike(protocols, ["a"]) == {} == unlike(protocols, ["a.c"])
    assert grouped(protocols) == [["x"], ["y"], ["z"]] and grouped(protocols, ["a"]) == [
        ["x", "y", "z"]
    ]
    assert ranks([1, 3, 3, 2], "higher") == [4, 1, 1, 3] and ranks([1, 3], "lower") == [1, 2]


def test_the_csv_has_every_column_even_without_differences(made, tmp_path):
    save_csv(leaderboard([made("a", 0.5)], METRIC), tmp_path / "board.csv")
    table = pd.read_csv(tmp_path / "board.csv")
    assert table.loc[0, "behind":"behind_p"].isna().all() and table.loc[0, "value"] == 0.5
