"""Sweeps without a cluster: how members are told apart, and what SLURM is told and asked."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from neurodecode.cli import machine, sweep
from tests.slurm.conftest import HERE, ROOT, TOYS

SLURM = pytest.importorskip("neurodecode.cli.slurm", reason="needs hydra-submitit-launcher")


def start(folder, *words, **environment):
    """Begin a command in a folder with the toy stages."""
    if not (folder / "toys").exists():
        shutil.copytree(HERE / "toys", folder / "toys")
    known = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-u", "-m", "neurodecode.cli", *words]
    return subprocess.Popen(
        command,
        **{"cwd": folder, "env": os.environ | known | environment, "text": True},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
    )


def run(folder, *words, **environment):
    """Run a command to its end; return its exit code and what it printed."""
    process = start(folder, "run", *words, *TOYS, **environment)
    printed = process.communicate(timeout=120)[0]
    return process.returncode, printed


def commands(folder, **scripts):
    """A folder of shell scripts, for PATH."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(stat.S_IRWXU)
    return f"{folder}:{os.environ['PATH']}"


# ---- members here


def test_a_member_that_fails_does_not_keep_the_others_from_running(tmp_path):
    words = ("-m", "hydra.sweep.dir=sweep", "+member.number=0,1,2", "+member.fail=[1]")
    code, printed = run(tmp_path, *words, "+shared.seconds=0")
    assert code == 4, printed
    states = [
        json.loads((tmp_path / f"sweep/{n}/run.json").read_text())["status"] for n in (0, 1, 2)
    ]
    assert states == ["done", "failed", "done"]
    assert "failed: member 1 (+member.number=1): ValueError: member 1 was to fail; see" in printed
    assert "2 of 3 members are done" in printed
    assert "error: member 1 was to fail" in (tmp_path / "sweep/1/run.log").read_text()


@pytest.mark.slow
def test_a_run_that_is_terminated_saves_says_so_and_goes_on(tmp_path):
    words = ("+shared.seconds=0", "+member.steps=60", "+member.step_s=.1", "hydra.run.dir=run")
    process = start(tmp_path, "run", *TOYS, *words)
    for line in process.stdout:
        if "▸ member" in line:
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert "stopped by SIGTERM: run the same command to go on" in process.communicate(timeout=60)[0]
    assert process.returncode == 143
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "interrupted"
    assert not list((tmp_path / "store/leases").iterdir())
    code, printed = run(tmp_path, *words)
    assert code == 0, printed
    began = json.loads(next(tmp_path.glob("store/member/*/*/began.json")).read_text())
    assert began > 0
    assert json.loads((tmp_path / "run/figures.json").read_text())["steps"] == list(range(60))


@pytest.mark.slow
def test_a_sweep_that_is_terminated_ends_and_is_not_called_whole(tmp_path):
    words = ("-m", "hydra.sweep.dir=sweep", "+member.number=0,1,2", "+shared.seconds=0")
    process = start(tmp_path, "run", *words, *TOYS, "+member.steps=30", "+member.step_s=.1")
    begun = 0
    for line in process.stdout:
        begun += "▸ member" in line
        if begun == 2:
            break
    process.terminate()
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 143, printed
    assert "1 members are done; the sweep was stopped before its end" in printed
    assert not (tmp_path / "sweep/2").exists()


@pytest.mark.slow
def test_what_an_earlier_run_left_in_the_folder_is_not_passed_off(tmp_path):
    assert run(tmp_path, "+shared.seconds=0", "hydra.run.dir=run")[0] == 0
    assert (tmp_path / "run/metrics.tsv").exists()
    code, printed = run(tmp_path, "hydra.run.dir=run", "+member.steps=three")
    assert code == 2 and "member.steps: expected a whole number" in printed
    assert not (tmp_path / "run/metrics.tsv").exists() and not (tmp_path / "run/run.json").exists()


