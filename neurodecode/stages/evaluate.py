"""Evaluate: every score of every condition, with n, chance, interval and p; then all comparisons.

One table per score and condition says what each row would earn against each truth. Its own pairs
are the score, its mismatched pairs chance, its permuted pairings the p-value. Test stimuli are
resampled jointly for all subjects and conditions, so that differences are paired. Of the pictures
only the chosen sample of a row is scored, however many were drawn.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.ranges import Count, Level, Positive, Seed
from neurodecode.core.seeds import child_rng
from neurodecode.core.stage import stage
from neurodecode.data.stimuli import COLUMNS, data_set_root, load_pictures
from neurodecode.metrics.score import NotComputed
from neurodecode.rigour.controls import category_oracle
from neurodecode.rigour.judge import Draws, Panel, judge, number_stimuli
from neurodecode.rigour.results import (
    ALL,
    comparison_lines,
    differences,
    metric_lines,
    pool_subjects,
)
from neurodecode.stages import ablation
from neurodecode.stages.consistency import consistency_tables, first_samples, has_choice
from neurodecode.stages.controls import categories_of
from neurodecode.stages.embed import HANDLE, check_digests
from neurodecode.stages.encoding import brain_of
from neurodecode.weights import named_folders

AGAINST = ("shuffled", "shuffled_within", "mean_brain", "matched_noise", "nuisance_only")
AGAINST += ("prior_only", "category_oracle", "ridge")
COMPARED = "subject metric a b difference lo hi n p p_equivalent space better".split()


@dataclass(frozen=True)
class EvaluateConfig:
    """Which scores, against what, and how sure; conf/stage/evaluate.yaml explains each."""

    metrics: dict
    encoder: dict | None
    reader: dict | None
    against: tuple[str, ...] = AGAINST
    margin: Positive | None = None
    n_bootstrap: Count = 1000
    n_permutations: Count = 1000
    interval: Literal["wilson", "percentile", "bca"] = "wilson"
    level: Level = 0.95
    seed: Seed = 0
    root: str = field(default="", metadata={"keyed": False})


def weights(config):
    """List the weights of encoder, reader and metrics: their bytes count."""
    named = [*named_folders(config.encoder), *named_folders(config.reader)]
    metrics = [build(node) for node in config.metrics.values() if node]
    return named + [path for m in metrics if hasattr(m, "files") for path in m.files()]


READS = ("index", "embed", "split", "preprocess", "predict", "?reconstruct", HANDLE)


@stage("evaluate", config=EvaluateConfig, inputs=READS, opens_test=True, external=weights)
def run(config, inputs, out):
    """Score all conditions of all subjects and compare them; write tables and figures.json."""
    import pandas as pd

    subjects = inputs.members("predict")
    tables = {subject: _test_rows(inputs, subject) for subject in subjects}
    truths, rows, n_units = number_stimuli({s: t["stimulus_id"] for s, t in tables.items()})
    conditions = inputs.json("predict", "conditions.json", subjects[0])
    kinds = {condition["name"]: condition["kind"] for condition in conditions}
    metrics, not_computed = _available([build(node) for node in config.metrics.values() if node])
    eyes = _eyes(config, inputs, metrics)
    rng = child_rng(config.seed, "draws")
    draws = Draws.make(n_units, config.n_bootstrap, config.n_permutations, rng)
    panels = {subject: Panel.of(rows[subject], draws) for subject in subjects}

    verdicts, variants, whole, firsts = {}, {}, {}, {}
    for subject in out.progress(subjects, label="subjects scored"):
        truth, own_eyes = _truth(config, inputs, truths[subject], eyes, subject), eyes
        if "pictures" in truth and any(m.needs == "brain" for m in metrics):
            truth["brain"], brain = brain_of(inputs, subject, truths[subject])
            own_eyes = eyes | {"brain": brain}
        for name in kinds:
            predicted = _predicted(inputs, subject, name, tables, own_eyes)
            own = panels[subject].rows.own
            scores = score_all(metrics, truth, predicted, own, not_computed)
            verdicts[subject, name] = {k: judge(s, panels[subject]) for k, s in scores.items()}
            whole |= {k: k[2] in (None, len(truth["pooled"])) for k in scores}
        ids, panel = tables[subject]["row_id"].tolist(), panels[subject]
        score = lambda seen, t=truth, o=own: score_all(metrics, t, seen, o, not_computed)
        variants |= ablation.judge_variants(inputs, subject, ids, own_eyes, score, panel)
        _say_what_is_left_out(out, metrics, truth, subject)
        scores = _first_samples(inputs, subject, tables, own_eyes, metrics, truth, panels[subject])
        firsts[subject] = {k: judge(s, panels[subject]) for k, s in scores.items()}

    how = {"interval": config.interval, "level": config.level, "seed": config.seed}
    scored = metric_lines(pool_subjects(verdicts, n_units), kinds, **how)
    pairs = _pairs(kinds, config.against)
    judged = differences(verdicts, pairs, panels, n_units, whole.get)
    compared = comparison_lines(judged, **how, margin=config.margin)
    lacking = ablation.ablation_lines(verdicts, variants, panels, n_units, whole, how)
    figures = {
        "metrics": scored,
        "comparisons": compared,
        "ablations": lacking,
        "reader": _reader_accuracy(config, inputs, eyes, truths),
        "oracle": _oracle(inputs, metrics, truths),
        "responses": {s: inputs.json("preprocess", "qc.json", s) for s in subjects},
        "split": inputs.json("split", "split.json")["hash"],
    }
    stable = consistency_tables(inputs, tables, rows, draws, verdicts, firsts, how)
    for name, table in stable.items():
        out.save_table(name, table)
        figures[name.removesuffix(".tsv")] = table.to_dict("records")
    out.save_table("metrics.tsv", pd.DataFrame(scored).astype({"set_size": "Int64"}))
    out.save_table("comparisons.tsv", pd.DataFrame(compared, columns=COMPARED))
    if lacking:
        out.save_table("ablations.tsv", pd.DataFrame(lacking))
    out.save_table("per_trial.parquet", _per_trial(tables, verdicts, whole))
    reasons = pd.DataFrame(not_computed.items(), columns=["metric", "reason"])
    out.save_table("not_computed.tsv", reasons)
    out.save_json("reader.json", figures["reader"])
    out.save_json("figures.json", figures)
    _say_scores(out, scored, kinds)


def score_all(metrics, truth, predicted, own, not_computed=None):
    """Put one condition through every metric whose material is there: ``{key: Score}``.

    Parameters
    ----------
    metrics : list
    truth, predicted : dict of str to material
        What a metric prepares of them is kept there.
    own : ndarray of int, shape (n_rows,)
        Number of each row's truth.
    not_computed : dict or None
        Takes the reasons of metrics that these data do not allow: ``{name: reason}``.
    """
    scores = {}
    for number, metric in enumerate(metrics):
        if metric.needs in truth and metric.needs in predicted:
            try:
                sides = [_prepared(metric, number, side) for side in (truth, predicted)]
                paired = (own,) if getattr(metric, "paired", False) else ()
                for score in metric(*sides, *paired):
                    scores[metric.space, score.name, score.set_size] = score
            except NotComputed as reason:
                (not_computed if not_computed is not None else {})[_name(metric)] = str(reason)
    return scores


def _prepared(metric, number, side):
    """What a metric looks at: the material, or once and for all what it prepares of it."""
    if not hasattr(metric, "prepare"):
        return side[metric.needs]
    key = f"prepared {number}"
    if key not in side:
        side[key] = metric.prepare(side[metric.needs])
    return side[key]


def _available(metrics):
    """Split metrics into those that can be computed and the reasons of the others."""
    reasons = [m.available() if hasattr(m, "available") else None for m in metrics]
    missing = {_name(m): why for m, why in zip(metrics, reasons, strict=True) if why}
    return [m for m, why in zip(metrics, reasons, strict=True) if not why], missing


def _name(metric):
    return ", ".join(getattr(metric, "names", (type(metric).__name__,)))


def chosen_samples(samples, row_ids):
    """Number, for each row, its chosen one among all samples.

    Raises
    ------
    ValueError
        Where a row has no chosen sample, or several.
    """
    picked = samples[samples["chosen"].astype(bool)]
    counts = picked["row_id"].value_counts().reindex(row_ids, fill_value=0)
    if (counts != 1).any():
        row = counts.index[counts != 1][0]
        raise ValueError(f"row {row} has {counts[row]} chosen samples: reconstruct must choose one")
    number = dict(zip(picked["row_id"], picked.index, strict=True))
    return np.array([number[row] for row in row_ids])


def _test_rows(inputs, subject):
    """The rows that predict wrote for a subject; they must be of test stimuli alone."""
    table = inputs.table("predict", "rows.tsv", subject)
    split = inputs.table("split", "split.tsv")
    tested = set(split["stimulus_id"][(split["subject"] == subject) & (split["split"] == "test")])
    strangers = sorted(set(table["stimulus_id"]) - tested)
    if strangers:
        raise ValueError(
            f"{subject}: {len(strangers)} predicted stimuli are not on its test side, e.g. "
            f"{strangers[:3]}: only test stimuli are scored; run predict again on this split"
        )
    return table


def _eyes(config, inputs, metrics):
    """Build what looks at pictures: ``{need: function of pictures}``, where scores need it."""
    needs = {metric.needs for metric in metrics} if inputs.has("reconstruct") else set()
    eyes = {}
    if "layers" in needs and config.encoder is not None:
        eyes["layers"] = build(config.encoder).layers
    if "attributes" in needs and config.reader is not None:
        eyes["attributes"] = build(config.reader).read
    return eyes


def _truth(config, inputs, stimulus_ids, eyes, subject):
    """Everything that is true of the stimuli: ``{need: material}``."""
    order = inputs.table("embed", "stimuli.tsv")["stimulus_id"].tolist()
    place = {stimulus: number for number, stimulus in enumerate(order)}
    kind = "pooled.npy" if "pooled.npy" in inputs.files("embed") else "text.npy"
    truth = {"pooled": inputs.array("embed", kind)[[place[s] for s in stimulus_ids]]}
    stimuli = inputs.table("index", "stimuli.tsv").set_index("stimulus_id").loc[stimulus_ids]
    if inputs.has("reconstruct"):
        truth["pictures"] = _true_pictures(config, inputs, stimuli, subject)
    if "layers" in eyes:
        truth["layers"] = eyes["layers"](truth["pictures"])
    if stimuli["caption"].ne("").all():
        truth["captions"] = stimuli["caption"].tolist()
    attributes = stimuli.drop(columns=[c for c in COLUMNS if c in stimuli])
    if "attributes" in eyes and len(attributes.columns):
        truth["attributes"] = attributes.astype(str)
    return truth


def _true_pictures(config, inputs, stimuli, subject):
    """Load the stimuli at the size of the reconstructions."""
    names = inputs.files("reconstruct", subject)
    name = next(n for n in names if n.endswith("/pictures.npy"))
    height, width = inputs.array("reconstruct", name, subject).shape[1:3]
    root = data_set_root(config.root, inputs)
    check_digests(root, stimuli, inputs.raw_digest)
    return load_pictures(root, stimuli["path"], (height, width))


def _first_samples(inputs, subject, tables, eyes, metrics, truth, panel):
    """Score the first sample of each row instead of the chosen one, where there are several."""
    if not has_choice(inputs, subject):
        return {}
    found = _predicted(inputs, subject, "model", tables, eyes, first_samples)
    shown = {
        need: material for need, material in found.items() if need not in ("pooled", "captions")
    }
    return score_all(metrics, truth, shown, panel.rows.own)


def _predicted(inputs, subject, condition, tables, eyes, pick=chosen_samples):
    """Everything that a condition predicts for a subject's rows: ``{need: material}``."""
    predicted = {"pooled": inputs.array("predict", f"{condition}/pooled.npy", subject)}
    if "captions.tsv" in inputs.files("predict", subject):
        said = inputs.table("predict", "captions.tsv", subject)
        predicted["captions"] = said["caption"][said["condition"] == condition].tolist()
    if not inputs.has("reconstruct"):
        return predicted
    if f"{condition}/pictures.npy" not in inputs.files("reconstruct", subject):
        return predicted
    samples = inputs.table("reconstruct", f"{condition}/samples.tsv", subject)
    chosen = pick(samples, tables[subject]["row_id"].tolist())
    pictures = inputs.array("reconstruct", f"{condition}/pictures.npy", subject)[chosen]
    return predicted | {"pictures": pictures} | {need: eye(pictures) for need, eye in eyes.items()}


