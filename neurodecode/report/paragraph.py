"""A methods paragraph and its references, made from what ran: ready to paste."""

import json
import re

from neurodecode.report.artifacts import SCORING, document, scored, subjects, table
from neurodecode.report.page import TEMPLATES, render
from neurodecode.report.score_card import averaging, openings, provenance, selection
from neurodecode.report.words import condition_label, metric_label, number

PHRASES = {  # what a `_target_` is called in a sentence; others go by their own name
    "lsa": "a general linear model with one regressor per trial (least squares, all)",
    "lss": "a general linear model per trial (least squares, separate)",
    "SingleTrials": "single-trial responses",
    "Epochs": "epochs around the onsets",
    "EpochsFiles": "epochs that were made before",
    "Ready": "responses that were estimated before",
    "Identity": "by anatomy alone, without a map between subjects",
    "Procrustes": "by Procrustes maps between subjects",
    "Ridge": "by ridge maps between subjects",
    "Standard": "standardised",
    "Robust": "scaled robustly",
    "Whiten": "whitened by the noise of repeats",
    "ResidualMLP": "a residual multi-layer perceptron",
    "ConvEncoder": "a convolutional network over time",
    "MindEye1": "MindEye's network",
    "OpenClipTarget": "CLIP",
    "StimulusSplit": "by stimulus",
    "MindEyeLoss": "MindEye's contrastive loss",
    "InfoNCE": "the InfoNCE loss",
}
OPTIONS = {  # settings of preprocessing that a paragraph must name, with their unit
    "high_pass_hz": "high-pass {} Hz",
    "low_pass_hz": "low-pass {} Hz",
    "notch_hz": "notch {} Hz",
    "sfreq_hz": "resampled to {} Hz",
    "hrf": "haemodynamic response {}",
    "confounds": "confounds {}",
    "smoothing_fwhm_mm": "smoothed by {} mm",
    "standardise": "in units of {}",
    "tmin_s": "from {} s",
    "tmax_s": "to {} s",
    "reference": "referenced to {}",
}
NAMED = ("neurodecode", "python", "torch", "numpy", "mne", "nilearn")  # versions that are told
# (what must stand in the configuration or the names of what was made, key in references.bib)
CITED = (
    (r"_target_.*nibabel|\.nii|SingleTrials|space/mask", "abraham2014"),
    (r"\bmne\b|Epochs", "gramfort2013"),
    (r"OpenClipTarget", "radford2021"),
    (r"OpenClipTarget", "cherti2023"),
    (r"stage:train|TextRidge|RidgeAligner", "dupre2022"),
    (r"stage:train|torch", "paszke2019"),
    (r"Procrustes", "haxby2011"),
    (r"MindEyeLoss|MindEye1", "scotti2023"),
    (r"InfoNCE", "oord2018"),
    (r"metric:ssim", "wang2004"),
    (r"metric:meteor", "banerjee2005"),
    (r"metric:two_way", "shirakawa2025"),
    (r"stage:audit", "mayo2024"),
    (r"audit:collapse", "otsuka2025"),
    (r"audit:conformal", "angelopoulos2023"),
    (r"column:p_max", "nichols2002"),
    (r"column:q\b", "benjamini1995"),
    (r"Logistic|SVM|LDA|sklearn", "pedregosa2011"),
    (r".", "harris2020"),
    (r".", "virtanen2020"),
)


def citation(study):
    """The paragraph and the BibTeX entries, each with a button that copies it."""
    made = list(provenance(study.inputs))
    return render(
        "citation.html.j2",
        facts=study.facts,
        paragraph=paragraph(study, made),
        bibtex=bibtex(study, made),
    )


def paragraph(study, made):
    """Methods in plain text: data, preprocessing, split, decoder, scores, statistics, versions.

    Parameters
    ----------
    study : Study
    made : list of dict
        Of :func:`neurodecode.report.score_card.provenance`.
    """
    configs = {p["stage"]: p["config"] for p in made}
    parts = [
        _data(study),
        _responses(configs),
        _split(study, configs),
        _decoder(study, configs),
        _rows(study, made),
        _statistics(study, configs),
        _software(made),
    ]
    return " ".join(part for part in parts if part)


