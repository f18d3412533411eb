"""Classify: which class a trial is of, by a published classifier, under one honest protocol.

Whole runs, stimuli or subjects are held out in turn; a trial may be cut into overlapping windows,
which stay in one fold with it and are averaged into one answer. On the same folds stand a linear
baseline, the classifier on labels dealt anew, one that sees no brain, and the majority class.

What published protocols did otherwise is under `compat`. It is scored apart, in published.tsv, and
beside the honest figures: nothing of it enters metrics.tsv.
"""

from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.ranges import Count, CountOrNone, Level, Positive, Seed
from neurodecode.core.seeds import child_rng
from neurodecode.core.stage import stage
from neurodecode.rigour import trial_tables as tables
from neurodecode.stages.trial_fits import DEALT, MAJORITY, MODEL, NUISANCE, as_published, honestly
from neurodecode.stages.trial_study import read_study

ABOUT = {
    DEALT: "The same classifier, trained and tested by labels dealt anew.",
    NUISANCE: "Logistic regression on what preprocess notes beside the brain.",
    MAJORITY: "Always the most frequent class of the training trials.",
}
LEAKS = {  # flag of Compat -> what it let happen
    "windows_across_folds": "windows of one trial in training and test",
    "stimuli_across_folds": "one stimulus, or one run, in training and test",
    "fit_on_all": "scales and embeddings fitted on test trials too",
    "select_on_test": "epochs and settings chosen on the test trials",
}
FEWEST_REFITS = 19  # with which p can be .05


@dataclass(frozen=True)
class Compat:
    """Published protocols, each of them a leak; all off."""

    windows_across_folds: bool = False
    stimuli_across_folds: bool = False
    fit_on_all: bool = False
    select_on_test: bool = False

    def names(self):
        """The flags that are on."""
        return [f.name for f in fields(self) if getattr(self, f.name)]


@dataclass(frozen=True)
class ClassifyConfig:
    """The classifier, what it is compared with, and the protocol; conf/stage/classify.yaml."""

    classifier: dict
    baselines: dict
    label: str = ""
    folds: Literal["run", "stimulus", "subject"] = "stimulus"
    n_folds: Count = 5
    window_s: Positive | None = None
    step_s: Positive | None = None
    ordered: bool = False
    compat: Compat = field(default_factory=Compat)
    n_refits: CountOrNone = 1
    n_bootstrap: Count = 2000
    n_permutations: Count = 1000
    level: Level = 0.95
    seed: Seed = 0
    device: str = "cpu"

    def __post_init__(self):
        if self.n_folds < 2:
            raise ValueError(f"classify.n_folds={self.n_folds}: give 2 or more")
        if self.step_s is not None and self.window_s is None:
            raise ValueError("classify.step_s is the distance of windows: set classify.window_s")
        if self.compat.windows_across_folds and self.window_s is None:
            raise ValueError(
                "classify.compat.windows_across_folds deals windows of a trial: set "
                "classify.window_s, and a smaller classify.step_s for windows that overlap"
            )
        if taken := sorted({MODEL, *ABOUT} & set(self.baselines)):
            raise ValueError(f"classify.baselines: {', '.join(taken)} names another condition")


READS = ("index", "split", "preprocess")


@stage("classify", config=ClassifyConfig, inputs=READS, opens_test=True)
def run(config, inputs, out):
    """Classify every trial without its group; write scores, comparisons and confusions."""
    study = read_study(inputs, config.label, config.window_s, config.step_s)
    classifiers = {MODEL: build(config.classifier)}
    classifiers |= {name: build(node) for name, node in config.baselines.items() if node}
    leaks = config.compat
    if getattr(classifiers[MODEL], "fits_on_all", False):
        leaks = replace(leaks, fit_on_all=True)

    answers = honestly(config, study, classifiers, out)
    rows = rows_of(config, study, np.arange(len(study.labels)))
    judged = judge(config, answers, rows)
    kinds = dict.fromkeys(answers, "baseline") | dict.fromkeys(ABOUT, "control") | {MODEL: "model"}
    table_of = partial(
        tables.metrics_table, kinds=kinds, level=config.level, rng_of=rng_of(config, "ties")
    )
    metrics = table_of(judged, rows=rows)
    compared = tables.comparison_table(judged, answers, rows, MODEL, config.level)

    published = None
    if leaks.names():
        trial, said = as_published(config, study, classifiers, leaks, out)
        seen = rows_of(config, study, trial)
        published = beside(table_of(judge(config, said, seen), rows=seen), metrics)
        out.save_table("published.tsv", published)

    out.save_table("metrics.tsv", metrics)
    out.save_table("comparisons.tsv", compared)
    out.save_json("conditions.json", conditions(answers, classifiers, kinds))
    about = study.table.rename(columns={"trial_id": "row_id"})[["subject", "row_id", "stimulus_id"]]
    out.save_table("trials.tsv", tables.trial_table(answers, rows, about, study.classes))
    out.save_table("classes.tsv", classes_table(study))
    out.save_array("confusion.npy", tables.confusion(answers[MODEL], len(study.classes)))
    protocol = {
        "folds": config.folds,
        "windows_per_trial": len(study.pieces) // len(study.labels),
        "stimuli_on_both_sides": repeated(config, study),
        "compat": leaks.names(),
        "compat_words": [LEAKS[name] for name in leaks.names()],
    }
    out.save_json("protocol.json", protocol)
    figures = {
        "metrics": records(metrics),
        "comparisons": records(compared),
        "published": [] if published is None else records(published),
        "split": inputs.json("split", "split.json")["hash"],
    }
    out.save_json("figures.json", figures | protocol)
    tell(out, metrics, published, leaks)


