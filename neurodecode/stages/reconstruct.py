"""Reconstruct: from predicted image tokens to pictures, every sample kept.

Where a row has several samples, one is chosen by the brain alone: the picture whose own embedding
is nearest to the embedding decoded from the brain. The true picture has no part in it.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.ranges import Count, Seed, Share
from neurodecode.core.seeds import child_seed
from neurodecode.core.stage import stage
from neurodecode.stages.captioning import caption_pictures
from neurodecode.weights import named_folders

POLICY = "cosine of the picture's own embedding to the one decoded from the brain"
STARTS = ("model", "ridge", "shuffled", "shuffled_within", "mean_brain", "matched_noise")
STARTS += ("nuisance_only", "category_oracle")


@dataclass(frozen=True)
class ReconstructConfig:
    """Which generator, and how it begins; conf/stage/reconstruct.yaml explains each key."""

    generator: dict
    target: dict
    strength: Share = 0.9
    conditions: tuple[str, ...] | None = None
    start_from: tuple[str, ...] = STARTS
    batch: Count = 64
    captioner: dict | None = None
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
    generator, target = build(config.generator), build(config.target)
    for condition in painted(config, inputs.json("predict", "conditions.json")):
        if f"{condition}/tokens.npy" not in inputs.files("predict"):
            continue
        samples = inputs.table("predict", f"{condition}/samples.tsv")
        said = lambda part, c=condition: inputs.array("predict", f"{c}/{part}.npy")
        pictures = resumed(
            out.work / f"{condition}.npy",
            lambda c=condition, s=samples, said=said: generate(config, generator, c, s, said),
        )
        out.save_array(f"{condition}/pictures.npy", pictures)
        decoded = inputs.array("predict", f"{condition}/pooled.npy")
        out.save_table(f"{condition}/samples.tsv", chosen(samples, pictures, decoded, target))
    out.save_json("selection.json", {"policy": POLICY, "uses_true_picture": False})
    caption_pictures(config.captioner, out)


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


def generate(config, generator, condition, samples, said):
    """Generate one condition's pictures; a row's noise depends on its name and sample alone.

    Parameters
    ----------
    config : ReconstructConfig
    generator : object
        Built from the configuration.
    condition : str
    samples : DataFrame
        Columns row_id, sample.
    said : callable (part) -> ndarray
        The condition's ``tokens``, one set a sample, and ``blurry`` pictures, one a row.

    Returns
    -------
    pictures : ndarray of uint8, shape (n_samples, h, w, 3)
    """
    pairs = zip(samples["row_id"], samples["sample"], strict=True)
    seeds = [child_seed(config.seed, "picture", row, sample) for row, sample in pairs]
    start = None
    if condition in config.start_from and config.strength < 1:
        rows = samples.groupby("row_id", sort=False).ngroup().to_numpy()
        start = said("blurry")[rows]
    return generator.generate(said("tokens"), seeds, start, config.strength, config.batch)


def chosen(samples, pictures, decoded, target):
    """Add `evidence` and `chosen` to a table of samples; ties go to the first sample.

    Parameters
    ----------
    samples : DataFrame
        Columns row_id, sample; rows in the order of `decoded`.
    pictures : ndarray of uint8, shape (n_samples, h, w, 3)
    decoded : ndarray, shape (n_rows, dim)
        Unit rows, decoded from the brain.
    target : neurodecode.contrastive.targets.Target
    """
    row = samples.groupby("row_id", sort=False).ngroup()
    evidence = np.einsum("sd,sd->s", target.pictures(pictures)[0], decoded[row.to_numpy()])
    table = samples.assign(evidence=evidence)
    best = table.groupby(row)["evidence"].idxmax()
    return table.assign(chosen=table.index.isin(best))


def resumed(path, compute):
    """Compute an array once, also across kills."""
    import os

    if not path.is_file():
        partial = path.with_suffix(".part.npy")
        np.save(partial, compute(), allow_pickle=False)
        os.replace(partial, path)
    return np.load(path, allow_pickle=False)
