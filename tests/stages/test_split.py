"""The split stage: a frozen table, its hash, and what the rule let stand on two sides."""

import json

import pandas as pd
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.rigour.splits import split_hash
from neurodecode.stages.split import run as split

RULE = {"_target_": "neurodecode.rigour.splits.StimulusSplit"}


@pytest.fixture
def index(tmp_path, artifact):
    trials = pd.DataFrame(
        [
            {"subject": f"sub-{s:02d}", "run": f"run-{r:02d}", "stimulus_id": f"pic-{r}-{i}"}
            for s in (1, 2)
            for r in range(20)
            for i in range(4)
        ]
    )
    trials.insert(0, "trial_id", [f"t{i:04d}" for i in range(len(trials))])
    trials.insert(2, "session", "")
    ids = sorted(set(trials["stimulus_id"]))
    partition = ["test" if i.startswith(("pic-3-", "pic-4-")) else "train" for i in ids]
    folder = tmp_path / "index"
    folder.mkdir()
    trials.to_csv(folder / "trials.tsv", sep="\t", index=False)
    stimuli = pd.DataFrame({"stimulus_id": ids, "partition": partition})
    stimuli.to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    return artifact(folder)


def made(index, store, rule=None, seed=0):
    found = run_stage(split, {"rule": RULE | (rule or {}), "seed": seed}, {"index": index}, store)
    table = read_table(found.path("split.tsv"))
    return table, json.loads(found.path("split.json").read_text())


def test_the_split_is_frozen_hashed_and_counted(index, store):
    table, about = made(index, store)
    assert list(table.columns) == ["trial_id", "subject", "run", "stimulus_id", "split"]
    assert set(table["stimulus_id"][table["split"] == "test"]) == {
        f"pic-{r}-{i}" for r in (3, 4) for i in range(4)
    }
    assert about["hash"] == split_hash(table["trial_id"], table["split"])
    assert about["counts"]["sub-01"]["test"] == {"trials": 8, "stimuli": 8, "runs": 2}
    assert about["shared"] == {"stimuli": 0, "runs": 0} and about["groups"] == 20
    assert about["rule"] == RULE


def test_the_seed_and_every_option_change_the_split(index, store):
    before, about = made(index, store)
    assert made(index, store, seed=1)[1]["hash"] != about["hash"]
    assert made(index, store, {"val_fraction": 0.3})[1]["hash"] != about["hash"]
    assert made(index, store, {"ties": ["stimulus_id"]})[1]["shared"]["runs"] > 0


def test_a_split_that_cannot_be_says_why(index, store):
    with pytest.raises(ValueError, match="Ask val_fraction=0.06"):
        made(index, store, {"val_fraction": 0.01})
    with pytest.raises(ValueError, match="class_column 'trial_type'"):
        made(index, store, {"class_column": "trial_type"})


def test_a_split_through_runs_says_what_it_leaks(index, store, caplog):
    with caplog.at_level("INFO", logger="neurodecode"):
        made(index, store)
        assert "on several sides" not in caplog.text
        _, about = made(index, store, {"ties": ["stimulus_id"]})
    assert f"{about['shared']['runs']} runs have trials on several sides" in caplog.text
