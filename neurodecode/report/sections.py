"""The sections of the report, in reader's order; each draws itself, or nothing."""

from neurodecode.report import gallery
from neurodecode.report.artifacts import (
    ALL,
    conditions,
    coverage,
    document,
    first_member,
    scored,
    subjects,
    table,
    unit,
)
from neurodecode.report.figures import learning_curve, scores
from neurodecode.report.headline import with_wins
from neurodecode.report.page import Section, render
from neurodecode.report.pictures import data_uri, fitting
from neurodecode.report.published import as_published
from neurodecode.report.tables import (
    comparison_table,
    every_number,
    legend,
    panes,
    plain_table,
    score_table,
)
from neurodecode.report.words import (
    condition_colours,
    is_compat,
    metric_label,
    metric_words,
    metrics_label,
    reason_words,
)

GLANCE = 6  # metrics shown at a glance
GLANCED = ("retrieval", "pixels", "perceptual", "attributes", "captions", "brain")  # first of all
QUALITY = {  # figures of qc.json, and what they are called
    "subject": "subject",
    "n_channels": "{channels}",
    "n_constant_channels": "constant {channels}",
    "n_trials": "trials",
    "n_runs": "runs",
    "repeat_correlation": "repeat correlation",
    "ncsnr": "noise-ceiling SNR",
    "n_repeated": "repeated stimuli",
    "fit_rows": "measured on",
    "tsnr": "tSNR",
    "n_scrubbed_volumes": "scrubbed volumes",
    "share_bad_channels": "share of bad {channels}",
    "line_noise_db": "line noise (dB)",
    "peak_to_peak_eeg": "EEG, peak to peak (µV)",
    "peak_to_peak_mag": "magnetometers, peak to peak (fT)",
    "peak_to_peak_grad": "gradiometers, peak to peak (fT/cm)",
    "components_removed": "components removed a run",
    "moved_mm": "moved (mm a volume)",
}
GALLERY_BYTES = 7_000_000  # of the page, for the pictures of the section
CURVES = 9  # learning curves shown
LOSS = {"total": "loss", "top1": "top 1"}


def at_a_glance(study):
    """Few metrics, all subjects, all conditions: the result in one look."""
    metrics = scored(study.inputs, "metrics.tsv")
    if metrics is None or not len(metrics):
        return None
    palette, panels = colours(study.inputs), []
    for metric, size in _glance_metrics(study.inputs, metrics):
        rows = metrics[(metrics["metric"] == metric) & (metrics["set_size"].fillna(-1) == size)]
        label = metric_label(metric, size if size >= 0 else None)
        kept = study.figure(f"scores_{metric}", scores(rows, panes(rows), palette))
        panels.append(kept | {"title": label, "meaning": metric_words(metric)[2]})
    keys = legend(palette)
    return render("glance.html.j2", panels=panels, legend=keys, **_counted(study))


def pictures(study):
    """The gallery drawn by a fixed seed, then the best, median and worst by a named metric."""
    if not study.inputs.has("reconstruct"):
        return None
    hidden = bool(study.hidden)
    made = {s: gallery.Reconstructions(study.inputs, s, hidden) for s in subjects(study.inputs)}
    encode = _encoder(made, study.n_gallery)
    for one in made.values():
        one.encode = encode
    stimuli = table(study.inputs, "index", "stimuli.tsv")
    originals = gallery.Originals(stimuli, study.read_picture, encode)
    return render(
        "gallery.html.j2",
        drawn=_drawn(study, made, originals),
        ranked=_ranked(study, made, originals),
        seed=_gallery_seed(study),
    )


def score_section(study):
    """Scores per subject, metric and condition, with intervals, chance and n."""
    metrics = scored(study.inputs, "metrics.tsv")
    if metrics is None or not len(metrics):
        return None
    tabs = [
        {"name": s, "table": score_table(metrics, s, colours(study.inputs))} for s in panes(metrics)
    ]
    heads, rows = every_number(metrics)
    missing = table(study.inputs, "evaluate", "not_computed.tsv")
    missing = [] if missing is None else list(missing.itertuples())
    return render(
        "scores.html.j2",
        name="scores",
        tabs=tabs,
        heads=heads,
        rows=rows,
        missing=[(metrics_label(r.metric.split(", ")), reason_words(r.reason)) for r in missing],
        corrected="p_max" in metrics,
        compat=any(map(is_compat, metrics["metric"])),
        files=[study.table("metrics", metrics)],
        **_counted(study),
    )


