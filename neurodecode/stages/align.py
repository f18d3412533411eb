"""Align: bring every subject's channels to one scale and, by a map, into one space.

Everything is fitted on training rows. Validation rows say whether the map carries over: how well
the mapped subject correlates with the reference on stimuli that fitted nothing, beside what the
anatomically nearest channels reach.
"""

from dataclasses import dataclass, field

import numpy as np

from neurodecode.align.apply import scale_and_select, subject_state
from neurodecode.align.identity import nearest_channels
from neurodecode.align.shared import mean_correlation, shared_responses
from neurodecode.core.build import build
from neurodecode.core.stage import stage
from neurodecode.signal.reliability import repeat_correlation
from neurodecode.signal.scaling import fit_scaling

COLUMNS = ["subject", "aligner", "score", "identity", "gain", "n"]


@dataclass(frozen=True)
class AlignConfig:
    """Which aligner, towards whom, and which channels take part."""

    aligner: dict = field(
        default_factory=lambda: {"_target_": "neurodecode.align.identity.Identity"}
    )
    reference: str | None = None
    min_reliability: float = 0.0


@stage("align", config=AlignConfig, inputs=("preprocess", "split"))
def run(config, inputs, out):
    """Fit scaling, channels and maps on training rows; measure the gain on validation rows."""
    import pandas as pd

    subjects = inputs.members("preprocess")
    reference = reference_subject(config.reference, subjects)
    others = [s for s in subjects if s != reference]
    aligner = build(config.aligner)

    scaling, channels, train = {}, {}, {}
    for subject in subjects:
        responses, trials = inputs.responses(subject, rows="train")
        mean, std = fit_scaling(responses)
        reliability = repeat_correlation(responses, trials["stimulus_id"])
        kept = reliable_channels(reliability, std, config.min_reliability, subject)
        out.log(f"{subject}: {len(kept)} of {len(std)} channels")
        scaling |= {f"{subject}/mean": mean, f"{subject}/std": std}
        channels |= {subject: kept, f"{subject}/reliability": reliability.astype(np.float32)}
        train[subject] = scale_and_select(responses, subject, scaling, channels), trials

    maps = {}
    for subject in others:
        state = aligner.fit(*paired(train[subject], train[reference]))
        maps |= {f"{subject}/{name}": array for name, array in state.items()}

    target = val_trials(inputs, reference, scaling, channels)
    rows = []
    for subject in others:
        own, trials = val_trials(inputs, subject, scaling, channels)
        nearest = nearest_channels(
            chosen_positions(inputs, subject, channels),
            chosen_positions(inputs, reference, channels),
        )
        before = paired((own[:, nearest], trials), target)
        state = subject_state(maps, subject)
        after = paired((aligner.transform(own, state), trials), target) if state else before
        score, identity = mean_correlation(*after), mean_correlation(*before)
        rows.append((subject, _name(aligner), score, identity, score - identity, len(before[0])))

    out.save_tensors("scaling.safetensors", scaling)
    out.save_tensors("channels.safetensors", channels)
    out.save_tensors("maps.safetensors", maps)
    out.save_json("aligner.json", {"aligner": config.aligner, "reference": reference})
    out.save_table("alignment.tsv", pd.DataFrame(rows, columns=COLUMNS).assign(on="val"))


def reference_subject(wanted, subjects):
    """Return the subject whose channels the others are mapped to: the first, if none is wanted."""
    if wanted is not None and wanted not in subjects:
        raise ValueError(
            f"align.reference is {wanted!r}, which was not preprocessed: choose one of "
            f"{', '.join(subjects)}, or null for the first"
        )
    return wanted or subjects[0]


def reliable_channels(reliability, std, min_reliability, subject):
    """Return the indices of channels that vary and repeat well enough.

    Where no training stimulus repeats (reliability is NaN) every channel that varies is kept.
    """
    kept = np.flatnonzero((std > 0) & ~(reliability < min_reliability))
    if not len(kept):
        raise ValueError(
            f"{subject} has no channel with a repeat correlation of {min_reliability} or more "
            f"(the best has {np.max(reliability):.3f}): lower align.min_reliability"
        )
    return kept


def paired(source, reference):
    """Pair the mean answers of two subjects, each (responses, trials), to shared stimuli."""
    ids = [trials["stimulus_id"] for _, trials in (source, reference)]
    return shared_responses(source[0], ids[0], reference[0], ids[1])


def val_trials(inputs, subject, scaling, channels):
    """Return a subject's validation responses, scaled and selected, and their trials."""
    responses, trials = inputs.responses(subject, rows="val")
    return scale_and_select(responses, subject, scaling, channels), trials


def chosen_positions(inputs, subject, channels):
    """Return where the kept channels of a subject lie, in mm."""
    return inputs.array("preprocess", "space/positions_mm.npy", subject)[channels[subject]]


def _name(aligner):
    return type(aligner).__name__.lower()
