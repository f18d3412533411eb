"""How much faster do several GPUs train a network of MindEye's size, at equal batch per GPU?

    python scripts/bench/weak_scaling.py --gpus 2 --batch 32 --steps 30
    python scripts/bench/weak_scaling.py --device cpu --tiny            # a try without GPUs

The published sizes of MindEye1 [1]_: 15,724 voxels, width 4096, 257 x 768 tokens, about 950
million weights; BiMixCo, then SoftCLIP, and the tokens' mean squared error; AdamW, averaged
weights, clipped gradients; bfloat16 on a GPU. Trained by the package's own loop, on random trials
and targets that lie on the GPU. One and several GPUs take turns, each time in new processes; the
first epoch of each is not counted. Printed: trials per second and, from the medians,

    efficiency = (trials/s on n GPUs) / (n x trials/s on one)

References
----------
.. [1] Scotti et al. (2023). Reconstructing the mind's eye. NeurIPS.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from neurodecode.contrastive.batches import Batch
from neurodecode.contrastive.decoder import decoder_loss
from neurodecode.contrastive.loop import Plan, fit
from neurodecode.contrastive.losses import MindEyeLoss
from neurodecode.contrastive.ranks import check_devices, run_ranks
from neurodecode.contrastive.rows import Rows, Targets
from neurodecode.models.base import BrainOutput
from neurodecode.models.mindeye1 import MindEye1


@dataclass(frozen=True)
class Task:
    """What every process does, and how large it is."""

    batch: int  # trials per GPU
    steps: int  # in an epoch
    epochs: int
    n_voxels: int = 15_724
    n_tokens: int = 257
    token_dim: int = 768
    hidden: int = 4096
    projector: int = 2048
    n_rows: int = 512


TINY = {"n_voxels": 600, "n_tokens": 5, "token_dim": 16, "hidden": 64, "projector": 32}


class Decoder(nn.Module):
    """MindEye1, answering as decoders of the package do."""

    def __init__(self, task: Task):
        super().__init__()
        out = task.n_tokens * task.token_dim
        self.network = MindEye1(
            task.n_voxels, out, task.token_dim, task.hidden, projector_hidden=task.projector
        )
        self.token_dim = task.token_dim

    def forward(self, responses, subject):
        backbone, projected = self.network(responses)
        return BrainOutput(backbone.unflatten(1, (-1, self.token_dim)), projected.flatten(1), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32, help="trials per GPU")
    parser.add_argument("--steps", type=int, default=30, help="in an epoch")
    parser.add_argument("--epochs", type=int, default=3, help="in a turn, beside the first")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each")
    parser.add_argument("--tiny", action="store_true", help="a network of a few thousand weights")
    args = parser.parse_args()
    check_devices(args.device, args.gpus)
    task = Task(args.batch, args.steps, args.epochs, **(TINY if args.tiny else {}))
    print(machine(args.device))
    speeds = {1: [], args.gpus: []}
    for turn in range(args.repeats):
        for n_devices, found in speeds.items():
            said = in_ranks(task, args.device, n_devices)
            found += said["trials_per_s"]
            print(
                f"turn {turn + 1}  {n_devices} x {args.batch} trials  {said['n_weights']:.2e} "
                f"weights  trials/s {', '.join(f'{s:.0f}' for s in said['trials_per_s'])}  "
                f"{said['memory_gib']:.1f} GiB a GPU",
                flush=True,
            )
    one, several = (float(np.median(found)) for found in speeds.values())
    print(f"medians: {one:.1f} trials/s on 1, {several:.1f} on {args.gpus}")
    steps = [1e3 * n * args.batch / speed for n, speed in ((1, one), (args.gpus, several))]
    print(f"step: {steps[0]:.1f} ms on 1, {steps[1]:.1f} ms on {args.gpus}")
    print(f"efficiency {several / (args.gpus * one):.1%}")


def machine(device):
    if device == "cpu":
        return f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return f"{names}, torch {torch.__version__}, CUDA {torch.version.cuda}"


def in_ranks(task, device, n_devices):
    """Let processes train; return what the first one measured."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "speeds.json"
        run_ranks(train, (task, answer), device, n_devices)
        return json.loads(answer.read_text())


def train(rank, device, tell, task, answer):
    """What each process does: the same network and data, made on its device; its share of them."""
    torch.manual_seed(0)
    with torch.device(device):
        model = Decoder(task)
        random = lambda *shape: torch.randn(task.n_rows, *shape)
        rows = {"sub-01": Rows(random(task.n_voxels), np.arange(task.n_rows))}
        tokens = random(task.n_tokens, task.token_dim)
        targets = Targets(F.normalize(random(task.n_tokens * task.token_dim), dim=1), tokens)
    n = task.batch * rank.world
    plan = Plan(1 + task.epochs, 3e-4)
    ends = []
    fit(
        model,
        batches=lambda epoch: batches(task, n, epoch),
        loss=decoder_loss(MindEyeLoss(0.5), rows, targets, plan.n_epochs, {}, rank),
        validate=lambda averaged, epoch: ends.append(now(device)) or {"score": 0.0},
        plan=plan,
        rank=rank,
    )
    if rank.index == 0:
        speeds = task.steps * n / np.diff(ends)
        held = torch.cuda.max_memory_allocated() if device.startswith("cuda") else 0
        n_weights = sum(p.numel() for p in model.parameters())
        said = {"trials_per_s": speeds.tolist(), "memory_gib": held / 2**30, "n_weights": n_weights}
        answer.write_text(json.dumps(said))


def batches(task, n, epoch):
    """Random trials; no stimulus twice in a batch."""
    rng = np.random.default_rng(epoch)
    draw = lambda: rng.permutation(task.n_rows)[:n]
    return [Batch({"sub-01": draw()}, seed) for seed in range(task.steps)]


def now(device):
    """The time when all that was asked of the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.monotonic()


if __name__ == "__main__":
    main()
