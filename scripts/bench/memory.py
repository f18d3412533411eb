"""How much memory do align and train take, as a study grows?

    python scripts/bench/memory.py --trials 12500 50000 200000 --channels 15000

One simulated subject of each size goes through the stages `align` and `train` (one epoch), each
size in a process of its own. Its responses are a sparse file: all zeros but for a few trials, which
let every channel vary and repeat; the work is that of a full file, the disk holds next to nothing
of it. Printed for each phase: seconds, and the peaks of anonymous memory (RssAnon: what the process
itself holds) and of mapped files (RssFile: pages that the system takes back when it needs them),
children included. At last, for each size: the peak of RssAnon beyond the model, its optimiser and
its averaged copy, which must stay below --limit; the exit code says whether it did.

With fewer --folds and --penalties ridge holds as much, and takes a fraction of the time.
"""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial, wraps
from pathlib import Path

import numpy as np

import neurodecode

SUBJECT = "sub-01"
REPEATS, TRIALS_PER_RUN, PLANTED = 3, 62, 64  # presentations of a picture; pictures with a signal
COPIES = 4  # of the weights: the model, two moments of AdamW, the average
PHASES = {  # what is timed: name, module of the stages, function
    "scale": ("align", "fit_scaler"),
    "reliability": ("align", "channel_reliability"),
    "ridge": ("baselines", "fit_in_blocks"),
    "ridge, in memory": ("baselines", "fit_at_once"),
    "decoder": ("train", "train_decoder"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[12_500, 50_000, 200_000])
    parser.add_argument("--channels", type=int, default=15_000)
    parser.add_argument("--pictures", type=int, default=73_000)
    parser.add_argument("--dim", type=int, default=768, help="of the pooled embedding")
    parser.add_argument("--hidden", type=int, default=256, help="width of the network")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5, help="of ridge's inner cross-validation")
    parser.add_argument("--penalties", type=int, default=11, help="that ridge chooses from")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=float, default=4.0, help="GiB of RssAnon beyond the model")
    parser.add_argument("--folder", help="where studies and results lie while it runs")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args, args.trials[0], Path(args.one))))
        return 0
    found = [in_its_own_process(args, n_trials) for n_trials in args.trials]
    print("\n  trials   file GiB   RssAnon GiB   model etc.   beyond   RssFile GiB   seconds")
    for one in found:
        print(
            f"{one['trials']:8d} {one['file']:10.2f} {one['anon']:13.2f} {one['model']:12.3f}"
            f" {one['beyond']:8.2f} {one['mapped']:13.2f} {one['seconds']:9.0f}"
        )
    held = all(one["beyond"] <= args.limit for one in found)
    print(f"{'held' if held else 'MISSED'}: at most {args.limit:g} GiB beyond the model")
    return 0 if held else 1


def in_its_own_process(args, n_trials):
    """Measure one size in a fresh process, so that peaks are its own; what it takes in GiB."""
    keys = "channels pictures dim hidden batch epochs folds penalties device".split()
    told = [part for key in keys for part in (f"--{key}", str(getattr(args, key)))]
    print(f"{n_trials} trials x {args.channels} channels", flush=True)
    folder = tempfile.mkdtemp(prefix="memory_bench_", dir=args.folder)
    try:
        command = [sys.executable, __file__, "--one", folder, "--trials", str(n_trials), *told]
        same = os.environ | {"PYTHONPATH": str(Path(neurodecode.__file__).parents[1])}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=same)
    finally:
        shutil.rmtree(folder)
    return json.loads(done.stdout.splitlines()[-1])


def measured(args, n_trials, folder):
    """Run align and train on one study; seconds, and GiB of memory."""
    from neurodecode.core.runner import run_stage
    from neurodecode.core.store import Store
    from neurodecode.models import baseline_in_blocks
    from neurodecode.models.ridge import FRACTIONS
    from neurodecode.stages import align, train

    of_ridge = {"fractions": FRACTIONS[: args.penalties], "n_folds": args.folds}
    solve = partial(baseline_in_blocks.fit_ridge_in_blocks, **of_ridge)
    baseline_in_blocks.fit_ridge_in_blocks = solve
    made = study(folder, n_trials, args.channels, args.pictures, args.dim)
    store, hardware = Store(folder / "store"), {"device": args.device}
    started = time.monotonic()
    with Memory() as memory:
        for phase, (room, name) in PHASES.items():
            module = importlib.import_module(f"neurodecode.stages.{room}")
            setattr(module, name, memory.of(phase, getattr(module, name)))
        run = lambda stage, config: run_stage(stage.run, config, made, store, hardware=hardware)
        made["align"] = memory.of("align, all", run)(align, {"min_reliability": -1.0})
        made["train"] = memory.of("train, all", run)(train, settings(args))
    gib = lambda n_bytes: n_bytes / 2**30
    model = COPIES * weight_bytes(made["train"].path("weights.safetensors"))
    return {
        "trials": n_trials,
        "file": gib(made["preprocess"][SUBJECT].files["responses.npy"]["size"]),
        "anon": gib(memory.anon),
        "mapped": gib(memory.mapped),
        "model": gib(model),
        "beyond": gib(memory.anon - model),
        "seconds": time.monotonic() - started,
    }


