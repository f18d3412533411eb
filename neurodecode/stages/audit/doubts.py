"""What is left open: candidates that cannot be told out, and pictures that may be the prior's."""

from dataclasses import asdict

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.metrics.retrieval import match_rank
from neurodecode.metrics.score import cosine
from neurodecode.rigour.abstention import indistinguishable
from neurodecode.rigour.conformal import calibrate, judge_sets, relative_similarity
from neurodecode.rigour.conformal import candidate_sets as sets_at
from neurodecode.rigour.leaks.state import shared_state
from neurodecode.stages.reading import averaged

SETS = "subject level n_repeats n_cal n n_candidates coverage lo hi mean_size".split()
MOST_REFERENCE = 2000  # training stimuli that similarities are measured against


def candidate_sets(config, asked):
    """Calibrate sets on validation stimuli and judge them on test stimuli.

    Both sides average equally many repeats: as many as most validation stimuli have.

    Returns
    -------
    lines : list of dict
    sets : DataFrame
        set_size and in_set of every test stimulus that has so many repeats, by its id.
    """
    import pandas as pd

    responses, trials = asked.side("val")
    n_repeats = int(np.median(trials["stimulus_id"].value_counts()))
    val_similarity, val_ids = _similarity(config, asked, (responses, trials), n_repeats)
    similarity, ids = _similarity(config, asked, asked.side("test"), n_repeats)
    rng = child_rng(config.seed, "conformal", asked.name)
    own = np.arange(len(val_ids))
    threshold = calibrate(val_similarity, own, config.sets_level, rng)
    sets = sets_at(similarity, threshold)
    judged = judge_sets(sets, np.arange(len(ids)), config.level)
    line = {"subject": asked.name, "level": config.sets_level, "n_repeats": n_repeats}
    line |= {"n_cal": len(val_ids)} | {k: judged[k] for k in SETS if k in judged}
    table = {"set_size": sets.sum(axis=1), "in_set": np.diagonal(sets)}
    return [line], pd.DataFrame(table, index=ids)


def _similarity(config, asked, side, n_repeats):
    """Similarity of averaged rows to the stimuli of their own side, on the scale of training's."""
    responses, trials = first_repeats(*side, n_repeats)
    mean, rows = averaged(responses, trials, "stimulus_id")
    said, ids = asked.answer("model", mean), rows["row_id"].to_numpy()
    pooled, study = asked.study.pooled, asked.study
    rng = child_rng(config.seed, "reference")
    some = rng.permutation(study.trained_on)[:MOST_REFERENCE]
    to = lambda names: cosine(pooled.loc[names].to_numpy(), said).T
    return relative_similarity(to(ids), to(some)), ids


def first_repeats(responses, trials, n_repeats):
    """Keep the first `n_repeats` trials of each stimulus that has so many."""
    nth = trials.groupby("stimulus_id").cumcount()
    enough = trials["stimulus_id"].map(trials["stimulus_id"].value_counts()) >= n_repeats
    kept = np.flatnonzero((nth < n_repeats) & enough)
    return responses[kept], trials.iloc[kept].reset_index(drop=True)


def rows(config, asked, sets):
    """One line per test row: rank of its picture, its set, and is its picture the prior's."""
    table = asked.rows[["row_id", "stimulus_id"]].copy()
    own = np.searchsorted(asked.stimuli, table["stimulus_id"].to_numpy(str))
    similarity = cosine(asked.truth, asked.predicted("model"))
    ranks = match_rank(similarity)[own, np.arange(len(own))]
    table.insert(0, "subject", asked.name)
    table["category"] = asked.study.category.loc[table["stimulus_id"]].to_numpy()
    table["rank"], table["n_candidates"] = ranks + 1, len(asked.stimuli)
    for column in ("set_size", "in_set"):
        table[column] = sets[column].reindex(table["stimulus_id"]).to_numpy()
    table["set_size"] = table["set_size"].astype("Int64")
    table["in_set"] = table["in_set"].astype("boolean")
    table["p_prior"] = no_evidence(config, asked)
    table["abstain"] = table["p_prior"] > config.abstain_above
    return table


def shared_states(config, asked):
    """Do test rows resemble training rows of their own run or session, more than of others.

    Only where a split cut through runs or sessions: the test of a leak that tables cannot show.
    """
    (train, one), (test, other) = asked.side("train"), asked.side("test")
    responses = np.concatenate([train, test]).reshape(len(train) + len(test), -1)
    sides = np.repeat(["train", "test"], [len(train), len(test)])
    lines = []
    for group in ("run", "session"):
        columns = ["session", "run"] if group == "run" else ["session"]
        names = [t[columns].astype(str).agg(" ".join, axis=1).to_numpy() for t in (one, other)]
        rng = child_rng(config.seed, "shared state", asked.name, group)
        found = shared_state(responses, np.concatenate(names), sides, rng)
        lines.append({"subject": asked.name, "group": group} | asdict(found))
    return lines


def no_evidence(config, asked):
    """p of each row: could its samples be draws without a brain; NaN for a single sample."""
    inputs, name = asked.study.inputs, asked.name
    if "model/tokens.npy" not in inputs.files("predict", name):
        return np.full(len(asked.rows), np.nan)
    samples = inputs.table("predict", "model/samples.tsv", name)
    several = samples[samples["row_id"].duplicated(keep=False)]
    p = np.full(len(asked.rows), np.nan)
    if not len(several):
        return p
    said = inputs.array("predict", "model/tokens.npy", name)
    prior = inputs.array("predict", "prior_only/tokens.npy", name)
    place = {row: k for k, row in enumerate(asked.rows["row_id"])}
    groups = several.groupby("row_id", sort=False).indices
    flat = lambda tokens: np.asarray(tokens).reshape(len(tokens), -1)
    own = [flat(said[several.index[rows]]) for rows in groups.values()]
    rng = child_rng(config.seed, "abstention", name)
    p[[place[row] for row in groups]] = indistinguishable(own, flat(prior), rng)
    return p
