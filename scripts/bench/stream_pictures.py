"""Stream a thousand trials × 4 samples to disk: flat memory, killed half way, nothing done twice.

    python scripts/bench/stream_pictures.py                    # the shipped generator, 64 px
    python scripts/bench/stream_pictures.py --px 768 --kill .3 .6      # 7 GB of flat pictures

The stage `reconstruct` runs in a process of its own on the tokens of rendered scenes. It is killed
(SIGKILL) each time that share of the pictures is on disk, and started again. Then the same is done
without a kill. Printed: how many pictures were painted in all; the anonymous memory (RssAnon) when
a tenth was done and at its peak; whether the two artifacts have the same bytes.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from neurodecode.core.runner import run_stage
from neurodecode.core.store import Artifact, Store, describe
from neurodecode.diffusion.generator import TokenGenerator

SUBJECT, MIB = "sub-01", 1 << 20


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--px", type=int, default=64, help="64: the shipped generator")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--kill", type=float, nargs="*", default=[0.5], help="at these shares")
    parser.add_argument("--limit", type=float, default=200, help="MiB of growth after a tenth")
    parser.add_argument("--folder", help="where the pictures lie while it runs")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return paint(args, Path(args.worker))
    folder = Path(tempfile.mkdtemp(prefix="stream_", dir=args.folder))
    try:
        return compare(args, folder)
    finally:
        shutil.rmtree(folder)


def compare(args, folder):
    """Do it with kills and without; print what was seen, return the exit code."""
    write_predictions(args, folder / "predict")
    n = args.trials * args.samples
    killed = followed(args, folder, "killed", [int(share * n) for share in args.kill])
    whole = followed(args, folder, "whole", [])
    again = killed["painted"] - n
    print(f"{n} pictures of {args.px} px, {len(args.kill)} kills: {killed['seconds']:.0f} s")
    print(f"  painted twice: {again} (at most {len(args.kill)} batches of {args.batch})")
    growth = max(run["growth"] for run in (killed, whole))
    print(f"  RssAnon at a tenth {whole['tenth']:.0f} MiB, peak {whole['peak']:.0f} MiB")
    same = killed["bytes"] == whole["bytes"]
    print(f"  the same bytes as without a kill: {same}")
    held = same and again <= len(args.kill) * args.batch and growth <= args.limit
    print("held" if held else "MISSED")
    return 0 if held else 1


def write_predictions(args, folder):
    """Write what `predict` would: tokens of rendered scenes, noise in each sample."""
    from neurodecode.contrastive.targets import OpenClipTarget
    from neurodecode.world.scenes import render, sample_scenes

    rng = np.random.default_rng(0)
    pictures = render(sample_scenes(args.trials, rng))
    pooled, tokens = OpenClipTarget().pictures(pictures)
    tokens = tokens.repeat(args.samples, axis=0)
    tokens += 0.3 * tokens.std(axis=(0, 1)) * rng.standard_normal(tokens.shape)
    (folder / "model").mkdir(parents=True)
    np.save(folder / "model" / "tokens.npy", tokens.astype(np.float32))
    np.save(folder / "model" / "pooled.npy", pooled)
    rows = np.arange(args.trials).repeat(args.samples)
    table = pd.DataFrame({"row_id": [f"row-{r:04d}" for r in rows]})
    table["sample"] = np.tile(np.arange(args.samples), args.trials)
    table.to_csv(folder / "model" / "samples.tsv", sep="\t", index=False)
    (folder / "conditions.json").write_text(json.dumps([{"name": "model"}]))


def followed(args, folder, name, kills):
    """Run the stage to its end through kills, and watch it from outside."""
    place, started, memory = folder / name, time.monotonic(), []
    place.mkdir()
    kills, n = list(kills), args.trials * args.samples
    while True:
        process = subprocess.Popen([sys.executable, *sys.argv, "--worker", str(place)])
        while process.poll() is None:
            done = n_done(place)
            memory.append((done, anonymous(process.pid)))
            if kills and done >= kills[0]:
                kills.pop(0)
                process.send_signal(signal.SIGKILL)
                process.wait()
                break
            time.sleep(0.05)
        else:
            assert process.returncode == 0, f"the stage ended with {process.returncode}"
            break
    held = [now for done, now in memory if done >= n / 10]
    tenth, peak = held[0], max(held)
    files = json.loads(next(place.glob("store/reconstruct/*/*/manifest.json")).read_text())["files"]
    return {
        "seconds": time.monotonic() - started,
        "painted": sum(map(int, (place / "painted.txt").read_text().split())),
        "tenth": tenth / MIB,
        "peak": peak / MIB,
        "growth": (peak - tenth) / MIB,
        "bytes": {file: about["sha256"] for file, about in files.items()},
    }


def n_done(place):
    """How many pictures are on disk, by the stage's own count; all when it is published."""
    counts = list(place.glob("store/reconstruct/*/*work*/model.json"))
    try:
        return json.loads(counts[0].read_text())["done"] if counts else 0
    except (OSError, ValueError):  # replaced or removed meanwhile
        return 0


def anonymous(pid):
    """Bytes of anonymous memory that a process holds."""
    try:
        line = next(x for x in open(f"/proc/{pid}/status") if x.startswith("RssAnon"))
    except (OSError, StopIteration):
        return 0
    return 1024 * int(line.split()[1])


def paint(args, place):
    """The process that is watched, and killed."""
    node = {"_target_": "__main__.Flat", "px": args.px} if args.px != 64 else {}
    config = {
        "generator": node or {"_target_": "__main__.Shipped"},
        "target": {"_target_": "neurodecode.contrastive.targets.OpenClipTarget"},
        "batch": args.batch,
        "strength": 1.0,
    }
    folder = place.parent / "predict"
    about = {"config": {}, "key": "0" * 64, "versions": {}, "commit": "", "code": {}}
    upstream = {"predict": {SUBJECT: Artifact(folder, about | {"files": describe(folder)})}}
    os.chdir(place)
    from neurodecode.stages import reconstruct

    run_stage(reconstruct.run, config, upstream, Store(place / "store"), each=SUBJECT)
    return 0


def note(n):
    """Say in the folder of the run how many pictures were painted."""
    with open("painted.txt", "a") as file:
        file.write(f"{n}\n")


class Shipped(TokenGenerator):
    """The shipped generator, which says how often it is asked."""

    def generate(self, tokens, seeds, **more):
        """As the shipped one does."""
        note(len(seeds))
        return super().generate(tokens, seeds, **more)


class Flat:
    """Paints a random colour: for pictures so large that only the disk has room for all."""

    token_shape, reads = (None, 128), ("tokens",)

    def __init__(self, px: int = 768):
        self.picture_px = px

    def generate(self, tokens, seeds, start=None, strength=1.0, batch=1, captions=None):
        """One colour a row."""
        note(len(seeds))
        colours = [np.random.default_rng(seed).integers(0, 255, 3) for seed in seeds]
        flat = np.array(colours, np.uint8)[:, None, None]
        return np.broadcast_to(flat, (len(seeds), self.picture_px, self.picture_px, 3)).copy()


if __name__ == "__main__":
    sys.exit(main())