def bibtex(study, made):
    """BibTeX entries of the data set, this software, and the methods and libraries that ran."""
    told = _told(study, made)
    entries = _entries()
    keys = dict.fromkeys(key for pattern, key in CITED if re.search(pattern, told))
    own = [_data_set_entry(study), entries["neurodecode"].replace("VERSION", _version(made))]
    return "\n\n".join([entry for entry in own if entry] + [entries[key] for key in keys])


def _data(study):
    trials = table(study.inputs, "index", "trials.tsv")
    title = f"{study.title}".rstrip(".")
    who = len(subjects(study.inputs))
    cite = f" ({study.facts['citation']})" if study.facts.get("citation") else ""
    start = f"Data: {title}{cite.rstrip('.')}; {_count(who, 'subject')}"
    if trials is None:
        return f"{start}."
    n = f"{len(trials):,} trials of {trials['stimulus_id'].nunique():,} stimuli"
    modality = f", {study.facts['modality']}" if study.facts.get("modality") else ""
    return f"{start}{modality}, {n}."


def _responses(configs):
    """How responses were made, and how channels were scaled and brought into one space."""
    method, aligned = configs.get("preprocess", {}).get("method"), configs.get("align")
    parts = []
    if method:
        found = {k: method[k] for k in OPTIONS if method.get(k) not in (None, [], "", False)}
        settings = ", ".join(OPTIONS[k].format(_value(v)) for k, v in found.items())
        how = _called(method)
        if isinstance(method.get("estimator"), dict):
            how += f" were estimated by {_called(method['estimator'])}"
        parts.append(f"Responses: {how}{f' ({settings})' if settings else ''}.")
    if aligned:
        scaled = f"were {_called(aligned['scaling'])} and" if aligned.get("scaling") else "were"
        parts.append(
            f"Channels {scaled} brought into one space {_called(aligned['aligner'])}; "
            "all of it was fitted on training trials only."
        )
    return " ".join(parts)


def _split(study, configs):
    split = document(study.inputs, "split", "split.json")
    if not split:
        return ""
    rule = split.get("rule") or configs.get("split", {}).get("rule") or {}
    sides = next(iter(split.get("counts", {}).values()), {})
    counts = ", ".join(f"{n['stimuli']:,} {side}" for side, n in sides.items())
    leaks = document(study.inputs, "split", "leaks.json") or {}
    checked = ""
    if leaks.get("checked"):
        n = len(leaks.get("findings") or [])
        checked = f" A check for leaks ({', '.join(leaks['checked'])}) found "
        checked += "none." if not n else f"{_count(n, 'kind')} of them."
        if leaks.get("allowed"):
            checked += f" Leaks were allowed: {', '.join(leaks['allowed'])}."
    how = _called(rule) if isinstance(rule, dict) and "_target_" in rule else _value(rule)
    return (
        f"Trials were split {how} into training, validation and test stimuli "
        f"({counts}; hash {str(split.get('hash', ''))[:12]}).{checked}"
    )


def _decoder(study, configs):
    train = configs.get("train")
    if not train:
        return _of_folds(configs)
    target = _called(configs.get("embed", {}).get("target") or {})
    parts = [f"The decoder is {_called(train['model'])}"] if train.get("model") else ["The decoder"]
    parts.append(f"trained towards {target or 'the target'} embeddings of the pictures")
    if train.get("loss"):
        parts.append(f"by {_called(train['loss'])}")
    text = " ".join(parts) + "; the baseline is ridge regression from the same responses."
    if (document(study.inputs, "train", "config.json") or {}).get("stacked"):
        text += (
            " What the prior is told was said by the decoder and by ridge together, weighted on "
        )
        text += "validation trials."
    chosen = selection(study.inputs)
    if configs.get("reconstruct") and chosen:
        text += f" Of several reconstructions one was chosen by: {_value(chosen.get('policy', ''))}"
        text += ", without the true picture." if not _uses_truth(chosen) else "."
    return text


def _of_folds(configs):
    """How a stage that trains and scores by fold does it."""
    if configs.get("crossvalidate"):
        return "Decoders were trained and tested by leaving one run out."
    how = configs.get("classify")
    if not how:
        return ""
    held = {"run": "runs", "stimulus": "stimuli", "subject": "subjects"}[how["folds"]]
    text = f"Trials were classified by {_called(how['classifier'])}, with whole {held} held out in "
    text += f"turn ({how['n_folds']} folds); the baseline is logistic regression."
    if how.get("window_s"):
        text += f" Trials were cut into windows of {number(how['window_s'])} s, kept in one fold "
        text += "and averaged into one answer."
    return text


