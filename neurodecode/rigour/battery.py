"""Everything that can be said of predicted embeddings without the brain they came from."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.rigour.attributable import attributable
from neurodecode.rigour.bootstrap import percentile_interval
from neurodecode.rigour.collapse import collapse
from neurodecode.rigour.controls import category_oracle
from neurodecode.rigour.judge import Draws, Panel, judge, number_stimuli
from neurodecode.rigour.results import (
    ALL,
    comparison_lines,
    differences,
    metric_lines,
    pool_subjects,
)
from neurodecode.rigour.verdict import grade

LEAST_GRADED = 4  # stimuli that a verdict takes
KINDS = {"model": "model", "prior_only": "control", "true_features": "ceiling"}


@dataclass(frozen=True)
class Checks:
    """The checks that go beyond scores; others may be put in their place."""

    grade: Callable = grade
    collapse: Callable = collapse
    attributable: Callable = attributable


@dataclass(frozen=True)
class Stimuli:
    """What is known of the test stimuli, in one order.

    Parameters
    ----------
    ids : ndarray of str, shape (n_stimuli,)
    truth : dict of str to array
        What metrics need: ``pooled`` (n_stimuli, dim), or ``pictures``.
    categories : ndarray of str, shape (n_stimuli,), or None
    low_level : ndarray, shape (n_stimuli, n_features), or None
    train : ndarray, shape (n_train, dim), or None
        True embeddings of the training stimuli.
    """

    ids: np.ndarray
    truth: dict
    categories: np.ndarray | None = None
    low_level: np.ndarray | None = None
    train: np.ndarray | None = None

    def place(self, ids):
        """Number stimuli."""
        number = {stimulus: i for i, stimulus in enumerate(self.ids)}
        return np.array([number[stimulus] for stimulus in ids])


def judge_embeddings(
    predicted,
    stimulus_ids,
    stimuli,
    metrics,
    n_bootstrap=1000,
    n_permutations=1000,
    level=0.95,
    seed=0,
    checks=None,
):
    """Score predictions, hold them against what is known of the stimuli, and grade them.

    Parameters
    ----------
    predicted : dict of str to dict of str to dict
        Subject -> condition (``model``; if there are any, ``prior_only`` and ``true_features``) ->
        what metrics need -> array, a row per entry of `stimulus_ids`.
    stimulus_ids : dict of str to sequence of str
        Subject -> the stimulus of each row; several rows of one stimulus are resampled together.
    stimuli : Stimuli
    metrics : sequence of callable
        ``metric(truth, predicted) -> list of Score``, with ``space`` and ``needs``.
    n_bootstrap, n_permutations, level, seed
        Of the intervals and p-values.
    checks : Checks or None
        None: those of this package.

    Returns
    -------
    found : dict
        ``metrics`` and ``comparisons`` (lines as of evaluate), ``oracle`` (what a decoder of the
        category alone would score), ``verdict`` (subject -> level, reasons, tests), ``collapse``
        and ``attributable`` (lists of lines), ``not_computed`` (list of what and reason).

    Raises
    ------
    ValueError
        With fewer than two stimuli.
    """
    checks = checks or Checks()
    truths, rows, n_units = number_stimuli(stimulus_ids)
    few = [subject for subject, ids in truths.items() if len(ids) < 2]
    if few:
        raise ValueError(
            f"{few[0] or 'the predictions'}: one stimulus only; a score says how predictions tell "
            "stimuli apart, which takes at least 2"
        )
    draws = Draws.make(n_units, n_bootstrap, n_permutations, child_rng(seed, "draws"))
    panels = {subject: Panel.of(rows[subject], draws) for subject in predicted}
    verdicts, sizes = {}, {}
    for subject, conditions in predicted.items():
        place = stimuli.place(truths[subject])
        truth = {need: values[place] for need, values in stimuli.truth.items()}
        sizes[subject] = len(place)
        for name, said in conditions.items():
            scores = _scores(metrics, truth, said, rows[subject].own)
            verdicts[subject, name] = {k: judge(s, panels[subject]) for k, s in scores.items()}
    shared = set.intersection(*(set(conditions) for conditions in predicted.values()))
    pairs = [("model", other) for other in KINDS if other in shared - {"model"}]
    whole = lambda key: key[2] in (None, *sizes.values())
    how = {"level": level, "seed": seed}
    judged = differences(verdicts, pairs, panels, n_units, whole)
    found = {
        "metrics": metric_lines(pool_subjects(verdicts, n_units), KINDS, **how),
        "comparisons": comparison_lines(judged, **how) if pairs else [],
        "oracle": _oracle(stimuli, truths, metrics),
    }
    checked = _checked(checks, predicted, truths, rows, stimuli, (n_permutations, seed))
    lines, reason = _attributable(checks, verdicts, panels, level)
    not_computed = checked.pop("not_computed") + ([] if reason is None else [reason])
    return found | checked | {"attributable": lines, "not_computed": not_computed}


def by_stimulus(values, own):
    """Mean over the rows of each stimulus: (n_rows, dim) -> (n_stimuli, dim)."""
    means = np.zeros((own.max() + 1, values.shape[1]))
    np.add.at(means, own, values)
    return means / np.bincount(own)[:, None]


def _scores(metrics, truth, predicted, own):
    scores = {}
    for metric in metrics:
        if metric.needs in truth and metric.needs in predicted:
            asked = {"own": own} if getattr(metric, "paired", False) else {}
            for score in metric(truth[metric.needs], predicted[metric.needs], **asked):
                scores[metric.space, score.name, score.set_size] = score
    return scores


def _oracle(stimuli, truths, metrics):
    """What one-hot categories would score in embedding space, per subject."""
    if stimuli.categories is None:
        return []
    lines = []
    for subject, ids in truths.items():
        knows = {"pooled": category_oracle(stimuli.categories[stimuli.place(ids)])}
        for (space, name, size), score in _scores(
            metrics, knows, knows, np.arange(len(ids))
        ).items():
            value = float(getattr(np, score.summary)(np.diagonal(score.values)))
            about = {"subject": subject, "metric": name, "space": space, "set_size": size}
            lines.append(about | {"value": value, "chance": score.chance})
    return lines


def _checked(checks, predicted, truths, rows, stimuli, how):
    """Grade and collapse of each subject, from one row a stimulus."""
    found = {"verdict": {}, "collapse": [], "not_computed": []}
    if "pooled" not in stimuli.truth:
        reason = "pictures were given; it takes embeddings of them and of the stimuli"
        found["not_computed"] += [(what, reason) for what in ("verdict", "collapse", "retrieval")]
        return found
    said = {
        subject: by_stimulus(conditions["model"]["pooled"], rows[subject].own)
        for subject, conditions in predicted.items()
    }
    found["verdict"] = _graded(checks.grade, said, truths, stimuli, *how)
    if stimuli.train is not None:
        for subject, mine in said.items():
            truth = stimuli.truth["pooled"][stimuli.place(truths[subject])]
            about = {"subject": subject, "condition": "model"}
            found["collapse"].append(about | checks.collapse(mine, truth, stimuli.train))
    missing = {
        "verdict": not found["verdict"] and f"it takes at least {LEAST_GRADED} stimuli",
        "collapse": stimuli.train is None
        and "give train=, the true embeddings of the training stimuli",
    }
    found["not_computed"] += [(what, reason) for what, reason in missing.items() if reason]
    return found


def _graded(grade, said, truths, stimuli, n_permutations, seed):
    """Verdicts of subjects, and of all together where they saw the same stimuli."""
    graded, verdicts = dict(said), {}
    first = next(iter(truths.values()))
    if len(said) > 1 and all(np.array_equal(first, ids) for ids in truths.values()):
        graded = {ALL: np.stack(list(said.values()))} | said
    for subject, mine in graded.items():
        ids = truths.get(subject, first)
        if len(ids) >= LEAST_GRADED:
            place = stimuli.place(ids)
            known = (stimuli.truth["pooled"], stimuli.categories, stimuli.low_level)
            material = [None if values is None else values[place] for values in known]
            rng = child_rng(seed, "verdict", subject)
            found = grade(mine, *material, n_permutations=n_permutations, rng=rng)
            told = {name: getattr(found, name) for name in ("level", "reasons", "tests")}
            verdicts[subject] = told | {"tests": [_plain(test) for test in told["tests"]]}
    return verdicts


def _attributable(checks, verdicts, panels, level):
    """(model − prior) / (ceiling − prior) of every score that all three have."""
    what = "brain-attributable score"
    needed = ("model", "prior_only", "true_features")
    if not all((subject, name) in verdicts for subject in panels for name in needed):
        return [], (what, "give prior= and ceiling=")
    lines = []
    for subject, panel in panels.items():
        model, prior, ceiling = (verdicts[subject, name] for name in needed)
        for key in (k for k in model if k in prior and k in ceiling):
            three = [v[key].rows for v in (model, prior, ceiling)]
            if model[key].summary == "mean":
                value, draws = checks.attributable(*three, panel.counts, better=model[key].better)
                low, high = percentile_interval(draws, level)
                ends = {"value": float(value), "lo": float(low), "hi": float(high)}
                about = dict(zip(("space", "metric", "set_size"), key, strict=True))
                each = {n: float(v.mean()) for n, v in zip(needed, three, strict=True)}
                ceiling_value = {"ceiling": each.pop("true_features")}
                lines.append(
                    {
                        "subject": subject,
                        **about,
                        **ends,
                        "n": model[key].n,
                        **each,
                        **ceiling_value,
                    }
                )
    return lines, None


def _plain(test):
    return test if isinstance(test, dict) else asdict(test)


def pooled_subject(lines):
    """The subject whose lines stand for the study: ``all``, or the only one."""
    subjects = list(dict.fromkeys(line["subject"] for line in lines))
    return ALL if len(subjects) != 2 else next(s for s in subjects if s != ALL)
