"""A real SLURM of one node for the tests of this folder, and sweeps that are submitted to it."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCRIPTS = ROOT / "scripts" / "slurm"
NO_SLURM = 77  # exit code of up.sh


@pytest.fixture(scope="session")
def bed(tmp_path_factory):
    """The test bed; where there can be none, tests are skipped, or fail in CI."""
    folder = tmp_path_factory.mktemp("slurm")
    why = ""
    if importlib.util.find_spec("hydra_plugins") is None:
        why = "hydra-submitit-launcher is not installed: pip install -e '.[slurm]'"
    else:
        up = subprocess.run(["bash", SCRIPTS / "up.sh", folder], capture_output=True, text=True)
        assert up.returncode in (0, NO_SLURM), up.stdout + up.stderr
        why = up.stderr if up.returncode else ""
    if why and os.environ.get("NEURODECODE_SLURM") == "required":
        pytest.fail(why)
    if why:
        pytest.skip(why)
    yield Bed(folder)
    subprocess.run(["bash", SCRIPTS / "down.sh", folder], check=True)
    shutil.rmtree(folder)


class Bed:
    """The cluster: its commands, its node, and its way of losing it."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def __call__(self, *command):
        """Run one of SLURM's commands, return what it prints."""
        words = [str(word) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def submit(self, *options, command="true"):
        """Submit a line of shell; return the number of its job."""
        quiet = ("--parsable", "--output=/dev/null", "--time=1", f"--wrap={command}")
        return self("sbatch", *quiet, *options).strip()

    def states(self, job):
        """``{job id: state}``; a job that was queued again counts as what it is now."""
        lines = self("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def lose_the_node(self):
        """Kill the node's daemon and all that it runs, at once, and tell the controller.

        The steps' own daemons go before what they run, which they would report as failed.
        """
        daemon = int((self.folder / "slurmd.pid").read_text())
        for pid in (daemon, *self._of_the_node("slurmstepd"), *self._of_the_node()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self("scontrol", "update", "NodeName=localhost", "State=DOWN", "Reason=killed")

    def _of_the_node(self, name=None):
        """Processes that the node runs: its daemons of that name, or those of jobs."""
        ours = f"SLURM_CONF={self.folder / 'slurm.conf'}\0".encode()
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (place / "environ").read_bytes()
                wanted = b"SLURM_JOB_ID=" in environment
                if name:
                    wanted = (place / "comm").read_text().strip() == name
                if wanted and ours in environment:
                    yield int(place.name)

    def return_the_node(self):
        """Start the node's daemon again."""
        subprocess.run(["bash", SCRIPTS / "up.sh", self.folder], check=True, capture_output=True)


def _listens():
    """Hear SIGINT, even where these tests were begun in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Sweep:
    """A `neurodecode run -m … launcher=slurm` in the background, and how it is doing."""

    def __init__(self, bed, folder, *overrides):
        self.bed, self.folder, self.sweep = bed, folder, folder / "sweep"
        self.printed, self.started = folder / "driver.log", time.monotonic()
        small = ("launcher.cpus=1", "launcher.memory_gb=1", "name=toy")
        words = ("run", "-m", "launcher=slurm", *small, "hydra.sweep.dir=sweep", *overrides)
        with open(self.printed, "wb") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-u", "-m", "neurodecode.cli", *words],
                **{"cwd": folder, "env": bed.environment, "stdout": log, "stderr": log},
                preexec_fn=_listens,
            )

    def log(self):
        """What the driver printed so far."""
        return self.printed.read_text()

    def array(self):
        """The number of the job, once it is submitted."""
        self.until(lambda: "submitted" in self.log() or self.driver.poll() is not None)
        return re.search(r"submitted \d+ jobs? as (\d+)", self.log())[1]

    def until(self, holds, seconds=180):
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, self.log() + str(self.logs())
            time.sleep(0.1)

    def until_says(self, number, text, seconds=180):
        """Wait until the log of a member's job holds a text."""
        self.until(lambda: text in self.job_log(number), seconds)

    def job_log(self, number):
        """What a member's job printed so far, in all its starts."""
        of_array = list(self.sweep.glob(f".submitit/*_{number}/*_log.out"))
        found = of_array or list(self.sweep.glob(f".submitit/*/*[0-9]_{number}_log.out"))
        return found[0].read_text(errors="replace") if found else ""

    def logs(self):
        """The logs of all jobs."""
        return [p.read_text(errors="replace") for p in self.sweep.glob(".submitit/*/*_log.out")]

    def ends(self, seconds=300):
        """Wait for the driver; return its exit code."""
        self.driver.wait(seconds)
        return self.driver.returncode

    def tell(self, what):
        """Print in a line how it ended: `pytest -rP` shows it."""
        states = sorted(self.bed.states(self.array()).values())
        seconds = time.monotonic() - self.started
        ended = f"exit code {self.driver.returncode}; SLURM {', '.join(states)}"
        print(f"outcome: {what}: {ended}; members {self.table() or 'not waited for'}", end="; ")
        print(f"{seconds:.0f} s")

    def status(self, number):
        """The status in a member's run.json, "" without one."""
        file = self.sweep / str(number) / "run.json"
        return json.loads(file.read_text())["status"] if file.exists() else ""

    def results(self, name):
        """``{member's number: content}`` of a JSON file in the artifacts of the toy stage."""
        found = {}
        for file in self.folder.glob(f"store/member/*/*/{name}"):
            config = json.loads((file.parent / "manifest.json").read_text())["config"]
            found[config["number"]] = json.loads(file.read_text())
        return found

    def table(self):
        """``{member's number: state}`` as the driver printed it last."""
        return {int(n): s for n, s in re.findall(r"^(\d+) +(\w+) +\S+ +/", self.log(), re.M)}


TOYS = ("stages=[toys.shared,toys.member]", "device=cpu")


@pytest.fixture
def toys(bed, tmp_path):
    """``toys("+member.number=0,1", …)``: submit toy members in a folder of their own."""
    shutil.copytree(HERE / "toys", tmp_path / "toys")
    begun = []

    def submit(*overrides):
        begun.append(Sweep(bed, tmp_path, *TOYS, *overrides))
        return begun[-1]

    yield submit
    for sweep in begun:
        if sweep.driver.poll() is None:
            sweep.driver.kill()
            sweep.driver.wait()
    bed.return_the_node()  # also after a test that failed while it was away
