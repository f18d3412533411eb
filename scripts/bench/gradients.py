"""Are gradients of several processes those of one, and is every trial seen once?

    python scripts/bench/gradients.py                  # gloo on the CPU, worlds of 1, 2 and 4
    python scripts/bench/gradients.py --device cuda    # NCCL, worlds of 1 to all GPUs there are

In float64. The reference is one process that computes the loss of the whole batch by itself.
Printed: the largest difference in units of the largest gradient, for every contrastive loss on
embeddings alone, and for all weights of networks trained on all parts of the loss. Batches
are dealt unequally; the small ones leave some processes without any trial. Exit code 1 if a
difference exceeds the tolerance, or a trial was not seen exactly once in an epoch.
"""

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn import functional as F

from neurodecode.contrastive.batches import epoch_batches
from neurodecode.contrastive.decoder import decoder_loss
from neurodecode.contrastive.gather import Rank
from neurodecode.contrastive.losses import InfoNCELoss, MindEyeLoss
from neurodecode.contrastive.mixing import draw_mixture
from neurodecode.contrastive.ranks import run_ranks
from neurodecode.contrastive.replicas import Replica
from neurodecode.contrastive.rows import Rows, Targets
from neurodecode.models.base import Sizes
from neurodecode.models.conv_encoder import ConvEncoder
from neurodecode.models.residual_mlp import ResidualMLP

TOLERANCE = 1e-6
LOSSES = {  # name: (loss, epoch of 2)
    "InfoNCE": (InfoNCELoss(0.07), 0),
    "BiMixCo": (MindEyeLoss(0.5), 0),
    "BiMixCo, as published": (MindEyeLoss(0.5, compat=True), 0),
    "SoftCLIP": (MindEyeLoss(0.5), 1),
    "SoftCLIP, brain temperature": (MindEyeLoss(0.5, brain_temperature=0.1), 1),
}
SIZES = {"13 trials": [7, 6], "3 trials": [1, 2]}
CHANNELS = {"sub-01": 200, "sub-02": 150}
N_TIMES = 6


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--worlds", type=int, nargs="+", help="how many processes, in turn")
    args = parser.parse_args()
    worlds = args.worlds or ([1, 2, 4] if args.device == "cpu" else gpus())
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{platform.machine()} CPU"
    print(f"{where}, torch {torch.__version__}; gradients in float64, of max |g|")
    worst = 0.0
    for world in worlds:
        found = in_ranks(args.device, world)
        worst = max(worst, *found.values())
        for name, error in found.items():
            print(f"world {world}  {name:58s} {error:.1e}", flush=True)
    once = [seen_once(world) for world in (1, 2, 3, 4)]
    print(f"largest {worst:.1e}, tolerance {TOLERANCE:.0e}")
    print("each trial seen once per epoch at worlds 1, 2, 3, 4:", ", ".join(map(str, once)))
    sys.exit(0 if worst <= TOLERANCE and all(once) else 1)


def gpus():
    return list(range(1, torch.cuda.device_count() + 1))