def _say_what_is_left_out(out, metrics, truth, subject):
    left_out = sorted({f"{m.needs} ({type(m).__name__})" for m in metrics if m.needs not in truth})
    if left_out:
        out.log(f"{subject}: not scored, since this study has no {', '.join(left_out)}")


def _pairs(kinds, against):
    models = [name for name, kind in kinds.items() if kind == "model"]
    return [(model, other) for other in against if other in kinds for model in models]


def _per_trial(tables, verdicts, whole):
    """One line per row and score, of the full set of candidates only."""
    import pandas as pd

    parts = []
    for (subject, condition), scores in verdicts.items():
        table = tables[subject][["row_id", "stimulus_id"]]
        for key, verdict in scores.items():
            if whole[key]:
                columns = {"condition": condition, "metric": key[1], "value": verdict.rows}
                parts.append(table.assign(subject=subject, **columns))
    order = ["subject", "row_id", "stimulus_id", "condition", "metric", "value"]
    return pd.concat(parts, ignore_index=True)[order]


def _reader_accuracy(config, inputs, eyes, truths):
    """How well the reader reads the true pictures: what attribute accuracy can at best reach."""
    if "attributes" not in eyes:
        return {}
    ids = np.unique(np.concatenate(list(truths.values())))
    subject = next(iter(truths))
    truth = _truth(config, inputs, ids, eyes, subject)
    read = eyes["attributes"](truth["pictures"])
    named = truth.get("attributes", read.iloc[:, :0])
    return {
        name: {
            "accuracy": float((read[name].astype(str).to_numpy() == named[name].to_numpy()).mean()),
            "majority": float(named[name].value_counts(normalize=True).max()),
            "n": len(ids),
        }
        for name in read.columns
        if name in named
    }


def _oracle(inputs, metrics, truths):
    """What a decoder that knows the category and nothing else is expected to score."""
    category = categories_of(inputs)
    found = {}
    for subject, ids in truths.items():
        own = np.arange(len(ids))
        knows = {"pooled": category_oracle(category.loc[ids])}
        scores = score_all(metrics, knows, knows, own).values()
        summary = lambda s: getattr(np, s.summary)(np.diagonal(s.values))
        found[subject] = [
            {"metric": s.name, "set_size": s.set_size, "value": summary(s), "chance": s.chance}
            for s in scores
        ]
    return found


def _say_scores(out, scored, kinds):
    """Tell the pooled whole-set scores of the model, one line each."""
    told = set()
    for line in scored:
        if line["subject"] == ALL and kinds[line["condition"]] == "model":
            if line["metric"] not in told:
                told.add(line["metric"])
                out.log(
                    f"{line['metric']} {line['value']:.3f} [{line['lo']:.3f}, {line['hi']:.3f}], "
                    f"chance {line['chance']:.3f}, n = {line['n']}"
                )