def test_the_table_names_what_differs_and_the_exit_code_what_is_missing():
    member = lambda n, state, why="": sweep.Member(
        n, ("experiment=demo", f"seed={n}"), state, "1 s", Path(f"/runs/{n}"), why
    )
    members = [member(0, "done"), member(1, "TIMEOUT"), member(2, "FAILED", "ValueError: it broke")]
    text = sweep.summary(members)
    assert "TIMEOUT: member 1 (seed=1): see /runs/1" in text
    assert "FAILED: member 2 (seed=2): ValueError: it broke; see /runs/2" in text
    assert text.endswith("1 of 3 members are done")
    assert sweep.exit_code(members) == 4 and sweep.exit_code(members[:1]) == 0
    assert sweep.exit_code([member(0, "submitted")]) == 0


# ---- what SLURM is told


@pytest.mark.slow
def test_what_is_asked_for_is_what_sbatch_is_told(tmp_path):
    path = commands(tmp_path / "bin", sbatch="echo Submitted batch job 77", squeue="", srun="")
    asked = (
        *("partition=gpu", "account=lab", "time_min=30", "cpus=3", "memory_gb=5", "gpus=2"),
        *("parallel=1", "notice_s=60", "setup=[module load x]", "wait=false"),
    )
    words = [*(f"launcher.{word}" for word in asked), "+launcher.sbatch.mail_type=END"]
    sweep_of_two = ("-m", "launcher=slurm", "+member.number=0,1")
    code, printed = run(tmp_path, *sweep_of_two, *words, PATH=path)
    assert code == 0, printed
    file = next(tmp_path.glob("runs/world/sweep_*/.submitit/*/*submission.sh")).read_text()
    lines = file.splitlines()
    for line in (
        *("partition=gpu", "account=lab", "time=30", "cpus-per-task=3", "mem=5GB"),
        *("gpus-per-node=2", "array=0-1%1", "signal=USR2@60", "mail-type=END", "requeue"),
    ):
        assert f"#SBATCH --{line}" in lines, file
    assert lines.index("module load x") < lines.index("# command")
    assert "not waited for: squeue --jobs=77, and later: neurodecode report runs/world" in printed


@pytest.mark.slow
def test_the_cpus_of_a_job_are_its_threads(tmp_path, monkeypatch):
    code, printed = run(
        tmp_path, "--dry", "launcher=slurm", "launcher.cpus=3", "+member.number=0,1"
    )
    assert code == 0 and printed.count("dry run: world on cpu, 3 threads") == 2, printed
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "5")
    assert machine.resolve_threads(None) == 5 and machine.resolve_threads(2) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "word, told",
    [
        ("launcher.time_min=soon", "launcher.time_min: expected a whole number, got 'soon'"),
        ("launcher.cpus=0", "launcher.cpus: expected 1 or more, got 0"),
        ("launcher=slrum", "did you mean slurm?"),
        ("launcher.partition=full", "sbatch refused the jobs: no such partition"),
    ],
)
def test_a_mistake_in_the_launcher_is_told_in_one_line(tmp_path, word, told):
    refuse = "echo no such partition >&2; exit 1"
    path = commands(tmp_path / "bin", sbatch=refuse, squeue="", srun="")
    code, printed = run(tmp_path, "launcher=slurm", word, PATH=path)
    assert code == 2 and told in printed and "Traceback" not in printed, printed


@pytest.mark.slow
def test_without_slurm_the_command_says_what_is_missing(tmp_path):
    (tmp_path / "empty").mkdir()
    code, printed = run(tmp_path, "launcher=slurm", PATH=str(tmp_path / "empty"))
    assert code == 2 and "there is no sbatch and no squeue and no srun" in printed
    without = (
        "import sys; sys.modules['hydra_plugins'] = None\n"
        "from neurodecode.cli import main; sys.exit(main(['run', 'launcher=slurm']))"
    )
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "needs the package hydra-submitit-launcher" in done.stderr


