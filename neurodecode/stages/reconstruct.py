"""Reconstruct: from predicted image tokens to pictures, every sample kept.

Where a row has several samples, one is chosen by the brain alone: the picture whose own embedding
is nearest to the embedding decoded from the brain. The true picture has no part in it, unless
`selection` is ``oracle_compat``, as in one published pipeline; all that follows then says so.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.errors import UserError
from neurodecode.core.growing import Growing
from neurodecode.core.ranges import Count, Seed, Share
from neurodecode.core.seeds import child_seed
from neurodecode.core.stage import stage
from neurodecode.stages import halves
from neurodecode.stages.captioning import caption_pictures
from neurodecode.stages.samples import line_of
from neurodecode.weights import named_folders

POLICIES = {
    "brain": "cosine of the picture's own embedding to the one decoded from the brain",
    "first": "the first sample of each row, whatever it shows",
    "oracle_compat": "cosine of the picture's own embedding to that of the true picture",
}
NOT_DECODED = "selected with the true picture: not a decoding result"
STARTS = ("model", "ridge", "shuffled", "shuffled_within", "mean_brain", "matched_noise")
STARTS += ("nuisance_only", "category_oracle")
MERGE = {"_target_": "neurodecode.diffusion.merging.Pixelwise"}


@dataclass(frozen=True)
class ReconstructConfig:
    """Which generator, and how it begins; conf/stage/reconstruct.yaml explains each key."""

    generator: dict
    target: dict
    pooled: Literal["own", "tokens"] = "own"
    strength: Share = 0.9
    conditions: tuple[str, ...] | None = None
    start_from: tuple[str, ...] = STARTS
    variants: tuple[str, ...] | None = None
    merge: dict = field(default_factory=lambda: dict(MERGE))
    batch: Count = 64
    captioner: dict | None = None
    selection: Literal["brain", "first", "oracle_compat"] = "brain"
    seed: Seed = 0


@stage(
    "reconstruct",
    config=ReconstructConfig,
    inputs=("predict",),
    each="subject",
    external=lambda config: [
        place
        for node in (config.generator, config.target, config.captioner)
        for place in named_folders(node)
    ],
)
def run(config, inputs, out):
    """Paint every sample of every condition of one subject, and choose one a row by the brain."""
    from neurodecode.contrastive.targets import scored
    from neurodecode.stages.variants import OF, paint_variants

    generator, target = build(config.generator), scored(build(config.target), config.pooled)
    conditions, tables = painted(config, inputs.json("predict", "conditions.json")), {}
    for condition in [*conditions, *halves.there(inputs)]:
        if f"{condition}/tokens.npy" not in inputs.files("predict"):
            continue
        samples = inputs.table("predict", f"{condition}/samples.tsv")
        said = lambda part, c=condition: said_of(inputs, c, part)
        check_tokens(generator, said("tokens"))
        made = stream(config, generator, target, condition, samples, said, out)
        made.give("pictures", out.path(f"{condition}/pictures.npy"))
        made.give("embedded", out.path(f"{condition}/embedded.npy"))
        tables[condition] = selected(config, samples, made, inputs)
        out.save_table(f"{condition}/samples.tsv", tables[condition])
    if OF in tables:
        paint_variants(config, generator, inputs, tables[OF], out)
    out.save_json("selection.json", selection_of(config.selection))
    caption_pictures(config.captioner, out)


def selection_of(rule):
    """What selection.json says of a rule: `policy`, and whether the true picture had a part."""
    oracle = rule == "oracle_compat"
    about = {"selection": rule, "policy": POLICIES[rule], "uses_true_picture": oracle}
    return about | ({"warning": NOT_DECODED} if oracle else {})


def selected(config, samples, made, inputs):
    """The table of samples with `evidence` of the brain, and one `chosen` a row as configured.

    The oracle adds ``likeness``, to the true picture's embedding, and goes by it. Halves have one
    sample a row: nothing is chosen.
    """
    table = samples.assign(evidence=np.array(made.array("evidence")))
    by = {"brain": table["evidence"], "first": -samples["sample"]}.get(config.selection)
    if by is None and "noise" not in samples:
        true = inputs.array("predict", "true_features/pooled.npy")[line_of(samples)]
        by = nearness(np.array(made.array("embedded")), true)
        table = table.assign(likeness=by)
    by = table["evidence"] if by is None else by
    return table.assign(chosen=chosen(samples, by)["chosen"])


def said_of(inputs, condition, part):
    """What predict said of a condition: an array, or one caption a row."""
    if part != "captions":
        return inputs.array("predict", f"{condition}/{part}.npy")
    if "captions.tsv" not in inputs.files("predict"):
        raise UserError(
            "this generator reads captions, and the study has none: choose one that reads tokens "
            "alone, or give the pictures captions"
        )
    table = inputs.table("predict", halves.captions_of(condition))
    return table["caption"][table["condition"] == condition].to_numpy()


def check_tokens(generator, tokens):
    """Refuse tokens that the generator was not made for, before anything is painted."""
    n_tokens, dim = generator.token_shape
    if n_tokens in (None, tokens.shape[1]) and dim in (None, tokens.shape[2]):
        return
    raise UserError(
        f"the decoded tokens are {tokens.shape[1]} of {tokens.shape[2]} numbers, and the "
        f"generator {type(generator).__name__} was made for {n_tokens or 'any number of'} tokens "
        f"of {dim or 'any'} numbers: choose the embedding (embed=…) that it belongs to"
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
        ``pictures``, uint8 (n_samples, h, w, 3), what the target sees in them (``embedded``), and
        their ``evidence``, see `evidence`.
    """
    made = Growing(out.work, condition, len(samples))
    lines = line_of(samples)

    def paint(some):
        pictures = generate(config, generator, condition, samples, said, some)
        seen = target.pictures(pictures)[0]
        found = nearness(seen, said("pooled")[lines[some]])
        return {"pictures": pictures, "evidence": found, "embedded": seen.astype(np.float32)}

    progress = partial(out.progress, label=f"{condition}: pictures, in batches")
    made.fill(config.batch, paint, progress)
    return made


def generate(config, generator, condition, samples, said, some=slice(None)):
    """Generate some of one condition's pictures; noise depends on row and sample alone.

    Parameters are those of `stream`; `some` are lines of `samples`.

    Returns
    -------
    pictures : ndarray of uint8, shape (n, h, w, 3)
    """
    row, wanted = line_of(samples)[some], samples.iloc[some]
    pairs = zip(halves.noise_names(wanted), wanted["sample"], strict=True)
    seeds = [child_seed(config.seed, "picture", *pair) for pair in pairs]
    more = {}
    if halves.acts_as(condition) in config.start_from and config.strength < 1:
        more["start"] = said("blurry")[row]
    if "captions" in generator.reads:
        more["captions"] = said("captions")[row].tolist()
    tokens = said("tokens")[some]
    return generator.generate(tokens, seeds, strength=config.strength, batch=config.batch, **more)


def evidence(pictures, decoded, target):
    """How near each picture is to what the brain said: cosines (n,).

    Parameters
    ----------
    pictures : ndarray of uint8, shape (n, h, w, 3)
    decoded : ndarray, shape (n, dim)
        Unit rows, decoded from the brain.
    target : neurodecode.contrastive.targets.Target
    """
    return nearness(target.pictures(pictures)[0], decoded)


def nearness(seen, decoded):
    """Row by row, the cosine of two sets of unit rows: (n,)."""
    return np.einsum("sd,sd->s", seen, decoded)


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