def comparison_section(study):
    """Paired differences between the decoder and every other row."""
    compared = scored(study.inputs, "comparisons.tsv")
    if compared is None or not len(compared):
        return None
    metrics = scored(study.inputs, "metrics.tsv")
    compared, palette = with_wins(compared, metrics), colours(study.inputs)
    tabs = [
        {"name": s, "table": comparison_table(compared, metrics, s, palette)}
        for s in panes(compared)
    ]
    files = [study.table("comparisons", compared)]
    about = {"unit": unit(study.inputs), "files": files}
    return render("comparisons.html.j2", name="comparisons", tabs=tabs, **about)


def training(study):
    """Learning curves."""
    history = table(study.inputs, "train", "history.tsv")
    if history is None or not len(history):
        return None
    panels = []
    for (phase, name), rows in history.groupby(["phase", "name"], sort=False):
        if len(panels) < CURVES and (name == "total" or "val" in set(rows["split"])):
            title = f"{phase}: {_curve(study, phase, name)}".replace("_", " ")
            kept = study.figure(f"training_{phase}_{name}", learning_curve(rows))
            panels.append(kept | {"alt": f"{title} by epoch", "title": title})
    text = "By epoch, on training and validation trials. Test trials play no part here."
    return render("figure.html.j2", figures=panels, text=text, layout="panels")


def _curve(study, phase, name):
    """What a learning curve shows; a score selects the epoch, or is only looked at."""
    if name != "score":
        return LOSS.get(name, name)
    plan = study.inputs.manifest("train")["config"].get(f"{phase}_training") or {}
    return "score that selects" if plan.get("select") == "best" else "validation score"


def quality(study):
    """Data quality per subject."""
    import pandas as pd

    found = {s: document(study.inputs, "preprocess", "qc.json", s) for s in subjects(study.inputs)}
    flat = [{"subject": s} | _flat(qc) for s, qc in found.items() if qc]
    if not flat:
        return None
    words = {row.pop("channels", "voxels") for row in flat}
    channels = words.pop() if len(words) == 1 else "channels"
    frame = pd.DataFrame(flat).dropna(axis=1, how="all")
    named = {key: text.format(channels=channels) for key, text in QUALITY.items()}
    others = {c: c for c in frame.columns if c not in QUALITY}
    heads, rows = plain_table(frame, named | others)
    text = (
        f"Repeat correlation: of single responses to the same stimulus, averaged over {channels}."
    )
    if "tsnr" in frame:
        text += f" tSNR: median over {channels} of mean over standard deviation in time."
    files = [study.table("quality", frame)]
    return render("table.html.j2", heads=heads, rows=rows, text=text, files=files)


def alignment(study):
    """What the maps between subjects gain on held-out trials."""
    scores = table(study.inputs, "align", "alignment.tsv")
    if scores is None or not len(scores):
        return None
    heads, rows = plain_table(scores)
    text = (
        "Subject maps are fitted on training trials and scored on validation trials; "
        "the gain is over no map at all (identity)."
    )
    files = [study.table("alignment", scores)]
    return render("table.html.j2", heads=heads, rows=rows, text=text, files=files)


def _counted(study):
    return {"unit": unit(study.inputs), "coverage": coverage(study.inputs)}


def colours(inputs):
    """One colour per condition, the same in every figure and table."""
    return condition_colours([c["name"] for c in conditions(inputs)])


def _glance_metrics(inputs, metrics):
    """One metric of each family, a compared one if there is one, each at its largest set."""
    compared = scored(inputs, "comparisons.tsv")
    names = [] if compared is None else list(compared["metric"].unique())
    names += list(metrics["metric"].unique())
    first = {}
    for name in names:
        first.setdefault(metric_words(name)[1], name)
    names = [first.pop(family) for family in GLANCED if family in first]
    names += [name for family, name in first.items() if family != "rank"]
    sizes = metrics["set_size"].fillna(-1).groupby(metrics["metric"]).max()
    return [(name, sizes[name]) for name in names[:GLANCE]]


def _drawn(study, made, originals):
    """Tabs of the gallery by fixed seed: each subject, then all side by side."""
    tabs, stimuli = [], []
    for subject, one in made.items():
        rows = one.drawn_rows(study.n_gallery, study.seed)
        stimuli.append([one.stimulus(r) for r in rows])
        blocks = gallery.subject_blocks(one, originals, rows)
        tabs.append({"name": subject, "blocks": blocks, "n": len(rows), "of": len(one.rows)})
    shared = [s for s in stimuli[0] if all(s in other for other in stimuli[1:])]
    if len(made) > 1 and shared:
        blocks = gallery.pooled_blocks(made, originals, shared)
        of = len(next(iter(made.values())).rows)
        tabs.append({"name": ALL, "blocks": blocks, "n": len(shared), "of": of})
    return tabs