def rows_of(config, study, trial):
    """What is judged: rows are trials, or several windows of them."""
    n_draws, rng = config.n_permutations, child_rng(config.seed, "permutations")
    return tables.Rows(
        labels=study.labels[trial],
        subjects=study.table["subject"].to_numpy(str)[trial],
        groups=study.groups("stimulus" if config.folds == "subject" else config.folds)[trial],
        dealt=study.dealt(n_draws, rng)[:, trial],
        n_classes=len(study.classes),
        ordered=config.ordered,
    )


def judge(config, answers, rows):
    """Scores with draws of every condition; with many refits, they are the classifier's null."""
    judged = tables.judge_all(answers, rows, config.n_bootstrap, rng_of(config, "bootstrap"))
    refits = answers.get(DEALT, [])
    if len(refits) >= FEWEST_REFITS:
        each = [
            tables.judge_all({DEALT: [one]}, rows, 1, rng_of(config, "bootstrap"))[DEALT]
            for one in refits
        ]
        judged[MODEL] = tables.with_refits(judged[MODEL], each)
    return judged


def rng_of(config, purpose):
    """A maker of generators by name, each in the same state every time."""
    return lambda *names: child_rng(config.seed, purpose, *names)


def beside(published, metrics):
    """Join the scores of a published protocol with the honest ones of the same condition."""
    keys = ["subject", "condition", "metric"]
    honest = metrics[[*keys, "value", "lo", "hi"]]
    return published.merge(honest, on=keys, suffixes=("", "_honest"))


def conditions(answers, classifiers, kinds):
    """The rows of the comparison, as the report names them."""
    said = {name: type(c).__doc__.strip().splitlines()[0] for name, c in classifiers.items()}
    return [
        {"name": n, "kind": kinds[n], "brain": n not in (NUISANCE, MAJORITY), "about": about}
        for n, about in ((n, (said | ABOUT)[n]) for n in answers)
    ]


def classes_table(study):
    """Name and number of trials of each class, in their order."""
    import pandas as pd

    n_trials = np.bincount(study.labels, minlength=len(study.classes))
    return pd.DataFrame({"class": study.classes, "n_trials": n_trials})


def repeated(config, study):
    """How many stimuli are in training and test, where they are not the classes themselves.

    A classifier may then know a stimulus again; the dealt labels show what that is worth.
    """
    alone = study.table["subject"] if config.folds != "subject" else 0
    sides = study.table.assign(alone=alone, group=study.groups(config.folds))
    several = sides.groupby(["alone", "stimulus_id"])["group"].nunique() > 1
    told = several.groupby("stimulus_id").any()
    return int(told.sum()) if len(told) > len(study.classes) else 0


def tell(out, metrics, published, leaks):
    """Say what was reached, and what the published protocol would have said."""
    for row in metrics[metrics["subject"] == tables.ALL].itertuples():
        if row.metric == "accuracy":
            out.log(
                f"{row.condition}: accuracy {row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}], chance "
                f"{row.chance:.3f}, n = {row.n} in {row.n_groups} groups, p = {row.p:.3g}"
            )
    if published is None:
        return
    rows = published[(published["subject"] == tables.ALL) & (published["metric"] == "accuracy")]
    for row in rows.itertuples():
        out.log(
            f"published protocol, not evidence ({', '.join(leaks.names())}): {row.condition} "
            f"{row.value:.3f} [{row.lo:.3f}, {row.hi:.3f}]; honest {row.value_honest:.3f}"
        )


def records(table):
    """Rows as JSON knows them: null where there is no number."""
    missing = lambda value: isinstance(value, float) and np.isnan(value)
    rows = table.to_dict("records")
    return [{k: None if missing(v) else v for k, v in row.items()} for row in rows]
