"""Training steps of every published network at its published size, on random data.

    python scripts/bench/training_steps.py                     # one GPU of 80 GB, some minutes
    python scripts/bench/training_steps.py --only mindeye2     # one of them
    python scripts/bench/training_steps.py --device cpu --size tiny    # does it run at all

A step is what stage train does: responses and targets on the device, mixing and contrast as the row
of conf/experiment says, bfloat16 autocast on a GPU, AdamW or Adam, the average of weights if the
row has one. Median over `STEPS` steps after `WARM` others, and the largest memory that was taken.
Writes docs/tables/training_steps.json, which docs/decoders.md shows (scripts/decoders_page.py).
"""

import argparse
import gc
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from neurodecode.cli.compose import composed
from neurodecode.contrastive.batches import Batch
from neurodecode.contrastive.decoder import decoder_loss
from neurodecode.contrastive.loop import Run
from neurodecode.contrastive.rows import Rows, Targets
from neurodecode.core.build import build
from neurodecode.models.base import Sizes

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "tables" / "training_steps.json"
WARM, STEPS = 5, 15
N_PREPARED = 600  # random trials for what is fitted before a training
NSD = {"subj01": 15724, "subj02": 14278, "subj05": 13039, "subj07": 12682}


@dataclass(frozen=True)
class Shapes:
    """What the published data decide about a network, and its batch.

    Parameters
    ----------
    channels : dict of int
        Of each subject.
    batch : int
        Trials of each subject.
    tokens : (int, int)
        Tokens and their length.
    dim : int, optional
        Of the embedding that is contrasted; None: all tokens, flat.
    blurry : tuple of int, optional
        Shape of the low-level target.
    n_times : int, optional
    """

    channels: dict
    batch: int
    tokens: tuple[int, int] = (0, 0)
    dim: int | None = None
    blurry: tuple[int, int, int] | None = None
    n_times: int | None = None

    def sizes(self):
        """As networks are told."""
        rng = np.random.default_rng(0)
        places = {s: rng.normal(0, 60, (n, 3)).tolist() for s, n in self.channels.items()}
        dim = self.dim or self.tokens[0] * self.tokens[1]
        return Sizes(self.channels, dim, *self.tokens, self.blurry, self.n_times, places)

    def tiny(self):
        """The same kinds of data, little of them."""
        channels = {s: 32 for s in list(self.channels)[:2]}
        tokens = (4, 16) if self.tokens[0] else (0, 0)
        blurry = (16, 16, 3) if self.blurry else None
        times = 125 if self.n_times else None
        return Shapes(channels, 8, tokens, self.dim and 16, blurry, times)


def subjects(n, channels):
    """Subjects with equally many channels."""
    return {f"sub-{k:02d}": channels for k in range(1, n + 1)}


ONE = {"subj01": NSD["subj01"]}
CLIP_L, BIGG = (257, 768), (256, 1664)
SHAPES = {
    "mindeye1": Shapes(ONE, 32, CLIP_L, blurry=(64, 64, 4)),
    "mindeye1_low": Shapes(ONE, 8, dim=768, blurry=(64, 64, 4)),
    "mindeye2": Shapes(ONE, 24, BIGG, blurry=(28, 28, 4)),
    "mindbridge": Shapes(NSD, 50, CLIP_L),
    "brainit": Shapes({"subj01": 39548}, 128, BIGG, dim=1280, blurry=(28, 28, 4)),
    "neuropictor": Shapes({"subj01": 20000}, 16, (77, 1024), dim=1024, blurry=(64, 64, 4)),
    "wave": Shapes({"CSI1": 1024}, 16, CLIP_L, dim=768, n_times=5),
    "brainmagick_gwilliams": Shapes(subjects(27, 208), 9, (343, 1024), n_times=343),
    "benchetrit": Shapes(subjects(4, 272), 32, CLIP_L, dim=768, n_times=181),
    "nice": Shapes({"sub-01": 63}, 1000, dim=768, n_times=250),
    "nice_sa": Shapes({"sub-01": 63}, 1000, dim=768, n_times=250),
    "nice_ga": Shapes({"sub-01": 63}, 1000, dim=768, n_times=250),
    "atm_s": Shapes({"sub-01": 63}, 64, dim=1024, n_times=250),
    "ubp": Shapes({"sub-01": 17}, 1024, dim=1024, n_times=250),
    "ubp_meg": Shapes({"sub-01": 271}, 1024, dim=1024, n_times=201),
    "cognition_capturer": Shapes({"sub-01": 63}, 1024, dim=1024, n_times=250),
}
CLASSIFIERS = {  # channels, samples, rate in Hz, classes, trials
    "duin": (10, 3000, 1000.0, 61, 256),
    "rbtransformer_deap": (32, 512, 128.0, 2, 2048),
    "histn_sd": (14, 128, 128.0, 5, 2048),
    "ecog_cnn_lstm": (46, 3000, 1000.0, 3, 100),
}
PHASES = {"duin": ("autoencoder", "masked model", "classifier")}
QUICK = {
    "brainit": ["train.model.covariance=spherical"]
}  # minutes of clustering, no matter to a step
PRIORS = {"mindeye1": ((257, 768), 32), "mindeye2": ((256, 1664), 24)}


