"""Processes that train together: started here, watched here, and ended here.

The process that starts them keeps the lease, the log and the terminal; it computes nothing. Each
other one has a device of its own, or a share of the CPU's threads, and the number it is called by:
its rank. If one dies, all end, with an error that says so; if the process that started them dies,
they end within seconds. Notices to stop are passed on to rank 0, which saves and then says so.
"""

import copy
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from neurodecode.contrastive import checkpoint
from neurodecode.contrastive.gather import Rank
from neurodecode.core import stop
from neurodecode.core.errors import ConfigError, DamagedArtifact, UserError

PATIENCE = timedelta(hours=12)  # for the others in a collective: who dies is noticed at once
POLL_S = 0.5
GRACE_S = 2.0  # in which all who fail for the same reason have said so
FORESEEN = (UserError, DamagedArtifact, ValueError, OSError)
log = logging.getLogger("neurodecode")


def check_devices(device: str, n_devices: int) -> None:
    """Raise ConfigError if there are not as many GPUs as asked for."""
    there = torch.cuda.device_count() if device == "cuda" else n_devices
    if there < n_devices:
        raise ConfigError(
            f"train.devices: {n_devices} GPUs asked for, {there} can be seen here: ask for a "
            "machine with as many (or see CUDA_VISIBLE_DEVICES), or give fewer"
        )


def learn_together(
    lesson, decoder: nn.Module, device: str, n_devices: int, progress: Callable = iter
) -> tuple[nn.Module, list[dict]]:
    """Train a decoder on several devices; each process does what `decoder.Lesson.learn` says.

    Parameters
    ----------
    lesson : neurodecode.contrastive.decoder.Lesson
        With a checkpoint; the answer is left beside it.
    decoder : nn.Module
    device : str
        cuda: one GPU for each process; cpu: processes that share the threads.
    n_devices : int
    progress : callable, optional
        Wraps the iterable of epochs.
    """
    answer = lesson.checkpoint.with_name("answer.pt")
    parts = (lesson.on("cpu"), decoder.cpu(), answer)
    run_ranks(_learn, parts, device, n_devices, progress)
    found = checkpoint.load(answer, "cpu")
    decoder.load_state_dict(found["weights"])
    return decoder.to(device).eval(), found["history"]


def _learn(rank: Rank, device, tell, lesson, decoder, answer: Path):
    """What each process does; the first one writes the answer."""

    def epochs(numbers):
        tell("epochs", numbers)
        for epoch in numbers:
            yield epoch
            tell("epoch", epoch)

    own = copy.deepcopy(decoder)  # what came lies in memory that all processes share
    learnt, history = lesson.on(device).learn(own.to(device), epochs, rank)
    if rank.index == 0:
        checkpoint.save({"weights": learnt.state_dict(), "history": history}, answer)


def run_ranks(
    job: Callable, parts: tuple, device: str, n_devices: int, progress: Callable = iter
) -> None:
    """Run a job in several processes at once; return when all are done.

    Parameters
    ----------
    job : callable (rank, device, tell, *parts)
        A function of a module. `tell("epochs", range)` and `tell("epoch", e)` move the bar.
    parts : tuple
        What can be sent to another process; tensors on the CPU are shared, not copied.
    device : str
    n_devices : int
    progress : callable, optional

    Raises
    ------
    Exception
        What a process raised, or UserError if one died.
    """
    watched = _Ranks(progress)
    with stop.postponed():
        try:
            watched.start(job, parts, device, n_devices)
            while watched.running():
                watched.listen()
                watched.pass_on_notices()
        finally:
            watched.end()


