"""The score card: how the scores were come by, for machines and referees."""

from neurodecode.report.artifacts import conditions, document, first_member, scored, table

STAGES = (
    "simulate",
    "index",
    "embed",
    "split",
    "preprocess",
    "align",
    "train",
    "predict",
    "reconstruct",
    "crossvalidate",
    "encode",
    "explore",
    "evaluate",
    "timecourse",
)


def score_card(inputs, title):
    """Gather what a reader must know before comparing these scores with others.

    Parameters
    ----------
    inputs : View
    title : str
        Of the study.

    Returns
    -------
    card : dict
        title, subjects and trials, split (hash, rule, counts), averaging, beta_preparation,
        selection, seeds, conditions, test_openings, versions, commit, keys, and the scores.
    """
    made = list(provenance(inputs))
    configs = {p["stage"]: p["config"] for p in made}
    return {
        "title": title,
        "split": document(inputs, "split", "split.json"),
        "averaging": averaging(inputs),
        "beta_preparation": configs.get("preprocess"),
        "alignment": configs.get("align"),
        "selection": selection(inputs),
        "seeds": {p["stage"]: p["config"]["seed"] for p in made if "seed" in p["config"]},
        "conditions": conditions(inputs),
        "test_openings": openings(made),
        "commit": sorted({p["commit"] for p in made if p["commit"]}),
        "versions": made[-1]["versions"] if made else {},
        "hardware": made[-1]["hardware"] if made else {},
        "keys": {" ".join(filter(None, (p["stage"], p["each"]))): p["key"] for p in made},
        "metrics": _records(scored(inputs, "metrics.tsv")),
        "comparisons": _records(scored(inputs, "comparisons.tsv")),
    }


def provenance(inputs):
    """Yield, for every artifact of the run, its manifest joined with its record."""
    for stage in STAGES:
        if inputs.has(stage):
            for each in inputs.members(stage) or [None]:
                blank = {"seconds": None, "peak_mib": None, "host": "", "test_openings": []}
                yield blank | inputs.record(stage, each=each) | inputs.manifest(stage, each=each)


def openings(made):
    """How often each stage read test rows: once per distinct key and purpose."""
    counts = {}
    for one in made:
        for opening in one["test_openings"]:
            known = counts.setdefault(opening["stage"], set())
            known.add((one["key"], opening.get("subject")))
    return {stage: len(keys) for stage, keys in counts.items()}


def selection(inputs):
    """How one of several samples was chosen, as reconstruct wrote it down."""
    member = first_member(inputs, "reconstruct")
    return document(inputs, "reconstruct", "selection.json", member)


def averaging(inputs):
    """Over how many repeats a test response is averaged, per subject."""
    found = {}
    for each in (inputs.members("predict") or [None]) if inputs.has("predict") else ():
        rows = table(inputs, "predict", "rows.tsv", each)
        if rows is not None and "n_repeats" in rows:
            repeats = rows["n_repeats"]
            found[each or "all"] = {"n_rows": len(rows), "repeats_averaged": repeats.value_counts()}
    return {k: v | {"repeats_averaged": _counts(v["repeats_averaged"])} for k, v in found.items()}


def _counts(counts):
    return {str(k): int(v) for k, v in sorted(counts.items())}


def _records(frame):
    if frame is None:
        return None
    return [{k: _plain(v) for k, v in row.items()} for row in frame.to_dict("records")]


def _plain(value):
    """NaN is not JSON: what is missing is null."""
    return None if value != value else value
