"""Every published decoder on the simulated studies: one budget, equally many trials, one table.

    python scripts/bench/decoders.py --store DIR --jobs 12 --device cuda    # minutes on an H100
    python scripts/bench/decoders.py --store DIR --only nice atm_s          # some of them

What is the same for all: the study at its default dial, its split, its embedding, the number of
passes through the training trials and the batch, AdamW with a warm-up and a cosine, averaged
weights of the best epoch on validation trials, and the search: `TRIALS` drawn settings of learning
rate and weight decay, the same draws for everybody, of which the one with the best validation score
is tested, once. No prior, no start at ridge, no stacking with ridge. Network and loss differ.

Writes docs/tables/decoders.json, which docs/decoders.md shows (scripts/decoders_page.py). Runs that
are in the store are found again.
"""

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "tables" / "decoders.json"
PREPARED = "simulate,index,embed,split,preprocess,align"
TRIALS = 6
EPOCHS = 24
METRIC = "brain_to_image_top1"
CARDS, TURN = 1, itertools.count()  # GPUs, and whose turn it is


@dataclass(frozen=True)
class Study:
    """A simulated study: its title, and how it is composed."""

    title: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Decoder:
    """A network and its loss at a small size: what it is called, and how it is composed."""

    name: str
    study: str
    overrides: tuple[str, ...]


EEG = ("recipe=world_eeg", "preprocess=epochs", "aligner=identity", "align.min_reliability=-1.0")
STUDIES = {
    "world": Study(
        "Simulated fMRI (`recipe=world`): 3 subjects, 1,200 training pictures, 100 test pictures",
        ("recipe=world", "aligner=identity"),
    ),
    "world_eeg": Study(
        "Simulated EEG (`recipe=world_eeg`): 3 subjects, 64 electrodes, the same pictures",
        (*EEG, "scaling=whiten", "align.window_s=[0.0,0.6]", "align.step_s=0.008"),
    ),
}
DECODERS = yaml.safe_load((Path(__file__).with_name("decoders.yaml")).read_text(encoding="utf-8"))
COMMON = (
    "threads=1",
    "train.prior=null",
    "train.prior_training=null",
    "train.linear_start=null",
    "train.stacking=false",
    "train.batch=64",
    f"train.decoder_training.n_epochs={EPOCHS}",
    "train.decoder_training.select=best",
)


def drawn(n_trials):
    """Settings of the search, the same for every decoder: learning rates and weight decays."""
    rng = np.random.default_rng(0)
    rates = 10 ** rng.permutation(np.linspace(-3.75, -2.25, n_trials))
    decays = 10 ** rng.permutation(np.linspace(-3, -0.5, n_trials))
    return [
        (
            f"train.decoder_training.learning_rate={rate:.2g}",
            f"train.decoder_training.weight_decay={decay:.2g}",
        )
        for rate, decay in zip(rates, decays, strict=True)
    ]


def run(store, folder, overrides):
    """Run the pipeline; return the folder of the run."""
    command = [sys.executable, "-m", "neurodecode.cli", "run", *overrides, "name=bench"]
    command += [f"store={store}", f"hydra.run.dir={folder}"]
    card = {"CUDA_VISIBLE_DEVICES": str(next(TURN) % CARDS)} if CARDS > 1 else {}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | card)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-800:]}{done.stderr[-1500:]}")
    return Path(folder)


def made_by(folder, stage):
    """What a run says of one of its stages: folder of the artifact, seconds, and the like."""
    done = json.loads((folder / "run.json").read_text())["done"]
    return next(one for one in done if one["stage"] == stage)


def validated(folder):
    """Best validation score of a run's decoder, and the seconds that stage train took."""
    import pandas as pd

    train = made_by(folder, "train")
    history = pd.read_csv(Path(train["folder"]) / "history.tsv", sep="\t")
    own = history.query("phase == 'decoder' and split == 'val' and name == 'score'")
    return own["value"].max(), train["seconds"]


def counted(folder):
    """Parameters of the decoder, and steps of its training."""
    import pandas as pd
    from safetensors import safe_open

    train = Path(made_by(folder, "train")["folder"])
    with safe_open(train / "weights.safetensors", "numpy") as file:
        own = [name for name in file.keys() if name.startswith("decoder/")]
        parameters = sum(int(np.prod(file.get_slice(name).get_shape())) for name in own)
    history = pd.read_csv(train / "history.tsv", sep="\t").query("phase == 'decoder'")
    return {"parameters": parameters, "steps": int(history["step"].max())}


def scores(metrics):
    """Top 1 of every condition over all subjects, among all test pictures: value and interval."""
    whole = max(m["set_size"] for m in metrics if m["metric"] == METRIC)
    rows = [
        m for m in metrics if (m["metric"], m["subject"], m["set_size"]) == (METRIC, "all", whole)
    ]
    return {m["condition"]: [m["value"], m["lo"], m["hi"]] for m in rows}


def differences(comparisons):
    """The decoder less other conditions, top 1 over all subjects: value and interval."""
    rows = [
        c for c in comparisons if (c["metric"], c["subject"], c["a"]) == (METRIC, "all", "model")
    ]
    return {c["b"]: [c["difference"], c["lo"], c["hi"]] for c in rows}


def tried(store, runs, decoder, device, number, setting):
    """Train by one of the settings; its validation score, the setting and the seconds it took."""
    folder = Path(runs) / plain(decoder.name) / str(number)
    own = [*STUDIES[decoder.study].overrides, *decoder.overrides, *COMMON, *setting]
    run(store, folder, [*own, f"device={device}", f"stages=[{PREPARED},train]"])
    score, seconds = validated(folder)
    return score, setting, seconds


