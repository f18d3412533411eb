"""The audit stage on a tiny fabricated study: every table, its planted truth, every option."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from neurodecode.cli import conf_folder
from neurodecode.core.checks import dataclass_from
from neurodecode.core.key import file_digest
from neurodecode.core.views import Folder, View, read_table
from neurodecode.stages import audit, evaluate, predict
from neurodecode.stages.audit import doubts
from tests.stages.test_train import N_TEST, N_TRAIN, SUBJECTS, config, run_train
from tests.stages.test_train import study as study  # noqa: PLC0414  (a fixture)

QUICK = {"n_bootstrap": 60, "n_permutations": 199, "alpha": 0.01}


@pytest.fixture
def audited(study, tmp_path, artifact):
    """``audited(**changes)``: the folder of an audit of the tiny study, trained once."""
    made = study | {"index": _index(study, tmp_path, artifact)}
    made["train"] = run_train(made, tmp_path, artifact, config())
    made["predict"] = {s: _predict(made, tmp_path, artifact, s) for s in SUBJECTS}
    (tmp_path / "split" / "split.json").write_text('{"hash": "abc"}')
    for subject in SUBJECTS:
        (tmp_path / subject / "qc.json").write_text("{}")
        made["preprocess"][subject] = artifact(tmp_path / subject)
    made["split"] = artifact(tmp_path / "split")
    metrics = {"two_way": {"_target_": "neurodecode.metrics.identification.TwoWay"}}
    quick = {"encoder": None, "reader": None, "n_bootstrap": 50, "n_permutations": 49}
    scored = Folder(tmp_path / "evaluate", None)
    evaluate.run(evaluate.EvaluateConfig(metrics, **quick), View(evaluate.run, made), scored)
    made["evaluate"] = artifact(tmp_path / "evaluate")
    count = iter(range(99))

    def make(**changes):
        out, root = tmp_path / f"audit{next(count)}", str(tmp_path / "bids")
        settings = audit.AuditConfig(**QUICK | {"root": root} | changes)
        audit.run(settings, View(audit.run, made), Folder(out, None))
        return out

    return make


def _index(study, tmp_path, artifact):
    """Pictures of noise for every stimulus, and index's table of them; embed knows its target."""
    rng = np.random.default_rng(0)
    names = read_table(study["embed"].folder / "stimuli.tsv")["stimulus_id"]
    (tmp_path / "bids").mkdir()
    for name in names:
        picture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "bids" / f"{name}.png")
    table = pd.DataFrame({"stimulus_id": names, "path": [f"{n}.png" for n in names]})
    table["sha256"] = [file_digest(tmp_path / "bids" / p) for p in table["path"]]
    table["caption"], table["partition"] = "", ""
    Folder(tmp_path / "index", None).save_table("stimuli.tsv", table)
    Folder(study["embed"].folder, None).save_json("target.json", {"category": "kind"})
    study["embed"] = artifact(study["embed"].folder)
    return artifact(tmp_path / "index")


def _predict(made, tmp_path, artifact, subject):
    view = View(predict.run, made, subject)
    asked = predict.PredictConfig(n_samples=3, guidance=1.0)
    predict.run(asked, view, Folder(tmp_path / f"said {subject}", None))
    return artifact(tmp_path / f"said {subject}")


def test_every_question_has_its_table(audited):
    out = audited()
    verdict = json.loads((out / "verdict.json").read_text())
    assert verdict["category"] == "kind" and set(verdict["subjects"]) == {*SUBJECTS, "all"}
    for graded in verdict["subjects"].values():
        assert graded["level"] in ("none", "low-level", "category") and graded["reasons"]
        assert graded["tests"][0]["name"] == "decoded" and graded["n"] == N_TEST
    assert verdict["subjects"]["all"]["tests"][0]["p"] <= 0.01, "the planted signal is found"

    owed = read_table(out / "attributable.tsv").set_index(["subject", "metric"])
    assert set(owed.index.levels[0]) == {*SUBJECTS, "all"}
    one = owed.loc["all", "two_way_embedding"]
    expected = (one["model"] - one["prior_only"]) / (one["ceiling"] - one["prior_only"])
    assert one["value"] == pytest.approx(expected) and one["lo"] < one["value"] < one["hi"]

    collapsed = read_table(out / "collapse.tsv")
    assert list(collapsed["condition"]) == ["model", "ridge"] * 2
    assert (collapsed["n_train"] == N_TRAIN).all() and (collapsed["dim"] == 6).all()
    recovery = read_table(out / "recovery.tsv")
    assert recovery.groupby(["subject", "condition"]).size().eq(5).all(), "latent numbers"
    assert recovery["recovered"].any()


