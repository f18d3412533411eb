"""Compare configurations of several runs: what varies, who belongs together, what to call each."""

import json


def what_varies(runs):
    """Keys of the configuration that are not the same in all runs that recorded theirs.

    Returns
    -------
    varying : dict of str to list
        Key -> value in each such run; None where a run has no such key.
    """
    known = [run.config for run in runs if run.config]
    keys = dict.fromkeys(key for config in known for key in config)
    values = {key: [config.get(key) for config in known] for key in keys}
    return {k: v for k, v in values.items() if any(one != v[0] for one in v)}


def is_seed(key):
    """Whether a key is the seed of something."""
    return key.rpartition(".")[2] == "seed"


def is_subjects(key):
    """Whether a key lists subjects."""
    return key.rpartition(".")[2] == "subjects"


def twins(runs):
    """Runs whose scores are an earlier one's, found cached: counted twice they would look like two.

    Returns
    -------
    twins : dict of str to str
        Name of the repetition -> name of the run that it repeats.
    """
    first, again = {}, {}
    for run in (run for run in runs if run.scored_in):
        if run.scored_in in first:
            again[run.name] = first[run.scored_in]
        first.setdefault(run.scored_in, run.name)
    return again


def grouped(runs, choices):
    """Runs of equal choices together; one without a record of its own stays by itself."""
    found = {}
    for run in runs:
        key = json.dumps([run.config.get(k) for k in choices], sort_keys=True, default=str)
        found.setdefault(key if run.config else run.name, []).append(run)
    return list(found.values())


def group_labels(groups, choices):
    """Name each configuration by its overrides, where these tell them apart; else by its keys."""
    if len(groups) == 1:
        return [""]
    each = [[set(_telling(run)) for run in group] for group in groups]
    common = set.intersection(*(told for group in each for told in group))
    by_override = [" ".join(sorted(set.intersection(*group) - common)) for group in each]
    if all(by_override) and len(set(by_override)) == len(groups):
        return by_override
    by_key = [
        ", ".join(f"{k}={plain(group[0].config.get(k))}" for k in choices[:3]) for group in groups
    ]
    if all(by_key) and len(set(by_key)) == len(groups):
        return by_key
    return [f"configuration {number}" for number in range(1, len(groups) + 1)]


def _telling(run):
    """The overrides of a run that name a choice."""
    split = [(o, o.lstrip("+~").partition("=")[0]) for o in run.overrides]
    return [
        o
        for o, key in split
        if not (is_seed(key) or is_subjects(key) or key.startswith(("hydra", "store", "name")))
    ]


def run_labels(runs, varying):
    """What each run is called: by its seed and subjects where these tell, else by its folder."""
    seed = "seed" if "seed" in varying else next(filter(is_seed, varying), None)
    subjects = next(filter(is_subjects, varying), None)
    labels = {}
    for run in runs:
        told = [f"seed {plain(run.config.get(seed))}"] if seed and run.config else []
        if subjects and run.config:
            told.append(plain(run.config.get(subjects) or "all subjects"))
        labels[run.name] = ", ".join(told) or run.name
    again = [label for label in labels.values() if list(labels.values()).count(label) > 1]
    return {n: f"{label}, {n}" if label in again else label for n, label in labels.items()}


def plain(value):
    """A value of the configuration in print."""
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "[]"
    return value if isinstance(value, str) else json.dumps(value)
