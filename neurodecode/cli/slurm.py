"""``launcher=slurm``: each run of a sweep is a job of one SLURM array; how each ended is told.

hydra-submitit-launcher writes and submits the array. What it leaves open is closed here: a run that
fails ends its job as FAILED, so that dependents do not start; and how a job ended is asked of
``squeue``, which also knows it on clusters without accounting.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher

from neurodecode.cli.given import KEPT, given_folders
from neurodecode.cli.sweep import DONE, FAILED, SUBMITTED, Member, status
from neurodecode.core.errors import ConfigError
from neurodecode.core.ranges import Count, CountOrNone
from neurodecode.core.runner import PRODUCTS
from neurodecode.core.stop import Stopped

NAME = f"{SlurmLauncher.__module__}.{SlurmLauncher.__name__}"
ENDED = {  # https://slurm.schedmd.com/squeue.html, job state codes
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY"),
    *("NODE_FAIL", "BOOT_FAIL", "DEADLINE", "PREEMPTED"),
}
GONE = "GONE"  # no longer known to SLURM
STUCK = ("held", "Held", "Never", "Invalid")  # in the reason of a job that waits in vain
SHORTEST_S, LONGEST_S = 2.0, 30.0  # between two looks
NFS_S = 15.0  # until a file written on a node is seen here
# srun takes its number of CPUs from here since SLURM 22.05, no longer from the job
STEP_SETUP = ['export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"']


@dataclass(frozen=True)
class LauncherConfig:
    """What conf/launcher/slurm.yaml may say."""

    partition: str | None
    account: str | None
    time_min: Count
    cpus: Count
    memory_gb: Count
    gpus: Count | None
    parallel: Count
    requeues: CountOrNone
    notice_s: Count
    setup: list[str]
    sbatch: dict
    wait: bool


def register(launcher=None):
    """Let Hydra use our launcher where the plugin's was asked for."""
    Plugins.instance().class_name_to_class[NAME] = launcher or Launcher


class Launcher(SlurmLauncher):
    """Submit a sweep as a job array; on a node, run one of its members."""

    def launch(self, job_overrides, initial_job_idx):
        """Submit, wait if that is wanted, and hand the members to the task function."""
        check_commands()
        self.origin = Origin.here()
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        folders = [self._folder(o, n) for o, n in zip(job_overrides, numbers, strict=True)]
        for folder in folders:  # of an earlier sweep in the same place: nothing of it is done now
            for name in ("run.json", *PRODUCTS):
                (folder / name).unlink(missing_ok=True)
        jobs = self._submit(job_overrides, numbers)
        members = [
            Watched(n, tuple(overrides), job.job_id, folder, job.paths.stdout)
            for n, overrides, job, folder in zip(numbers, job_overrides, jobs, folders, strict=True)
        ]
        array, sweep = jobs[0].job_id.split("_")[0], self.config.hydra.sweep.dir
        n = f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}"
        print(f"submitted {n} as {array}; sweep: {sweep}", flush=True)
        if self.config.launcher.wait:
            self.task_function.members += watch(members, array, sweep)
        else:
            print(f"not waited for: squeue --jobs={array}, and later: neurodecode report {sweep}")
            self.task_function.members += [m.ended(SUBMITTED) for m in members]
        return [JobReturn(overrides=o, status=JobStatus.COMPLETED) for o in job_overrides]

    def _submit(self, job_overrides, numbers):
        import submitit
        from hydra.core.singleton import Singleton
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        options = {k: v for k, v in self.params.items() if k != "submitit_folder"}
        options["setup"] = [*(options["setup"] or []), *STEP_SETUP]
        common = BaseQueueConf.__dataclass_fields__
        named = {k if k in common else f"slurm_{k}": v for k, v in options.items()}
        executor = submitit.AutoExecutor(
            folder=self.params["submitit_folder"],
            cluster="slurm",
            slurm_max_num_timeout=named.pop("slurm_max_num_timeout"),
        )
        executor.update_parameters(**named)
        n, state = len(job_overrides), Singleton.get_state()
        overrides, ids = [list(o) for o in job_overrides], list(map(str, numbers))
        try:
            return executor.map_array(
                self, overrides, ["hydra.sweep.dir"] * n, numbers, ids, [state] * n
            )
        except submitit.core.utils.FailedJobError as error:
            raise ConfigError(f"launcher=slurm: sbatch refused the jobs: {error}") from error

    def _folder(self, overrides, number):
        from omegaconf import open_dict

        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(composed.hydra.job):
            composed.hydra.job.num, composed.hydra.job.id = number, str(number)
        return Path(composed.hydra.sweep.dir, composed.hydra.sweep.subdir).absolute()

    def __call__(self, *arguments):
        """Run one member on its node; its exit code becomes that of the job."""
        self.origin.restore()
        _stop_when_refused()
        code = super().__call__(*arguments).return_value
        for number in (signal.SIGUSR1, signal.SIGUSR2):  # a notice comes too late for what is over
            signal.signal(number, signal.SIG_IGN)
        if code:
            sys.exit(code)  # no exception: submitit would end the job with 1, whatever happened
        return code


@dataclass(frozen=True)
class Origin:
    """Where a sweep was started: relative paths and settings mean the same on every node."""

    folder: str
    environment: dict

    @classmethod
    def here(cls):
        """Take it from this process."""
        ours = {k: v for k, v in os.environ.items() if k.startswith("NEURODECODE_")}
        folders = [str(folder.absolute()) for folder in given_folders(sys.argv[1:])]
        ours |= {KEPT: os.pathsep.join(folders)} if folders else {}
        return cls(os.getcwd(), ours)

    def restore(self):
        """Make this process stand there."""
        os.chdir(self.folder)
        os.environ.update(self.environment)
        kept = self.environment.get(KEPT, "")
        sys.path += [p for p in kept.split(os.pathsep) if p and p not in sys.path]
        if self.folder not in sys.path:  # modules of your own lie where you stand
            sys.path.append(self.folder)


