"""Train: ridge for each subject, a decoder for all of them, and a prior over image tokens.

Beside them the controls that are fitted: ridge from the nuisance alone, and what a decoder says
that is told the category.

Training rows fit. Validation rows select the decoder's epoch and tell the prior how far decoders
can be trusted on new trials. Test rows cannot be read here.

A prior reads either the decoder's tokens or their code (a few dozen numbers, `prior.reads`). One
that comes trained brings its own code and its own scale of tokens.
"""

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.fingerprint import code_digest
from neurodecode.core.lazy import Lazy, each_row, slices, taken
from neurodecode.core.ranges import Count, NotNegative, Positive, Seed, Share
from neurodecode.core.seeds import child_rng, child_seed
from neurodecode.core.stage import stage
from neurodecode.rigour.permutation import permuted_stimuli
from neurodecode.stages.controls import Told, category_means, control_answers
from neurodecode.stages.reading import (
    aligned_rows,
    answered,
    averaged,
    large,
    mean_row,
    on_device,
    positions_mm,
    standardise,
    stimulus_rows,
    stimulus_tables,
    training_statistics,
)
from neurodecode.weights import named_folders

# himalaya holds the hat matrix of each penalty, 7 bytes times the square of the trials.
MANY_TRIALS = 10_000


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, and how; conf/stage/train.yaml explains each."""

    model: dict
    loss: dict
    prior: dict | None
    decoder_training: dict
    prior_training: dict | None
    batch: Count = 64
    tokens_weight: NotNegative = 1.0
    code_weight: NotNegative = 10.0
    linear_start: Positive | None = 5.0
    stacking: bool = True
    blurry_weight: NotNegative = 1.0
    averaging: Literal["none", "repeats"] = "none"
    prior_batch: Count = 64
    prior_batches: Count = 20
    simulator_components: Count = 200
    least_noise: Share = 0.7
    ridge_components: Count = 64
    permutation: Seed | None = None
    seed: Seed = 0
    device: str = "cpu"
    devices: Count = 1
    checkpoint_every: Count = field(default=5, metadata={"keyed": False})

    def __post_init__(self):
        for name in ("decoder_training", "prior_training"):
            if "seed" in (getattr(self, name) or {}):
                raise ValueError(f"{name}.seed is not free: it follows from train.seed")


@stage(
    "train",
    config=TrainConfig,
    inputs=("embed", "split:split.tsv", "preprocess", "align"),
    external=lambda config: named_folders(config.prior),
)
def run(config, inputs, out):
    """Fit ridge, train the network, train or calibrate the prior; write weights and history."""
    import pandas as pd

    from neurodecode.contrastive.ranks import check_devices
    from neurodecode.models.answers import network_answers, ridge_answers
    from neurodecode.models.stacking import stacked

    check_devices(config.device, config.devices)
    subjects = inputs.members("preprocess")
    side = lambda rows: {subject: aligned_rows(inputs, subject, rows) for subject in subjects}
    train, val = side("train"), side("val")
    check_validation(val)
    if config.permutation is not None:
        train, val = (permuted(side, config.permutation) for side in (train, val))
        out.log("labels permuted: this is a draw of the null, no decoder")
    stimuli, tables = stimulus_rows(inputs) if large(inputs) else stimulus_tables(inputs)
    seen = np.unique([i for _, t in train.values() for i in stimuli.get_indexer(t["stimulus_id"])])
    statistics = training_statistics(tables, seen)
    prior = untrained_prior(config, tables)
    if prior is not None:
        statistics |= {f"targets/{n}": array for n, array in prior.statistics().items()}
    if "tokens" in tables:
        scale = {part: statistics[f"targets/tokens_{part}"] for part in ("mean", "std")}
        tables["tokens"] = each_row(partial(standardise, **scale), tables["tokens"])
    if code_reader(prior) is not None:
        tables["code"] = code_of(prior, tables["tokens"])

    ridge = {}
    asked = {n: t for n, t in tables.items() if n != "tokens" or "code" not in tables}
    fit_all = partial(baselines, stimuli, asked, config.ridge_components, config.device, out)
    fits = fit_all(train)
    for subject, fit in out.progress(fits, total=len(subjects), label="ridge"):
        ridge |= {f"{subject}/{name}": array for name, array in fit.items()}

    told = Told.of(inputs, {s: trials for s, (_, trials) in train.items()}, stimuli, seen)
    controls = fit_controls(told, train, stimuli, asked, seen, fit_all)

    sides = (repeats_averaged(side, config.averaging) for side in (train, val))
    rows, val_rows = (as_rows(side, stimuli, config.device) for side in sides)
    read = code_reader(prior)
    targets = as_targets(tables, read, config.device)
    sizes = sizes_of(rows, targets, positions_mm(inputs, subjects))
    decoder = initialised(config.model, child_seed(config.seed, "decoder weights"), sizes=sizes)
    if "code" in tables and config.linear_start is not None:
        start_at_ridge(decoder, ridge, subjects, prior, config.linear_start)
    prepare(decoder, train, stimuli, tables, child_seed(config.seed, "prepared"))
    decoder, history = train_decoder(config, decoder, rows, val_rows, targets, out)
    weights = state("decoder", decoder) | statistics
    if prior is not None and not prior.comes_trained:
        prior, more = train_prior(config, prior, decoder, targets, seen, val_rows, out)
        history = history + more
    if prior is not None:
        decoders = {"model": network_answers(decoder, read), "ridge": ridge_answers(ridge)}
        if read is not None and config.stacking:
            weights |= stack(decoders, val, stimuli, tables["code"])
        decoders["model"] = stacked(*decoders.values(), weights)
        for name, answers in decoders.items():
            weights |= calibrations(prior, name, answers, val, stimuli, tables)
        for name, answers in control_answers(controls).items():
            instead = {s: (told.read(name, s, trials), trials) for s, (_, trials) in val.items()}
            weights |= calibrations(prior, name, answers, instead, stimuli, tables)
        weights |= state("prior", prior)

    out.save_tensors("ridge.safetensors", ridge)
    out.save_tensors("controls.safetensors", controls)
    out.save_json("controls.json", told.settings())
    out.save_tensors("weights.safetensors", weights)
    out.save_table("history.tsv", pd.DataFrame(history))
    made = {"model": config.model, "prior": None if prior is None else prior.node(config.prior)}
    code = {name: code_digest(node) for name, node in made.items() if node is not None}
    made |= {"sizes": asdict(sizes), "code": code, "stacked": "stacking/weights" in weights}
    out.save_json("config.json", made)


def check_validation(val):
    """Refuse a study in which somebody has no trials to select and to calibrate by."""
    without = [subject for subject, (_, trials) in val.items() if not len(trials)]
    if without:
        raise ValueError(
            f"{', '.join(without)}: no validation rows, which choose the network's epoch and tell "
            "how far decoders are to be believed; raise split.rule.val_fraction or name val_runs"
        )


def permuted(side, seed):
    """Take the stimuli of one side's trials for one another; for all subjects alike.

    What was aligned before knew which trials are of the same picture, and never which picture: it
    is the same under any permutation. Test trials keep their own.
    """
    ids = [i for _, trials in side.values() for i in trials["stimulus_id"]]
    dealt = permuted_stimuli(ids, child_rng(seed, "permutation"))
    taken = lambda trials: trials.assign(stimulus_id=trials["stimulus_id"].map(dealt))
    return {subject: (responses, taken(trials)) for subject, (responses, trials) in side.items()}


def untrained_prior(config, tables):
    """Build the prior as it is before this study: with first weights, or with those it comes with.

    None where none is wanted, or where the embedding has no tokens.
    """
    if config.prior is None or "tokens" not in tables:
        return None
    sizes = dict(zip(("n_tokens", "dim"), tables["tokens"].shape[1:], strict=True))
    prior = initialised(config.prior, child_seed(config.seed, "prior weights"), **sizes)
    if config.prior_training is not None and not prior.descends:
        how = "comes trained and is not trained again" if prior.comes_trained else "is no network"
        raise ValueError(f"this prior {how}: prior_training=null")
    if config.prior_training is None and prior.descends:
        raise ValueError(
            "this prior is trained in the run, but prior_training is null: say how to train it, or "
            "do without one (train.prior=null)"
        )
    return prior.to(config.device)


def code_reader(prior):
    """How the code is read from tokens; None where there is no prior or it reads none."""
    return prior.read if prior is not None and prior.reads == "code" else None


def code_of(prior, tokens):
    """The code of standardised tokens, as float32 array (n_stimuli, n_code)."""
    import torch

    if isinstance(tokens, Lazy):
        return np.concatenate([code_of(prior, tokens[part]) for part in slices(tokens)])
    with torch.no_grad():
        return prior.read(torch.as_tensor(tokens, device=prior.readout.device)).cpu().numpy()


def baselines(stimuli, tables, n_components, device, out, train):
    """Fit ridge to every table for every subject: yields (subject, fit) in order."""
    lazy = any(isinstance(table, Lazy) for table in tables.values())
    for subject, (responses, trials) in train.items():
        runs = (trials["session"].astype(str) + " " + trials["run"].astype(str)).to_numpy()
        shown = stimuli.get_indexer(trials["stimulus_id"])
        in_blocks = lazy or len(trials) > MANY_TRIALS
        fit = partial(fit_in_blocks, device=device, out=out) if in_blocks else fit_at_once
        yield subject, fit(responses, tables, shown, runs, n_components)


def fit_at_once(responses, tables, shown, runs, n_components):
    """Fit one subject's ridge from arrays."""
    import scipy.linalg  # noqa: F401  (only libraries that are loaded already can be limited)
    from threadpoolctl import threadpool_limits

    from neurodecode.models.baseline import fit_baseline

    targets = {name: table[shown] for name, table in tables.items()}
    # One thread: two on a singular value decomposition of this size took six times as long.
    with threadpool_limits(1, "blas"):
        return fit_baseline(responses, targets, runs, n_components)


