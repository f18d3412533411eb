"""The method sections: what ran, on what, with which settings; the words."""

import json

from neurodecode.report.artifacts import (
    conditions,
    coverage,
    document,
    scored,
    subjects,
    table,
    unit,
)
from neurodecode.report.page import render
from neurodecode.report.score_card import averaging, openings, provenance, selection
from neurodecode.report.words import condition_label, metric_label, metric_words, number, seconds

# Facts of the data set that everybody should read; the others fold away.
DATA_SET = ("title", "about", "citation", "doi", "licence", "access", "sharing")


def reader(study):
    """How far the attribute reader can be trusted: its accuracy on true pictures."""
    import pandas as pd

    found = document(study.inputs, "evaluate", "reader.json")
    if not found:
        return None
    heads = ["attribute", "accuracy on true pictures", "always naming the commonest", "n"]
    rows = [
        [name.replace("_", " "), number(r["accuracy"], 3), number(r["majority"]), number(r["n"])]
        for name, r in found.items()
    ]
    text = (
        "Attributes of reconstructions are read by a small network that never saw the decoder's "
        "target embedding. This is how often it is right on true pictures: no reconstruction can "
        "be expected to score higher."
    )
    frame = pd.DataFrame([{"attribute": name} | r for name, r in found.items()])
    files = [study.table("reader", frame)]
    return render("table.html.j2", heads=heads, rows=rows, text=text, files=files)


def methods(study):
    """What ran: provenance, split, selection, settings of every stage."""
    made = list(provenance(study.inputs))
    if not made:
        return None
    opened = openings(made)
    known = {name: value for name, value in study.facts.items() if value not in (None, [])}
    return render(
        "methods.html.j2",
        facts=_facts(study, made),
        stages=_stages(made, opened),
        total=seconds(sum(p["seconds"] or 0 for p in made)),
        versions=made[-1]["versions"],
        openings=opened,
        conditions=[c | {"label": condition_label(c["name"])} for c in conditions(study.inputs)],
        recipe={k: _text(known[k]) for k in DATA_SET if k in known},
        more={_unit(k): _text(v) for k, v in known.items() if k not in DATA_SET},
        configs=_configs(made),
    )


def glossary(study):
    """One line for each metric that was used."""
    metrics = scored(study.inputs, "metrics.tsv")
    if metrics is None:
        return None
    words = {}
    for metric in metrics["metric"].unique():
        words.setdefault(metric_words(metric)[2], []).append(metric_label(metric))
    lines = [(", ".join(labels), meaning) for meaning, labels in words.items() if meaning]
    return render(
        "glossary.html.j2", words=lines, unit=unit(study.inputs), coverage=coverage(study.inputs)
    )


def _facts(study, made):
    """The few lines a method section opens with."""
    commits = sorted({p["commit"] for p in made if p["commit"]})
    split = document(study.inputs, "split", "split.json") or {}
    trials = table(study.inputs, "index", "trials.tsv")
    facts = {"subjects": ", ".join(subjects(study.inputs))}
    if trials is not None:
        facts["trials"] = f"{len(trials):,} trials of {trials['stimulus_id'].nunique():,} stimuli"
    if split:
        facts["split"] = _text(split.get("rule", ""))
        facts["split hash"] = str(split.get("hash", ""))
        facts["split counts"] = _counts(split.get("counts", {}))
        facts["runs on several sides"] = _cut(split.get("shared", {}).get("runs"))
    repeats = averaging(study.inputs)
    if repeats:
        facts["test responses"] = _repeats(repeats)
    chosen = selection(study.inputs)
    if chosen:
        facts["choice of samples"] = _text(chosen.get("policy", chosen))
    facts["commit"] = ", ".join(commits) or "not run from a checkout"
    facts["computed on"] = ", ".join(f"{k} {v}" for k, v in made[-1]["hardware"].items())
    return {k: v for k, v in facts.items() if v}


def _counts(counts):
    """Trials and stimuli per side; subjects with equal counts share a line."""
    lines = {}
    for subject, sides in counts.items():
        line = ", ".join(
            f"{side} {n['trials']:,} trials of {n['stimuli']:,} stimuli"
            for side, n in sides.items()
        )
        lines.setdefault(line, []).append(subject)
    return "; ".join(f"{', '.join(who)}: {line}" for line, who in lines.items())


def _repeats(repeats):
    counts = {int(k) for found in repeats.values() for k in found["repeats_averaged"]}
    rows = {found["n_rows"] for found in repeats.values()}
    span = number(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    n = number(min(rows)) if len(rows) == 1 else f"{min(rows)} to {max(rows)}"
    return f"{n} test stimuli per subject, {span} repeats averaged before the network"


def _cut(n_runs):
    """What a split through runs lets training know."""
    return f"{n_runs}: training knows what trials of a run share" if n_runs else ""


def _stages(made, opened):
    """One line per stage: artifacts, time, memory, test openings, keys."""
    out = []
    for name in dict.fromkeys(p["stage"] for p in made):
        mine = [p for p in made if p["stage"] == name]
        peaks = [p["peak_mib"] for p in mine if p["peak_mib"]]
        out.append(
            {
                "name": name,
                "n": len(mine) if mine[0]["each"] else 1,
                "seconds": seconds(sum(p["seconds"] or 0 for p in mine)),
                "peak": f"{max(peaks):,} MiB" if peaks else "–",
                "openings": opened.get(name, 0),
                "prints": [(p["each"] or "", p["key"][:12]) for p in mine],
            }
        )
    return out


def _configs(made):
    """Each stage's settings as text; subjects share theirs."""
    out = {}
    for one in made:
        text = json.dumps(one["config"], indent=2, ensure_ascii=False, default=str)
        if text != "{}":
            out.setdefault(one["stage"], text)
    return out


def _unit(name):
    """TR_s -> TR (s): facts carry their unit at the end of their name."""
    word, _, unit = name.rpartition("_")
    return f"{word} ({unit})" if unit in ("s", "T", "mm", "hz", "MB") else name.replace("_", " ")


def _text(value):
    """A value of a JSON document as running text."""
    if isinstance(value, dict) and "_target_" in value:
        options = {k: v for k, v in value.items() if k != "_target_"}
        return f"{value['_target_'].rpartition('.')[2]} ({_text(options)})"
    if isinstance(value, dict):
        return "; ".join(f"{str(k).replace('_', ' ')}: {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return number(value) if isinstance(value, int | float) else str(value)
