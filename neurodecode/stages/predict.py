"""Predict: what the decoder, its baseline and its controls say of the test trials.

The test rows are opened here. Repeats of a stimulus are averaged before the network unless the
configuration says otherwise (after it, or not at all), and nothing is fitted.

Ridge's answers pass through the same prior as the network's, so that only the decoders differ.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.lazy import taken
from neurodecode.core.ranges import Count, CountOrNone, NotNegative, Seed
from neurodecode.core.seeds import child_rng, child_seed
from neurodecode.core.stage import stage
from neurodecode.stages.caption_bank import TRAIN, bank_files, nearest_captions
from neurodecode.stages.controls import (
    Told,
    categories_of,
    control_answers,
    matched_noise,
    other_of_category,
    other_stimulus,
)
from neurodecode.stages.halves import (
    HALVES,
    NOISE,
    ROWS,
    both_rows,
    captions_of,
    noise_names,
    which_half,
)
from neurodecode.stages.prior_training import code_reader
from neurodecode.stages.reading import (
    aligned_rows,
    averaged,
    large,
    row_means,
    stimulus_rows,
    stimulus_tables,
)
from neurodecode.stages.samples import line_of, sample_table
from neurodecode.weights import named_folders

CONDITIONS = [
    ("model", "model", True, "The trained network, its tokens sampled from the prior."),
    ("ridge", "baseline", True, "Ridge regression of each subject, with the same prior."),
    ("shuffled", "control", True, "The model, shown the brain's answers to other test stimuli."),
    (
        "shuffled_within",
        "control",
        True,
        "The model, shown the brain's answers to other test stimuli of the same category.",
    ),
    ("mean_brain", "control", True, "The model, shown the mean of the training responses."),
    (
        "matched_noise",
        "control",
        True,
        "The model, shown noise with the mean and the covariance of the test responses.",
    ),
    (
        "nuisance_only",
        "control",
        False,
        "Ridge from motion, global signal, order and the like, with the same prior.",
    ),
    ("prior_only", "control", False, "No brain: samples of the prior, mean embedding and picture."),
    (
        "category_oracle",
        "reference",
        False,
        "Told the true category and nothing else: the mean of its training stimuli, same prior.",
    ),
    ("true_features", "ceiling", False, "The true embedding, tokens and blurry picture."),
]
SAME_NETWORK = ("mean_brain", "matched_noise")  # the model, shown something else
AVERAGING = ("repeats", "outputs", "none")
ROWS_AT_ONCE = 64  # whose trials are decoded before their answers are averaged
MINIATURE = {"_target_": "neurodecode.contrastive.low_level.Miniature"}


@dataclass(frozen=True)
class PredictConfig:
    """How test trials are read and the prior is sampled; conf/stage/predict.yaml explains each."""

    averaging: str = "repeats"
    halves: bool = True
    n_gallery: CountOrNone = 100
    n_samples: Count = 4
    sampling_steps: Count | None = 12
    eta: NotNegative = 1.0
    guidance: NotNegative = 3.0
    batch: Count = 64
    caption_bank: str = TRAIN
    n_captions: Count = 5
    caption_template: str = "{}"
    target: dict | None = None
    low_level: dict = field(default_factory=lambda: dict(MINIATURE))
    seed: Seed = 0
    device: str = "cpu"

    def __post_init__(self):
        if self.averaging not in AVERAGING:
            raise ValueError(f"averaging is {self.averaging!r}; choose {', '.join(AVERAGING)}")


@stage(
    "predict",
    config=PredictConfig,
    inputs=("index:stimuli.tsv", "embed", "split", "preprocess", "align", "train"),
    each="subject",
    opens_test=True,
    external=lambda config: [*bank_files(config), *named_folders(config.low_level)],
)
def run(config, inputs, out):
    """Ask decoders and controls about the test rows of one subject, and draw tokens."""
    from neurodecode.models.answers import network_answers, ridge_answers
    from neurodecode.models.stacking import stacked

    subject = inputs.each
    measured, trials = aligned_rows(inputs, subject, "test")
    responses, rows, row = shown_rows(measured, trials, config.averaging)
    mean = partial(mean_answers, row=row)
    stimuli, tables = stimulus_rows(inputs) if large(inputs) else stimulus_tables(inputs)
    trained = inputs.tensors("train", "weights.safetensors")
    decoder, prior = networks(inputs.json("train", "config.json"), trained, config.device)

    ridge = ridge_answers(inputs.tensors("train", "ridge.safetensors"))
    network = stacked(network_answers(decoder, code_reader(prior)), ridge, trained)
    fitted = inputs.tensors("train", "controls.safetensors")
    said = {
        "model": mean(network)(responses, subject),
        "ridge": mean(ridge)(responses, subject),
        "prior_only": without_brain(trained, len(rows)),
    }
    noise = matched_noise(responses, child_rng(config.seed, "matched noise", subject))
    for name, instead in (
        ("mean_brain", np.broadcast_to(fitted[f"mean_brain/{subject}"], responses.shape)),
        ("matched_noise", noise),
    ):
        said[name] = mean(network)(instead.astype(np.float32), subject)
    told = Told.again(inputs)
    for name, answers in control_answers(fitted).items():
        instead, *_ = shown_rows(told.read(name, subject, trials), trials, config.averaging)
        said[name] = mean(answers)(instead, subject)
    low_level = build(config.low_level)
    said = {name: tidy(output, low_level) for name, output in said.items()}
    gallery = gallery_stimuli(inputs.table("split", "split.tsv"), config)
    n_drawn = {"model": samples_per_row(rows["stimulus_id"], gallery, config.n_samples)}
    for name, output in said.items():
        samples = sample_table(rows["row_id"], n_drawn.get(name, 1))
        decoder_of = "model" if name in SAME_NETWORK else name
        known = belief(prior, trained, decoder_of, subject, output, rows["n_repeats"].to_numpy())
        said[name] = with_tokens(config, prior, trained, known, output, samples)

    other = other_stimulus(rows["stimulus_id"], child_rng(config.seed, "shuffle", subject))
    said["shuffled"] = first_samples_of(said["model"], other, rows["row_id"])
    rng = child_rng(config.seed, "shuffle within", subject)
    kinds = categories_of(inputs).loc[rows["stimulus_id"]].to_numpy()
    other, alone = other_of_category(rows["stimulus_id"], kinds, rng)
    said["shuffled_within"] = first_samples_of(said["model"], other, rows["row_id"])
    if alone:
        out.log(f"{subject}: {alone} rows are alone in their category and are shuffled across it")
    truth = {name: t[stimuli.get_indexer(rows["stimulus_id"])] for name, t in tables.items()}
    said["true_features"] = seen(truth, low_level) | {"samples": sample_table(rows["row_id"], 1)}

    half = which_half(trials) if config.halves else np.full(len(trials), -1)
    if (half == 1).any():
        parts = half_rows(measured, trials, half, config.averaging)
        answers = lambda shown, row: tidy(mean_answers(network, row)(shown, subject), low_level)
        of_halves = said_of_halves(config, answers, prior, trained, parts, subject)
        out.save_table(ROWS, both_rows([part_rows for _, part_rows, _ in parts]))
        for name in HALVES:
            save(out, name, of_halves[name])
        if "text.npy" in inputs.files("embed"):
            words = nearest_captions(config, inputs, parts[0][1]["row_id"], of_halves, out.log)
            out.save_table(captions_of(HALVES[0]), words[words["rank"] == 1].drop(columns="rank"))
    for name, *_ in CONDITIONS:
        save(out, name, said[name])
    if "text.npy" in inputs.files("embed"):
        words = nearest_captions(config, inputs, rows["row_id"], said, out.log)
        out.save_table("captions.tsv", words[words["rank"] == 1].drop(columns="rank"))
        out.save_table("nearest_captions.tsv", words)
    out.save_table("rows.tsv", rows)
    keys = ("name", "kind", "brain", "about")
    out.save_json("conditions.json", [dict(zip(keys, c, strict=True)) for c in CONDITIONS])


def test_rows(responses, trials, averaging):
    """Average the repeats of each stimulus, or keep every trial: responses and rows.tsv.

    Returns
    -------
    responses : ndarray, shape (n_rows, n_channels[, n_times])
    rows : DataFrame
        row_id stimulus_id n_repeats trial_ids; row_id is the stimulus, or the trial itself.
    """
    if not len(trials):
        raise ValueError("there are no test rows for this subject: see split.tsv")
    by = "stimulus_id" if averaging == "repeats" else "trial_id"
    return averaged(responses, trials, by, ["stimulus_id"])


def shown_rows(responses, trials, averaging):
    """What decoders are shown of test trials, see `test_rows`, and the row of each response.

    Returns
    -------
    responses : ndarray, shape (n_shown, n_channels[, n_times])
        With ``outputs`` single trials.
    rows : DataFrame
    row : ndarray of int, shape (n_shown,), or None
        None: response i is that of row i.
    """
    if averaging != "outputs":
        return *test_rows(responses, trials, averaging), None
    single, alone = test_rows(responses, trials, "none")
    _, rows = test_rows(np.empty((len(trials), 0)), trials, "repeats")
    return single, rows, np.searchsorted(rows["stimulus_id"], alone["stimulus_id"])


def mean_answers(answers, row):
    """The same decoder, whose answers to all responses of a row are averaged; row None: one a row.

    Published systems differ in this: MindEye decodes the mean of a picture's trials, MindEye2
    averages what it decodes of each.
    """
    if row is None:
        return answers

    def of_rows(responses, subject):
        parts, n_rows = [], row.max() + 1
        for first in range(0, n_rows, ROWS_AT_ONCE):
            which = np.flatnonzero((row >= first) & (row < first + ROWS_AT_ONCE))
            said = answers(responses[which], subject)
            parts.append({n: row_means(part, row[which] - first) for n, part in said.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return of_rows


def half_rows(measured, trials, half, averaging):
    """Average each half's trials, stimulus by stimulus, before or after decoders: `shown_rows`.

    Stimuli that were seen once are left out.
    """
    mine = [np.flatnonzero(half == k) for k in range(len(HALVES))]
    of = lambda which: (taken(measured, which), trials.iloc[which].reset_index(drop=True))
    how = "outputs" if averaging == "outputs" else "repeats"
    return [shown_rows(*of(which), how) for which in mine]


def said_of_halves(config, answers, prior, trained, parts, subject):
    """What the network says of each half, one sample a row, with the same noise for all rows."""
    said = {}
    for name, (responses, rows, row) in zip(HALVES, parts, strict=True):
        output = answers(responses, row)
        samples = sample_table(rows["row_id"], 1).assign(noise=NOISE)
        known = belief(prior, trained, "model", subject, output, rows["n_repeats"].to_numpy())
        said[name] = with_tokens(config, prior, trained, known, output, samples)
    return said


def networks(made, trained, device):
    """Rebuild the decoder and the prior (None if none was trained) with their weights."""
    from neurodecode.models.base import Sizes

    sizes = Sizes(**made["sizes"])
    decoder = loaded(build(made["model"], sizes=sizes), "decoder", trained, device)
    if not any(name.startswith("prior/") for name in trained):
        return decoder, None
    prior = build(made["prior"], n_tokens=sizes.n_tokens, dim=sizes.token_dim)
    return decoder, loaded(prior, "prior", trained, device)


def loaded(network, name, trained, device):
    """Fill a network with the weights under `name/`."""
    import torch

    from neurodecode.models.answers import below

    own = below(trained, f"{name}/")
    network.load_state_dict({k: torch.as_tensor(a) for k, a in own.items()})
    return network.to(device).eval()


def without_brain(trained, n_rows):
    """The best guess without a brain: training means; of standardised tokens that is 0."""
    said = {}
    for name in ("pooled", "blurry", "tokens"):
        if f"targets/{name}_mean" in trained:
            mean = trained[f"targets/{name}_mean"]
            said[name] = np.repeat((mean if name != "tokens" else 0 * mean)[None], n_rows, axis=0)
    return said


def tidy(said, low_level):
    """Pooled embeddings as unit rows, and low-level values as pictures in [0, 1]."""
    said["pooled"] = said["pooled"] / np.linalg.norm(said["pooled"], axis=1, keepdims=True)
    return seen(said, low_level)


def seen(said, low_level):
    """Low-level values as pictures in [0, 1], whatever they are values of."""
    return said | {"blurry": low_level.decode(said["blurry"])} if "blurry" in said else said


def gallery_stimuli(split, config):
    """Choose the stimuli of the gallery: the same for every subject, by a fixed seed."""
    test = split[split["split"] == "test"].groupby("subject")["stimulus_id"]
    shared = sorted(set.intersection(*(set(seen) for _, seen in test)))
    rng = child_rng(config.seed, "gallery")
    chosen = rng.choice(len(shared), min(config.n_gallery, len(shared)), replace=False)
    return {shared[i] for i in chosen}


def samples_per_row(stimulus_id, gallery, n_samples):
    """Several samples for the first row of each stimulus in the gallery, one for all others."""
    many = stimulus_id.isin(gallery) & ~stimulus_id.duplicated()
    return np.where(many, n_samples, 1)


def belief(prior, trained, decoder, subject, said, n_repeats):
    """What the prior is given of each row; None: no brain, or no prior."""
    if prior is None or decoder == "prior_only":
        return None
    from neurodecode.models.answers import below

    calibration = below(trained, f"calibration/{decoder}/{subject}/")
    return prior.condition(said[prior.reads], calibration, n_repeats)


def with_tokens(config, prior, trained, known, said, samples):
    """Add the samples of rows, and each sample's image tokens, to what a decoder said of them.

    Without a prior the decoder's own tokens are all there is, if it has any.
    """
    if prior is not None:
        said = said | {"tokens": natural(draw(config, prior, known, samples), trained)}
    elif "tokens" in said:
        said = said | {"tokens": natural(said["tokens"][line_of(samples)], trained)}
    return said | {"samples": samples}


def draw(config, prior, known, samples):
    """Sample the prior, one set of standardised tokens per line of `samples`.

    A sample's noise follows from its row and number: the same in every condition and for every
    subject, whatever else is drawn.
    """
    import torch

    line = line_of(samples)
    pairs = zip(noise_names(samples), samples["sample"], strict=True)
    seeds = [child_seed(config.seed, "prior", row, number) for row, number in pairs]
    drawn = []
    for first in range(0, len(seeds), config.batch):
        part = slice(first, first + config.batch)
        given = None if known is None else torch.as_tensor(known[line[part]], device=config.device)
        how = (config.sampling_steps, config.eta, config.guidance)
        drawn.append(prior.sample(given, seeds[part], *how).cpu().numpy())
    return np.concatenate(drawn)


def natural(tokens, trained):
    """Undo the standardisation of tokens."""
    return tokens * trained["targets/tokens_std"] + trained["targets/tokens_mean"]


def first_samples_of(said, other, row_id):
    """What was said of other rows, with the first sample of each."""
    first = np.flatnonzero(said["samples"]["sample"] == 0)
    moved = {n: a[other] for n, a in said.items() if n in ("pooled", "blurry")}
    if "tokens" in said:
        moved["tokens"] = said["tokens"][first[other]]
    return moved | {"samples": sample_table(row_id, 1)}


def save(out, name, said):
    """Write what one condition says."""
    for part in ("pooled", "tokens", "blurry"):
        if part in said:
            out.save_array(f"{name}/{part}.npy", said[part].astype(np.float32))
    out.save_table(f"{name}/samples.tsv", said["samples"])
