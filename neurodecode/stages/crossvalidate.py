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
from neurodecode.core.ranges import Count, CountOrNone, Level, Seed
from neurodecode.core.seeds import child_rng
from neurodecode.core.stage import stage
from neurodecode.models.prepared import Prepared
from neurodecode.rigour import category_tables as tables
from neurodecode.rigour.category import CategoryStudy
from neurodecode.rigour.zero_shot import all_pairs
from neurodecode.signal.by_run import centre_by_run, zscore_by_run

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
    NUISANCE: "The same decoder from movement, mean signal or amplitude, and position in the run.",
}


@dataclass(frozen=True)
class CrossvalidateConfig:
    """The decoder, its baselines, and what inner folds choose from."""

    model: dict
    baselines: dict
    masks: list[str] | None = None
    scalings: list[str] = field(default_factory=lambda: ["centred", "zscored"])
    n_channels: list[int | None] = field(default_factory=lambda: [None, 250])
    n_bootstrap: Count = 2000
    n_permutations: Count = 2000
    n_refits: CountOrNone = 100
    level: Level = 0.95
    seed: Seed = 0
    n_jobs: Count = field(default=1, metadata={"keyed": False})

    def __post_init__(self):
        if unknown := sorted(set(self.scalings) - set(SCALINGS)):
            raise ValueError(f"scalings {unknown} are not among {', '.join(SCALINGS)}")


FEWEST = 4  # categories: two are also held out at a time, and two must be left to train on
READS = ("index", "embed", "split", "preprocess")


@stage("crossvalidate", config=CrossvalidateConfig, inputs=READS, opens_test=True)
def run(config, inputs, out):
    """Hold out each run, then pairs of categories; write scores, comparisons and confusions."""
    classes, embeddings = _classes(inputs)
    decoder = build(config.model)
    baselines = {name: build(node) for name, node in config.baselines.items() if node}
    conditions = _conditions(baselines)

    studies, trials, chosen = {}, {}, {}
    for subject in inputs.members("preprocess"):
        responses, trials[subject] = inputs.responses(subject, rows="train+val+test")
        study = _study(trials[subject], classes)
        prepared = _prepared(config, inputs, subject, responses, study.runs)
        noise = zscore_by_run(_nuisance(inputs, subject, trials[subject]), study.runs)
        ways = {MODEL: prepared, RANDOM: prepared, NUISANCE: [Prepared(NUISANCE, noise)]}
        _fill(config, out, study, subject, decoder, baselines, ways, embeddings)
        chosen[subject] = _chosen(study, {MODEL: decoder, **baselines}, prepared)
        studies[subject] = study

    rng_of = lambda *names: child_rng(config.seed, *names)
    judged = tables.judge_all(studies, conditions, config.n_bootstrap, partial(rng_of, "bootstrap"))
    ties = partial(rng_of, "ties")
    metrics = tables.metrics_table(judged, conditions, len(classes), config.level, ties)
    compared = tables.comparison_table(judged, studies, MODEL, config.level)
    best = tables.best_baseline(judged, conditions)

    out.save_json("conditions.json", conditions)
    out.save_table("classes.tsv", inputs.table("embed", "stimuli.tsv"))
    out.save_table("metrics.tsv", metrics)
    out.save_table("comparisons.tsv", compared)
    out.save_table("per_trial.parquet", tables.block_table(studies, trials))
    out.save_table("folds.tsv", tables.fold_table(studies, trials, classes, MODEL))
    out.save_table("pairs.tsv", tables.pair_table(studies, classes))
    out.save_array("confusion.npy", sum(study.confusion(MODEL) for study in studies.values()))
    out.save_json(
        "figures.json",
        {
            "metrics": _records(metrics),
            "comparisons": _records(compared),
            "best_baseline": best,
            "chosen": chosen,
            "split": inputs.json("split", "split.json")["hash"],
            "responses": {s: inputs.json("preprocess", "qc.json", s) for s in studies},
        },
    )
    _tell(out, metrics, compared, best)