class _Ranks:
    """The processes, as the one that started them sees them."""

    def __init__(self, progress):
        self.progress, self.bar = progress, iter(())
        self.processes, self.pipes = [], []
        self.ready, self.told, self.done, self.failed = False, False, set(), {}

    def start(self, job, parts, device, n_devices):
        context = mp.get_context("spawn")
        # the system chooses a free port; the store lives as long as this process
        self.store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        n_threads = max(1, torch.get_num_threads() // n_devices)
        for index in range(n_devices):
            here, there = context.Pipe(duplex=False)
            about = (Rank(index, n_devices), device, os.getpid(), self.store.port, n_threads)
            process = context.Process(target=_rank, args=(about, there, job, parts), daemon=True)
            try:
                process.start()
            except (AttributeError, TypeError) as error:
                raise ValueError(
                    f"the network or its loss cannot be sent to another process ({error}): define "
                    "it in a module, without lambdas and open files, or train.devices=1"
                ) from error
            there.close()
            self.processes.append(process)
            self.pipes.append(here)

    def running(self):
        return len(self.done) < len(self.processes)

    def listen(self, at_most_s=POLL_S):
        """Hear what the processes say, and whether one is gone."""
        self._listen(at_most_s)
        if self.failed:
            self._fail()

    def _listen(self, at_most_s):
        for pipe in wait([pipe for pipe in self.pipes if not pipe.closed], at_most_s):
            self._hear(self.pipes.index(pipe), pipe)

    def _hear(self, index, pipe):
        try:
            kind, content = pipe.recv()
        except (EOFError, OSError):
            pipe.close()
            self.processes[index].join()
            if index not in self.done:
                self.failed.setdefault(index, None)
            return
        if kind == "failed":
            self.failed[index] = content
        elif kind == "done":
            self.done.add(index)
        elif kind == "ready":
            self.ready = self.ready or index == 0
        elif kind == "log":
            log.log(*content)
        elif kind == "epochs":
            self.bar = iter(self.progress(content))
            next(self.bar, None)
        elif kind == "epoch":
            next(self.bar, None)
        elif kind == "saved":
            self.told = False
            stop.leave()

    def pass_on_notices(self):
        """Let the first process save before this one leaves."""
        if not stop.asked() or self.told:
            return
        if not self.ready:
            stop.leave()
        elif self.processes[0].is_alive():
            os.kill(self.processes[0].pid, signal.SIGUSR2)
            self.told = True

    def _fail(self):
        """Raise what went wrong first: others then fail too, for want of an answer."""
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until and any(not pipe.closed for pipe in self.pipes):
            self._listen(POLL_S)
        said = [error for error in self.failed.values() if error is not None]
        foreseen = [error for error in said if isinstance(error, FORESEEN)]
        dead = [index for index, error in self.failed.items() if error is None]
        if foreseen:
            raise foreseen[0]
        if dead:
            raise UserError(self._died(dead[0]))
        raise said[0]

    def _died(self, index):
        code = self.processes[index].exitcode
        how = f"ended with code {code}"
        if code is not None and code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += " (so does the system where memory runs out)"
        return (
            f"process {index + 1} of the {len(self.processes)} that train together {how}; the "
            "others were ended too. Run the same command again: training goes on from the last "
            "state it saved"
        )

    def end(self):
        for process in self.processes:
            process.kill()
        for process, pipe in zip(self.processes, self.pipes, strict=True):
            process.join()
            pipe.close()


def _rank(about, pipe, job, parts):
    """What a process is: it obeys the one that started it, does its job, and says how it went."""
    rank, device, parent, port, n_threads = about
    lock = threading.Lock()

    def tell(kind, content=None):
        if rank.index == 0 or kind in ("failed", "done"):
            with lock:
                pipe.send((kind, content))

    _obey(parent, tell)
    _send_log(tell)
    torch.set_num_threads(n_threads)
    try:
        device = _join(rank, device, port)
        tell("ready")
        job(rank, device, tell, *parts)
        if rank.world > 1:
            dist.destroy_process_group()
        tell("done")
    except Exception as error:
        tell("failed", _sendable(error))
        os._exit(1)  # collectives of the others still wait for this one: no clearing up


def _obey(parent, tell):
    """Leave signals to the process that started this one, and end when it does."""
    for number in (signal.SIGINT, *stop.SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    # in a thread: a signal may come while the main thread is telling something else
    saved = lambda number, frame: threading.Thread(target=tell, args=("saved",)).start()
    signal.signal(signal.SIGUSR2, saved)

    def follow():
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _send_log(tell):
    class Sender(logging.Handler):
        def emit(self, record):
            tell("log", (record.levelno, record.getMessage()))

    log.addHandler(Sender())
    log.setLevel(logging.INFO)
    log.propagate = False


def _join(rank, device, port):
    """Meet the others; return this process's device."""
    if device == "cuda":
        device = f"cuda:{rank.index}"
        torch.cuda.set_device(device)
    if rank.world > 1:
        if sys.platform == "linux":  # all are on this machine
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
            os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
        store = dist.TCPStore("127.0.0.1", port, is_master=False)
        backend = "nccl" if device.startswith("cuda") else "gloo"
        dist.init_process_group(
            backend, store=store, rank=rank.index, world_size=rank.world, timeout=PATIENCE
        )
    return device


def _sendable(error):
    """The error itself, with where it came from as a note; its text where it cannot be sent."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