# ---- what SLURM is asked


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """``ended([answer, …], done=(0,))``: states of two members, from SLURM's answers in turn."""
    for name in ("SHORTEST_S", "LONGEST_S", "NFS_S"):
        monkeypatch.setattr(SLURM, name, 0.01)

    def of(answers, done=()):
        given = iter(answers)
        job = lambda words: {f"7_{n}": SLURM.Job(w, "0:01") for n, w in enumerate(words) if w}
        monkeypatch.setattr(
            SLURM, "jobs_of", lambda array: (lambda a: None if a is None else job(a))(next(given))
        )
        members = [SLURM.Watched(n, (), f"7_{n}", tmp_path / str(n), tmp_path) for n in (0, 1)]
        for n in done:
            (tmp_path / str(n)).mkdir()
            (tmp_path / str(n) / "run.json").write_text('{"status": "done", "error": null}')
        return [m.state for m in SLURM.watch(members, "7", "sweep")]

    return of


RUNNING, COMPLETED = ["RUNNING", "RUNNING"], ["COMPLETED", "COMPLETED"]


def test_completed_is_done_only_if_the_run_says_so_too(ended):
    assert ended([RUNNING, COMPLETED, COMPLETED], done=[0]) == ["done", "COMPLETED"]


def test_a_job_that_is_queued_again_has_not_ended(ended):
    flicker = [["COMPLETED", "NODE_FAIL"], ["COMPLETED", "PENDING"], ["COMPLETED", "PREEMPTED"]]
    assert ended([*flicker, RUNNING, COMPLETED, COMPLETED], done=[0, 1]) == ["done", "done"]


def test_no_answer_is_waited_out(ended, capsys):
    assert ended([RUNNING, None, None, COMPLETED, COMPLETED], done=[0, 1]) == ["done", "done"]
    assert capsys.readouterr().out.count("SLURM does not answer") == 1


def test_a_job_that_slurm_forgot_is_judged_by_its_run(ended, monkeypatch):
    monkeypatch.setattr(SLURM, "accounted", lambda job: SLURM.GONE)  # no accounting
    assert ended([["", ""], ["", ""]], done=[0]) == ["done", "GONE"]


def test_a_job_that_was_seen_to_end_and_is_forgotten_keeps_its_state(ended):
    answers = [["FAILED", "RUNNING"], ["", "COMPLETED"], ["", ""]]
    assert ended(answers, done=[1]) == ["FAILED", "done"]


def test_accounting_is_asked_of_a_job_that_is_gone(ended, monkeypatch, tmp_path):
    path = commands(tmp_path / "bin", sacct="echo CANCELLED by 1000")
    monkeypatch.setenv("PATH", path)
    assert ended([["", ""], ["", ""]]) == ["CANCELLED", "CANCELLED"]


@pytest.mark.parametrize(
    "script, found",
    [
        ("echo '7_0|PENDING|0:00|Priority|x'", {"7_0": SLURM.Job("PENDING", "0:00", "Priority|x")}),
        ("echo slurm_load_jobs error: Invalid job id specified >&2; exit 1", {}),
        ("echo Unable to contact slurm controller >&2; exit 1", None),
    ],
)
def test_squeue_is_understood(tmp_path, monkeypatch, script, found):
    monkeypatch.setenv("PATH", commands(tmp_path / "bin", squeue=script))
    assert SLURM.jobs_of("7") == found


def test_a_job_that_can_never_run_is_pointed_out(capsys):
    SLURM._tell("7", {"7_0": SLURM.Job("PENDING", reason="DependencyNeverSatisfied")}, None)
    assert "waiting for ever: DependencyNeverSatisfied" in capsys.readouterr().out


def test_every_choice_of_the_launcher_is_typed():
    given = yaml.safe_load((ROOT / "conf/launcher/slurm.yaml").read_text())
    assert set(given["launcher"]) == set(SLURM.LauncherConfig.__dataclass_fields__)
