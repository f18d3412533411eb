"""Runs are read back as they ended; what is missing is named."""

import shutil

import pytest
import yaml

from neurodecode.core.errors import UserError
from neurodecode.data.configurations import group_labels, grouped, run_labels, what_varies
from neurodecode.data.runs import leaves, read_runs
from tests.data.made_runs import make_run, make_sweep


def test_a_sweep_is_read_job_by_job_in_order(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", [{"seed": s} for s in range(11)])
    runs = read_runs([sweep])
    assert [run.config["seed"] for run in runs] == list(range(11))
    assert all(run.problem == "" and run.traced for run in runs)
    assert [run.name for run in read_runs([str(tmp_path / "sweep" / "1*")])] == ["1", "10"]
    assert len(read_runs([sweep, sweep / "3"])) == 11, "a run given twice is read once"


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ("failed", "failed: ValueError: it broke"),
        ("running", "is running, or was killed"),
        ("interrupted", "was interrupted"),
        ("done", ""),
    ],
)
def test_how_a_run_ended_is_said(tmp_path, status, problem):
    make_run(tmp_path / "run", status=status)
    assert read_runs([tmp_path / "run"])[0].problem == problem


def test_a_run_that_never_began_or_was_not_scored_is_a_problem(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", [{"seed": 0}, {"seed": 1}, {"seed": 2}])
    (sweep / "0" / "run.json").unlink()
    (sweep / "1" / "metrics.tsv").unlink()
    planned = lambda folder: [[f"seed={s}"] for s in range(4)]
    problems = [run.problem for run in read_runs([sweep], planned)]
    assert problems[0].startswith("never began") and "no metrics.tsv" in problems[1]
    assert problems[2:] == ["", "never began"]
    assert read_runs([sweep], planned)[3].overrides == ("seed=3",)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty is no run: expected a folder with run.json"):
        read_runs([tmp_path / "empty"])
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        read_runs([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="there is no such folder"):
        read_runs([tmp_path / "none*"])


def test_people_are_known_by_their_recordings(tmp_path):
    make_run(tmp_path / "one", recordings="a")
    make_run(tmp_path / "same", recordings="a")
    make_run(tmp_path / "other", recordings="b")
    one, same, other = (read_runs([tmp_path / n])[0].who for n in ("one", "same", "other"))
    assert one == same and one["sub-01"] != other["sub-01"] != one["sub-02"]


def test_without_the_store_names_must_do(tmp_path):
    make_run(tmp_path / "run")
    shutil.rmtree(tmp_path / "store_run")
    run = read_runs([tmp_path / "run"])[0]
    assert not run.traced and run.who["sub-01"] == "sub-01"


def test_only_what_differs_varies():
    assert leaves({"a": {"b": 1, "c": [2]}, "d": {}}) == {"a.b": 1, "a.c": [2], "d": {}}


def test_configurations_are_told_apart_and_seeds_are_not(tmp_path):
    jobs = [{"seed": s, "aligner": a} for a in ("ridge", "procrustes") for s in (0, 1)]
    runs = read_runs([make_sweep(tmp_path / "sweep", jobs)])
    varying = what_varies(runs)
    assert set(varying) == {"seed", "aligner"}
    groups = grouped(runs, ["aligner"])
    assert [[r.config["seed"] for r in group] for group in groups] == [[0, 1], [0, 1]]
    assert group_labels(groups, ["aligner"]) == ["aligner=ridge", "aligner=procrustes"]
    assert group_labels(groups[:1], ["aligner"]) == [""]
    labels = run_labels(runs, varying)
    assert len(set(labels.values())) == 4 and labels["sweep/0"].startswith("seed 0")


def test_a_configuration_without_an_override_is_named_by_its_keys(tmp_path):
    runs = read_runs([make_sweep(tmp_path / "sweep", [{"tau": 0.1}, {"tau": 0.2}])])
    path = tmp_path / "sweep" / "0" / ".hydra" / "overrides.yaml"
    path.write_text(yaml.safe_dump(["seed=0"]))
    runs = read_runs([tmp_path / "sweep"])
    assert group_labels(grouped(runs, ["tau"]), ["tau"]) == ["tau=0.1", "tau=0.2"]


def test_a_run_without_a_record_of_its_configuration_stands_by_itself(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", [{"seed": 0}, {"seed": 1}, {"seed": 2}])
    for number in "01":
        shutil.rmtree(sweep / number / ".hydra")
        shutil.rmtree(tmp_path / f"store_{number}")
    assert list(map(len, grouped(read_runs([sweep]), []))) == [1, 1, 1]