def test_the_curve_rises_from_chance_to_the_whole_brain(audited):
    out = audited()
    curve = read_table(out / "bottleneck.tsv")
    own = curve[(curve["subject"] == "sub-01") & (curve["decoder"] == "ridge")]
    two_way = own[own["metric"] == "two_way"].set_index("n_dims")["value"]
    assert two_way.loc[0] == pytest.approx(0.5) and two_way.iloc[-1] > 0.8
    assert np.isnan(two_way.index[-1]), "the last line is of the untouched brain"
    knees = json.loads((out / "bottleneck.json").read_text())
    assert 1 <= knees["sub-01"]["ridge"]["knee"] <= 7, "five latent numbers were planted"


def test_ceilings_sets_and_rows(audited):
    out = audited()
    ceilings = read_table(out / "ceilings.tsv")
    assert set(ceilings["kind"]) == {"decoding", "noise-free"}, "nothing repeats in training rows"
    decoding = ceilings[ceilings["kind"] == "decoding"].set_index(["subject", "roi", "n_repeats"])
    once, twice = (decoding.loc[("sub-01", "ridge", n), "value"] for n in (1, 2))
    assert 0.5 < once < twice <= 1
    sets = read_table(out / "conformal.tsv").set_index("subject")
    assert (sets["n_cal"] == 12).all() and (sets["n_candidates"] == N_TEST).all()
    rows = pd.read_parquet(out / "rows.parquet")
    assert len(rows) == 2 * N_TEST and (rows["rank"] >= 1).all()
    assert rows["category"].isin(["high", "low"]).all()
    inside = rows.groupby("subject")["in_set"].mean().astype(float)
    assert np.allclose(inside.to_numpy(), sets["coverage"][inside.index])
    assert rows["p_prior"].between(0, 1).all() and (rows["p_prior"] <= 0.05).any()
    assert (rows["abstain"] == (rows["p_prior"] > 0.05)).all()


def test_a_state_shared_within_runs_is_looked_for_where_the_split_cut_them(audited):
    states = read_table(audited() / "shared_state.tsv").set_index(["subject", "group"])
    assert set(states.index.levels[1]) == {"run", "session"}
    runs = states.xs("run", level="group")
    assert (runs["n"] > 0).all() and runs["p"].between(0, 1).all(), "every run is cut here"
    assert states.xs("session", level="group")["p"].isna().all(), "there is one session"


def contents(out):
    return {p.name: p.read_bytes() for p in out.iterdir()}


def test_every_option_changes_some_table_and_the_same_options_none(audited):
    before = contents(audited())
    assert contents(audited()) == before
    for change in (
        {"alpha": 0.02},
        {"n_bootstrap": 70},
        {"n_permutations": 299},
        {"level": 0.8},
        {"sets_level": 0.7},
        {"abstain_above": 0.2},
        {"steps_per_octave": 1},
        {"n_described": 20},
        {"seed": 1},
    ):
        after = contents(audited(**change))
        assert after != before, change
    assert json.loads(after["verdict.json"])["subjects"].keys() == {*SUBJECTS, "all"}


def test_the_device_asked_for_is_the_one_used(audited):
    with pytest.raises(Exception, match="(?i)device|expected|storage"):
        audited(device="nowhere")


def test_pictures_that_are_elsewhere_are_found_there(audited, tmp_path):
    before = contents(audited())
    (tmp_path / "bids").rename(tmp_path / "moved")
    assert contents(audited(root=str(tmp_path / "moved"))) == before


def test_only_stimuli_with_enough_repeats_are_averaged():
    trials = pd.DataFrame({"stimulus_id": list("aababc")})
    kept, table = doubts.first_repeats(np.arange(6.0)[:, None], trials, 2)
    assert kept[:, 0].tolist() == [0, 1, 2, 4] and table["stimulus_id"].tolist() == list("aabb")


def test_yaml_lists_every_field():
    found = yaml.safe_load((conf_folder() / "stage/audit.yaml").read_text())
    found |= {"seed": 0, "device": "cpu", "root": ""}
    assert dataclass_from(found, audit.AuditConfig, "audit") == audit.AuditConfig()
