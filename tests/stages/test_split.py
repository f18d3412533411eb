"""The split stage: a frozen table, its hash, and what the rule let stand on two sides."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurodecode.core.errors import UserError
from neurodecode.core.key import file_digest
from neurodecode.core.runner import run_stage
from neurodecode.core.store import describe
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


def test_only_the_first_training_runs_of_a_subject_are_used(index, store):
    how = {"rule": RULE, "seed": 0}
    whole, _ = made(index, store)
    found = run_stage(split, how | {"train_runs": {"sub-02": 3}}, {"index": index}, store)
    table, about = (
        read_table(found.path("split.tsv")),
        json.loads(found.path("split.json").read_text()),
    )
    few = (table["subject"] == "sub-02") & (whole["split"] == "train")
    first = sorted(set(whole["run"][few]))[:3]
    expected = np.where(few & ~whole["run"].isin(first), "unused", whole["split"])
    assert table["split"].tolist() == expected.tolist()
    assert about["counts"]["sub-02"]["train"] == {"trials": 12, "stimuli": 12, "runs": 3}
    assert about["hash"] != made(index, store)[1]["hash"]


@pytest.mark.parametrize("runs, words", [({"sub-09": 1}, "sub-09"), ({"sub-01": 0}, "from 1")])
def test_runs_of_nobody_and_no_runs_are_refused(index, store, runs, words):
    with pytest.raises((ValueError, UserError), match=words):
        run_stage(split, {"rule": RULE, "seed": 0, "train_runs": runs}, {"index": index}, store)


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


# ---- the gate


@pytest.fixture
def shown(tmp_path, artifact):
    """``shown(copy=…, caption=…, onsets=…)``: 40 pictures in ten runs, the last eight frozen test.

    With `copy`, picture 39 is a mirrored and smaller picture 0, under its own name.
    """

    def make(copy=False, gap_s=5.0):
        rng, root = np.random.default_rng(0), tmp_path / f"study{copy}{gap_s}"
        (root / "index").mkdir(parents=True)
        for i in range(40):
            picture = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
            picture.resize((90, 90), Image.Resampling.BICUBIC).save(root / f"p{i:02d}.png")
        if copy:
            picture = np.asarray(Image.open(root / "p00.png"))[:, ::-1]
            Image.fromarray(picture).resize((70, 70)).save(root / "p39.png")
        ids = [f"p{i:02d}" for i in range(40)]
        stimuli = pd.DataFrame({"stimulus_id": ids, "path": [f"{i}.png" for i in ids]})
        stimuli["sha256"] = [file_digest(root / p) for p in stimuli["path"]]
        stimuli["caption"] = ["a thing" if i in (3, 39) else f"thing {i}" for i in range(40)]
        stimuli["partition"] = ["test" if i >= 32 else "train" for i in range(40)]
        trials = pd.DataFrame({"subject": "sub-01", "session": "", "stimulus_id": ids})
        trials["run"] = [f"run-{i // 4}" for i in range(40)]
        trials["onset_s"], trials["duration_s"] = gap_s * (np.arange(40) % 4), 3.0
        trials["trial_id"] = [f"t{i:02d}" for i in range(40)]
        trials.to_csv(root / "index" / "trials.tsv", sep="\t", index=False)
        stimuli.to_csv(root / "index" / "stimuli.tsv", sep="\t", index=False)
        return root, artifact(root / "index")

    return make


def gate(made, store, rule=None, embed=None, **options):
    root, index = made
    config = {"rule": RULE | (rule or {}), "root": str(root)} | options
    upstream = {"index": index} | ({"embed": embed} if embed else {})
    found = run_stage(split, config, upstream, store)
    return json.loads(found.path("leaks.json").read_text()), found


def test_a_clean_study_passes_and_says_what_was_compared(shown, store):
    leaks, _ = gate(shown(), store)
    assert [f["kind"] for f in leaks["findings"]] == ["captions"] and leaks["allowed"] == []
    assert leaks["checked"]["pictures"] == 40 and leaks["checked"]["trials"] == 40
    n_val = 40 * 39 // 2 - leaks["checked"]["pairs_of_pictures"]
    assert n_val > 0, "pictures of one side are not compared"


def test_a_copy_under_another_name_ends_the_run_unless_it_is_allowed(shown, store):
    study = shown(copy=True)
    with pytest.raises(UserError, match=r"p00 and p39.*split.allow_leaks=\[duplicates\]"):
        gate(study, store)
    assert not list(store.root.glob("split/*/*/split.tsv"))
    leaks, found = gate(study, store, allow_leaks=["duplicates"])
    assert leaks["allowed"] == ["duplicates"] and found.path("split.tsv").is_file()
    (copies,) = [f for f in leaks["findings"] if f["kind"] == "duplicates"]
    assert copies["n"] == 1 and copies["examples"] == [["p00", "p39"]]


def test_windows_that_overlap_end_the_run(shown, store):
    study, cut = shown(), {"ties": ["stimulus_id"], "frozen": False}
    assert "windows" not in {f["kind"] for f in gate(study, store, cut)[0]["findings"]}
    with pytest.raises(UserError, match="overlap in time"):
        gate(study, store, cut, response_s=4.0)
    leaks, _ = gate(study, store, cut, response_s=4.0, allow_leaks=["windows"])
    assert leaks["allowed"] == ["windows"] and leaks["checked"]["runs_cut"] > 0


def test_a_rule_that_holds_out_runs_may_show_a_stimulus_on_both_sides(shown, store):
    by_run = {"_target_": "neurodecode.rigour.splits.RunSplit", "test_runs": ["run-9"]}
    root, index = shown(copy=True)
    config = {"rule": by_run, "root": str(root)}
    found = run_stage(split, config, {"index": index}, store)
    assert json.loads(found.path("leaks.json").read_text())["findings"] == []


def test_a_rule_that_cuts_stimuli_without_saying_so_ends_the_run(shown, store):
    root, index = shown()
    trials = read_table(index.path("trials.tsv"))
    double = pd.concat([trials, trials.assign(trial_id=lambda t: t["trial_id"] + "b", run="run-x")])
    double.to_csv(root / "index" / "trials.tsv", sep="\t", index=False)
    again = type(index)(index.folder, index.manifest | {"files": describe(index.folder)})
    rule = {"_target_": "tests.stages.test_split.HalfOfTheTrials"}
    with pytest.raises(UserError, match="stimuli have trials on several sides"):
        run_stage(split, {"rule": rule, "root": str(root)}, {"index": again}, store)


class HalfOfTheTrials:
    """A rule that knows nothing of stimuli."""

    def __call__(self, trials, stimuli, rng):
        return np.where(trials["run"] == "run-x", "test", "train").astype("<U5")


def test_pictures_that_changed_since_they_were_indexed_are_refused(shown, store):
    root, index = shown()
    Image.new("RGB", (90, 90)).save(root / "p05.png")
    with pytest.raises(UserError, match=r"p05.png is not the picture that was indexed"):
        gate((root, index), store)


def test_with_embeddings_distances_are_told_and_rules_may_read_them(shown, store, artifact):
    study = shown()
    folder = study[0] / "embed"
    folder.mkdir()
    vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    vectors[5] = vectors[38] + 1e-5
    np.save(folder / "pooled.npy", vectors)
    leaks, found = gate(study, store, embed=artifact(folder))
    distance = json.loads(found.path("split.json").read_text())["distance"]
    assert distance["n_test"] == 8 and 0 < distance["mmd"] < 1
    (near,) = [f for f in leaks["findings"] if f["kind"] == "neighbours"]
    assert near["examples"] == [["p38", "p05"]] and not near["stops"]
    rule = {"_target_": "neurodecode.rigour.splits.OutOfDistributionSplit"}
    found = run_stage(
        split,
        {"rule": rule, "root": str(study[0])},
        {"index": study[1], "embed": artifact(folder)},
        store,
    )
    table = read_table(found.path("split.tsv"))
    assert (table["split"] == "test").sum() == 4
    with pytest.raises(ValueError, match="stage embed before split"):
        run_stage(split, {"rule": rule, "root": str(study[0])}, {"index": study[1]}, store)


def test_embeddings_of_names_alone_are_no_embeddings_of_pictures(shown, store, artifact):
    study = shown()
    folder = study[0] / "embed"
    folder.mkdir()
    np.save(folder / "text.npy", np.eye(40, dtype=np.float32))
    _, found = gate(study, store, embed=artifact(folder))
    assert json.loads(found.path("split.json").read_text())["distance"] == {}