def tested(store, runs, decoder, device, trials):
    """Take the best setting and open the test rows once: what the table says of a decoder."""
    setting = max(trials, key=lambda one: one[0])[1]
    folder = Path(runs) / plain(decoder.name) / "test"
    own = [*STUDIES[decoder.study].overrides, *decoder.overrides, *COMMON, *setting]
    scored = [f"device={device}", f"stages=[{PREPARED},train,predict,evaluate]", "metric=retrieval"]
    run(store, folder, [*own, *scored, "predict.halves=false"])
    figures = json.loads((folder / "figures.json").read_text())
    return {
        "name": decoder.name,
        "study": decoder.study,
        "setting": [one.removeprefix("train.decoder_training.") for one in setting],
        "seconds": sum(seconds for *_, seconds in trials) / len(trials),
        "scores": scores(figures["metrics"]),
        "differences": differences(figures["comparisons"]),
    } | counted(folder)


def plain(name):
    """A name as a folder's."""
    return re.sub(r"\W+", "_", name)


def written(found):
    """The tables as scripts/decoders_page.py reads them."""
    studies = []
    for name, study in STUDIES.items():
        own = sorted(
            (f for f in found if f["study"] == name), key=lambda f: -f["scores"]["model"][0]
        )
        if own:
            ridge = own[0]["scores"]["ridge"]
            note = f"Ridge, with a penalty for each target by left-out runs: {interval(ridge)}."
            studies.append({"title": study.title, "rows": list(map(line, own)), "note": note})
    about = (
        f"Top 1 of 100 test pictures, mean over subjects, 95 % intervals; {EPOCHS} passes, "
        f"{TRIALS} settings of learning rate and weight decay each, chosen on validation trials. "
        "“Shuffled” is the same network shown the brain's answers to other pictures; chance is "
        ".01. Seconds are of one training, ridge's included, beside others on one card "
        "(`python scripts/bench/decoders.py`)."
    )
    return {"about": [about], "studies": studies, "found": found}


def line(one):
    """A decoder's line: name, top 1, less ridge, shuffled, steps, seconds, parameters, setting."""
    shown = (one["scores"]["model"], one["differences"]["ridge"], one["scores"]["shuffled"])
    cost = f"{one['steps']}", f"{one['seconds']:.0f}", f"{one['parameters'] / 1e6:.2f} M"
    return [f"`{one['name']}`", *map(interval, shown), *cost]


def interval(three):
    """`.58 [.51, .64]`."""
    plain = lambda x: f"{x:+.2f}".lstrip("+").replace("0.", ".").replace("-", "−")
    return f"{plain(three[0])} [{plain(three[1])}, {plain(three[2])}]"


def save(found, out):
    """Write the table of what was found so far."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(written(found), indent=1, ensure_ascii=False) + "\n")


def asked_for():
    """What is asked for on the command line."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--store", required=True)
    asked.add_argument("--jobs", type=int, default=2, help="runs at a time")
    asked.add_argument("--device", default="cpu")
    asked.add_argument("--cards", type=int, default=1, help="GPUs that runs are dealt to")
    asked.add_argument("--trials", type=int, default=TRIALS)
    asked.add_argument("--only", nargs="*", help="names, or a study")
    asked.add_argument("--small", action="store_true", help="recipe=…_small: does it run at all")
    asked.add_argument("--out", type=Path, default=TABLE, help="what stands there is kept")
    return asked.parse_args()


def main():
    """Search and test every decoder, some runs at a time; write the table after each."""
    global CARDS
    given = asked_for()
    CARDS, runs = given.cards, Path(given.store) / "bench_runs"
    found = json.loads(given.out.read_text())["found"] if given.out.exists() else []
    decoders = [Decoder(d["name"], d["study"], tuple(d["overrides"])) for d in DECODERS]
    decoders = [d for d in decoders if not given.only or {d.name, d.study} & {*given.only}]
    decoders = [d for d in decoders if d.name not in {f["name"] for f in found}]
    if given.small:
        shrink()
    failed = []
    with ThreadPoolExecutor(given.jobs) as pool:
        prepared = {d.study: f"stages=[{PREPARED}]" for d in decoders}
        args = [
            (runs / s, [*STUDIES[s].overrides, *COMMON, stages]) for s, stages in prepared.items()
        ]
        list(pool.map(lambda a: run(given.store, a[0], [*a[1], f"device={given.device}"]), args))
        how = given.store, runs
        trials = {
            d.name: [
                pool.submit(tried, *how, d, given.device, number, setting)
                for number, setting in enumerate(drawn(given.trials))
            ]
            for d in decoders
        }

        def one(decoder):
            try:
                own = [trial.result() for trial in trials[decoder.name]]
                found.append(tested(*how, decoder, given.device, own))
                save(found, given.out)
                print(decoder.name, interval(found[-1]["scores"]["model"]), flush=True)
            except RuntimeError as error:
                failed.append(decoder.name)
                print(f"FAILED {decoder.name}: {error}", flush=True)

        with ThreadPoolExecutor(given.jobs) as testing:
            list(testing.map(one, decoders))
    sys.exit(f"{len(failed)} failed: {', '.join(failed)}" if failed else 0)


def shrink():
    """Take the small studies instead."""
    small = {"recipe=world": "recipe=world_small", "recipe=world_eeg": "recipe=world_eeg_small"}
    small["scaling=whiten"] = "preprocess.method.high_pass_hz=0.5"
    for name, study in STUDIES.items():
        STUDIES[name] = replace(study, overrides=tuple(small.get(o, o) for o in study.overrides))


if __name__ == "__main__":
    main()
