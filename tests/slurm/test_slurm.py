"""On a real SLURM: whatever befalls a job, its state is the documented one and nothing is made up.

The table of docs/slurm.md is what these tests assert.
"""

import json
import signal
import subprocess
import sys

import pytest

from tests.slurm.conftest import Sweep

pytestmark = pytest.mark.slow


def neurodecode(sweep, *words):
    command = [sys.executable, "-m", "neurodecode.cli", *map(str, words)]
    environment = sweep.bed.environment
    return subprocess.run(
        command, capture_output=True, text=True, cwd=sweep.folder, env=environment
    )


def test_an_array_of_eight_ends_with_eight_results_and_shares_what_is_upstream(toys):
    elsewhere = 'launcher.setup=["cd /"]'  # a relative store is still the one here
    sweep = toys("+member.number=0,1,2,3,4,5,6,7", "+shared.seconds=3", elsewhere)
    array = sweep.array()
    assert sweep.ends() == 0, sweep.log()
    assert sweep.table() == dict.fromkeys(range(8), "done")
    assert sweep.results("figures.json") == {n: {"value": 7 * n, "steps": [0]} for n in range(8)}
    assert set(sweep.bed.states(array).values()) == {"COMPLETED"}
    begun = [line for log in sweep.logs() for line in log.splitlines() if line.startswith("▸")]
    assert begun.count("▸ shared") == 1 and begun.count("▸ member") == 8
    assert len(list(sweep.folder.glob("store/shared/*/*/manifest.json"))) == 1
    assert "#SBATCH --array=0-7" in next(sweep.sweep.glob(".submitit/*/*submission.sh")).read_text()
    sweep.tell(f"8 members, upstream computed {begun.count('▸ shared')} time")


STEPS = ("+member.steps=100", "+member.step_s=.1")
COUNTED = list(range(100))


def test_failed_cancelled_and_interrupted_members_are_told_apart(toys):
    """0 fails, 1 is cancelled running, 4 waiting, 2 is told to save and goes on, 3 is done."""
    sweep = toys("+member.number=0,1,3,4,2", "+member.fail=[0]", *STEPS, "launcher.parallel=4")
    array = sweep.array()
    fine = sweep.bed.submit(f"--dependency=afterok:{array}_3", "--kill-on-invalid-dep=yes")
    hopeless = sweep.bed.submit(f"--dependency=afterok:{array}", "--kill-on-invalid-dep=yes")
    for number in (1, 2):
        sweep.until_says(number, "▸ member")
    sweep.bed("scancel", f"{array}_1", f"{array}_4")
    sweep.bed("scancel", "--signal=USR2", f"{array}_2")
    assert sweep.ends() == 4, sweep.log()

    assert sweep.table() == {0: "FAILED", 1: "CANCELLED", 2: "done", 3: "done", 4: "CANCELLED"}
    states = sweep.bed.states(array)
    ended = ["FAILED", "CANCELLED", "COMPLETED", "COMPLETED", "CANCELLED"]
    assert states == {f"{array}_{n}": state for n, state in enumerate(ended)}
    assert "ExitCode=2:0" in sweep.bed("scontrol", "show", "job", f"{array}_0")
    why = "FAILED: member 0 (+member.number=0): ValueError: member 0 was to fail; see /"
    assert why in sweep.log()
    assert "2 of 5 members are done" in sweep.log()

    # member.number 3 is the third of the sweep: saved, queued again, and every step counted once
    assert "saved at step" in sweep.job_log(2) and sweep.results("began.json")[3] > 0
    assert sweep.results("figures.json")[3] == {"value": 21, "steps": COUNTED}
    assert set(sweep.results("figures.json")) == {3, 4}

    sweep.until(lambda: sweep.bed.states(hopeless)[hopeless] == "CANCELLED")  # never satisfied
    assert sweep.bed.states(fine) == {fine: "COMPLETED"}
    told = neurodecode(sweep, "report", "sweep")
    assert told.returncode == 3, told.stderr
    assert "2 of 5 runs are finished" in (sweep.sweep / "group_report.html").read_text()
    for number, problem in {0: "failed: ValueError", 1: "was killed", 4: "never began"}.items():
        assert any(
            problem in line and f"sweep/{number}" in line for line in told.stdout.split("\n")
        )
    sweep.tell("1 fails, 2 cancelled, 1 told to save, 1 untouched")


def test_a_job_that_was_refused_another_start_is_failed_and_can_be_gone_on_with(toys):
    sweep = toys("+member.number=5", *STEPS, "launcher.requeues=0", "launcher.time_min=5")
    array = sweep.array()
    sweep.until_says(0, "▸ member")
    sweep.bed("scancel", "--signal=USR2", array)
    assert sweep.ends() == 4, sweep.log()
    assert sweep.bed.states(array) == {array: "FAILED"} and sweep.status(0) == "interrupted"
    assert "ExitCode=143:0" in sweep.bed("scontrol", "show", "job", array)
    assert "FAILED: member 0" in sweep.log() and "it was told to stop" in sweep.log()
    again = toys("+member.number=5", *STEPS)
    assert again.ends() == 0, again.log()
    assert again.results("began.json")[5] > 0
    assert again.results("figures.json")[5]["steps"] == COUNTED
    again.tell("out of time, no more requeues; then run again")


