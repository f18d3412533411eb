"""The score card: how the scores were come by, for machines and referees; docs/score_card.md."""

import json
from pathlib import Path

from neurodecode.report.artifacts import (
    conditions,
    document,
    first_member,
    scored,
    subjects,
    table,
)
from neurodecode.report.protocol import leaks, metric_versions, protocol

SCHEMA_VERSION = 1  # rises when a key changes its meaning or goes
SCHEMA = Path(__file__).with_name("score_card.schema.json")

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
    "classify",
    "encode",
    "explore",
    "evaluate",
    "audit",
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
        As score_card.schema.json says; docs/score_card.md explains every key.
    """
    made = list(provenance(inputs))
    configs = {p["stage"]: p["config"] for p in made}
    metrics = _records(scored(inputs, "metrics.tsv"))
    return {
        "schema_version": SCHEMA_VERSION,
        "title": title,
        "subjects": subjects(inputs),
        "protocol": protocol(inputs, configs),
        "metric_versions": metric_versions(inputs),
        "candidates": candidates(metrics or []),
        "leaks": leaks(inputs),
        "verdict": document(inputs, "audit", "verdict.json"),
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
        "metrics": metrics,
        "comparisons": _records(scored(inputs, "comparisons.tsv")),
        "not_computed": _records(scored(inputs, "not_computed.tsv")) or [],
    }


def candidates(metrics):
    """Sizes of the candidate sets that each score of retrieval was made with."""
    found = {}
    for line in metrics:
        if line.get("set_size") is not None:
            found.setdefault(line["metric"], set()).add(int(line["set_size"]))
    return {name: sorted(sizes) for name, sizes in found.items()}


def check_score_card(card, name="score_card.json"):
    """Check a score card against the schema that comes with the package.

    Parameters
    ----------
    card : object
        As read from JSON.
    name : str
        What to call it.

    Raises
    ------
    ValueError
        Naming the key, what it is and what was expected.
    """
    if not (isinstance(card, dict) and card.get("schema_version") == SCHEMA_VERSION):
        came = card.get("schema_version") if isinstance(card, dict) else type(card).__name__
        raise ValueError(
            f"{name}: schema_version is {came}, expected {SCHEMA_VERSION}: written by another "
            "version of neurodecode; run the same `neurodecode run` again to rewrite it"
        )
    _conforms(card, json.loads(SCHEMA.read_text(encoding="utf-8")), name)


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
}


def _conforms(value, schema, where):
    """Check what the schema uses of JSON Schema: type, enum, required, properties, items."""
    kinds = schema.get("type", list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    of_kind = [k for k in kinds if isinstance(value, TYPES[k])]
    if not of_kind or (isinstance(value, bool) and "boolean" not in kinds):
        raise ValueError(f"{where} is {value!r:.60}: expected {' or '.join(kinds)}")
    if value not in schema.get("enum", [value]):
        raise ValueError(f"{where} is {value!r}: expected one of {schema['enum']}")
    if isinstance(value, dict):
        missing = [key for key in schema.get("required", ()) if key not in value]
        if missing:
            raise ValueError(f"{where} has no {', '.join(missing)}")
        for key, inner in value.items():
            rule = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
            _conforms(inner, rule, f"{where}: {key}")
    if isinstance(value, list):
        for place, inner in enumerate(value):
            _conforms(inner, schema.get("items", {}), f"{where}[{place}]")


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
    return [{k: _plain(k, v) for k, v in row.items()} for row in frame.to_dict("records")]


def _plain(name, value):
    """NaN is not JSON: what is missing is null; a number of candidates is whole."""
    if value != value:
        return None
    return int(value) if name == "set_size" else value
