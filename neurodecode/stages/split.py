"""Split: who is trained on, who selects, who is tested; by stimulus and run, frozen and hashed.

What training would know of the test is looked for before anything is written: copies of pictures,
stimuli, and windows of time that stand on two sides end the run, unless they are allowed by name.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.errors import UserError
from neurodecode.core.ranges import NotNegative, Seed
from neurodecode.core.seeds import child_rng
from neurodecode.core.stage import stage
from neurodecode.data.stimuli import data_set_root, kind_of, load_pictures
from neurodecode.rigour.leaks.duplicates import near_duplicates
from neurodecode.rigour.leaks.findings import finding, refusal, told
from neurodecode.rigour.leaks.neighbours import equal_captions, unusual_neighbours
from neurodecode.rigour.leaks.pixels import SIDE
from neurodecode.rigour.leaks.windows import overlapping_windows
from neurodecode.rigour.splits import count_sides, diagnostics, split_hash, tied_groups
from neurodecode.rigour.splits.distance import stimulus_labels
from neurodecode.stages.embed import HANDLE, check_digests

COLUMNS = ["trial_id", "subject", "run", "stimulus_id"]
UNUSED = "unused"  # the side of trials that nothing reads
BATCH = 512  # pictures in memory at full size


@dataclass(frozen=True)
class SplitConfig:
    """Which rule, the seed of what it draws, and which leaks are allowed."""

    rule: dict = field(
        default_factory=lambda: {"_target_": "neurodecode.rigour.splits.StimulusSplit"}
    )
    seed: Seed = 0
    allow_leaks: tuple[Literal["duplicates", "stimuli", "windows"], ...] = ()
    response_s: NotNegative = 0.0
    train_runs: dict[str, int] | None = None
    root: str = field(default="", metadata={"keyed": False})

    def __post_init__(self):
        for subject, n in (self.train_runs or {}).items():
            if not isinstance(n, int) or n < 1:
                raise ValueError(f"train_runs.{subject} is {n}; give a number of runs from 1")


@stage("split", config=SplitConfig, inputs=("index", "?embed", HANDLE))
def run(config, inputs, out):
    """Say for every trial whether it is train, val or test; look for leaks; freeze and hash it."""
    trials = inputs.table("index", "trials.tsv")
    stimuli = inputs.table("index", "stimuli.tsv")
    embeddings = pooled(inputs)

    rule = build(config.rule)
    extra = (embeddings,) if getattr(rule, "reads", "") == "embeddings" else ()
    labels = rule(trials, stimuli, child_rng(config.seed, "split"), *extra)
    checked, findings = look_for_leaks(config, inputs, rule, trials, stimuli, labels, embeddings)
    if stopped := refusal(findings, config.allow_leaks):
        raise UserError(stopped)

    shared = shared_values(trials, labels)
    labels = with_first_runs(trials, labels, config.train_runs or {})
    counts = count_sides(trials, labels)
    distance = {}
    if embeddings is not None and holds_out(rule) == "stimuli":
        distance = diagnostics(embeddings, stimulus_labels(trials, stimuli, labels))
    out.save_table("split.tsv", trials[COLUMNS].assign(split=labels))
    out.save_json(
        "split.json",
        {
            "hash": split_hash(trials["trial_id"], labels),
            "rule": config.rule,
            "train_runs": config.train_runs,
            "counts": counts,
            "shared": shared,
            "distance": distance,
            "groups": int(tied_groups(trials, ("stimulus_id", "run")).max()) + 1,
        },
    )
    out.save_json(
        "leaks.json",
        {
            "checked": checked,
            "findings": [f.document() for f in findings],
            "allowed": sorted({f.kind for f in findings if f.stops}),
        },
    )
    say(out, counts, shared, distance, findings)


def with_first_runs(trials, labels, n_runs):
    """Keep the first so many training runs of some subjects, ``{subject: n}``: the rest is unused.

    Raises
    ------
    UserError
        For a subject without training trials.
    """
    labels = np.array(labels, dtype="<U8")
    for subject, n in n_runs.items():
        own = (trials["subject"] == subject).to_numpy() & (labels == "train")
        if not own.any():
            known = ", ".join(sorted(set(trials["subject"])))
            raise UserError(f"split.train_runs names {subject!r}; there are {known}")
        order = trials[own].groupby(["session", "run"], dropna=False, sort=False).ngroup()
        labels[np.flatnonzero(own)[order >= n]] = UNUSED
    return labels


def holds_out(rule):
    """What a rule keeps on one side: ``"stimuli"``, unless it says ``"runs"``."""
    return getattr(rule, "holds_out", "stimuli")


def pooled(inputs):
    """Embeddings of the pictures in the order of stimuli.tsv; None where there are none."""
    if not inputs.has("embed") or "pooled.npy" not in inputs.files("embed"):
        return None
    return np.asarray(inputs.array("embed", "pooled.npy"))


def look_for_leaks(config, inputs, rule, trials, stimuli, labels, embeddings):
    """Return how many pairs of what were compared, and what was found on several sides."""
    pairs, n_trials = overlapping(trials, labels, config.response_s)
    found = finding(
        "windows",
        pairs,
        trials["trial_id"],
        labels,
        "pairs of trials on different sides overlap in time: keep runs whole "
        "(split.rule.ties=[stimulus_id,run]), or shorten split.response_s if responses end sooner",
    )
    checked = {
        "trials": n_trials,
        "pictures": 0,
        "pairs_of_pictures": 0,
        "runs_cut": n_cut(trials, labels, ["subject", "session", "run"]),
        "sessions_cut": n_cut(trials, labels, ["subject", "session"]),
        "subjects_cut": n_cut(trials, labels, ["subject"]),
    }
    if holds_out(rule) != "stimuli":
        return checked, found
    several = trials.assign(split=labels).groupby("stimulus_id")["split"].nunique()
    twice = several.index[several > 1]
    found += finding(
        "stimuli",
        np.stack([np.arange(len(twice))] * 2, axis=1),
        twice.to_numpy(),
        np.full(len(twice), "several"),
        "stimuli have trials on several sides: tie trials by stimulus_id; a rule that holds out "
        'runs says so by holds_out = "runs"',
    )
    sides = stimulus_labels(trials, stimuli, labels)
    more, compared = look_at_pictures(config, inputs, stimuli, sides, embeddings)
    return checked | compared, found + more


def overlapping(trials, labels, response_s):
    """Find trials of different sides that overlap in time, where onsets are known."""
    if not {"onset_s", "duration_s"} <= set(trials.columns):
        return np.zeros((0, 2), int), 0
    return overlapping_windows(trials, labels, response_s)


def look_at_pictures(config, inputs, stimuli, sides, embeddings):
    """Find copies among pictures of different sides, and what else speaks for copies."""
    ids, found, near = stimuli["stimulus_id"], [], []
    if embeddings is not None:
        near = unusual_neighbours(embeddings, sides)
        words = "pairs of stimuli are unusually close in embedding space: look at them"
        found += finding("neighbours", near, ids, sides, words)
    if "caption" in stimuli:
        words = "captions stand on several sides: look whether they are of one picture"
        found += finding("captions", equal_captions(stimuli["caption"], sides), ids, sides, words)
    if kind_of(stimuli) != "pictures":
        return found, {}
    copies = near_duplicates(thumbnails(config, inputs, stimuli), sides, near)
    words = (
        "pairs of pictures are the same but for size, crop, mirroring, light or encoding: give one "
        "picture one stimulus_id, or leave one of each pair out (recipe.ignore)"
    )
    found = [*finding("duplicates", copies.pairs, ids, sides, words), *found]
    return found, {"pictures": len(stimuli), "pairs_of_pictures": copies.n_compared}


def thumbnails(config, inputs, stimuli):
    """Load every picture scaled to a small square: uint8, (n_stimuli, SIDE, SIDE, 3)."""
    root = data_set_root(config.root, inputs)
    check_digests(root, stimuli, inputs.raw_digest)
    small = np.empty((len(stimuli), SIDE, SIDE, 3), np.uint8)
    for first in range(0, len(stimuli), BATCH):
        rows = slice(first, first + BATCH)
        small[rows] = load_pictures(root, stimuli["path"].iloc[rows], (SIDE, SIDE))
    return small


def say(out, counts, shared, distance, findings):
    """Tell the sides, how far apart they lie, and what stands on both."""
    for subject, sides in counts.items():
        parts = (f"{side} {n['trials']} ({n['stimuli']} stimuli)" for side, n in sides.items())
        out.log(f"{subject}: {', '.join(parts)}")
    if distance:
        out.log(
            f"test stimuli lie at MMD {distance['mmd']:.3f} from training (a random draw: "
            f"{distance['mmd_random']:.3f}), {distance['nearest_test']:.3g} from the nearest there "
            f"(training among itself: {distance['nearest_train']:.3g})"
        )
    if shared["runs"]:
        out.log(leak(shared["runs"]))
    for found in findings:
        out.log(f"{'allowed leak: ' if found.stops else ''}{told(found)}")


def leak(n_runs):
    """Say what a split that cuts through runs lets training know of test trials."""
    return (
        f"{n_runs} runs have trials on several sides: training knows what all trials of a run "
        "share (noise, drift, state). Where test stimuli have runs of their own, "
        "split.rule.ties=[stimulus_id,run] keeps runs whole"
    )


def shared_values(trials, labels):
    """Count what stands on more than one side: the leaks that the rule allowed.

    Returns
    -------
    shared : dict
        ``stimuli``: stimuli with trials on several sides, in any subjects; ``runs``: runs likewise.
    """
    return {
        "stimuli": n_cut(trials, labels, ["stimulus_id"]),
        "runs": n_cut(trials, labels, ["subject", "session", "run"]),
    }


def n_cut(trials, labels, columns):
    """Count the values of `columns` whose trials lie on several sides."""
    sides = trials.assign(split=labels).groupby(columns, dropna=False)["split"].nunique()
    return int((sides > 1).sum())