def _study(trials, classes):
    labels = np.array([classes.index(name) for name in trials["stimulus_id"]])
    runs = (trials["session"] + "_" + trials["run"]).str.strip("_").to_numpy()
    return CategoryStudy(labels, runs, len(classes))


def _fill(config, out, study, subject, decoder, baselines, ways, embeddings):
    """Let every condition name the blocks, and the decoder choose between unseen categories."""
    rng_of = lambda *names: child_rng(config.seed, *names, subject)
    prepared = ways[MODEL]
    targets = {MODEL: embeddings, RANDOM: rng_of(RANDOM).standard_normal(embeddings.shape)}
    score_of = {
        name: partial(
            decoder.score, ways[name], labels=study.labels, embeddings=targets.get(name, embeddings)
        )
        for name in (MODEL, RANDOM, NUISANCE)
    }
    about = {"labels": study.labels, "n_classes": study.n_classes}
    score_of |= {name: partial(b.score, prepared, **about) for name, b in baselines.items()}
    bar = partial(out.progress, total=len(score_of), label=f"{subject} conditions")
    deals = partial(rng_of, "dealt")
    study.name_blocks(score_of, config.n_permutations, deals, config.n_jobs, bar)
    if config.n_refits:
        anew = partial(_score_given, decoder, prepared, embeddings)
        bar = partial(out.progress, total=config.n_refits, label=f"{subject} dealt labels")
        study.refit(MODEL, anew, config.n_refits, rng_of("refits"), config.n_jobs, bar)
    names = child_rng(config.seed, "names")  # not the subject's: its null is pooled with others'
    orders = [names.permutation(study.n_classes) for _ in range(config.n_permutations)]
    weigh = partial(decoder.weights, prepared, **about)
    bar = partial(
        out.progress, total=len(all_pairs(study.n_classes)), label=f"{subject} unseen pairs"
    )
    study.tell_unseen(weigh, targets, np.array(orders), config.n_jobs, bar)


def _score_given(decoder, prepared, embeddings, labels, train, test):
    return decoder.score(prepared, train, test, labels, embeddings)


def _classes(inputs):
    """The categories and the embeddings of their names, in one order."""
    classes = inputs.table("embed", "stimuli.tsv")["stimulus_id"].tolist()
    if len(classes) < FEWEST:
        raise ValueError(
            f"the study has the categories {', '.join(classes)}: crossvalidate needs {FEWEST} or "
            "more, since it also holds out two and trains on the others; choose a finer column in "
            "recipe.label_column"
        )
    if "text.npy" not in inputs.files("embed"):
        raise ValueError(
            "crossvalidate needs text embeddings of the categories: stage embed wrote none"
        )
    return classes, np.array(inputs.array("embed", "text.npy"), dtype=float)


def _prepared(config, inputs, subject, responses, runs):
    """Every way to prepare the responses: masks x scalings x numbers of channels.

    Where responses have a time axis, each channel at each time is a channel of its own.
    """
    masks = _masks(config, inputs, subject, responses.shape[1])
    ways = []
    for mask, channels in masks.items():
        flat = np.asarray(responses[:, channels], dtype=float).reshape(len(responses), -1)
        for scaling in config.scalings:
            scaled = SCALINGS[scaling](flat, runs)
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


def _tell(out, metrics, compared, best):
    rows = metrics[metrics["subject"] == tables.ALL]
    for row in rows.itertuples():
        if row.metric != "rank":
            out.log(
                f"{row.condition}: {row.metric} {row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}], "
                f"chance {row.chance:.3f}, n = {row.n}, p = {row.p:.3g}"
            )
    for row in compared[(compared["subject"] == tables.ALL) & (compared["b"] == best)].itertuples():
        out.log(
            f"decoder minus {best}, the best baseline: {row.difference:+.3f}; "
            f"{row.only_a} blocks against {row.only_b}, McNemar p = {row.p:.3g}"
        )


def _records(table):
    """Rows as JSON knows them: null where there is no number."""
    missing = lambda value: isinstance(value, float) and np.isnan(value)
    rows = table.to_dict("records")
    return [{k: None if missing(v) else v for k, v in row.items()} for row in rows]