def _rows(study, made):
    metrics = scored(study.inputs, "metrics.tsv")
    if metrics is None:
        return ""
    names = list(dict.fromkeys(map(metric_label, metrics["metric"])))
    kinds = metrics.drop_duplicates("condition")
    controls = kinds.loc[kinds["kind"].isin(["control", "reference"]), "condition"]
    text = f"Scores: {'; '.join(names)}."
    if len(controls):
        text += f" Controls: {', '.join(map(condition_label, controls))}."
    if (kinds["kind"] == "ceiling").any():
        text += " Ceiling: the true features through the same generator."
    repeats = averaging(study.inputs)
    if repeats:
        most = max(int(k) for one in repeats.values() for k in one["repeats_averaged"])
        text += f" Up to {_count(most, 'repeat')} of a test stimulus were averaged."
    opened = openings(made)
    if opened:
        each = ", ".join(f"{stage} {n}" for stage, n in opened.items())
        text += f" Test trials were opened {sum(opened.values())} times ({each})."
    return text


def _statistics(study, configs):
    how = next((configs[stage] for stage in SCORING if stage in configs), None)
    metrics = scored(study.inputs, "metrics.tsv")
    if not how or metrics is None:
        return ""
    draws, shuffles = how.get("n_bootstrap"), how.get("n_permutations")
    text = (
        f"Intervals are {100 * how.get('level', 0.95):g} % bootstrap intervals "
        f"({number(draws)} draws); p-values are from {number(shuffles)} permutations"
    )
    corrected = [w for c, w in (("p_max", "by the maximum statistic over all scores of a subject"),
                                ("q", "by the false discovery rate")) if c in metrics]  # fmt: skip
    text += f", corrected {' and '.join(corrected)}" if corrected else ""
    n = len(subjects(study.inputs))
    whom = study.whom(n)
    return f"{text}. Ties count half.{f' Conclusions are about {whom}.' if whom else ''}"


def _software(made):
    versions = made[-1]["versions"] if made else {}
    named = [k for k in NAMED if k in versions]
    return f"Software: {', '.join(f'{k} {versions[k]}' for k in named)}." if named else ""


def _called(node):
    """A `_target_` as a sentence says it."""
    name = str(node.get("_target_", "")).rpartition(".")[2]
    return PHRASES.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


def _value(value):
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, dict):
        return ", ".join(f"{str(k).replace('_', ' ')} {_value(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _count(n, word):
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _uses_truth(chosen):
    return bool(chosen.get("uses_truth") or chosen.get("uses_true_picture"))


def _told(study, made):
    """Everything that a reference may hang on, as one text."""
    metrics = scored(study.inputs, "metrics.tsv")
    lines = [f"stage:{p['stage']} {json.dumps(p['config'], default=str)}" for p in made]
    lines += [f"stage:{s}" for s in ("audit",) if study.inputs.has(s)]
    for name in ("collapse", "conformal"):
        if table(study.inputs, "audit", f"{name}.tsv") is not None:
            lines.append(f"audit:{name}")
    if metrics is not None:
        lines += [f"metric:{m}" for m in metrics["metric"].unique()]
        lines += [f"column:{c}" for c in metrics.columns]
    return "\n".join(lines)


def _entries():
    text = (TEMPLATES / "references.bib").read_text(encoding="utf-8")
    found = re.split(r"\n\s*\n", text.strip())
    return {re.match(r"@\w+\{([^,]+),", entry).group(1): entry for entry in found}


def _version(made):
    return made[-1]["versions"].get("neurodecode", "") if made else ""


def _data_set_entry(study):
    """The data set's own entry, from the facts of its recipe."""
    facts = study.facts
    if not facts.get("citation"):
        return ""
    year = re.search(r"\b(19|20)\d\d\b", facts["citation"])
    fields = {
        "author": " and ".join(facts.get("authors") or []),
        "title": f"{{{facts.get('title', study.title)}}}",
        "year": year.group() if year else "",
        "doi": facts.get("doi") or "",
        "note": " ".join(facts["citation"].split()),
    }
    lines = [f"  {k} = {{{v}}}" for k, v in fields.items() if v]
    return "@misc{dataset,\n" + ",\n".join(lines) + "\n}"
