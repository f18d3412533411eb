"""The prior within stage train: built or brought, trained, and told how far decoders are right."""

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.lazy import Lazy, slices
from neurodecode.core.seeds import child_seed
from neurodecode.stages import start as starting
from neurodecode.stages.reading import answered


def untrained_prior(config, tables, starts, out):
    """Build the prior as it is before this study: with first weights, or with those there are.

    None where none is wanted, or where the embedding has no tokens.
    """
    if config.prior is None or "tokens" not in tables:
        return None
    sizes = dict(zip(("n_tokens", "dim"), tables["tokens"].shape[1:], strict=True))
    prior = starting.initialised(config.prior, child_seed(config.seed, "prior weights"), **sizes)
    if config.prior_training is not None and not prior.descends:
        how = "comes trained and is not trained again" if prior.comes_trained else "is no network"
        raise ValueError(f"this prior {how}: prior_training=null")
    begun = starting.begin_prior(prior, starts, config.prior, out)
    if config.prior_training is None and prior.descends and not begun:
        raise ValueError(
            "this prior is trained in the run, but prior_training is null: say how to train it, or "
            "do without one (train.prior=null), or begin with one (train.start)"
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
