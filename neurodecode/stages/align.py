"""Align: bring every subject's channels to one scale and, by a map, into one space.

Everything is fitted on training rows. Validation rows say whether the map carries over: how well
the mapped subject correlates with the reference on stimuli that fitted nothing, beside what the
anatomically nearest channels reach.
"""

from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np

from neurodecode.align.apply import (
    Fitted,
    as_samples,
    fit_scaler,
    map_channels,
    scale_and_select,
    subject_state,
)
from neurodecode.align.identity import nearest_channels
from neurodecode.align.shared import mean_correlation, shared_responses
from neurodecode.align.times import Reading, reading
from neurodecode.core.build import build
from neurodecode.core.fingerprint import code_digest
from neurodecode.core.lazy import IN_MEMORY, each_row
from neurodecode.core.ranges import Correlation, Positive
from neurodecode.core.stage import stage
from neurodecode.signal.reliability import repeat_correlation
from neurodecode.signal.scaling import varying

COLUMNS = ["subject", "aligner", "score", "identity", "gain", "n"]
POSITIONS = "space/positions_mm.npy"
TIMES = "space/times_s.npy"


@dataclass(frozen=True)
class AlignConfig:
    """Which scale, which aligner, towards whom, and which channels take part."""

    scaling: dict = field(
        default_factory=lambda: {"_target_": "neurodecode.signal.scaling.Standard"}
    )
    aligner: dict = field(
        default_factory=lambda: {"_target_": "neurodecode.align.identity.Identity"}
    )
    reference: str | None = None
    window_s: list[float] | None = None
    step_s: Positive | None = None
    min_reliability: Correlation = 0.0


@stage("align", config=AlignConfig, inputs=("preprocess", "split:split.tsv"))
def run(config, inputs, out):
    """Fit scaling, channels and maps on training rows; measure the gain on validation rows."""
    import pandas as pd

    subjects = inputs.members("preprocess")
    reference = reference_subject(config.reference, subjects)
    others = [s for s in subjects if s != reference]
    fitted = Fitted(build(config.scaling), build(config.aligner), {}, {}, {})
    read = reading(times_of(inputs, reference), config.window_s, config.step_s)
    large = large_responses(inputs)

    train = {}
    for subject in subjects:
        responses, trials = read_responses(inputs, subject, "train", large)
        state = fit_scaler(fitted.scaler, responses, trials)
        fitted.scaling.update({f"{subject}/{name}": array for name, array in state.items()})
        scaled = each_row(partial(fitted.scaler.transform, state=state), responses)
        reliability, varies = channel_reliability(scaled, trials["stimulus_id"])
        kept = reliable_channels(reliability, varies, config.min_reliability, subject)
        out.log(f"{subject}: {len(kept)} of {len(varies)} channels")
        fitted.channels[subject] = kept
        fitted.channels[f"{subject}/reliability"] = reliability.astype(np.float32)
        fitted.channels[f"{subject}/shape"] = np.array(responses.shape[1:])
        train[subject] = each_row(partial(chosen_channels, kept=kept), scaled), trials

    for subject in others if getattr(fitted.aligner, "learns", True) else ():
        source, target = map(as_samples, paired(train[subject], train[reference]))
        state = fitted.aligner.fit(source, target)
        fitted.maps.update({f"{subject}/{name}": array for name, array in state.items()})

    target = val_trials(inputs, reference, fitted, large) if others else None
    rows = [(s, *held_out_gain(inputs, s, reference, target, fitted, large)) for s in others]
    out.save_tensors("scaling.safetensors", fitted.scaling)
    out.save_tensors("channels.safetensors", fitted.channels)
    out.save_tensors("maps.safetensors", fitted.maps)
    nodes = {"scaling": config.scaling, "aligner": config.aligner}
    code = {name: code_digest(node) for name, node in nodes.items()}
    nodes |= {"reference": reference, "read": None if read is None else asdict(read)}
    out.save_json("aligner.json", nodes | {"code": code})
    out.save_table("alignment.tsv", pd.DataFrame(rows, columns=COLUMNS).assign(on="val"))


