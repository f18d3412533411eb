"""Train: ridge for each subject, a decoder for all of them, and a prior over image tokens.

Beside them the controls that are fitted: ridge from the nuisance alone, and what a decoder says
that is told the category.

Training rows fit. Validation rows select the decoder's epoch and tell the prior how far decoders
can be trusted on new trials. Test rows cannot be read here.

A prior reads either the decoder's tokens or their code (a few dozen numbers, `prior.reads`). One
that comes trained brings its own code and its own scale of tokens.

Network and prior may begin with weights that are there already (`train.start`); see `start`.
"""

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.fingerprint import code_digest
from neurodecode.core.lazy import each_row, taken
from neurodecode.core.ranges import Count, NotNegative, Positive, Seed, Share
from neurodecode.core.seeds import child_rng, child_seed
from neurodecode.core.stage import stage
from neurodecode.rigour.permutation import permuted_stimuli
from neurodecode.stages import start as starting
from neurodecode.stages.baselines import baselines, runs_of
from neurodecode.stages.controls import Told, category_means, control_answers
from neurodecode.stages.prior_training import (
    calibrations,
    code_of,
    code_reader,
    train_prior,
    untrained_prior,
)
from neurodecode.stages.reading import (
    TARGETS,
    aligned_rows,
    answered,
    averaged,
    large,
    mean_row,
    on_device,
    positions_mm,
    regions_of_channels,
    standardise,
    stimulus_rows,
    stimulus_tables,
    training_statistics,
)
from neurodecode.weights import named_folders


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, and how; conf/stage/train.yaml explains each."""

    model: dict
    loss: dict
    prior: dict | None
    decoder_training: dict | None
    prior_training: dict | None
    start: str | list[str] | None = None
    freeze: list[str] = field(default_factory=list)
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
        if self.permutation is not None and self.start:
            raise ValueError(
                "train.permutation deals pictures anew, and train.start has seen them as they "
                "were: begin at random (train.start=null)"
            )
        starting.check_trained(self.decoder_training, self.start)


@stage(
    "train",
    config=TrainConfig,
    inputs=("embed", "split:split.tsv", "preprocess", "align"),
    external=lambda config: [*named_folders(config.prior), *starting.files_of(config.start)],
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
    starts = starting.opened(config.start)
    statistics |= starting.token_scale(statistics, starts, out)
    prior = untrained_prior(config, tables, starts, out)
    if prior is not None:
        statistics |= {f"targets/{n}": array for n, array in prior.statistics().items()}
    if "tokens" in tables:
        scale = {part: statistics[f"targets/tokens_{part}"] for part in ("mean", "std")}
        tables["tokens"] = each_row(partial(standardise, **scale), tables["tokens"])
    if code_reader(prior) is not None:
        tables["code"] = code_of(prior, tables["tokens"])
        starting.check_one_start(starts, config.linear_start)

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
    places = positions_mm(inputs, subjects), regions_of_channels(inputs, subjects)
    sizes = sizes_of(rows, targets, *places)
    decoder = starting.initialised(
        config.model, child_seed(config.seed, "decoder weights"), sizes=sizes
    )
    if "code" in tables and config.linear_start is not None:
        start_at_ridge(decoder, ridge, subjects, prior, config.linear_start)
    starting.check_phases(decoder, starts)
    random = starting.begin_decoder(decoder, starts, config.model, out)
    prepare(decoder, train, stimuli, tables, child_seed(config.seed, "prepared"))
    if starts and hasattr(decoder, "begun"):
        decoder.begun(random)
    starting.freeze(decoder, config.freeze)
    decoder, history = train_decoder(config, decoder, rows, val_rows, targets, out)
    weights = state("decoder", decoder) | statistics
    learns = prior is not None and not prior.comes_trained
    if learns and (config.prior_training is not None or not prior.descends):
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


def sizes_of(rows, targets, positions=None, regions=None):
    """What the data decide about the network; `positions` and `regions` as of `Sizes`."""
    from neurodecode.models.base import Sizes

    shapes = {subject: seen.shape for subject, seen in rows.items()}
    channels = {subject: shape[0] for subject, shape in shapes.items()}
    n_tokens, token_dim = targets.tokens.shape[1:] if targets.tokens is not None else (0, 0)
    blurry = tuple(targets.blurry.shape[1:]) if targets.blurry is not None else None
    times = common_times(shapes)
    dim = targets.pooled.shape[1]
    return Sizes(channels, dim, n_tokens, token_dim, blurry, times, positions, regions)


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
    """Let a network that asks for it be fitted to training rows, before any descent.

    It has a method ``prepare(responses, targets, groups, seed)``: of each subject the training
    trials, (n_trials, n_channels[, n_times]), what they should be decoded into, by name, and their
    runs.
    """
    if not hasattr(decoder, "prepare"):
        return
    shown = {s: stimuli.get_indexer(trials["stimulus_id"]) for s, (_, trials) in train.items()}
    names = [name for name in tables if name in TARGETS]
    decoder.prepare(
        {subject: np.asarray(responses[:]) for subject, (responses, _) in train.items()},
        {s: {n: np.asarray(taken(tables[n], at)[:]) for n in names} for s, at in shown.items()},
        {subject: runs_of(trials) for subject, (_, trials) in train.items()},
        seed,
    )


def train_decoder(config, decoder, rows, val_rows, targets, out):
    """Train the network of all subjects; return it, averaged, and its history."""
    from neurodecode.contrastive.decoder import Lesson
    from neurodecode.contrastive.ranks import learn_together

    how, seed = config.decoder_training, child_seed(config.seed, "decoder")
    lesson = Lesson(
        build(config.loss),
        rows,
        val_rows,
        targets,
        weights={n: getattr(config, f"{n}_weight") for n in ("tokens", "blurry", "code")},
        batch=config.batch,
        plan=None if how is None else build(how, seed=seed),
        checkpoint=out.work / "decoder.pt",
        checkpoint_every=config.checkpoint_every,
    )
    progress = lambda epochs: out.progress(epochs, label="decoder, epochs")
    if how is None or not any(weight.requires_grad for weight in decoder.parameters()):
        decoder, history = lesson.leave(decoder.to(config.device))
    elif config.devices == 1:
        decoder, history = lesson.learn(decoder.to(config.device), progress)
    else:
        together = (config.device, config.devices, progress)
        decoder, history = learn_together(lesson, decoder, *together)
    scores = {h["name"]: h["value"] for h in history if h["split"] == "val"}
    what = "single validation trials" if config.averaging == "none" else "validation pictures"
    out.log(f"decoder: {scores['top1']:.3f} of {what} find their picture")
    return decoder, [{"phase": "decoder"} | row for row in history]


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


def state(name, network):
    """A network's weights as arrays, under `name/`."""
    return {f"{name}/{k}": v.cpu().numpy() for k, v in network.state_dict().items()}