def step_of(row, size, device):
    """A network and what one step of its training does: (model, step, trials in a step)."""
    config = composed([f"experiment={row}", f"size={size}", "name=t", *QUICK.get(row, [])])["train"]
    shapes = SHAPES[row] if size == "published" else SHAPES[row].tiny()
    sizes = shapes.sizes()
    torch.manual_seed(0)
    with torch.device(device):
        model = build(config["model"], sizes=sizes).to(device)
    rows, targets, batch = random_data(shapes, sizes, device)
    prepared(model, rows, targets)
    plan = build(config["decoder_training"], seed=0)
    weights = {n: config[f"{n}_weight"] for n in ("tokens", "blurry")}
    loss = decoder_loss(build(config["loss"]), rows, targets, plan.n_epochs, weights)
    run = Run(model, plan)

    def step():
        run.epoch = 0  # every step is one of the first epoch
        run.train_epoch([batch], loss)

    return model, step, sum(map(len, batch.rows.values()))


def random_data(shapes, sizes, device):
    """Trials, targets and one batch of the true shapes."""
    n, cast = shapes.batch, dict(device=device, dtype=torch.float32)
    extra = () if shapes.n_times is None else (shapes.n_times,)
    rows = {
        s: Rows(torch.randn(n, c, *extra, **cast), np.arange(n), device)
        for s, c in shapes.channels.items()
    }
    pooled = torch.nn.functional.normalize(torch.randn(n, sizes.dim, **cast), dim=1)
    tokens = torch.randn(n, *shapes.tokens, **cast) if shapes.tokens[0] else None
    blurry = torch.rand(n, *shapes.blurry, **cast) if shapes.blurry else None
    targets = Targets(pooled, tokens, blurry, device=device)
    return rows, targets, Batch({s: np.arange(n) for s in rows}, 0)


def prepared(model, rows, targets):
    """Fit what a network fits before its training, to more random data of the same kind."""
    if not hasattr(model, "prepare"):
        return
    rng, n = np.random.default_rng(0), N_PREPARED
    drawn = lambda shape: rng.normal(size=(n, *shape)).astype(np.float32)
    of = {"pooled": drawn(targets.pooled.shape[1:])}
    responses = {s: drawn(r.shape) for s, r in rows.items()}
    runs = {s: np.arange(n) % 4 for s in rows}
    model.cpu().prepare(responses, dict.fromkeys(rows, of), runs, 0)
    model.to(targets.device)


def prior_step(row, size, device):
    """The same of a row's prior."""
    from neurodecode.contrastive.loop import Plan

    tokens, n = PRIORS[row] if size == "published" else ((4, 16), 8)
    node = composed([f"experiment={row}", f"size={size}", "name=t"])["train"]["prior"]
    node["linear_components"] = 0
    torch.manual_seed(0)
    prior = build(node, n_tokens=tokens[0], dim=tokens[1]).to(device)
    said, truth = (torch.randn(n, *tokens, device=device) for _ in range(2))
    run = Run(prior, Plan(n_epochs=10_000, ema_decay=0.0))
    noise = torch.Generator().manual_seed(0)
    loss = lambda prior, batch, epoch: {"total": prior.loss(said, truth, noise)}
    return prior, lambda: run.train_epoch([None], loss), n


