"""Train: ridge for each subject, a decoder for all of them, and a prior over image tokens.

Training rows fit. Validation rows select the decoder's epoch and tell the prior how far the decoder
can be trusted on new trials. Test rows cannot be read here.
"""

from dataclasses import asdict, dataclass, field

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.seeds import child_seed
from neurodecode.core.stage import stage


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, and how; conf/stage/train.yaml explains each."""

    model: dict
    loss: dict
    prior: dict | None
    decoder_training: dict
    prior_training: dict
    batch: int = 64
    tokens_weight: float = 1.0
    blurry_weight: float = 1.0
    prior_batch: int = 64
    prior_batches: int = 20
    simulator_components: int = 200
    least_noise: float = 0.7
    ridge_components: int = 64
    seed: int = 0
    device: str = "cpu"
    checkpoint_every: int = field(default=5, metadata={"keyed": False})


@stage("train", config=TrainConfig, inputs=("embed", "split", "preprocess", "align"))
def run(config, inputs, out):
    import pandas as pd

    subjects = inputs.members("preprocess")
    train, val = ({s: aligned(inputs, s, rows) for s in subjects} for rows in ("train", "val"))
    stimuli, tables = stimulus_tables(inputs)
    seen = np.unique([i for _, t in train.values() for i in stimuli.get_indexer(t["stimulus_id"])])
    statistics = training_statistics(tables, seen)
    if "tokens" in tables:
        tables["tokens"] = standardise(tables["tokens"], statistics)

    ridge = {}
    fits = baselines(train, stimuli, tables, config.ridge_components)
    for subject, fit in out.progress(fits, total=len(subjects), label="ridge"):
        ridge |= {f"{subject}/{name}": array for name, array in fit.items()}

    rows, val_rows = (as_rows(side, stimuli, config.device) for side in (train, val))
    targets = as_targets(tables, config.device)
    sizes = sizes_of(rows, targets)
    decoder, history = train_decoder(config, sizes, rows, val_rows, targets, out)
    weights = state("decoder", decoder) | statistics
    if config.prior is not None and targets.tokens is not None:
        prior, more = train_prior(config, decoder, targets, seen, val_rows, out)
        weights, history = weights | state("prior", prior), history + more

    out.save_tensors("ridge.safetensors", ridge)
    out.save_tensors("weights.safetensors", weights)
    out.save_table("history.tsv", pd.DataFrame(history))
    made = {"model": config.model, "prior": config.prior, "sizes": asdict(sizes)}
    out.save_json("config.json", made)


def aligned(inputs, subject, rows):
    """Read some split rows of a subject as align scales and maps them: (responses, trials)."""
    from neurodecode.align.apply import transform

    fitted = [inputs.tensors("align", f"{n}.safetensors") for n in ("scaling", "channels", "maps")]
    aligner = build(inputs.json("align", "aligner.json")["aligner"])
    responses, trials = inputs.responses(subject, rows=rows)
    return transform(responses, subject, *fitted, aligner), trials


def stimulus_tables(inputs):
    """Read what the stimuli are embedded as: their ids (an index), and float32 arrays by name."""
    import pandas as pd

    ids = pd.Index(inputs.table("embed", "stimuli.tsv")["stimulus_id"])
    names = [n for n in ("pooled", "tokens", "blurry") if f"{n}.npy" in inputs.files("embed")]
    if "pooled" not in names:
        raise ValueError("embed made no pooled.npy: train decodes the pictures of a study")
    return ids, {n: np.array(inputs.array("embed", f"{n}.npy"), np.float32) for n in names}


def training_statistics(tables, seen):
    """Mean of every table over the training stimuli, and the spread of each token feature."""
    statistics = {f"targets/{name}_mean": t[seen].mean(axis=0) for name, t in tables.items()}
    if "tokens" in tables:
        spread = tables["tokens"][seen].std(axis=0)
        # A feature that never varies says nothing: it is divided by 1 and stays 0.
        statistics["targets/tokens_std"] = np.where(spread > 1e-6, spread, 1.0).astype(np.float32)
    return statistics


def standardise(tokens, statistics):
    """Tokens with mean 0 and variance 1 over the training stimuli, per feature."""
    return (tokens - statistics["targets/tokens_mean"]) / statistics["targets/tokens_std"]


def baselines(train, stimuli, tables, n_components):
    """Fit ridge to every table for every subject: yields (subject, fit) in order."""
    import scipy.linalg  # noqa: F401  (only libraries that are loaded already can be limited)
    from threadpoolctl import threadpool_limits

    from neurodecode.models.baseline import fit_baseline

    # One thread: two on a singular value decomposition of this size took six times as long.
    with threadpool_limits(1, "blas"):
        for subject, (responses, trials) in train.items():
            rows = stimuli.get_indexer(trials["stimulus_id"])
            targets = {name: table[rows] for name, table in tables.items()}
            runs = trials["session"].astype(str) + " " + trials["run"].astype(str)
            yield subject, fit_baseline(responses, targets, runs.to_numpy(), n_components)


def as_rows(side, stimuli, device):
    """Turn (responses, trials) of all subjects into what the decoder's loop reads."""
    import torch

    from neurodecode.contrastive.decoder import Rows

    return {
        subject: Rows(
            torch.as_tensor(responses, device=device), stimuli.get_indexer(trials["stimulus_id"])
        )
        for subject, (responses, trials) in side.items()
    }