def fit_in_blocks(responses, tables, shown, runs, n_components, device, out):
    """Fit one subject's ridge from rows on disk; its sums lie on disk too while it is fitted."""
    from neurodecode.models.baseline_in_blocks import fit_baseline_in_blocks

    scratch = lambda name, shape: out.work_array(f"ridge_{name}", shape)
    how = n_components, scratch, device
    fit = fit_baseline_in_blocks(responses, tables, shown, runs, *how)
    for file in out.work.glob("ridge_*.npy"):
        file.unlink()
    return fit


def fit_controls(told, train, stimuli, tables, seen, fit_all):
    """Fit what reads no brain, and keep each subject's mean response; see `Told`."""
    instead = {
        s: (told.read("nuisance_only", s, trials), trials) for s, (_, trials) in train.items()
    }
    fitted = {f"mean_brain/{s}": mean_row(responses) for s, (responses, _) in train.items()}
    for subject, fit in fit_all(instead):
        fitted |= {f"nuisance_only/{subject}/{name}": array for name, array in fit.items()}
    own = told.category.loc[stimuli[seen]].to_numpy()
    means = category_means(own, told.categories, {n: taken(t, seen) for n, t in tables.items()})
    return fitted | {f"category_oracle/{name}": mean for name, mean in means.items()}


