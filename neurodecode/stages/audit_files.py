"""Audit files: everything that needs no brain, said of anybody's predictions.

Not a stage of a run: it reads a table of predictions and one of truths, and writes a page, tables
and figures.json beside them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurodecode.core.checks import dataclass_from
from neurodecode.core.errors import ConfigError
from neurodecode.core.ranges import Count, Level, Seed
from neurodecode.core.sealed import write_json
from neurodecode.core.views import as_json
from neurodecode.data.predictions import (
    check_same_rows,
    check_same_stimuli,
    examples,
    read_labels,
    read_predictions,
)

PAGE = "audit.html"


@dataclass(frozen=True)
class AuditFiles:
    """What `neurodecode audit` is given: files, and how sure to be; docs/audit.md explains each."""

    predictions: str
    truth: str
    categories: str | None = None
    category: str | None = None
    low_level: str | None = None
    train: str | None = None
    prior: str | None = None
    ceiling: str | None = None
    out: str = "audit"
    n_bootstrap: Count = 1000
    n_permutations: Count = 1000
    level: Level = 0.95
    seed: Seed = 0


def audit_files(checks=None, **options):
    """Audit predictions; write the page and the tables, return what is printed.

    Parameters
    ----------
    checks : rigour.battery.Checks or None
        None: those of this package.
    **options
        The fields of `AuditFiles`.

    Raises
    ------
    ConfigError, ValueError, FileNotFoundError
        For options and files that do not fit, with the number and examples of what is wrong.
    """
    from neurodecode.report.audited import audited_page
    from neurodecode.rigour.battery import judge_embeddings

    missing = [f"{name}=FILE" for name in ("predictions", "truth") if options.get(name) is None]
    if missing:
        raise ConfigError(f"an audit needs predictions=FILE and truth=FILE: give {missing[0]}")
    asked = dataclass_from(options, AuditFiles, "audit")
    predictions = read_predictions(asked.predictions, "predictions")
    truth = _truth(asked, predictions)
    predicted, stimuli = _material(asked, predictions, truth)
    ids = {s: predictions.stimulus_ids[predictions.subjects == s] for s in predicted}
    found = judge_embeddings(
        {_named(s): said for s, said in predicted.items()},
        {_named(s): own for s, own in ids.items()},
        stimuli,
        _metrics(predictions),
        asked.n_bootstrap,
        asked.n_permutations,
        asked.level,
        asked.seed,
        checks,
    )
    about = _about(asked, predictions, stimuli)
    out = Path(asked.out).expanduser()
    _write(out, found, about)
    (out / PAGE).write_text(audited_page(about, found), encoding="utf-8")
    return audit_text(about, found) + f"page: {out / PAGE}\n"


def audit_text(about, found):
    """Write what was found for a terminal."""
    from neurodecode.report.audited import said, score_rows, unlisted
    from neurodecode.rigour.battery import pooled_subject

    lines = [about["sentence"]]
    for subject, graded in found["verdict"].items():
        lines += [f"verdict{_of(subject)}: {graded['level']}"]
        lines += [f"    {reason}" for reason in graded["reasons"]]
    whole = found | {"metrics": _whole_sets(found["metrics"])}
    lines += ["", *_aligned(score_rows(whole, pooled_subject(found["metrics"]))), ""]
    compared = [said(line) for line in found["comparisons"] if _stands(line, found)]
    lines += [*compared, ""] if compared else []
    lines += [f"collapse{_of(c['subject'])}: {_collapse(c)}" for c in found["collapse"]]
    lines += [_attributable(line) for line in found["attributable"]]
    lines += [f"not computed: {what}: {reason}" for what, reason in unlisted(found)]
    return "\n".join(lines) + "\n"


def _whole_sets(lines):
    """Only scores among all candidates; metrics.tsv and the page have the smaller sets too."""
    size = lambda line: (line["set_size"] or 0, line["subject"], line["metric"])
    largest = {}
    for line in lines:
        largest[size(line)[1:]] = max(size(line)[0], largest.get(size(line)[1:], 0))
    return [line for line in lines if (line["set_size"] or 0) == largest[size(line)[1:]]]


def _truth(asked, predictions):
    truth = read_predictions(asked.truth, "truth")
    if (truth.values is None) != (predictions.values is None):
        kinds = {True: "pictures", False: "embeddings"}
        raise ValueError(
            f"{predictions.source} are {kinds[predictions.values is None]} and {truth.source} "
            f"{kinds[truth.values is None]}: give both as the same"
        )
    names, counts = np.unique(truth.stimulus_ids, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"{truth.source}: {(counts > 1).sum()} stimuli stand there more than once: "
            f"{examples(names[counts > 1])}; a stimulus has one truth"
        )
    check_same_stimuli(predictions, truth)
    if truth.values is not None:
        _check_dim(predictions, truth)
    return truth


def _check_dim(one, other):
    if one.values is None or one.values.shape[1] != other.values.shape[1]:
        of = "pictures" if one.values is None else f"{one.values.shape[1]} dimensions"
        raise ValueError(
            f"{one.source} has {of}, {other.source} {other.values.shape[1]} dimensions: they must "
            "be the same embedding"
        )


def _material(asked, predictions, truth):
    """Predictions by subject and condition, and what is known of the stimuli."""
    from neurodecode.rigour.battery import Stimuli

    conditions = {"model": (predictions, np.arange(len(predictions.row_ids)))}
    for name, option in (("prior_only", "prior"), ("true_features", "ceiling")):
        if getattr(asked, option) is not None:
            other = read_predictions(getattr(asked, option), option)
            if truth.values is not None:
                _check_dim(other, truth)
            conditions[name] = other, np.array(check_same_rows(other, predictions))
    size = _picture_size(predictions)
    need = "pictures" if truth.values is None else "pooled"
    predicted = {}
    for subject in dict.fromkeys(predictions.subjects):
        mine = np.flatnonzero(predictions.subjects == subject)
        predicted[subject] = {
            name: {need: _values(source, order[mine], size)}
            for name, (source, order) in conditions.items()
        }
    ids = truth.stimulus_ids
    stimuli = Stimuli(
        ids,
        {need: _values(truth, np.arange(len(ids)), size)},
        _categories(asked, truth),
        _low_level(asked, ids),
        _train(asked, truth),
    )
    return predicted, stimuli


def _picture_size(predictions):
    """Height and width of the first predicted picture: the size at which all are scored."""
    if predictions.values is not None:
        return None
    from neurodecode.data.stimuli import picture_size

    width, height = picture_size(predictions.files[0])
    return height, width


def _values(source, rows, size):
    if source.values is not None:
        return source.values[rows]
    from neurodecode.data.stimuli import load_pictures

    return load_pictures("", [source.files[row] for row in rows], size)


def _categories(asked, truth):
    """The category of each stimulus, from its own file or a text column of the truth."""
    if asked.categories is not None:
        labels = read_labels(asked.categories, "categories", asked.category)
        return _in_order(labels, truth.stimulus_ids, f"categories={asked.categories}")
    if asked.category is None:
        return None
    known = [] if truth.columns is None else list(truth.columns)
    if asked.category not in known:
        raise ConfigError(
            f"audit.category={asked.category}: {truth.source} has no such column of text "
            f"({', '.join(known) or 'it has none'}); name a file that has it by categories="
        )
    return truth.columns[asked.category].to_numpy(str)


def _in_order(known, ids, source):
    lacking = [stimulus for stimulus in ids if stimulus not in known]
    if lacking:
        raise ValueError(f"{source} lacks {len(lacking)} stimuli: {examples(lacking)}")
    return np.array([known[stimulus] for stimulus in ids])


def _low_level(asked, ids):
    """Low-level features of the stimuli: a table of them, or computed of a folder of pictures."""
    if asked.low_level is None:
        return None
    found = read_predictions(asked.low_level, "low_level")
    known = dict(zip(found.stimulus_ids, range(len(found.stimulus_ids)), strict=True))
    rows = _in_order(known, ids, found.source)
    if found.values is not None:
        return found.values[rows]
    from neurodecode.core.build import locate

    features = locate("neurodecode.metrics.low_level.low_level_features", found.source)
    return features(_values(found, rows, (64, 64)))


def _train(asked, truth):
    if asked.train is None:
        return None
    found = read_predictions(asked.train, "train")
    if truth.values is None:
        raise ConfigError("audit.train: embeddings of training stimuli say nothing of pictures")
    _check_dim(found, truth)
    both = set(found.stimulus_ids) & set(truth.stimulus_ids)
    if both:
        raise ValueError(
            f"{found.source}: {len(both)} training stimuli are tested as well: {examples(both)}; "
            "scores of stimuli that were trained on mean nothing"
        )
    return found.values


def _metrics(predictions):
    from neurodecode.metrics.identification import TwoWay
    from neurodecode.metrics.pixel import SSIM, PixCorr
    from neurodecode.metrics.retrieval import Retrieval

    return [PixCorr(), SSIM()] if predictions.values is None else [Retrieval(), TwoWay()]


def _named(subject):
    return subject or "predictions"


def _about(asked, predictions, stimuli):
    n_rows, n = len(predictions.row_ids), len(stimuli.ids)
    subjects = [s for s in dict.fromkeys(predictions.subjects) if s]
    of = f" of {len(subjects)} subjects" if subjects else ""
    values = next(iter(stimuli.truth.values()))
    what = "pictures" if predictions.values is None else f"{values.shape[1]} dimensions"
    return {
        "sentence": f"audit of {asked.predictions}: {n_rows} rows{of}, {n} stimuli, {what}",
        "predictions": asked.predictions,
        "level": asked.level,
        "n_stimuli": n,
        "options": {k: v for k, v in vars(asked).items() if k != "out"},
        "categories": None if stimuli.categories is None else len(set(stimuli.categories)),
    }


def _write(out, found, about):
    """figures.json with everything, and a table for each kind of line."""
    import pandas as pd

    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "figures.json", as_json(found | {"about": about}))
    for name in ("metrics", "comparisons", "collapse", "attributable"):
        if found[name]:
            table = pd.DataFrame(found[name])
            if "set_size" in table:
                table = table.astype({"set_size": "Int64"})
            table.to_csv(
                out / f"{name}.tsv", sep="\t", index=False, lineterminator="\n", na_rep="n/a"
            )


def _stands(line, found):
    from neurodecode.rigour.battery import pooled_subject

    return line["subject"] == pooled_subject(found["metrics"])


def _of(subject):
    return "" if subject == _named("") else f" of {subject}"


def _collapse(found):
    state = "predictions have collapsed" if found["collapsed"] else "no collapse"
    return (
        f"{state}: effective rank {found['rank_predicted']:.1f} (truth {found['rank_truth']:.1f}), "
        f"out of the training span {found['out_of_span_predicted']:.3f} of their energy (truth "
        f"{found['out_of_span_truth']:.3f})"
    )


def _attributable(line):
    of = "" if line["set_size"] is None else f" of {line['set_size']}"
    return (
        f"brain-attributable{_of(line['subject'])}, {line['metric']}{of}: {line['value']:.3f} "
        f"[{line['lo']:.3f}, {line['hi']:.3f}]"
    )


def _aligned(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
