"""Several runs in one report: seeds pooled, configurations apart, what is missing named on top."""

import json
import re

import pandas as pd
import pytest

from neurodecode.core.errors import UserError
from neurodecode.stages.group import group_report
from tests.data.made_runs import make_run, make_sweep


def reported(made):
    """The page, the document and both tables."""
    folder = made.page.parent
    tables = [
        pd.read_csv(folder / f"group_{name}.tsv", sep="\t") for name in ("metrics", "comparisons")
    ]
    return made.page.read_text(), json.loads((folder / "group.json").read_text()), *tables


def test_seeds_are_spread_and_no_new_subjects(tmp_path):
    jobs = [{"seed": s, "model": m} for s, m in enumerate((0.4, 0.5, 0.6))]
    made = group_report([make_sweep(tmp_path / "sweep", jobs)])
    assert made.complete and made.page == tmp_path / "sweep" / "group_report.html"
    html, document, metrics, comparisons = reported(made)
    line = metrics[metrics["condition"] == "model"].iloc[0]
    assert line["mean"] == pytest.approx(0.5) and line["sd"] == pytest.approx(0.1)
    assert (line["least"], line["most"], line["n_runs"], line["n_subjects"]) == (0.4, 0.6, 3, 2)
    assert pd.isna(line["subjects_lo"]) and pd.isna(line["lo"])
    assert line["chance"] == 0.02
    assert document["groups"][0]["replication"] == "same"
    assert "they are not independent evidence" in html
    assert made.sentence.startswith("In 3 of 3 runs, and in 2 of 2 subjects, the decoder beats")
    assert "chance .020, shuffled brain .02" in made.sentence
    ridge = comparisons[comparisons["b"] == "ridge"].iloc[0]
    assert (ridge["runs_a"], ridge["runs_b"]) == (0, 0)


def test_subjects_in_jobs_of_their_own_are_pooled_over_subjects(tmp_path):
    values = (0.4, 0.42, 0.45, 0.5, 0.5, 0.55, 0.58, 0.6)
    jobs = [{"subjects": [f"sub-{i}"], "model": m} for i, m in enumerate(values)]
    made = group_report([make_sweep(tmp_path / "sweep", jobs)])
    html, document, metrics, comparisons = reported(made)
    line = metrics[metrics["condition"] == "model"].iloc[0]
    assert line["n_subjects"] == 8 and line["subjects_lo"] < 0.5 < line["subjects_hi"]
    assert document["groups"][0]["replication"] == "disjoint"
    assert document["groups"][0]["runs"] == [f"sub-{i}" for i in range(8)]
    assert "Student&#39;s t interval" in html
    shuffled = comparisons[comparisons["b"] == "shuffled"].iloc[0]
    assert shuffled["subjects_a"] == 8 and shuffled["subjects_lo"] > 0


def test_simulated_studies_of_other_seeds_have_other_people(tmp_path):
    jobs = [{"seed": s, "recordings": str(s), "split": str(s) * 64} for s in range(3)]
    html, document, metrics, _ = reported(group_report([make_sweep(tmp_path / "sweep", jobs)]))
    assert metrics["n_subjects"].eq(6).all()
    assert "The test sets differ: 3 splits" in html and "sub-01, seed 2" in label_texts(html)
    assert document["groups"][0]["n_splits"] == 3


def label_texts(html):
    """The labels inside the page's figures."""
    import base64
    from urllib.parse import unquote

    found = re.findall(r'src="data:image/svg\+xml([^"]+)"', html)
    decode = lambda u: base64.b64decode(u.partition(",")[2]).decode() if "base64" in u else u
    return unquote(" ".join(map(decode, found)))


def test_configurations_stand_side_by_side(tmp_path):
    jobs = [
        {"seed": s, "aligner": a, "model": m}
        for a, m in (("ridge", 0.4), ("procrustes", 0.6))
        for s in (0, 1)
    ]
    made = group_report([make_sweep(tmp_path / "sweep", jobs)])
    html, document, metrics, _ = reported(made)
    means = metrics[metrics["condition"] == "model"].set_index("configuration")["mean"]
    assert means.to_dict() == pytest.approx({"aligner=ridge": 0.4, "aligner=procrustes": 0.6})
    assert [g["configuration"] for g in document["groups"]] == list(means.index)
    assert "2 configurations side by side, none pooled" in made.sentence
    assert html.count("<h3>aligner=ridge</h3>") == 3