class Dry(BasicLauncher):
    """Compose every member here, whatever is said of SLURM: for ``--dry``."""

    def __init__(self, **params):
        super().__init__()


def _stop_when_refused():
    """Let a notice that is not followed by a requeue end the run in order, not as its error."""
    from submitit.core.job_environment import JobEnvironment
    from submitit.core.utils import UncompletedJobError

    number = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
    requeue = signal.getsignal(number)

    def handle(number, frame):
        try:
            requeue(number, frame)
        except UncompletedJobError as error:
            raise Stopped(f"stopped by the scheduler ({error})") from error

    signal.signal(number, handle)


def check_commands():
    """Raise ConfigError where SLURM's commands are not there."""
    missing = [c for c in ("sbatch", "squeue", "srun") if shutil.which(c) is None]
    if missing:
        raise ConfigError(
            f"launcher=slurm: there is no {' and no '.join(missing)} on this machine: run the "
            "command where you submit jobs, or leave out launcher=slurm to run here"
        )


@dataclass(frozen=True)
class Watched:
    """A member of a sweep in the hands of SLURM."""

    number: int
    overrides: tuple
    job: str
    folder: Path
    log: Path

    def ended(self, state, took="–", why=""):
        """Return how it ended."""
        return Member(self.number, self.overrides, state, took, self.log, why)


@dataclass(frozen=True)
class Job:
    """What SLURM says of a job: state, time used, and why it waits."""

    state: str
    took: str = "–"
    reason: str = ""


def watch(members, array, sweep):
    """Wait until every member has ended, and return how.

    A member is done if SLURM says COMPLETED, or nothing any more, *and* its run.json says done.

    Parameters
    ----------
    members : list of Watched
    array : str
        Number of the job.
    sweep : path
        Folder of the sweep, for messages.

    Returns
    -------
    ended : list of Member
    """
    try:
        ended = _wait(members, array)
    except (KeyboardInterrupt, SystemExit):
        print(
            f"the jobs go on without this command: squeue --jobs={array} shows them, "
            f"scancel {array} ends them, and later: neurodecode report {sweep}",
            flush=True,
        )
        raise
    return [ended[m] for m in members]


def _wait(members, array):
    started, ended, before, told = time.monotonic(), {}, {}, None
    while len(ended) < len(members):
        now = jobs_of(array)
        for member in members if now is not None else ():
            seen = before.get(member.job, Job(""))
            forgotten = seen if _over(seen) else Job(GONE, seen.took)
            job = before[member.job] = now.get(member.job, forgotten)
            # twice: a job that is queued again may look ended for a moment
            if member not in ended and _over(job) and seen.state == job.state:
                ended[member] = _how_it_ended(member, job)
        told = _tell(array, now, told)
        if len(ended) < len(members):
            time.sleep(min(LONGEST_S, max(SHORTEST_S, (time.monotonic() - started) / 20)))
    return ended


def _over(job):
    return job.state in ENDED or job.state == GONE


def _tell(array, jobs, told):
    """Print what changed since the last line; return what was told."""
    if jobs is None:
        text = f"{array}: SLURM does not answer, still waiting"
    else:
        states = [job.state.lower() for job in jobs.values()]
        counts = [f"{states.count(s)} {s}" for s in sorted(set(states))]
        text = f"{array}: {', '.join(counts) or 'no longer known to SLURM'}"
        stuck = {j.reason for j in jobs.values() if j.state == "PENDING" and _is_stuck(j.reason)}
        text += f" (waiting for ever: {', '.join(sorted(stuck))})" if stuck else ""
    if text != told:
        print(text, flush=True)
    return text


def _is_stuck(reason):
    return any(word in reason for word in STUCK)


def _how_it_ended(member, job):
    until = time.monotonic() + NFS_S
    told, error = status(member.folder)
    while job.state in ("COMPLETED", GONE) and told != "done" and time.monotonic() < until:
        time.sleep(min(1.0, NFS_S))
        told, error = status(member.folder)
    if job.state in ("COMPLETED", GONE) and told == "done":
        return member.ended(DONE, job.took)
    state = accounted(member.job) if job.state == GONE else job.state
    if state in ("COMPLETED", FAILED.upper(), GONE) and told in ("", "done"):
        error = error or f"its run.json says {told or 'nothing'}"
    why = error or {"interrupted": "it was told to stop"}.get(told, "")
    return member.ended(state, job.took, " ".join(why.split()))


def jobs_of(array):
    """Ask SLURM for the jobs of an array.

    Returns
    -------
    jobs : dict of str to Job, or None
        By job id (``12_3``, or ``12`` alone); those it forgot are left out. None: no answer.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={array}"]
    found = _asked([*command, "--format=%i|%T|%M|%r"])
    if found is None or found.returncode:
        return {} if found is not None and "Invalid job id" in found.stderr else None
    lines = [line.strip().split("|", 3) for line in found.stdout.splitlines() if line.strip()]
    return {job: Job(state, took, reason) for job, state, took, reason in lines}


def accounted(job):
    """The state that accounting remembers of a job that is gone, or GONE where there is none."""
    if shutil.which("sacct") is None:
        return GONE
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=State"]
    found = _asked([*command, f"--jobs={job}"])
    words = found.stdout.split() if found is not None and not found.returncode else []
    return words[0] if words else GONE  # "CANCELLED by 1000"


def _asked(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return None
