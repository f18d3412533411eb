"""Split: who is trained on, who selects, who is tested; by stimulus and run, frozen and hashed."""

from dataclasses import dataclass, field

from neurodecode.core.build import build
from neurodecode.core.ranges import Seed
from neurodecode.core.seeds import child_rng
from neurodecode.core.stage import stage
from neurodecode.rigour.splits import count_sides, split_hash, tied_groups

COLUMNS = ["trial_id", "subject", "run", "stimulus_id"]


@dataclass(frozen=True)
class SplitConfig:
    """Which rule, and the seed of what it draws."""

    rule: dict = field(
        default_factory=lambda: {"_target_": "neurodecode.rigour.splits.StimulusSplit"}
    )
    seed: Seed = 0


@stage("split", config=SplitConfig, inputs=("index",))
def run(config, inputs, out):
    """Say for every trial whether it is train, val or test; freeze and hash it."""
    trials = inputs.table("index", "trials.tsv")
    stimuli = inputs.table("index", "stimuli.tsv")

    rule = build(config.rule)
    labels = rule(trials, stimuli, child_rng(config.seed, "split"))

    counts, shared = count_sides(trials, labels), shared_values(trials, labels)
    out.save_table("split.tsv", trials[COLUMNS].assign(split=labels))
    out.save_json(
        "split.json",
        {
            "hash": split_hash(trials["trial_id"], labels),
            "rule": config.rule,
            "counts": counts,
            "shared": shared,
            "groups": int(tied_groups(trials, ("stimulus_id", "run")).max()) + 1,
        },
    )
    for subject, sides in counts.items():
        told = ", ".join(
            f"{side} {n['trials']} ({n['stimuli']} stimuli)" for side, n in sides.items()
        )
        out.log(f"{subject}: {told}")
    if shared["runs"]:
        out.log(leak(shared["runs"]))


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
    table = trials.assign(split=labels)
    sides = lambda columns: table.groupby(columns, dropna=False)["split"].nunique()
    return {
        "stimuli": int((sides("stimulus_id") > 1).sum()),
        "runs": int((sides(["subject", "session", "run"]) > 1).sum()),
    }