def in_ranks(device, world):
    """Let processes compare; return what the first one says."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "errors.json"
        run_ranks(compare, (answer,), device, world)
        return json.loads(answer.read_text())


def compare(rank, device, tell, answer):
    """What each process does: its share, and the whole by itself."""
    errors = {}
    for sizes_name, sizes in SIZES.items():
        for name, (loss, epoch) in LOSSES.items():
            errors[f"{name}, {sizes_name}"] = of_embeddings(loss, epoch, sizes, rank, device)
    for network in (ResidualMLP, ConvEncoder):
        for n_per_subject in (7, 1):
            for name, (loss, epoch) in LOSSES.items():
                label = f"{network.__name__}, {n_per_subject} a subject: {name} + regressions"
                errors[label] = of_weights(network, n_per_subject, loss, epoch, rank, device)
    if rank.world > 1:
        worst = torch.tensor(list(errors.values()), device=device)
        dist.all_reduce(worst, dist.ReduceOp.MAX)
        errors = dict(zip(errors, worst.tolist(), strict=True))
    if rank.index == 0:
        answer.write_text(json.dumps(errors))


def of_embeddings(loss, epoch, sizes, rank, device):
    """Gradients with respect to the embeddings of all trials, by all processes and by one."""
    rng, n = np.random.default_rng(0), sum(sizes)
    brain, clip = (torch.as_tensor(rng.standard_normal((n, 9)), device=device) for _ in range(2))
    mixture = ()
    if loss.mixes(epoch, 2):
        partner, lam = draw_mixture(n, torch.Generator().manual_seed(0), probability=0.8)
        mixture = tuple(torch.as_tensor(x, device=device) for x in (partner, lam))
    whole = brain.clone().requires_grad_()
    loss(whole, clip, epoch, 2, *mixture).backward()
    own, dealt = brain.clone().requires_grad_(), rank.deal(sizes)
    read = torch.as_tensor(np.concatenate(dealt.places), device=device)
    shared = loss(dealt.gather(own[read]), dealt.gather(clip[read]), epoch, 2, *mixture)
    shared.backward()
    return difference([rank.mean({"g": own.grad})["g"]], [whole.grad])


def of_weights(network, n_per_subject, loss, epoch, rank, device):
    """Gradients of a network's weights for a batch, by all processes and by one."""
    batch, rows, targets = study(network, n_per_subject, device)
    cost = lambda rank: decoder_loss(loss, rows, targets, 2, {"tokens": 0.5, "blurry": 2.0}, rank)
    alone, together = (made(network).to(device) for _ in range(2))
    cost(Rank())(alone, batch, epoch)["total"].backward()
    if rank.world == 1:
        cost(rank)(together, batch, epoch)["total"].backward()
    else:
        replica = Replica(together, cost(rank), batch, rank)
        replica(together, batch, epoch)["total"].backward()
    return difference(*([p.grad for p in model.parameters()] for model in (together, alone)))


def study(network, n_per_subject, device):
    """A batch, rows and targets of 30 pictures, in float64."""
    rng, times = np.random.default_rng(1), (N_TIMES,) if network is ConvEncoder else ()
    tensor = lambda *shape: torch.as_tensor(rng.standard_normal(shape), device=device)
    rows = {s: Rows(tensor(30, n, *times), np.arange(30)) for s, n in CHANNELS.items()}
    targets = Targets(F.normalize(tensor(30, 6), dim=1), tensor(30, 3, 4), tensor(30, 2, 2, 3))
    stimulus = {s: seen.stimulus for s, seen in rows.items()}
    return epoch_batches(stimulus, n_per_subject, 0, 0)[0], rows, targets


def made(network):
    torch.manual_seed(0)
    n_times = N_TIMES if network is ConvEncoder else None
    sizes = Sizes(CHANNELS, 6, 3, 4, (2, 2, 3), n_times)
    quiet = {"input_dropout": 0.0, "dropout": 0.0, "n_blocks": 1, "projector_hidden": 16}
    return network(sizes, hidden=48, **quiet).double()


def difference(found, expected):
    largest = max(g.abs().max() for g in expected)
    return float(max((f - e).abs().max() for f, e in zip(found, expected, strict=True)) / largest)


def seen_once(world):
    """Whether the shares of all processes are, over an epoch, each trial once."""
    stimulus = {s: np.repeat(np.arange(40), 3) % 37 for s in ("sub-01", "sub-02", "sub-03")}
    seen = {s: [] for s in stimulus}
    for batch in epoch_batches(stimulus, 7, seed=0, epoch=0):
        flat = [(s, row) for s, chosen in batch.rows.items() for row in chosen]
        sizes = [len(chosen) for chosen in batch.rows.values()]
        for index in range(world):
            for place in Rank(index, world).deal(sizes).own:
                seen[flat[place][0]].append(flat[place][1])
    return all(sorted(seen[s]) == list(range(len(stimulus[s]))) for s in stimulus)


if __name__ == "__main__":
    main()
