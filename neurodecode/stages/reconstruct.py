"""Reconstruct: from predicted image tokens to pictures, every sample kept.

Where a row has several samples, one is chosen by the brain alone: the picture whose own embedding
is nearest to the embedding decoded from the brain. The true picture has no part in it.
"""

from dataclasses import dataclass, field

import numpy as np

from neurodecode.core import stop
from neurodecode.core.build import build
from neurodecode.core.errors import UserError
from neurodecode.core.growing import Growing
from neurodecode.core.ranges import Count, Seed, Share
from neurodecode.core.seeds import child_seed
from neurodecode.core.stage import stage
from neurodecode.weights import named_folders

POLICY = "cosine of the picture's own embedding to the one decoded from the brain"
STARTS = ("model", "ridge", "shuffled", "shuffled_within", "mean_brain", "matched_noise")
STARTS += ("nuisance_only", "category_oracle")
MERGE = {"_target_": "neurodecode.diffusion.merging.Pixelwise"}


@dataclass(frozen=True)
class ReconstructConfig:
    """Which generator, and how it begins; conf/stage/reconstruct.yaml explains each key."""

    generator: dict
    target: dict
    strength: Share = 0.9
    conditions: tuple[str, ...] | None = None
    start_from: tuple[str, ...] = STARTS
    variants: tuple[str, ...] | None = None
    merge: dict = field(default_factory=lambda: dict(MERGE))
    batch: Count = 64
    seed: Seed = 0


@stage(
    "reconstruct",
    config=ReconstructConfig,
    inputs=("predict",),
    each="subject",
    external=lambda config: [*named_folders(config.generator), *named_folders(config.target)],
)
def run(config, inputs, out):
    """Paint every sample of every condition of one subject, and choose one a row by the brain."""
    from neurodecode.stages.variants import OF, paint_variants

    generator, target = build(config.generator), build(config.target)
    tables = {}
    for condition in painted(config, inputs.json("predict", "conditions.json")):
        if f"{condition}/tokens.npy" not in inputs.files("predict"):
            continue
        samples = inputs.table("predict", f"{condition}/samples.tsv")
        said = lambda part, c=condition: said_of(inputs, c, part)
        check_tokens(generator, said("tokens"))
        made = stream(config, generator, target, condition, samples, said, out)
        made.give("pictures", out.path(f"{condition}/pictures.npy"))
        tables[condition] = chosen(samples, np.array(made.array("evidence")))
        out.save_table(f"{condition}/samples.tsv", tables[condition])
    if OF in tables:
        paint_variants(config, generator, inputs, tables[OF], out)
    out.save_json("selection.json", {"policy": POLICY, "uses_true_picture": False})


def said_of(inputs, condition, part):
    """What predict said of a condition: an array, or one caption a row."""
    if part != "captions":
        return inputs.array("predict", f"{condition}/{part}.npy")
    if "captions.tsv" not in inputs.files("predict"):
        raise UserError(
            "this generator reads captions, and the study has none: choose one that reads tokens "
            "alone, or give the pictures captions"
        )
    table = inputs.table("predict", "captions.tsv")
    return table["caption"][table["condition"] == condition].to_numpy()


def check_tokens(generator, tokens):
    """Refuse tokens that the generator was not made for, before anything is painted."""
    n_tokens, dim = generator.token_shape
    if tokens.shape[2] != dim or n_tokens not in (None, tokens.shape[1]):
        made_for = f"{n_tokens or 'any number of'} tokens of {dim} numbers"
        raise UserError(
            f"the decoded tokens are {tokens.shape[1]} of {tokens.shape[2]} numbers, and the "
            f"generator {type(generator).__name__} was made for {made_for}: choose the embedding "
            "(embed=…) that it belongs to"
        )


def painted(config, conditions):
    """Name the conditions whose pictures are wanted: the model's always."""
    known = [c["name"] for c in conditions]
    if config.conditions is None:
        return known
    if strangers := sorted(set(config.conditions) - set(known)):
        raise ValueError(
            f"reconstruct.conditions names {', '.join(strangers)}: predict has {', '.join(known)}"
        )
    return [name for name in known if name in {"model", *config.conditions}]


def stream(config, generator, target, condition, samples, said, out):
    """Generate one condition's pictures on disk, some at a time; go on where a kill ended it.

    Parameters
    ----------
    config : ReconstructConfig
    generator : neurodecode.diffusion.generator.Generator
    target : neurodecode.contrastive.targets.Target
    condition : str
    samples : DataFrame
        Columns row_id, sample.
    said : callable (part) -> ndarray
        The condition's ``tokens``, one set a sample; ``blurry`` and ``pooled``, one a row.
    out : Folder

    Returns
    -------
    made : Growing
        ``pictures``, uint8 (n_samples, h, w, 3), and their ``evidence``, see `evidence`.
    """
    made = Growing(out.work, condition, len(samples))
    firsts = range(made.done, len(samples), config.batch)
    with stop.postponed():
        for first in out.progress(firsts, label=f"{condition}: pictures, in batches"):
            some = slice(first, first + config.batch)
            pictures = generate(config, generator, condition, samples, said, some)
            row = line_of(samples)[some]
            found = evidence(pictures, said("pooled")[row], target)
            made.put(pictures=pictures, evidence=found)
            if stop.asked():
                stop.leave()
    return made


def generate(config, generator, condition, samples, said, some=slice(None)):
    """Generate some of one condition's pictures; noise depends on row and sample alone.

    Parameters are those of `stream`; `some` are lines of `samples`.

    Returns
    -------
    pictures : ndarray of uint8, shape (n, h, w, 3)
    """
    row, wanted = line_of(samples)[some], samples.iloc[some]
    pairs = zip(wanted["row_id"], wanted["sample"], strict=True)
    seeds = [child_seed(config.seed, "picture", *pair) for pair in pairs]
    more = {}
    if condition in config.start_from and config.strength < 1:
        more["start"] = said("blurry")[row]
    if "captions" in generator.reads:
        more["captions"] = said("captions")[row].tolist()
    tokens = said("tokens")[some]
    return generator.generate(tokens, seeds, strength=config.strength, batch=config.batch, **more)


def line_of(samples):
    """The row of each line of `samples`, as a number."""
    return samples.groupby("row_id", sort=False).ngroup().to_numpy()


def evidence(pictures, decoded, target):
    """How near each picture is to what the brain said: cosines (n,).

    Parameters
    ----------
    pictures : ndarray of uint8, shape (n, h, w, 3)
    decoded : ndarray, shape (n, dim)
        Unit rows, decoded from the brain.
    target : neurodecode.contrastive.targets.Target
    """
    return np.einsum("sd,sd->s", target.pictures(pictures)[0], decoded)


def chosen(samples, found):
    """Add `evidence` and `chosen` to a table of samples; ties go to the first sample.

    Parameters
    ----------
    samples : DataFrame
        Columns row_id, sample.
    found : ndarray, shape (n_samples,)
        The evidence for each.
    """
    table = samples.assign(evidence=found)
    best = table.groupby(line_of(samples))["evidence"].idxmax()
    return table.assign(chosen=table.index.isin(best))
