"""The protocol of a run: what must be equal in two runs before their scores stand in one table."""

from neurodecode.core.build import locate
from neurodecode.core.fingerprint import fingerprint
from neurodecode.core.key import digest
from neurodecode.report.artifacts import SCORING, document, first_member, subjects, table

HOW_TO_RUN = ("device", "n_jobs", "batch")  # of an encoder: where it runs, not what it is


def protocol(inputs, configs):
    """Gather the protocol, field by field; docs/score_card.md explains each.

    Parameters
    ----------
    inputs : View
    configs : dict of str to dict
        The settings of every stage that ran.

    Returns
    -------
    protocol : dict
        ``common`` to all scores, and ``embedding`` and ``picture``: what else counts for scores in
        that space. A field is null where the run has no such thing.
    """
    evaluate = next((configs[stage] for stage in SCORING if stage in configs), {})
    return {
        "common": {
            "recordings": recordings(inputs),
            "split": (document(inputs, "split", "split.json") or {}).get("hash"),
            "test_stimuli": test_stimuli(inputs),
            "averaging": configs.get("predict", {}).get("averaging"),
            "repeats": repeats(inputs),
            "beta_preparation": configs.get("preprocess"),
            "fit_rows": fit_rows(inputs, configs),
            "selection": epochs(configs.get("train", {})),
            "folds": folds(configs.get("classify")),
            "leaks_allowed": sorted(leaks(inputs)["allowed"]),
            "interval": {k: evaluate.get(k) for k in ("interval", "level")},
        },
        "embedding": {"target": _bare(configs.get("embed", {}).get("target"))},
        "picture": {
            "sample": document(
                inputs, "reconstruct", "selection.json", first_member(inputs, "reconstruct")
            ),
            "encoder": _bare(evaluate.get("encoder")),
            "reader": _bare(evaluate.get("reader")),
        },
    }


def metric_versions(inputs):
    """Say of every metric which code and which options gave its scores.

    Returns
    -------
    versions : dict of str to dict
        Name of the choice -> ``target``, ``space``, ``options`` and ``version``: twelve hex digits
        of the code that the metric could reach when the scores were made, without comments and
        docstrings, and without the plumbing of the kernel.
    """
    stage = next((s for s in SCORING if inputs.has(s)), None)
    if stage is None:
        return {}
    made = inputs.manifest(stage)
    chosen = made["config"].get("metrics") or {}
    return {
        name: {
            "target": node["_target_"],
            "space": getattr(locate(node["_target_"]), "space", None),
            "options": {k: v for k, v in _bare(node).items() if k != "_target_"},
            "version": _version(node["_target_"].rpartition(".")[0], made["code"]),
        }
        for name, node in chosen.items()
        if node
    } or {stage: _of_stage(stage, made["code"])}


def recordings(inputs):
    """Digest each subject's files as the index lists them; the same study has the same digests."""
    files = inputs.manifest("index")["files"] if inputs.has("index") else {}
    own = lambda s: {  # without the subject's name, which a report to be passed on leaves out
        n.removeprefix(f"{s}/"): f["sha256"] for n, f in files.items() if n.startswith(f"{s}/")
    }
    return {s: digest(own(s))[:12] if own(s) else None for s in subjects(inputs)}


def test_stimuli(inputs):
    """Count and digest the stimuli of each subject's test rows: the candidates of its retrieval."""
    found = {}
    for subject in inputs.members("predict") if inputs.has("predict") else ():
        rows = table(inputs, "predict", "rows.tsv", subject)
        ids = sorted(set(rows["stimulus_id"].astype(str)))
        found[subject] = {"n": len(ids), "digest": digest(ids)[:12]}
    return found or None


def repeats(inputs):
    """How many repeats a test row averages, per subject: ``{"sub-01": {"3": 100}}``."""
    found = {}
    for subject in inputs.members("predict") if inputs.has("predict") else ():
        counts = table(inputs, "predict", "rows.tsv", subject)["n_repeats"].value_counts()
        found[subject] = {str(k): int(v) for k, v in sorted(counts.items())}
    return found or None


def fit_rows(inputs, configs):
    """On which rows each stage before the test was fitted: ``train``, or ``all`` if it saw test."""
    found = {}
    for stage in ("preprocess", "align", "train"):
        if inputs.has(stage):
            each = inputs.members(stage) or [None]
            opened = any(inputs.record(stage, each=e).get("test_openings") for e in each)
            said = configs.get(stage, {}).get("fit_rows", "train")
            found[stage] = "all" if opened else said
    return found


def epochs(train):
    """Which epoch of each training was kept: ``best`` on validation rows, or ``last``."""
    plans = {name: plan for name, plan in train.items() if isinstance(plan, dict)}
    return {name: plan["select"] for name, plan in sorted(plans.items()) if "select" in plan}


def folds(classify):
    """What was held out, and as what trials were read, where these were classified; else None."""
    named = ("folds", "n_folds", "window_s", "step_s", "label")
    return None if classify is None else {name: classify[name] for name in named}


def leaks(inputs):
    """What the split looked for and found; ``allowed`` kinds were let pass on request."""
    found = document(inputs, "split", "leaks.json") or {}
    return {"checked": found.get("checked")} | {
        name: found.get(name, []) for name in ("findings", "allowed")
    }


def _bare(node):
    """A choice, and those within it, without where they run."""
    if not isinstance(node, dict):
        return node
    return {k: _bare(v) for k, v in node.items() if k not in HOW_TO_RUN}


def _of_stage(stage, code):
    module = f"neurodecode.stages.{stage}"
    return {"target": module, "space": None, "options": {}, "version": _version(module, code)}


def _version(module, code):
    """Digest the code of a metric, as it was when `code` was written down."""
    names = [n for n in fingerprint(module) if not n.startswith("neurodecode.core")]
    return digest({name: code.get(name) for name in names})[:12]