def as_targets(tables, device):
    """Turn the stimulus tables into what the decoder's loop reads."""
    import torch

    from neurodecode.contrastive.decoder import Targets

    return Targets(**{n: torch.as_tensor(t, device=device) for n, t in tables.items()})


def sizes_of(rows, targets):
    """What the data decide about the network."""
    from neurodecode.models.base import Sizes

    channels = {subject: seen.responses.shape[1] for subject, seen in rows.items()}
    n_tokens, token_dim = targets.tokens.shape[1:] if targets.tokens is not None else (0, 0)
    blurry = tuple(targets.blurry.shape[1:]) if targets.blurry is not None else None
    return Sizes(channels, targets.pooled.shape[1], n_tokens, token_dim, blurry)


def train_decoder(config, sizes, rows, val_rows, targets, out):
    """Train the network of all subjects; return it, averaged, and its history."""
    from neurodecode.contrastive.decoder import decoder_loss, epoch_batches, validation_scores
    from neurodecode.contrastive.loop import fit

    plan = build(config.decoder_training, seed=child_seed(config.seed, "decoder"))
    stimulus = {subject: seen.stimulus for subject, seen in rows.items()}
    parts = {"tokens": config.tokens_weight, "blurry": config.blurry_weight}
    decoder, history = fit(
        initialised(config.model, child_seed(config.seed, "decoder weights"), sizes=sizes).to(
            config.device
        ),
        batches=lambda epoch: epoch_batches(stimulus, config.batch, plan.seed, epoch),
        loss=decoder_loss(build(config.loss), rows, targets, plan.n_epochs, parts),
        validate=lambda model, epoch: validation_scores(model, val_rows, targets),
        plan=plan,
        checkpoint=out.work / "decoder.pt",
        checkpoint_every=config.checkpoint_every,
        progress=lambda epochs: out.progress(epochs, label="decoder, epochs"),
    )
    scores = {h["name"]: h["value"] for h in history if h["split"] == "val"}
    out.log(f"decoder: {scores['top1']:.3f} of single validation trials find their picture")
    return decoder, [{"phase": "decoder"} | row for row in history]


def train_prior(config, decoder, targets, seen, val_rows, out):
    """Train the prior towards what the decoder says of new trials; return it and its history."""
    import torch

    from neurodecode.contrastive.loop import fit
    from neurodecode.diffusion.linear import BrainSimulator
    from neurodecode.diffusion.training import prior_batches, prior_loss, prior_scores

    plan = build(config.prior_training, seed=child_seed(config.seed, "prior"))
    tokens = targets.tokens[torch.from_numpy(seen)]
    with torch.no_grad():
        said = torch.cat([decoder(r.responses, s).tokens for s, r in val_rows.items()])
    truth = torch.cat([targets.tokens[torch.from_numpy(r.stimulus)] for r in val_rows.values()])
    prior = initialised(
        config.prior,
        child_seed(config.seed, "prior weights"),
        n_tokens=tokens.shape[1],
        dim=tokens.shape[2],
    ).to(config.device)
    prior.prepare(tokens, said, truth)
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


def initialised(node, seed, **extra):
    """Build a network whose first weights depend on the seed alone."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(node, **extra)


def state(name, network):
    """A network's weights as arrays, under `name/`."""
    return {f"{name}/{k}": v.cpu().numpy() for k, v in network.state_dict().items()}