def load_fitted(inputs):
    """Read what align fitted, with its scaler and aligner."""
    nodes = inputs.json("align", "aligner.json")
    names = ("scaling", "channels", "maps")
    arrays = (inputs.tensors("align", f"{name}.safetensors") for name in names)
    read = None if nodes["read"] is None else Reading(**nodes["read"])
    return Fitted(build(nodes["scaling"]), build(nodes["aligner"]), *arrays, read)


def times_of(inputs, subject):
    """Return the times of a subject's responses, s from the onset; None without a time axis."""
    if TIMES not in inputs.files("preprocess", subject):
        return None
    return np.array(inputs.array("preprocess", TIMES, subject))


def reference_subject(wanted, subjects):
    """Return the subject whose channels the others are mapped to: the first, if none is wanted."""
    if wanted is not None and wanted not in subjects:
        raise ValueError(
            f"align.reference is {wanted!r}, which was not preprocessed: choose one of "
            f"{', '.join(subjects)}, or null for the first"
        )
    return wanted or subjects[0]


def large_responses(inputs):
    """Whether the responses of all subjects together are more than is read at once."""
    subjects = inputs.members("preprocess")
    total = sum(inputs.size("preprocess", "responses.npy", subject) for subject in subjects)
    return total > IN_MEMORY


def read_responses(inputs, subject, rows, lazily):
    """Some split rows of a subject, (responses, trials): an array, or `Lazy` rows."""
    return (inputs.rows if lazily else inputs.responses)(subject, rows=rows)


def chosen_channels(responses, kept):
    """The channels that are kept."""
    return responses[:, kept]


def flat_rows(responses):
    """Trials as rows of features: channels, or channels at each time."""
    return responses.reshape(len(responses), -1)


def channel_reliability(scaled, stimulus_ids):
    """Return the repeat correlation of each channel, the mean over its times, and if it varies."""
    flat = each_row(flat_rows, scaled)
    by_channel = lambda values: values.reshape(scaled.shape[1], -1)
    varies = by_channel(varying(flat)).any(axis=1)
    return by_channel(repeat_correlation(flat, stimulus_ids)).mean(axis=1), varies


def reliable_channels(reliability, varies, min_reliability, subject):
    """Return the indices of channels that vary and repeat well enough.

    Where no training stimulus repeats (reliability is NaN) every channel that varies is kept.
    """
    kept = np.flatnonzero(varies & ~(reliability < min_reliability))
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


def val_trials(inputs, subject, fitted, lazily):
    """Return a subject's validation responses, scaled and selected, and their trials."""
    responses, trials = read_responses(inputs, subject, "val", lazily)
    step = partial(scale_and_select, subject=subject, fitted=fitted)
    return each_row(step, responses), trials


def held_out_gain(inputs, subject, reference, target, fitted, lazily):
    """Score one subject's map on validation rows: aligner, score, identity, gain, n."""
    own, trials = val_trials(inputs, subject, fitted, lazily)
    nearest = nearest_of(inputs, subject, reference, fitted.channels)
    place = partial(chosen_channels, kept=nearest)
    before = None if nearest is None else paired((each_row(place, own), trials), target)
    state = subject_state(fitted.maps, subject)
    by_map = partial(mapped_rows, aligner=fitted.aligner, state=state)
    after = paired((each_row(by_map, own), trials), target) if state else before
    score, identity = _correlation(after), _correlation(before)
    n = len({*trials["stimulus_id"]} & {*target[1]["stimulus_id"]} - {""})
    return type(fitted.aligner).__name__.lower(), score, identity, score - identity, n


def mapped_rows(responses, aligner, state):
    """Map trials by a fitted state."""
    return map_channels(aligner, responses, state)


def _correlation(pair):
    """Mean correlation over channels, and times; NaN where channels cannot be compared."""
    if pair is None:
        return float("nan")
    n_values = lambda part: int(np.prod(part.shape[1:]))  # -1 would fail where no row is shared
    return mean_correlation(*(part.reshape(len(part), n_values(part)) for part in pair))


def nearest_of(inputs, subject, reference, channels):
    """For each channel of the reference the nearest of a subject; None: nobody knows where."""
    placed = [POSITIONS in inputs.files("preprocess", s) for s in (subject, reference)]
    if not all(placed):
        return None
    return nearest_channels(
        *(inputs.array("preprocess", POSITIONS, s)[channels[s]] for s in (subject, reference))
    )
