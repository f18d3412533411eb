"""Crossvalidate: name each block's category, and tell categories never seen, run by run.

For studies of few categories without a picture per trial. A decoder is fitted from responses to the
text embeddings of the category names, and the nearest name wins. Each run is held out once; how
responses are prepared and how strongly the fit is penalised is chosen by inner folds over the other
runs, for the decoder and for every baseline alike. Zero-shot, both the run and two categories are
held out, and the decoder chooses between these two.

The decoder's p-value repeats everything, inner choices included, on labels dealt anew within each
run; the baselines' deals labels to their predictions as they are. Zero-shot p-values permute which
category carries which name.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.seeds import child_rng
from neurodecode.core.stage import stage
from neurodecode.models.prepared import Prepared
from neurodecode.rigour.category import METRICS, CategoryStudy
from neurodecode.rigour.mcnemar import mcnemar
from neurodecode.rigour.run_draws import pooled
from neurodecode.signal.by_run import centre_by_run, zscore_by_run

ALL = "all"
BRAIN = "brain"  # the whole mask of preprocess, beside its regions
SCALINGS = {
    "none": lambda responses, runs: responses,
    "centred": centre_by_run,
    "zscored": zscore_by_run,
}
MODEL, RANDOM, NUISANCE = "model", "random_vectors", "nuisance"
ABOUT = {
    MODEL: "Brain to the text embeddings of the category names; the nearest name wins.",
    RANDOM: "The same decoder towards random vectors: what the names have to say is gone.",
    NUISANCE: "The same decoder from head motion, mean signal and position in the run.",
}


@dataclass(frozen=True)
class CrossvalidateConfig:
    """The decoder, its baselines, and what inner folds choose from."""

    model: dict
    baselines: dict
    masks: list[str] | None = None
    scalings: list[str] = field(default_factory=lambda: ["centred", "zscored"])
    n_channels: list[int | None] = field(default_factory=lambda: [None, 250])
    n_bootstrap: int = 2000
    n_permutations: int = 2000
    n_refits: int = 100
    level: float = 0.95
    seed: int = 0
    n_jobs: int = field(default=1, metadata={"keyed": False})

    def __post_init__(self):
        if unknown := sorted(set(self.scalings) - set(SCALINGS)):
            raise ValueError(f"scalings {unknown} are not among {', '.join(SCALINGS)}")


READS = ("index", "embed", "split", "preprocess")


@stage("crossvalidate", config=CrossvalidateConfig, inputs=READS, opens_test=True)
def run(config, inputs, out):
    classes, embeddings = _classes(inputs)
    decoder = build(config.model)
    baselines = {name: build(node) for name, node in config.baselines.items() if node}
    conditions = _conditions(baselines)

    studies, tables, chosen = {}, {}, {}
    for subject in inputs.members("preprocess"):
        responses, table = inputs.responses(subject, rows="train+val+test")
        runs = _names_of_runs(table)
        labels = np.array([classes.index(name) for name in table["stimulus_id"]])
        prepared = _prepared(config, inputs, subject, responses, runs)
        study = CategoryStudy(labels, runs, len(classes))
        _fill(config, out, study, subject, decoder, baselines, prepared, embeddings)
        noise = [Prepared(NUISANCE, zscore_by_run(_nuisance(inputs, subject, table), runs))]
        study.name_blocks(
            NUISANCE,
            partial(decoder.score, noise, labels=labels, embeddings=embeddings),
            config.n_permutations,
            child_rng(config.seed, "dealt", subject),
        )
        studies[subject], tables[subject] = study, table.assign(fold=runs)
        chosen[subject] = _chosen(study, {MODEL: decoder, **baselines}, prepared)

    scored = _metrics(config, studies, conditions)
    compared = _comparisons(config, studies, conditions)
    best = _best(scored, conditions)
    out.save_json("conditions.json", conditions)
    out.save_table("classes.tsv", inputs.table("embed", "stimuli.tsv"))
    out.save_table("metrics.tsv", scored)
    out.save_table("comparisons.tsv", compared)
    out.save_table("per_trial.parquet", _per_trial(studies, tables))
    out.save_table("folds.tsv", _folds(studies, tables, classes))
    out.save_table("pairs.tsv", _pairs(studies, classes))
    out.save_array("confusion.npy", sum(study.confusion(MODEL) for study in studies.values()))
    out.save_json(
        "figures.json",
        {
            "metrics": _records(scored),
            "comparisons": _records(compared),
            "best_baseline": best,
            "chosen": chosen,
            "split": inputs.json("split", "split.json")["hash"],
            "responses": {s: inputs.json("preprocess", "qc.json", s) for s in studies},
        },
    )
    _tell(out, scored, compared, best)


def _fill(config, out, study, subject, decoder, baselines, prepared, embeddings):
    """Let every condition name the blocks, and the decoder choose between unseen categories."""
    rng_of = lambda *names: child_rng(config.seed, *names, subject)
    random = rng_of(RANDOM).standard_normal(embeddings.shape)
    targets = {MODEL: embeddings, RANDOM: random}
    for name, names in targets.items():
        score = partial(decoder.score, prepared, labels=study.labels, embeddings=names)
        study.name_blocks(name, score, config.n_permutations, rng_of("dealt"))
    for name, baseline in baselines.items():
        out.log(f"{subject}: {name}")
        score = partial(baseline.score, prepared, labels=study.labels, n_classes=study.n_classes)
        study.name_blocks(name, score, config.n_permutations, rng_of("dealt"))
    if config.n_refits:
        anew = partial(_score_given, decoder, prepared, embeddings)
        bar = partial(out.progress, total=config.n_refits, label=f"{subject} on dealt labels")
        study.refit(MODEL, anew, config.n_refits, rng_of("refits"), config.n_jobs, bar)
    names = child_rng(config.seed, "names")  # not the subject's: its null is pooled with others'
    orders = [names.permutation(study.n_classes) for _ in range(config.n_permutations)]
    weigh = partial(decoder.weights, prepared, labels=study.labels, n_classes=study.n_classes)
    bar = partial(out.progress, label=f"{subject} unseen pairs")
    study.tell_unseen(weigh, targets, np.array(orders), bar)


def _score_given(decoder, prepared, embeddings, labels, train, test):
    return decoder.score(prepared, train, test, labels, embeddings)


def _classes(inputs):
    """The categories and the embeddings of their names, in one order."""
    classes = inputs.table("embed", "stimuli.tsv")["stimulus_id"].tolist()
    if "text.npy" not in inputs.files("embed"):
        raise ValueError(
            "crossvalidate needs text embeddings of the categories: stage embed wrote none"
        )
    return classes, np.array(inputs.array("embed", "text.npy"), dtype=float)


def _names_of_runs(trials):
    return (trials["session"] + "_" + trials["run"]).str.strip("_").to_numpy()


def _prepared(config, inputs, subject, responses, runs):
    """Every way to prepare the responses: masks x scalings x numbers of channels."""
    masks = _masks(config, inputs, subject, responses.shape[1])
    ways = []
    for mask, channels in masks.items():
        for scaling in config.scalings:
            scaled = SCALINGS[scaling](np.asarray(responses[:, channels], dtype=float), runs)
            for n in config.n_channels:
                if n is None or n < scaled.shape[1]:
                    kept = "all" if n is None else f"{n} best"
                    name = f"{mask}, {scaling}, {kept} channels"
                    ways.append(Prepared(name, scaled, n))
    if not ways:
        raise ValueError(
            f"n_channels={config.n_channels}: no mask of {subject} has as many; add null for all"
        )
    return ways


def _masks(config, inputs, subject, n_channels):
    """Name -> channels: the brain mask and the regions that preprocess found."""
    masks = {BRAIN: np.arange(n_channels)}
    if "space/rois.tsv" in inputs.files("preprocess", subject):
        regions = inputs.table("preprocess", "space/rois.tsv", subject)
        masks |= {name: rows["channel"].to_numpy() for name, rows in regions.groupby("roi")}
    if config.masks is None:
        return masks
    if unknown := [name for name in config.masks if name not in masks]:
        raise ValueError(f"crossvalidate.masks names {unknown}; {subject} has {', '.join(masks)}")
    return {name: masks[name] for name in config.masks}


def _nuisance(inputs, subject, table):
    """What else could tell blocks apart, one row per trial."""
    found = inputs.table("preprocess", "nuisance.tsv", subject).set_index("trial_id")
    numbers = found.loc[table["trial_id"]].select_dtypes("number")
    return np.nan_to_num(numbers.to_numpy(float))


def _conditions(baselines):
    known = [(MODEL, "model", ABOUT[MODEL])]
    known += [(name, "baseline", _first_line(b)) for name, b in baselines.items()]
    known += [(name, "control", ABOUT[name]) for name in (RANDOM, NUISANCE)]
    return [
        {"name": name, "kind": kind, "brain": name != NUISANCE, "about": about}
        for name, kind, about in known
    ]


def _first_line(thing):
    return (type(thing).__doc__ or "").strip().splitlines()[0]


def _chosen(study, models, prepared):
    """What inner folds chose for each run, in words."""
    words = {name: model.names(prepared) for name, model in models.items()}
    return {
        name: {run: words[name][number] for run, number in study.chosen[name].items()}
        for name in words
    }


def _judged(config, studies, condition):
    """Scores of a condition: ``{(subject, metric): RunScore}``, subjects first, then all."""
    single = {}
    for subject, study in studies.items():
        rng_of = partial(child_rng, config.seed, "bootstrap", subject)
        scores = study.judged(condition, config.n_bootstrap, rng_of)
        single |= {(subject, metric): score for metric, score in scores.items()}
    metrics = dict.fromkeys(metric for _, metric in single)
    together = {(ALL, m): pooled([single[s, m] for s in studies]) for m in metrics}
    return single | together


def _metrics(config, studies, conditions):
    import pandas as pd

    n_classes = next(iter(studies.values())).n_classes
    lines = []
    for condition in conditions:
        for (subject, metric), score in _judged(config, studies, condition["name"]).items():
            better, chance = METRICS[metric]
            low, high = score.interval(config.level)
            rng = child_rng(config.seed, "ties", subject, condition["name"], metric)
            lines.append(
                {
                    "subject": subject,
                    "condition": condition["name"],
                    "kind": condition["kind"],
                    "metric": metric,
                    "space": "embedding",
                    "set_size": 2 if metric.startswith("zero_shot") else n_classes,
                    "value": score.value,
                    "lo": low,
                    "hi": high,
                    "n": score.n,
                    "chance": chance(n_classes),
                    "p": score.p(rng, better),
                    "ceiling": np.nan,
                    "better": better,
                }
            )
    return pd.DataFrame(lines)


def _comparisons(config, studies, conditions):
    """The decoder against each other condition: interval over runs, McNemar's p over blocks."""
    import pandas as pd

    own = _judged(config, studies, MODEL)
    lines = []
    for other in (c["name"] for c in conditions if c["name"] != MODEL):
        judged = _judged(config, studies, other)
        for subject in [*studies, ALL]:
            a, b = own[subject, "accuracy"], judged[subject, "accuracy"]
            draws = np.quantile(a.draws - b.draws, [(1 - config.level) / 2, (1 + config.level) / 2])
            who = studies.values() if subject == ALL else [studies[subject]]
            hits = lambda c, who=who: np.concatenate(
                [s.row_values(c)["accuracy"] == 1 for s in who]
            )
            p, only_a, only_b = mcnemar(hits(MODEL), hits(other))
            lines.append(
                {
                    "subject": subject,
                    "metric": "accuracy",
                    "a": MODEL,
                    "b": other,
                    "difference": a.value - b.value,
                    "lo": float(draws[0]),
                    "hi": float(draws[1]),
                    "n": a.n,
                    "p": p,
                    "only_a": only_a,
                    "only_b": only_b,
                }
            )
    return pd.DataFrame(lines)