def repeats_averaged(side, averaging):
    """Average the trials of each picture and subject, if so asked: what the network learns from."""
    if averaging == "none":
        return side
    return {s: averaged(*trials, "stimulus_id", ["stimulus_id"]) for s, trials in side.items()}


def as_rows(side, stimuli, device):
    """Turn (responses, trials) of all subjects into what the decoder's loop reads."""
    from neurodecode.contrastive.rows import Rows

    return {
        subject: Rows(
            on_device(responses, device), stimuli.get_indexer(trials["stimulus_id"]), device
        )
        for subject, (responses, trials) in side.items()
    }


def as_targets(tables, read, device):
    """Turn the stimulus tables into what the decoder's loop reads."""
    from neurodecode.contrastive.rows import Targets

    there = {name: on_device(table, device) for name, table in tables.items()}
    return Targets(**there, read=read, device=device)


def sizes_of(rows, targets, positions=None):
    """What the data decide about the network; `positions` as of `Sizes`."""
    from neurodecode.models.base import Sizes

    shapes = {subject: seen.shape for subject, seen in rows.items()}
    channels = {subject: shape[0] for subject, shape in shapes.items()}
    n_tokens, token_dim = targets.tokens.shape[1:] if targets.tokens is not None else (0, 0)
    blurry = tuple(targets.blurry.shape[1:]) if targets.blurry is not None else None
    times = common_times(shapes)
    return Sizes(channels, targets.pooled.shape[1], n_tokens, token_dim, blurry, times, positions)


def common_times(shapes):
    """How many times the responses of all subjects have; None: they have no time axis."""
    times = {shape[1:] for shape in shapes.values()}
    if len(times) > 1:
        told = ", ".join(f"{subject} {' × '.join(map(str, s))}" for subject, s in shapes.items())
        raise ValueError(
            f"subjects differ in their times (channels × times: {told}): give all the same "
            "sampling rate and window in preprocess.method"
        )
    return next(iter(times))[0] if times != {()} else None


def start_at_ridge(decoder, ridge, subjects, prior, scale):
    """Let a network begin as each subject's ridge, as far as the code goes."""
    import torch

    from neurodecode.models.answers import own_fit
    from neurodecode.models.baseline import linear_map

    if not hasattr(decoder, "start_at"):
        raise ValueError(
            f"{type(decoder).__name__} cannot start as a linear decoder: train.linear_start=null"
        )
    maps = {subject: linear_map(own_fit(ridge, subject), "code") for subject in subjects}
    linear = {subject: tuple(map(torch.as_tensor, parts)) for subject, parts in maps.items()}
    decoder.start_at(linear, prior.linear_tokens().cpu(), scale)


