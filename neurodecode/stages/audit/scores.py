"""Which level was read, and how much of each score the brain is owed."""

from dataclasses import asdict

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.rigour.attributable import attributable
from neurodecode.rigour.bootstrap import percentile_interval, resample_counts
from neurodecode.rigour.judge import SUMMARIES
from neurodecode.rigour.results import ALL
from neurodecode.rigour.verdict import grade_on
from neurodecode.rigour.verdict.grading import LEVELS
from neurodecode.rigour.verdict.pictures import FEWEST, Pictures

OF = ("model", "prior_only", "true_features")


def verdict(config, study):
    """Grade the model for every subject, and for all who saw the same pictures together."""
    asked = [study.subject(name) for name in study.subjects]
    shared = sorted(set.intersection(*(set(one.stimuli) for one in asked)))
    graded, described = {}, {}
    for one in asked:
        said = one.of_stimuli("model")[None]
        graded[one.name] = _graded(config, study, one.stimuli, said, one.name, described)
    if len(shared) >= FEWEST and len(asked) > 1:
        of_shared = [one.of_stimuli("model")[np.isin(one.stimuli, shared)] for one in asked]
        graded[ALL] = _graded(config, study, np.array(shared), np.stack(of_shared), ALL, described)
    return {"category": study.category_from, "alpha": config.alpha, "subjects": graded}


def _graded(config, study, stimuli, predicted, name, described):
    """Grade predictions of some pictures, which are described once for all who saw them."""
    if len(stimuli) < FEWEST:
        few = f"Not judged: {len(stimuli)} test pictures, and a verdict needs {FEWEST} or more."
        return {"level": LEVELS[0], "reasons": [few], "tests": [], "n": len(stimuli)}
    key = tuple(stimuli)
    if key not in described:
        low_level = None if study.low_level is None else study.low_level.loc[stimuli].to_numpy()
        truth, kinds = study.pooled.loc[stimuli].to_numpy(), study.category.loc[stimuli].to_numpy()
        rng = child_rng(config.seed, "pictures", str(hash_of(key)))
        described[key] = Pictures.of(truth, kinds, low_level, study.train, rng=rng)
    rng = child_rng(config.seed, "verdict", name)
    grade = grade_on(described[key], predicted, config.n_permutations, config.alpha, rng=rng)
    return asdict(grade) | {"n": len(stimuli)}


def hash_of(names):
    """Digest of an order of names, the same on every machine."""
    import hashlib

    return hashlib.sha256("\t".join(names).encode()).hexdigest()[:16]


def attributable_table(config, inputs, study):
    """Score what the model owes to the brain, for every subject and pooled, metric by metric."""
    import pandas as pd

    trials = inputs.table("evaluate", "per_trial.parquet")
    about = inputs.table("evaluate", "metrics.tsv").sort_values("set_size", ascending=False)
    about = about.drop_duplicates("metric").set_index("metric")  # trial scores are of whole sets
    units = pd.Index(np.unique(trials["stimulus_id"]))
    rng = child_rng(config.seed, "attributable")
    counts = resample_counts(len(units), config.n_bootstrap, rng)
    lines = []
    for metric, of_metric in trials.groupby("metric", sort=False):
        wide = of_metric.pivot_table(
            index=["subject", "row_id", "stimulus_id"], columns="condition", values="value"
        )
        if not set(OF) <= set(wide.columns):
            continue
        wide = wide.dropna(subset=list(OF)).reset_index()
        for subject in [*study.subjects, ALL]:
            own = wide if subject == ALL else wide[wide["subject"] == subject]
            if len(own):
                drawn = counts[:, units.get_indexer(own["stimulus_id"])]
                lines.append(_owed(config, about.loc[metric], metric, subject, own, drawn))
    columns = "subject metric space set_size value lo hi n model prior_only ceiling".split()
    return pd.DataFrame(lines, columns=columns).astype({"set_size": "Int64"})


def _owed(config, about, metric, subject, own, counts):
    summary = SUMMARIES[about["summary"]]
    parts = [own[name].to_numpy(float) for name in OF]
    value, draws = attributable(*parts, counts, about["better"], summary)
    low, high = (np.nan, np.nan) if np.isnan(value) else percentile_interval(draws, config.level)
    one = lambda part: float(summary(part[:, None], np.ones((1, len(part))))[0, 0])
    scores = dict(zip(("model", "prior_only", "ceiling"), map(one, parts), strict=True))
    line = {"subject": subject, "metric": metric, "space": about["space"], "value": value}
    line |= {"set_size": about["set_size"]}
    line |= {"lo": float(low), "hi": float(high), "n": own["stimulus_id"].nunique()}
    return line | scores