def test_the_time_limit_saves_requeues_and_goes_on(toys):
    """A real limit, of two minutes; SLURM looks at limits every half minute or so."""
    sweep = toys(
        *("+member.number=6", "+member.steps=600", "+member.step_s=.1"),
        *("launcher.time_min=2", "launcher.notice_s=70"),
    )
    array = sweep.array()
    assert sweep.ends(400) == 0, sweep.log()
    assert sweep.bed.states(array) == {array: "COMPLETED"}
    assert "saved at step" in sweep.job_log(0) and sweep.results("began.json")[6] > 0
    assert sweep.results("figures.json")[6]["steps"] == list(range(600))
    sweep.tell("time limit of 2 min")


def test_a_job_that_is_requeued_without_notice_saves_at_sigterm_and_goes_on(toys):
    """What preemption without notice does, and an administrator: SIGTERM, then SIGKILL."""
    sweep = toys("+member.number=10", *STEPS)
    array = sweep.array()
    sweep.until_says(0, "▸ member")
    sweep.bed("scontrol", "requeue", array)
    assert sweep.ends() == 0, sweep.log()
    assert sweep.bed.states(array) == {array: "COMPLETED"}
    assert "saved at step" in sweep.job_log(0) and sweep.results("began.json")[10] > 0
    assert sweep.results("figures.json")[10]["steps"] == COUNTED
    sweep.tell("requeued without notice")


def test_a_preempted_job_saves_waits_and_goes_on(toys):
    sweep = toys("+member.number=7", *STEPS)
    array = sweep.array()
    sweep.until_says(0, "▸ member")
    urgent = sweep.bed.submit("--partition=urgent", "--exclusive", command="sleep 3")
    sweep.until(lambda: sweep.bed.states(urgent)[urgent] == "COMPLETED")
    assert sweep.ends() == 0, sweep.log()
    assert sweep.bed.states(array) == {array: "COMPLETED"}
    assert "saved at step" in sweep.job_log(0) and sweep.results("began.json")[7] > 0
    assert sweep.results("figures.json")[7]["steps"] == COUNTED
    sweep.tell("preempted")


def test_a_lost_node_loses_no_more_than_since_the_last_save(toys):
    sweep = toys("+member.number=8", *STEPS)
    array = sweep.array()
    sweep.until_says(0, "▸ member")
    sweep.bed.lose_the_node()
    sweep.until(lambda: sweep.bed.states(array)[array] == "PENDING")
    assert sweep.status(0) == "running" and sweep.driver.poll() is None  # it waits, as SLURM does
    report = neurodecode(sweep, "report", "sweep")
    assert report.returncode == 2 and "is running, or was killed" in report.stderr
    sweep.bed.return_the_node()
    assert sweep.ends() == 0, sweep.log()
    assert (
        sweep.bed.states(array) == {array: "COMPLETED"} and sweep.job_log(0).count("▸ member") == 2
    )
    assert sweep.results("figures.json")[8]["steps"] == COUNTED
    sweep.tell("node killed, DOWN, returned")


def test_submitted_and_not_waited_for(toys):
    sweep = toys("+member.number=0,1", *STEPS, "launcher.wait=false")
    assert sweep.ends() == 0 and "submitted" in sweep.log()
    early = neurodecode(sweep, "report", "sweep")
    assert early.returncode in (2, 3)  # nothing is finished yet
    array = sweep.array()
    sweep.until(lambda: set(sweep.bed.states(array).values()) == {"COMPLETED"})
    assert neurodecode(sweep, "report", "sweep").returncode == 0
    sweep.tell("submitted, not waited for")


def test_a_driver_that_is_interrupted_leaves_its_jobs_alone(toys):
    sweep = toys("+member.number=9", *STEPS)
    array = sweep.array()
    sweep.driver.send_signal(signal.SIGINT)
    assert sweep.ends() == 130 and f"scancel {array}" in sweep.log()
    sweep.until(lambda: sweep.bed.states(array)[array] == "COMPLETED")
    assert sweep.results("figures.json")[9]["steps"] == COUNTED
    sweep.tell("the waiting interrupted")


def test_the_pipeline_itself_runs_as_an_array_and_is_reported_whole(bed, tmp_path):
    few = ["evaluate.n_bootstrap=50", "evaluate.n_permutations=50", "audit.n_bootstrap=50"]
    short = ["train.decoder_training.n_epochs=2", "device=cpu", "recipe=world_small"]
    sweep = Sweep(bed, tmp_path, "subjects=[sub-01],[sub-02]", *short, *few)
    assert sweep.ends(900) == 0, sweep.log()
    assert sweep.table() == {0: "done", 1: "done"}
    begun = [line for log in sweep.logs() for line in log.splitlines() if line.startswith("▸")]
    assert begun.count("▸ simulate") == 1 and begun.count("▸ train") == 2
    for number in (0, 1):
        assert (sweep.sweep / str(number) / "report.html").is_file()
    assert json.loads((sweep.sweep / "0/run.json").read_text())["config"]["threads"] is None
    told = neurodecode(sweep, "report", "sweep")
    assert told.returncode == 0, told.stderr
    sweep.tell("the pipeline of a small study, 2 members")
