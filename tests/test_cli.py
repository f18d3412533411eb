"""What the top of the configuration says reaches the pipeline: where, on what, with how many."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from neurodecode import cli
from neurodecode.core import runner
from tests.data.made_runs import make_run

CONFIG = {
    "name": "toy",
    "stages": ["train", "embed"],
    "store": "store",
    "device": "cpu",
    "threads": 1,
    "train": {"device": "cpu"},
}


@pytest.fixture
def given(tmp_path, monkeypatch):
    """``given(device=…)``: what a run of this configuration hands to the pipeline."""

    def run(found="cpu", **changes):
        handed = {}

        class Pipeline:
            def __init__(self, config, store, hardware, run_folder):
                handed.update(config=config, store=store.root, hardware=hardware)

            def run(self):
                handed["ran"] = True

        monkeypatch.setattr(runner, "Pipeline", Pipeline)
        monkeypatch.setattr(cli.machine, "limit_threads", lambda n: handed.update(limit=n))
        monkeypatch.setattr(cli.machine, "resolve_device", lambda asked: found)
        cli.run_composed(CONFIG | {"store": str(tmp_path / "store")} | changes, tmp_path)
        return handed

    return run


def test_artifacts_are_kept_in_the_store_that_is_named(given, tmp_path):
    for name in ("here", "there"):
        assert given(store=str(tmp_path / name))["store"] == tmp_path / name


def test_the_device_that_was_found_reaches_every_stage_and_the_key(given):
    asked = {"device": "auto", "train": {"device": "auto"}, "embed": {"device": "cpu"}}
    handed = given("cuda", **asked)
    assert handed["hardware"]["device"] == "cuda"
    assert handed["config"]["train"]["device"] == "cuda"
    assert handed["config"]["embed"]["device"] == "cpu"  # a node that names its own keeps it


def test_an_unknown_device_is_refused_and_the_cpu_is_always_there():
    assert cli.resolve_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="expected auto, cpu or cuda, got 'tpu'"):
        cli.resolve_device("tpu")


@pytest.mark.parametrize("threads, n", [(3, 3), (None, len(os.sched_getaffinity(0)))])
def test_threads_are_limited_and_part_of_the_key(given, threads, n):
    handed = given(threads=threads)
    assert handed["limit"] == handed["hardware"]["threads"] == n


@pytest.mark.parametrize("n", [1, 2])
def test_libraries_keep_to_their_threads(monkeypatch, request, n):
    import torch
    from threadpoolctl import threadpool_info, threadpool_limits

    before = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    names = [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL")]
    for name in names:
        monkeypatch.setenv(name, "9")
    with threadpool_limits():  # puts back what it found
        cli.limit_threads(n)
        assert {os.environ[name] for name in names} == {str(n)}
        assert {pool["num_threads"] for pool in threadpool_info()} == {n}
        assert torch.get_num_threads() == n


@pytest.mark.parametrize("threads", [0, -1, "foo", True])
def test_a_number_of_threads_that_is_none_is_refused(threads):
    with pytest.raises(ValueError, match="threads: expected"):
        cli.resolve_threads(threads)
    assert cli.resolve_threads(None) >= 1 and cli.resolve_threads(3) == 3


def test_an_empty_store_is_refused_and_nothing_is_written_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(runner.UserError, match="store is empty"):
        runner.Store("")
    assert not list(tmp_path.iterdir())


def test_a_report_of_an_earlier_run_in_the_same_folder_is_not_passed_off(given, tmp_path, caplog):
    (tmp_path / "report.html").write_text("old")
    with caplog.at_level("INFO", logger="neurodecode"):
        given()
    assert "none asked for" in caplog.text and not (tmp_path / "report.html").exists()


def test_every_example_of_the_help_composes():
    from hydra import compose, initialize_config_dir

    examples = [line.split("  ")[0].split() for line in cli.USAGE.splitlines()]
    with initialize_config_dir(str(cli.conf_folder().absolute()), version_base="1.3"):
        for words in (e for e in examples if e[:1] == ["neurodecode"]):
            given = [w for w in words[2:] if "=" in w and w != "seed=0,1,2"]
            assert compose("config", overrides=given).stages


def neurodecode(*words, cwd):
    code = "import sys; from neurodecode.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *words]
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def test_a_dry_sweep_prints_every_job_and_leaves_nothing(tmp_path):
    done = neurodecode("run", "-m", "--dry", "experiment=demo", "seed=0,1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("dry run: demo on") == 2
    assert "2 runs, what they share counted once: 0 of 36 artifacts cached" in done.stdout
    assert "reconstruct  sub-03   to compute, after simulate" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_dry_run_names_mistakes_as_the_run_would(tmp_path):
    words = ("experiment=retrieval", "recipe.root=/nowhere")
    dry = neurodecode("run", *words, "--dry", cwd=tmp_path)
    assert dry.returncode == 2 and "recipe.root=/nowhere is not a folder" in dry.stderr
    assert not list(tmp_path.iterdir())


def sweep_of(folder, *overrides):
    """The multirun.yaml of a sweep, as far as it says what was to run."""
    sweeper = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"}
    node = {"sweeper": sweeper | {"params": None}, "overrides": {"task": list(overrides)}}
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": node}))
    return folder


def test_the_jobs_of_a_sweep_are_those_that_hydra_makes(tmp_path):
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = ["experiment=demo", "seed=0,1,2", "aligner=ridge,procrustes", "subjects=[a,b],[c]"]
    parsed = OverridesParser.create().parse_overrides(given)
    hydras = [list(job) for job in BasicSweeper.split_arguments(parsed, None)[0]]
    assert cli.planned_jobs(sweep_of(tmp_path, *given)) == hydras and len(hydras) == 12
    assert cli.planned_jobs(tmp_path / "no_sweep") == []


def test_the_exit_code_says_whether_the_group_is_complete(tmp_path, capsys):
    for seed in (0, 1):
        make_run(tmp_path / "sweep" / str(seed), seed=seed, store=tmp_path / f"store_{seed}")
    command = ["report", str(tmp_path / "sweep")]
    sweep_of(tmp_path / "sweep", "seed=0,1")
    assert cli.main(command) == 0
    assert str(tmp_path / "sweep" / "group_report.html") in capsys.readouterr().out
    sweep_of(tmp_path / "sweep", "seed=0,1,2")
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 3
    assert "seed=2) never began" in (tmp_path / "out" / "group_report.html").read_text()
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "is no run: expected a folder with run.json" in capsys.readouterr().err


def test_without_a_sweep_the_report_lies_here(tmp_path, monkeypatch):
    make_run(tmp_path / "run")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    assert (tmp_path / "here" / "group.json").is_file()


def test_a_pattern_given_on_the_command_line_replaces_the_one_there():
    words = ["recipe.mask={}", "recipe.bold_entities={space: T1w, desc: preproc}"]
    recipe = cli.composed(["experiment=retrieval", *words])["recipe"]
    assert recipe["mask"] == {}  # Hydra would merge it with the mask's pattern in the file
    assert recipe["bold_entities"] == {"space": "T1w", "desc": "preproc"}
    assert recipe["confounds"] == {"suffix": "timeseries", "desc": "confounds"}
    eeg = cli.composed(
        ["name=eeg", "recipe=bids_eeg", "recipe.mask={}", "recipe.confounds={desc: own}"]
    )
    assert eeg["recipe"]["mask"] == {} and eeg["recipe"]["confounds"] == {"desc": "own"}


@pytest.mark.slow
def test_a_run_composes_what_the_others_compose():
    words = ["experiment=retrieval", "recipe.mask={}", "recipe.rois={v1: {suffix: mask}}"]
    run = [sys.executable, "-m", "neurodecode.cli", "run", *words, "--cfg", "job", "--resolve"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    printed = yaml.safe_load(done.stdout)["recipe"]
    assert printed == cli.composed(words)["recipe"] and printed["rois"]["v1"] == {"suffix": "mask"}
