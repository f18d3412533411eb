"""Priors side by side: what they cost a sample, and what they make of the same decoder's answers.

    python scripts/bench/priors.py --store DIR           # the demo; a quarter of an hour
    python scripts/bench/priors.py --store DIR --study small --seeds 0 1

Each prior is trained by the pipeline (stages that are in the store are found again). Those that
read tokens share one decoder; the shipped one reads a code, for which the network is trained
otherwise. Then, for the test pictures of all subjects, one sample a row:

- cost: milliseconds a row of sampling alone, batches of 64, medians over turns in which all priors
  are timed one after the other; evaluations of the network, two each step with guidance by
  subtraction; and multiplications and additions, in millions a row.
- tokens, picture: top-1 of 100 of sampled tokens (cosine of standardised tokens), and of the
  painted picture's embedding, against those of the test pictures.
- attributes (mean of five, by the reader), SSIM, PixCorr and two-way identification of the picture.

In brackets 95 % intervals over test pictures, resampled jointly for all priors; below, paired
differences of the flow and the DALL-E-2 prior.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.core.finished import open_run
from neurodecode.core.seeds import child_seed
from neurodecode.core.views import View
from neurodecode.data.stimuli import data_set_root, load_pictures
from neurodecode.diffusion.generator import TokenGenerator
from neurodecode.metrics.attributes import AttributeReader
from neurodecode.metrics.identification import two_way
from neurodecode.metrics.pixel import grey, ssim_of_pairs
from neurodecode.metrics.retrieval import brain_to_image
from neurodecode.metrics.score import cosine
from neurodecode.models.answers import network_answers
from neurodecode.rigour.bootstrap import resample_counts, weighted_mean
from neurodecode.stages import predict

STAGES = "stages=[simulate,index,embed,split,preprocess,align,train]"
STUDIES = {"demo": ["experiment=demo"], "small": ["recipe=world_small", "threads=1"]}
TRAINED = ("dalle2", "flow", "mean", "shipped")
BATCH, TURNS = 64, 5
SCORES = ("tokens", "picture", "attributes", "SSIM", "PixCorr", "two-way")
STRENGTH = 0.9  # of the noise in painting, as in conf/stage/reconstruct.yaml


@dataclass(frozen=True)
class Way:
    """A prior and how it is sampled; `n_eval` counts evaluations of its network."""

    name: str
    prior: str | None
    steps: int | None = None
    eta: float = 0.0
    guidance: float = 1.0

    @property
    def n_eval(self):
        """Evaluations of the network a sample."""
        doubled = 2 if self.prior in ("dalle2", "shipped") and self.guidance != 1 else 1
        return 0 if self.prior in (None, "mean") else doubled * (self.steps or 100)


def ways(dalle2_guidance, flow_guidance):
    """All that are compared."""
    surer = Way(f"mean, guidance {flow_guidance:g}", "mean", guidance=flow_guidance)
    asked = [Way("none", None), Way("mean", "mean"), surer]
    asked += [
        Way(f"dalle2 {n or 100}", "dalle2", n, 1.0, dalle2_guidance) for n in (None, 20, 12, 4)
    ]
    asked += [Way(f"flow {n}", "flow", n, 0.0, flow_guidance) for n in (20, 8, 4, 2, 1)]
    return [*asked, Way("shipped 12", "shipped", 12, 1.0, 3.0)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--study", choices=sorted(STUDIES), default="demo")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one study each")
    parser.add_argument("--store", default="store", help="where artifacts are kept and found again")
    parser.add_argument("--dalle2-guidance", type=float, default=8.0)
    parser.add_argument("--flow-guidance", type=float, default=8.0)
    args = parser.parse_args()
    asked = ways(args.dalle2_guidance, args.flow_guidance)
    for seed in args.seeds:
        runs = {name: trained(args.study, seed, name, Path(args.store)) for name in TRAINED}
        told = {name: Told.of(run, name) for name, run in runs.items()}
        print(f"{args.study}, seed {seed}")
        costs = cost(asked, told)
        scores = {way.name: score(way, told) for way in asked}
        report(asked, costs, scores, told["dalle2"].unit)
    return 0


def trained(study, seed, prior, store):
    """Run the pipeline up to training with one prior, and open its folder."""
    folder = store.absolute() / "bench_priors" / f"{study}_{seed}_{prior}"
    how = [*STUDIES[study], f"prior={prior}", f"seed={seed}", f"store={store.absolute()}"]
    how += [STAGES, f"hydra.run.dir={folder}"]
    command = [sys.executable, "-m", "neurodecode.cli", "run", *how]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return open_run(folder, "train")


@dataclass
class Told:
    """What a trained decoder said of the test rows of all subjects, and what was true."""

    prior: object
    trained: dict
    said: dict
    known: np.ndarray
    ids: np.ndarray
    unit: np.ndarray
    true: dict

    @classmethod
    def of(cls, run, name):
        """Ask a run's decoder; `unit` numbers each row's test picture."""
        view = View(predict.run, run.artifacts)
        weights = view.tensors("train", "weights.safetensors")
        decoder, prior = predict.networks(view.json("train", "config.json"), weights, "cpu")
        answers = network_answers(decoder, predict.code_reader(prior))
        said, ids, known = [], [], []
        for subject in view.members("preprocess"):
            measured, trials = predict.aligned_rows(view, subject, "test")
            responses, rows = predict.test_rows(measured, trials, "repeats")
            said.append(predict.tidy(answers(responses, subject)))
            n = rows["n_repeats"].to_numpy()
            known.append(predict.belief(prior, weights, "model", subject, said[-1], n))
            ids.append(rows["stimulus_id"].to_numpy(str))
        said = {part: np.concatenate([one[part] for one in said]) for part in said[0]}
        names, unit = np.unique(np.concatenate(ids), return_inverse=True)
        own = np.concatenate(known)
        return cls(prior, weights, said, own, np.concatenate(ids), unit, truth(view, names))

    def seeds(self):
        """One a row, the same for every prior."""
        return [child_seed(0, "bench", i, k) for k, i in enumerate(self.ids)]

    def sample(self, way):
        """Standardised tokens of all rows."""
        if way.prior is None:
            return self.said["tokens"]
        parts, seeds = [], self.seeds()
        for first in range(0, len(seeds), BATCH):
            part = slice(first, first + BATCH)
            known = torch.as_tensor(self.known[part])
            how = way.steps, way.eta, way.guidance
            parts.append(self.prior.sample(known, seeds[part], *how).numpy())
        return np.concatenate(parts)


def truth(view, names):
    """Tokens, pooled embeddings, pictures and attributes of the test pictures, in this order."""
    stimuli = view.table("index", "stimuli.tsv").set_index("stimulus_id").loc[list(names)]
    place = view.table("embed", "stimuli.tsv")["stimulus_id"].tolist()
    rows = [place.index(name) for name in names]
    true = {part: view.array("embed", f"{part}.npy")[rows] for part in ("tokens", "pooled")}
    root = data_set_root("", view)
    return true | {"pictures": load_pictures(root, stimuli["path"], (64, 64)), "table": stimuli}


def cost(asked, told):
    """Median milliseconds a row of one batch, all in turns, and multiply-adds a row."""
    from torch.utils.flop_counter import FlopCounterMode

    made = {}
    for way in asked:
        own = told[way.prior or "dalle2"]
        known, seeds = own.known[:BATCH], own.seeds()[:BATCH]
        draw = lambda o=own, w=way, k=known, s=seeds: (
            o.prior.sample(torch.as_tensor(k), s, w.steps, w.eta, w.guidance) if w.prior else None
        )
        with FlopCounterMode(display=False) as counter:
            draw()
        made[way.name] = draw, counter.get_total_flops() / 2 / BATCH / 1e6
    spent = {name: [] for name in made}
    for _ in range(TURNS):
        for name, (draw, _) in made.items():
            start = time.perf_counter()
            draw()
            spent[name].append(time.perf_counter() - start)
    return {n: (np.median(spent[n]) * 1e3 / BATCH, made[n][1]) for n in made}


TARGET, GENERATOR, READER = OpenClipTarget("shipped:clip"), TokenGenerator(), AttributeReader()


def score(way, told):
    """Every score of one way, row by row: {name: (n_rows,)}."""
    own = told[way.prior or "dalle2"]
    drawn, true = own.sample(way), own.true
    scale = [own.trained[f"targets/tokens_{part}"] for part in ("mean", "std")]
    standard = (true["tokens"] - scale[0]) / scale[1]
    tokens = (drawn * scale[1] + scale[0]).astype(np.float32)
    pictures = GENERATOR.generate(tokens, own.seeds(), own.said["blurry"], STRENGTH, BATCH)
    pooled = TARGET.pictures(pictures)[0]
    found = {
        "tokens": own_of(brain_to_image, standard, drawn, own.unit),
        "picture": own_of(brain_to_image, true["pooled"], pooled, own.unit),
        "two-way": own_of(two_way, true["pooled"], pooled, own.unit),
    }
    seen, names = true["pictures"][own.unit], READER.read(pictures)
    right = [
        names[a].to_numpy(str) == true["table"][a].to_numpy(str)[own.unit]
        for a in names
        if a in true["table"]
    ]
    flat = [p.reshape(len(p), -1).astype(float) for p in (seen, pictures)]
    found["PixCorr"] = np.array([np.corrcoef(*pair)[0, 1] for pair in zip(*flat, strict=True)])
    found["SSIM"] = ssim_of_pairs(grey(seen), grey(pictures))
    return found | {"attributes": np.mean(right, axis=0)}


def own_of(judge, true, said, unit):
    """What each row earns with its own picture among all of them."""
    flat = (a.reshape(len(a), -1) for a in (true, said))
    return judge(cosine(*flat))[unit, np.arange(len(unit))]


def report(asked, costs, scores, unit):
    """Print the table and the paired differences."""
    counts = resample_counts(unit.max() + 1, 2000, np.random.default_rng(0))[:, unit]
    drawn = lambda values: np.quantile(weighted_mean(values[:, None], counts), [0.025, 0.975])
    told = lambda v: "{:.3f} [{:.3f}, {:.3f}]".format(v.mean(), *drawn(v))
    print("| prior | evaluations | ms | M mult-adds | " + " | ".join(SCORES) + " |")
    print("|---|" + "---|" * (3 + len(SCORES)))
    for way in asked:
        ms, flops = costs[way.name]
        own = " | ".join(told(scores[way.name][s]) for s in SCORES)
        print(f"| {way.name} | {way.n_eval} | {ms:.2f} | {flops:.0f} | {own} |")
    print(
        "\n| difference | cost | " + " | ".join(SCORES) + " |\n|---|" + "---|" * (1 + len(SCORES))
    )
    flows, others = ([w.name for w in asked if w.prior == p] for p in ("flow", "dalle2"))
    for a in flows:
        for b in [*others, *(w.name for w in asked if w.prior == "mean")]:
            own = " | ".join(told(scores[a][s] - scores[b][s]) for s in SCORES)
            ratio = costs[a][0] / max(costs[b][0], 1e-9)
            print(f"| {a} - {b} | {ratio:.2f} | {own} |")


if __name__ == "__main__":
    raise SystemExit(main())