def _encoder(made, n_gallery):
    """How pictures are written: lossless or large where few are shown, smaller where many are."""
    from functools import partial

    n_lines = sum(len(one.conditions) + 2 + one.most_samples for one in made.values())
    n = (n_gallery + 2 * gallery.BEST_AND_WORST) * n_lines
    some = [
        one.picture("model", place) for one in made.values() for place in range(one.n_pictures)[:10]
    ]
    lossless = [len(data_uri(picture)) for picture in some]
    if sum(lossless) / len(lossless) * n <= GALLERY_BYTES:
        return data_uri
    return partial(data_uri, size=fitting(some, n, GALLERY_BYTES))


def _gallery_seed(study):
    """The seed that drew the gallery: predict's, which gave these rows more samples."""
    config = study.inputs.manifest("predict", each=first_member(study.inputs, "predict"))["config"]
    return config.get("seed", study.seed)


def _ranked(study, made, originals):
    """Tabs of the best, median and worst reconstructions of each subject."""
    scores = table(study.inputs, "evaluate", "per_trial.parquet")
    if scores is None:
        return None
    scores = scores[scores["condition"] == "model"]
    metric = gallery.rank_metric(scores, study.rank_metric)
    scores = scores[scores["metric"] == metric]
    better = scored(study.inputs, "metrics.tsv").set_index("metric")["better"].loc[[metric]].iloc[0]
    tabs = []
    for subject, one in made.items():
        mine = scores[scores["subject"] == subject].groupby("row_id", sort=False)["value"].mean()
        picked = gallery.extremes(mine, better=better)
        rows, heads = [row for _, row, _ in picked], gallery.extreme_heads(picked)
        blocks = gallery.subject_blocks(one, originals, rows, heads, brief=True)
        tabs.append({"name": subject, "blocks": blocks})
    return {"metric": metric_label(metric), "meaning": metric_words(metric)[2], "tabs": tabs}


def _flat(document, prefix=""):
    """Scalars of a JSON document, nested names joined; lists are left to the file itself."""
    out = {}
    for key, value in document.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{prefix}{key} ")
        elif not isinstance(value, list):
            out[f"{prefix}{key}"] = value
    return out


def sections():
    """Every section there can be, in reader's order."""
    from neurodecode.report.ablation import ablation
    from neurodecode.report.category import blocks as category_blocks
    from neurodecode.report.category import confusions
    from neurodecode.report.classified import classes, leaky
    from neurodecode.report.consistency import how_sure
    from neurodecode.report.limits import brain_share, ceilings, recovery, sets
    from neurodecode.report.methods import glossary, methods, reader
    from neurodecode.report.paragraph import citation
    from neurodecode.report.time_course import time_course
    from neurodecode.report.trials import trials
    from neurodecode.report.where import brain

    return [
        Section("Glance", "Scores at a glance", at_a_glance),
        Section("Pictures", "What was seen, what was read", pictures),
        Section("Trials", "Every test picture", trials),
        Section("Blocks", "What was seen, what was read", category_blocks),
        Section("Confusions", "Confusions", confusions),
        Section("Classes", "Which class, by which protocol", classes),
        Section("Leaks", "Published protocol, not evidence", leaky),
        Section("Scores", "Scores", score_section),
        Section("Comparisons", "Paired comparisons", comparison_section),
        Section("Stability", "How sure, how stable", how_sure),
        Section("Low level", "What the low-level picture adds", ablation),
        Section("Brain share", "What of the score is owed to the brain", brain_share),
        Section("Recovery", "Which dimensions are recovered", recovery),
        Section("Sets", "Candidate sets, and when to abstain", sets),
        Section("Ceilings", "What can be reached", ceilings),
        Section("Reader", "The attribute reader", reader),
        Section("Time course", "When the brain tells which picture was seen", time_course),
        Section("Brain", "Where the signal lies", brain),
        Section("Quality", "Data quality", quality),
        Section("Alignment", "Alignment of subjects", alignment),
        Section("Training", "Training", training),
        Section("As published", "The published decoder", as_published),
        Section("Citation", "Methods and citations to paste", citation),
        Section("What ran", "What ran", methods),
        Section("Words", "Words", glossary),
    ]
