"""On a real SLURM: whatever befalls a job, its state is the documented one and nothing is made up.

The table of docs/slurm.md is what these tests assert.
"""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def neurodecode(sweep, *words):
    command = [sys.executable, "-m", "neurodecode.cli", *map(str, words)]
    environment = sweep.bed.environment
    return subprocess.run(
        command, capture_output=True, text=True, cwd=sweep.folder, env=environment
    )


def test_an_array_of_eight_ends_with_eight_results_and_shares_what_is_upstream(toys):
    sweep = toys("+member.number=0,1,2,3,4,5,6,7", "+shared.seconds=3")
    array = sweep.array()
    assert sweep.ends() == 0, sweep.log()
    assert sweep.table() == dict.fromkeys(range(8), "done")
    assert sweep.results("figures.json") == {n: {"value": 7 * n, "steps": [0]} for n in range(8)}
    assert set(sweep.bed.states(array).values()) == {"COMPLETED"}
    begun = [line for log in sweep.logs() for line in log.splitlines() if line.startswith("▸")]
    assert begun.count("▸ shared") == 1 and begun.count("▸ member") == 8
    assert len(list(sweep.folder.glob("store/shared/*/*/manifest.json"))) == 1
    assert "#SBATCH --array=0-7" in next(sweep.sweep.glob(".submitit/*/*submission.sh")).read_text()


def test_every_fate_of_a_job_is_told_apart(toys):
    """0 is done, 1 fails, 2 is cancelled, 3 runs out of time once and goes on, 4 waits, cancelled."""
    sweep = toys(
        *("+member.number=0,1,2,3,4", "+member.steps=150", "+member.step_s=.1"),
        *("+member.fails=${eval_fails:${member.number}}",),
    )
    assert sweep is not None