def _best(scored, conditions):
    """The most accurate baseline, pooled; the first of equal ones."""
    names = [c["name"] for c in conditions if c["kind"] == "baseline"]
    rows = scored[(scored["subject"] == ALL) & (scored["metric"] == "accuracy")]
    values = rows.set_index("condition")["value"]
    return max(names, key=lambda name: values[name]) if names else None


def _per_trial(studies, tables):
    """One line per block, condition and metric."""
    parts = []
    for subject, study in studies.items():
        about = {
            "row_id": tables[subject]["trial_id"],
            "stimulus_id": tables[subject]["stimulus_id"],
        }
        for condition in study.scores:
            for metric, values in study.row_values(condition).items():
                columns = {"condition": condition, "metric": metric, "value": values}
                parts.append(_frame({"subject": subject, **about, **columns}))
    return _stack(parts)


def _folds(studies, tables, classes):
    """One line per block: its fold, what each condition named it, the rank of the truth, and the
    decoder's whole ranking."""
    names = np.array(classes)
    parts = []
    for subject, study in studies.items():
        trials = tables[subject]
        columns = {"subject": subject, "row_id": trials["trial_id"], "fold": trials["fold"]}
        columns["true"] = names[study.labels]
        for condition, scores in study.scores.items():
            columns[f"predicted_{condition}"] = names[scores.argmax(axis=1)]
            columns[f"rank_{condition}"] = study.row_values(condition)["rank"]
        order = np.argsort(-study.scores[MODEL], axis=1, kind="stable")
        columns["ranking"] = [",".join(names[row]) for row in order]
        parts.append(_frame(columns))
    return _stack(parts)