def prepare(decoder, train, stimuli, tables, seed):
    """Let a network fit what it has to fit before it is trained, if it does, to training trials."""
    if hasattr(decoder, "prepare"):
        shown = {s: stimuli.get_indexer(trials["stimulus_id"]) for s, (_, trials) in train.items()}
        targets = {s: np.asarray(taken(tables["pooled"], rows)[:]) for s, rows in shown.items()}
        responses = {s: np.asarray(rows[:]) for s, (rows, _) in train.items()}
        decoder.prepare(responses, targets, seed)


def train_decoder(config, decoder, rows, val_rows, targets, out):
    """Train the network of all subjects; return it, averaged, and its history."""
    from neurodecode.contrastive.decoder import Lesson
    from neurodecode.contrastive.ranks import learn_together

    lesson = Lesson(
        build(config.loss),
        rows,
        val_rows,
        targets,
        weights={n: getattr(config, f"{n}_weight") for n in ("tokens", "blurry", "code")},
        batch=config.batch,
        plan=build(config.decoder_training, seed=child_seed(config.seed, "decoder")),
        checkpoint=out.work / "decoder.pt",
        checkpoint_every=config.checkpoint_every,
    )
    progress = lambda epochs: out.progress(epochs, label="decoder, epochs")
    if config.devices == 1:
        decoder, history = lesson.learn(decoder.to(config.device), progress)
    else:
        together = (config.device, config.devices, progress)
        decoder, history = learn_together(lesson, decoder, *together)
    scores = {h["name"]: h["value"] for h in history if h["split"] == "val"}
    out.log(f"decoder: {scores['top1']:.3f} of single validation trials find their picture")
    return decoder, [{"phase": "decoder"} | row for row in history]


def train_prior(config, prior, decoder, targets, seen, val_rows, out):
    """Train the prior towards what the decoder says of new trials; return it and its history."""
    import torch

    tokens = targets.take("tokens", seen)
    with torch.no_grad():
        blocks = ((s, r.read(block)) for s, r in val_rows.items() for block in r.blocks())
        said = torch.cat([decoder(responses, subject).tokens for subject, responses in blocks])
    truth = torch.cat([targets.take("tokens", r.stimulus) for r in val_rows.values()])
    prior.prepare(tokens, said, truth)
    return descend(config, prior, tokens, said, truth, out) if prior.descends else (prior, [])


def descend(config, prior, tokens, said, truth, out):
    """Train a prepared prior by descent, on training tokens and simulated brains.

    Parameters
    ----------
    config : TrainConfig
    prior : nn.Module
    tokens : Tensor, shape (n_training_stimuli, n_tokens, dim)
    said, truth : Tensor, shape (n_held_out_trials, n_tokens, dim)
    out : Folder

    Returns
    -------
    prior : nn.Module
        Of averaged weights.
    history : list of dict
    """
    from neurodecode.contrastive.loop import fit
    from neurodecode.diffusion.linear import BrainSimulator
    from neurodecode.diffusion.training import prior_batches, prior_loss, prior_scores

    plan = build(config.prior_training, seed=child_seed(config.seed, "prior"))
    simulate = BrainSimulator(tokens, said, truth, config.simulator_components, config.least_noise)
    prior, history = fit(
        prior,
        batches=prior_batches(len(tokens), config.prior_batch, config.prior_batches, plan.seed),
        loss=prior_loss(tokens, simulate),
        validate=lambda prior, epoch: prior_scores(prior, said, truth, plan.seed),
        plan=plan,
        checkpoint=out.work / "prior.pt",
        checkpoint_every=config.checkpoint_every,
        progress=lambda epochs: out.progress(epochs, label="prior, epochs"),
    )
    return prior, [{"phase": "prior"} | row for row in history]


def calibrations(prior, name, answers, val, stimuli, tables):
    """How far a decoder is to be believed, by its answers to each subject's validation trials."""
    found = {}
    for subject, (responses, trials) in val.items():
        stimulus = stimuli.get_indexer(trials["stimulus_id"])
        said = answered(answers, responses, subject, prior.reads)
        if said is not None:
            own = prior.calibrate(said, tables[prior.reads][stimulus], stimulus)
            found |= {f"calibration/{name}/{subject}/{part}": array for part, array in own.items()}
    return found


def stack(decoders, val, stimuli, codes):
    """What the network and ridge are worth for each component of the code, on validation trials."""
    from neurodecode.models.stacking import WEIGHTS, stacking_weights

    trials = [
        (
            *(answered(answers, responses, subject, "code") for answers in decoders.values()),
            codes[stimuli.get_indexer(trials["stimulus_id"])],
        )
        for subject, (responses, trials) in val.items()
    ]
    return {WEIGHTS: stacking_weights(trials)}


def initialised(node, seed, **extra):
    """Build a network whose first weights depend on the seed alone."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(node, **extra)


def state(name, network):
    """A network's weights as arrays, under `name/`."""
    return {f"{name}/{k}": v.cpu().numpy() for k, v in network.state_dict().items()}