def settings(args):
    """The configuration of train."""
    plan = {"_target_": "neurodecode.contrastive.loop.Plan", "n_epochs": args.epochs}
    model = {"_target_": "neurodecode.models.residual_mlp.ResidualMLP", "hidden": args.hidden}
    loss = {"_target_": "neurodecode.contrastive.losses.InfoNCELoss", "temperature": 0.1}
    more = {"prior": None, "prior_training": None, "batch": args.batch, "device": args.device}
    return {"model": model, "loss": loss, "decoder_training": plan} | more


def study(folder, n_trials, n_channels, n_pictures, dim):
    """Make what align and train read: {stage: Artifact}; the responses are a sparse file."""
    import pandas as pd

    from neurodecode.core.store import Artifact, describe
    from neurodecode.core.views import Folder

    rng = np.random.default_rng(0)
    n_shown = min(n_pictures, -(-n_trials // REPEATS))
    shown = np.arange(n_trials) % n_shown
    name = lambda numbers: [f"picture-{i:06d}" for i in numbers]
    trials = pd.DataFrame(
        {
            "trial_id": [f"{SUBJECT}_{i:07d}" for i in range(n_trials)],
            "subject": SUBJECT,
            "session": np.char.mod("%02d", np.arange(n_trials) // (12 * TRIALS_PER_RUN)),
            "run": np.char.mod("%02d", np.arange(n_trials) // TRIALS_PER_RUN % 12),
            "stimulus_id": name(shown),
        }
    )
    side = np.array(["train"] * 18 + ["val", "test"])[np.arange(n_shown) % 20]
    order = pd.DataFrame({"trial_id": trials["trial_id"], "order": np.arange(n_trials) / n_trials})
    preprocess, embed, split = (Folder(folder / n, None) for n in ("preprocess", "embed", "split"))
    preprocess.save_table("trials.tsv", trials)
    preprocess.save_table("nuisance.tsv", order)
    split.save_table("split.tsv", trials.assign(split=side[shown]))

    path = preprocess.path("responses.npy")
    shape = (n_trials, n_channels)
    responses = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for picture in rng.choice(n_shown, min(PLANTED, n_shown), replace=False):
        answer = rng.standard_normal(n_channels, np.float32)
        for trial in np.flatnonzero(shown == picture):
            responses[trial] = answer + rng.standard_normal(n_channels, np.float32)
    del responses

    pooled = rng.standard_normal((n_pictures, dim), np.float32)
    embed.save_array("pooled.npy", pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
    names = pd.DataFrame({"stimulus_id": name(range(n_pictures))})
    embed.save_table("stimuli.tsv", names)
    embed.save_table("categories.tsv", names.assign(category=np.arange(n_pictures) % 80))

    about = {"config": {}, "key": "0" * 64, "versions": {}, "commit": "", "code": {}}
    artifact = lambda n: Artifact(folder / n, about | {"files": describe(folder / n)})
    return {
        "preprocess": {SUBJECT: artifact("preprocess")},
        "embed": artifact("embed"),
        "split": artifact("split"),
    }


def weight_bytes(path):
    """Bytes of the decoder's weights in a safetensors file."""
    from safetensors.numpy import load_file

    return sum(a.nbytes for n, a in load_file(path).items() if n.startswith("decoder/"))


class Memory:
    """Samples the memory of this process and its children in a thread; peaks in bytes."""

    def __init__(self, every_s=0.02):
        self.anon = self.mapped = self.phase_anon = 0
        self.every_s, self.done = every_s, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()

    def of(self, phase, function):
        """The same function, which prints what it took."""

        @wraps(function)
        def watched(*args, **kwargs):
            outer, self.phase_anon, started = self.phase_anon, 0, time.monotonic()
            result = function(*args, **kwargs)
            time.sleep(2 * self.every_s)  # at least one sample
            seconds, peak = time.monotonic() - started, self.phase_anon
            self.phase_anon = max(outer, peak)
            told = f"  {phase:20s} {seconds:9.1f} s   RssAnon up to {peak / 2**30:5.2f} GiB"
            print(told, file=sys.stderr, flush=True)
            return result

        return watched

    def _watch(self):
        while not self.done.wait(self.every_s):
            anon, mapped = resident(os.getpid())
            self.anon, self.mapped = max(self.anon, anon), max(self.mapped, mapped)
            self.phase_anon = max(self.phase_anon, anon)


def resident(pid):
    """Bytes of (RssAnon, RssFile) of a process and all its children."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(c) for t in tasks for c in (t / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    own = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    found = [(1024 * int(own.get("RssAnon", 0)), 1024 * int(own.get("RssFile", 0)))]
    return tuple(map(sum, zip(*(found + [resident(c) for c in children]), strict=True)))


if __name__ == "__main__":
    sys.exit(main())
