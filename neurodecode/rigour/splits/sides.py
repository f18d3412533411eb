"""What a split came to: every subject has every side; who is where, counted and hashed."""

import hashlib

from neurodecode.rigour.splits.ties import RUN

SPLITS = ("train", "val", "test")


def check_filled(trials, labels, sides, class_column=None):
    """Raise ValueError where a subject lacks a side, or a class lacks train or test trials."""
    subjects = trials["subject"].to_numpy()
    for subject in sorted(set(subjects)):
        for side in sides:
            if not (labels[subjects == subject] == side).any():
                n_trials = int((subjects == subject).sum())
                raise ValueError(
                    f"{subject} has no {side} trial among its {n_trials}: name test stimuli this "
                    "subject saw, or leave the subject out"
                )
    if class_column is not None:
        check_classes(trials, labels, class_column)


def check_classes(trials, labels, class_column):
    """Raise ValueError where a class of a subject lacks train or test trials."""
    if class_column not in trials:
        raise ValueError(f"class_column {class_column!r} is not one of {list(trials.columns)}")
    for (subject, name), rows in trials.groupby(["subject", class_column]).indices.items():
        counts = {side: int((labels[rows] == side).sum()) for side in SPLITS}
        if not (counts["train"] and counts["test"]):
            raise ValueError(
                f"class {name!r} of {subject} has {counts} trials: it needs both train and test "
                "trials; use another seed or larger fractions, or set class_column to null"
            )


def split_hash(trial_ids, labels):
    """SHA-256 of who is where, whatever the order of the trials: printed beside every figure."""
    lines = sorted(f"{trial}\t{label}\n" for trial, label in zip(trial_ids, labels, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def count_sides(trials, labels):
    """Count trials, stimuli and runs per subject and side: ``{subject: {side: {...}}}``."""
    table = trials.assign(split=labels)
    counts = {subject: {} for subject in sorted(set(table["subject"]))}
    for (subject, side), rows in table.groupby(["subject", "split"]):
        counts[subject][side] = {
            "trials": len(rows),
            "stimuli": int(rows["stimulus_id"].nunique()),
            "runs": len(rows[RUN].drop_duplicates()),
        }
    return counts