def _pairs(studies, classes):
    """One line per pair of unseen categories: share of right choices, singly and jointly."""
    lines = []
    for subject, study in studies.items():
        for condition, pairs in study.choices.items():
            for (a, b), (_, hits, both) in pairs.items():
                line = {
                    "subject": subject,
                    "condition": condition,
                    "a": classes[a],
                    "b": classes[b],
                }
                scores = {"n": len(hits), "accuracy": hits.mean(), "matching": both.mean()}
                lines.append(line | scores)
    return _frame(lines)


def _tell(out, scored, compared, best):
    rows = scored[scored["subject"] == ALL]
    for row in rows.itertuples():
        if row.metric != "rank":
            out.log(
                f"{row.condition}: {row.metric} {row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}], "
                f"chance {row.chance:.3f}, n = {row.n}, p = {row.p:.3g}"
            )
    for row in compared[(compared["subject"] == ALL) & (compared["b"] == best)].itertuples():
        out.log(
            f"decoder minus {best}, the best baseline: {row.difference:+.3f}; "
            f"{row.only_a} blocks against {row.only_b}, McNemar p = {row.p:.3g}"
        )


def _records(table):
    """Rows as JSON knows them: null where there is no number."""
    missing = lambda value: isinstance(value, float) and np.isnan(value)
    rows = table.to_dict("records")
    return [{k: None if missing(v) else v for k, v in row.items()} for row in rows]


def _frame(columns):
    import pandas as pd

    return pd.DataFrame(columns)


def _stack(tables):
    import pandas as pd

    return pd.concat(list(tables), ignore_index=True)