def classifier_lines(row, size, device):
    """Lines of a classifier of trials: each network that its fit trains, one after the other."""
    from neurodecode.models import trial_classifier

    config = composed([f"experiment={row}", f"size={size}", "name=t"])["classify"]["classifier"]
    for plan in (node for key, node in config.items() if key.endswith("training")):
        plan["n_epochs"] = 3
    channels, times, rate, n_classes, n = CLASSIFIERS[row]
    sync = torch.cuda.synchronize if device == "cuda" else lambda: None
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rng, phases, descend = np.random.default_rng(0), [], trial_classifier._descend_once

    def watched(network, batches, cost, optimiser, after_step):
        took = []
        for rows in batches:
            sync()
            start = time.perf_counter()
            descend(network, [rows], cost, optimiser, after_step)
            sync()
            took.append(time.perf_counter() - start)
        if not phases or phases[-1][0] is not network:
            phases.append((network, len(batches[0]), []))
        phases[-1][2].extend(took)
        return 0.0

    trial_classifier._descend_once = watched
    try:
        x = rng.normal(size=(n, channels, times)).astype(np.float32)
        y, runs = rng.integers(n_classes, size=n), np.arange(n) % 5
        build(config).fit(x, y, runs, n_classes, rate, 0, device)
    finally:
        trial_classifier._descend_once = descend
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
    names = PHASES.get(row, ("",))
    for name, (network, batch, took) in zip(names, phases, strict=True):
        n_weights = sum(p.numel() for p in network.parameters())
        line = f"{row}, {name}" if name else row
        yield [
            line,
            f"{n_weights / 1e6:,.3f} M",
            batch,
            f"{np.median(took) * 1e3:.1f}",
            f"{peak:.1f}",
        ]


def timed(model, step, device):
    """Median seconds of a step, peak memory in GiB and parameters."""
    sync = torch.cuda.synchronize if device == "cuda" else lambda: None
    for _ in range(WARM):
        step()
    took = []
    for _ in range(STEPS):
        sync()
        start = time.perf_counter()
        step()
        sync()
        took.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
    return float(np.median(took)), peak, sum(p.numel() for p in model.parameters())


def measured(name, make, device):
    """One line of the table."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model, step, n = make()
    seconds, peak, parameters = timed(model, step, device)
    return [name, f"{parameters / 1e6:,.1f} M", n, f"{seconds * 1e3:.1f}", f"{peak:.1f}"]


def main():
    """Measure all, or those that are asked for; write the table."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--only", nargs="*")
    asked.add_argument("--device", default="cuda")
    asked.add_argument("--size", default="published")
    asked.add_argument("--out", type=Path, default=TABLE)
    given = asked.parse_args()
    how = given.size, given.device
    made = {row: lambda r=row: step_of(r, *how) for row in SHAPES}
    made |= {f"{row}, prior": lambda r=row: prior_step(r, *how) for row in PRIORS}
    lines = {name: lambda n=name: [measured(n, made[n], given.device)] for name in made}
    lines |= {row: lambda r=row: classifier_lines(r, *how) for row in CLASSIFIERS}
    wanted = [n for n in lines if not given.only or n.partition(",")[0] in given.only]
    rows, failed = [], []
    for name in wanted:
        try:
            for line in lines[name]():
                rows.append(line)
                print(*line, sep="\t", flush=True)
        except Exception as error:  # the others are measured all the same
            failed.append(name)
            print(f"FAILED {name}: {type(error).__name__}: {str(error)[:500]}", flush=True)
    card = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    about = (
        f"On {card}, torch {torch.__version__}: random data of the true shapes, median of {STEPS} "
        f"steps after {WARM} others, the batch of the row (trials of all subjects together). "
        "Bfloat16 autocast, weights and optimiser in float32. Targets are given: no picture is "
        "embedded within a step."
    )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(
        json.dumps({"about": [about], "rows": rows}, indent=1, ensure_ascii=False) + "\n"
    )
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