def test_keys_that_only_say_how_to_run_make_no_configuration(tmp_path):
    make_run(tmp_path / "one", seed=0, **{"embed": {"root": "/here"}})
    make_run(tmp_path / "two", seed=1, **{"embed": {"root": "/there"}})
    make_run(tmp_path / "three", seed=2, **{"embed": {"batch": 8, "root": "/there"}})
    for name in ("one", "two", "three"):
        path = tmp_path / name / ".hydra" / "config.yaml"
        path.write_text(path.read_text().replace("- index", "- index\n- embed"))
    made = group_report([tmp_path / n for n in ("one", "two", "three")], tmp_path / "out")
    assert [len(g["runs"]) for g in reported(made)[1]["groups"]] == [2, 1]


def test_runs_here_and_on_a_cluster_are_of_one_configuration(tmp_path):
    jobs = [{"seed": 0}, {"seed": 1, "launcher": {"partition": "gpu", "cpus": 4}}]
    _, document, metrics, _ = reported(group_report([make_sweep(tmp_path / "sweep", jobs)]))
    assert len(document["groups"]) == 1 and metrics["n_runs"].eq(2).all()


def test_what_is_missing_stands_on_top(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", [{"seed": 0}, {"seed": 1, "status": "failed"}])
    planned = lambda folder: [["seed=0"], ["seed=1"], ["seed=2"]]
    made = group_report([sweep], planned=planned)
    html, document, metrics, _ = reported(made)
    assert not made.complete and not document["complete"]
    assert len(document["problems"]) == 2
    assert "failed: ValueError: it broke" in document["problems"][0]
    assert "sweep/2 (seed=2) never began" in document["problems"][1]
    assert html.index("Incomplete.") < html.index('class="verdict"') < html.index("<nav")
    assert metrics["n_runs"].eq(1).all(), "a failed run's numbers are not used"


def test_one_run_shows_its_own_interval(tmp_path):
    make_run(tmp_path / "run", model=0.5)
    html, document, metrics, _ = reported(group_report([tmp_path / "run"], tmp_path / "out"))
    line = metrics[metrics["condition"] == "model"].iloc[0]
    assert (line["lo"], line["hi"]) == (0.45, 0.55) and pd.isna(line["sd"])
    assert "[.45, .55]" in html and document["groups"][0]["replication"] == "one"


def test_a_run_found_cached_again_is_counted_once(tmp_path):
    jobs = [{"seed": 0, "scored_in": "/store/evaluate/x"}] * 2 + [{"seed": 1}]
    _, document, metrics, _ = reported(group_report([make_sweep(tmp_path / "sweep", jobs)]))
    assert metrics["n_runs"].eq(2).all() and document["complete"]
    assert [m["state"] for m in document["runs"]][1].startswith("repeats")


def test_without_a_control_the_page_says_that_nothing_is_shown(tmp_path):
    make_run(tmp_path / "run")
    for name, column in (("metrics", "condition"), ("comparisons", "b")):
        path = tmp_path / "run" / f"{name}.tsv"
        table = pd.read_csv(path, sep="\t")
        kept = table[~table[column].isin(["shuffled", "prior_only"])]
        kept.to_csv(path, sep="\t", index=False)
    made = group_report([tmp_path / "run"], tmp_path / "out")
    assert made.sentence.startswith("No control was compared")
    assert "No control was scored." in made.page.read_text()


def test_a_decoder_at_the_level_of_its_controls_is_not_said_to_beat_them(tmp_path):
    jobs = [{"seed": s, "model": 0.02} for s in range(2)]
    made = group_report([make_sweep(tmp_path / "sweep", jobs)])
    assert made.sentence.startswith("In 0 of 2 runs, and in 0 of 2 subjects")


def test_without_a_finished_run_there_is_no_report(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", [{"status": "failed"}])
    with pytest.raises(UserError, match="none of these runs is finished.*it broke"):
        group_report([sweep])
    assert not (sweep / "group_report.html").exists()


def test_the_page_is_one_file(tmp_path):
    make_run(tmp_path / "run")
    html = group_report([tmp_path / "run"], tmp_path / "out").page.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]+"', html)


def test_equal_runs_give_equal_bytes(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", [{"seed": 0}, {"seed": 1, "model": 0.6}])
    first, again = (group_report([sweep], tmp_path / n).page for n in ("a", "b"))
    assert first.read_bytes() == again.read_bytes()


def test_runs_by_folds_are_reported_too(tmp_path):
    """Category studies compare without a space, and draw runs for their intervals."""
    for seed in (0, 1):
        folder = make_run(tmp_path / str(seed), seed=seed)
        path = folder / "comparisons.tsv"
        pd.read_csv(path, sep="\t").drop(columns=["space", "better"]).to_csv(
            path, sep="\t", index=False
        )
        state = json.loads((folder / "run.json").read_text())
        state["done"][1]["stage"] = "crossvalidate"
        (folder / "run.json").write_text(json.dumps(state))
    made = group_report([tmp_path / "0", tmp_path / "1"], tmp_path / "out")
    assert "In 2 of 2 runs" in made.sentence and "interval over runs" in made.page.read_text()
