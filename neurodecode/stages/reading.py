"""How stages read responses and stimuli: at once where they are small, else as rows on disk.

What follows treats both alike: indexed by rows, `Lazy` rows give arrays.
"""

from functools import partial

import numpy as np

from neurodecode.align.apply import transform
from neurodecode.core.lazy import IN_MEMORY, Lazy, each_row, moments, slices, taken
from neurodecode.stages.align import POSITIONS, large_responses, load_fitted, read_responses

TARGETS = ("pooled", "tokens", "blurry")


def aligned(inputs, subject, rows, whole=False):
    """Read some split rows of a subject as align scales and maps them: (responses, trials).

    Of responses with times, those that decoders read; `whole`: all.
    """
    responses, trials = inputs.responses(subject, rows=rows)
    return transform(responses, subject, load_fitted(inputs), whole), trials


def aligned_rows(inputs, subject, rows):
    """As `aligned`; of a study that is larger than memory, `Lazy` rows that are aligned when read.

    Nothing aligned is kept: doing it again each time takes less than a step of training, and the
    disk need not hold the study twice.
    """
    responses, trials = read_responses(inputs, subject, rows, large(inputs))
    step = partial(transform, subject=subject, fitted=load_fitted(inputs))
    return each_row(step, responses), trials


def positions_mm(inputs, subjects):
    """Where the channels that decoders read lie: ``{subject: [[x, y, z], …]}``; None: unknown.

    A subject that was mapped has the channels of the reference.
    """
    fitted = load_fitted(inputs)
    whose = _whose_channels(inputs, subjects, fitted)
    if not all(POSITIONS in inputs.files("preprocess", s) for s in whose.values()):
        return None
    found = {
        own: np.asarray(inputs.array("preprocess", POSITIONS, own))[fitted.channels[own]]
        for own in {*whose.values()}
    }
    return {subject: found[own].astype(float).round(2).tolist() for subject, own in whose.items()}


def regions_of_channels(inputs, subjects):
    """Which channels that decoders read lie in which region: ``{subject: {region: [index, …]}}``.

    None where nobody has masks of regions. A subject that was mapped has the reference's.
    """
    fitted, found = load_fitted(inputs), {}
    for subject, own in _whose_channels(inputs, subjects, fitted).items():
        if "space/rois.tsv" not in inputs.files("preprocess", own):
            continue
        table, kept = inputs.table("preprocess", "space/rois.tsv", own), fitted.channels[own]
        place = {int(channel): index for index, channel in enumerate(kept)}
        rows = table[table["channel"].isin(list(place))].groupby("roi", sort=False)["channel"]
        found[subject] = {roi: sorted(place[c] for c in set(channels)) for roi, channels in rows}
    return found or None


def _whose_channels(inputs, subjects, fitted):
    """Of each subject, in whose channels its trials come: the reference's, if it was mapped."""
    mapped = {name.partition("/")[0] for name in fitted.maps}
    reference = inputs.json("align", "aligner.json")["reference"] if mapped else None
    return {subject: reference if subject in mapped else subject for subject in subjects}


def large(inputs):
    """Whether the responses of all subjects, or the targets, are more than is read at once."""
    names = [f"{n}.npy" for n in TARGETS if f"{n}.npy" in inputs.files("embed")]
    # tokens are kept as float16 and used as float32
    targets = sum(inputs.size("embed", n) * (2 if n == "tokens.npy" else 1) for n in names)
    return targets > IN_MEMORY or large_responses(inputs)


def stimulus_tables(inputs):
    """Read what the stimuli are embedded as: their ids (an index), and float32 arrays by name."""
    ids, tables = stimulus_rows(inputs)
    return ids, {name: table[:] for name, table in tables.items()}


def stimulus_rows(inputs):
    """As `stimulus_tables`, of `Lazy` rows."""
    import pandas as pd

    ids = pd.Index(inputs.table("embed", "stimuli.tsv")["stimulus_id"])
    names = [n for n in TARGETS if f"{n}.npy" in inputs.files("embed")]
    if "pooled" not in names:
        raise ValueError("embed made no pooled.npy: train decodes the pictures of a study")
    return ids, {n: inputs.lazy("embed", f"{n}.npy").then(as_float32) for n in names}


def as_float32(rows):
    """Rows as float32."""
    return rows.astype(np.float32, copy=False)


def mean_row(rows):
    """Mean over rows."""
    if isinstance(rows, Lazy):
        return moments(rows)[0].astype(np.float32)
    return rows.mean(axis=0)


def training_statistics(tables, seen):
    """Mean of every table over the training stimuli, and the spread of each token feature."""
    training = {name: taken(table, seen) for name, table in tables.items()}
    statistics = {f"targets/{name}_mean": mean_row(rows) for name, rows in training.items()}
    if "tokens" in tables:
        rows = training["tokens"]
        spread = np.sqrt(moments(rows)[1]) if isinstance(rows, Lazy) else rows.std(axis=0)
        # A feature that never varies says nothing: it is divided by 1 and stays 0.
        statistics["targets/tokens_std"] = np.where(spread > 1e-6, spread, 1.0).astype(np.float32)
    return statistics


def standardise(tokens, mean, std):
    """Tokens with mean 0 and variance 1 over the training stimuli, per feature."""
    return (tokens - mean) / std


def answered(answers, responses, subject, name):
    """What a decoder answers about trials, in blocks of `Lazy` rows; None if it has no `name`."""
    if not isinstance(responses, Lazy):
        return answers(responses, subject).get(name)
    said = [answers(responses[part], subject).get(name) for part in slices(responses)]
    return None if said[0] is None else np.concatenate(said)


def on_device(rows, device):
    """An array as a tensor on a device; `Lazy` rows too, on a GPU that has ample room."""
    import torch

    from neurodecode.contrastive.rows import placed

    return placed(rows, device) if isinstance(rows, Lazy) else torch.as_tensor(rows, device=device)


def averaged(responses, trials, by, keep=()):
    """Average trials with the same value in one column.

    Parameters
    ----------
    responses : ndarray, shape (n_trials, n_channels[, n_times])
    trials : DataFrame
        With ``trial_id`` and the columns that are named.
    by : str
        Column to average by; its values become the rows' ids, in sorted order.
    keep : sequence of str
        Columns of which a row keeps its first trial's value.

    Returns
    -------
    responses : ndarray of float32, shape (n_rows, n_channels[, n_times])
    rows : DataFrame
        row_id, the kept columns, n_repeats, trial_ids.
    """
    import pandas as pd

    names, row = np.unique(trials[by].to_numpy(str), return_inverse=True)
    n_repeats = np.bincount(row)
    grouped = trials.groupby(row)
    rows = {"row_id": names} | {column: grouped[column].first().to_numpy() for column in keep}
    rows |= {"n_repeats": n_repeats, "trial_ids": grouped["trial_id"].agg(",".join).to_numpy()}
    return row_means(responses, row), pd.DataFrame(rows)


def row_means(values, row):
    """Average the values of each row 0, 1, …: float32 (n_rows, …) of values (n, …)."""
    means = np.zeros((row.max() + 1, *values.shape[1:]))
    for part in slices(values):
        np.add.at(means, row[part], values[part])
    means /= np.bincount(row).reshape(-1, *[1] * (values.ndim - 1))
    return means.astype(np.float32)
