"""Report: one self-contained page with the verdict, the pictures, every score, and what ran."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from neurodecode.core.ranges import Count, Seed
from neurodecode.core.stage import stage


@dataclass(frozen=True)
class ReportConfig:
    """What is drawn; no number is computed here."""

    title: str | None = None
    headline_metric: str | None = None
    rank_metric: str | None = None
    n_gallery: Count = 20
    figures: tuple[Literal["png", "svg", "pdf"], ...] = ("png", "svg")
    seed: Seed = 0
    share: bool = False
    published: dict | None = None
    root: str = field(default="", metadata={"keyed": False})


# Of the simulated study only the pictures are drawn, and index's stimuli.tsv holds their digests.
SIMULATED = "?simulate:bids/dataset_description.json"
READS = (
    "index",
    SIMULATED,
    "?embed",
    "?split:*.json",
    "?preprocess:qc.json",
    "?align",
    "?train",
    "?predict",
    "?reconstruct",
    "?crossvalidate",
    "?classify",
    "?evaluate",
    "?audit",
    "?timecourse",
)


def example_pictures(config):
    """The pictures that stand for categories: the first of each folder in ``stimuli/``."""
    stimuli = Path(config.root).expanduser() / "stimuli"
    if not (config.root and stimuli.is_dir()):
        return []
    folders = sorted(path for path in stimuli.iterdir() if path.is_dir())
    return [found[0] for found in map(_pictures, folders) if found]


def _pictures(folder):
    return sorted(folder.glob("*.[pj][np]g"))


@stage("report", config=ReportConfig, inputs=READS, external=example_pictures)
def run(config, inputs, out):
    """Draw report.html, its figures and tables, and score_card.json."""
    from neurodecode.metrics.consistency import spread_map
    from neurodecode.report.artifacts import Remembered
    from neurodecode.report.headline import headline
    from neurodecode.report.page import Study, page
    from neurodecode.report.score_card import score_card
    from neurodecode.report.sections import sections
    from neurodecode.report.share import Shared, withheld
    from neurodecode.report.verdict import verdict as reached

    facts = _facts(inputs)
    title = config.title or facts.get("title") or _recipe(inputs).get("name") or "study"
    hidden = withheld(facts) if config.share else ""
    whole, inputs = inputs, Remembered(Shared(inputs) if config.share else inputs)
    study = Study(
        inputs=inputs,
        title=title,
        facts=facts,
        read_picture=lambda path: None if hidden else _picture(config, whole, path),
        ridge_weights=lambda subject: _ridge_weights(inputs, subject),
        retrieved=lambda subject: _retrieved(inputs, subject),
        spread=spread_map,
        whom=_whom,
        example=lambda category: None if hidden else _example(config, category, facts),
        space=str((_recipe(inputs).get("bold_entities") or {}).get("space", "")),
        published=config.published,
        shared=config.share,
        hidden=hidden,
        formats=config.figures,
        headline_metric=config.headline_metric or "",
        rank_metric=config.rank_metric or "",
        n_gallery=config.n_gallery,
        seed=config.seed,
    )
    verdict = headline(inputs, study.headline_metric)
    html = page(study, sections(), verdict)
    out.path("report.html").write_text(html, encoding="utf-8")
    out.save_json("score_card.json", score_card(inputs, title) | {"headline": verdict})
    for name, file in study.figures.items():
        out.path(f"figures/{name}").write_bytes(file)
    for name, text in study.tables.items():
        out.path(f"tables/{name}").write_text(text, encoding="utf-8")
    level = reached(inputs)
    if level:
        out.log(f"{level['title']}: {level['level']}. {level['meaning']}")
    if verdict:
        out.log(verdict["sentence"])


def _recipe(inputs):
    return inputs.manifest("index")["config"].get("recipe", {})


def _facts(inputs):
    from neurodecode.data.recipe import facts

    name = _recipe(inputs).get("facts")
    return facts(name) if name else {}


def _picture(config, inputs, path):
    """Read a stimulus by its path in the study; None where it is a sound, or is not there."""
    from neurodecode.data.sounds import is_sound
    from neurodecode.report.pictures import read_picture

    if is_sound(path):
        return None
    if config.root:
        file = Path(config.root).expanduser() / path
        return read_picture(file) if file.is_file() else None
    return read_picture(inputs.path("simulate", f"bids/{path}"))


def _example(config, category, facts):
    """A picture from ``stimuli/<category>/`` or the folder that the facts name, or None."""
    from neurodecode.report.pictures import read_picture

    names = (category, str(facts.get("categories", {}).get(category, category)))
    folders = [Path(config.root).expanduser() / "stimuli" / name for name in names]
    files = [found[0] for found in map(_pictures, folders) if found]
    return read_picture(files[0]) if files else None


def _retrieved(inputs, subject, n_nearest=5):
    """Of each test row, the rank of its own picture among the test pictures, and the nearest.

    Returns
    -------
    found : dict or None
        Row id -> {rank (1 is best, ties count half), of, nearest (stimulus ids)}.
    """
    import numpy as np

    from neurodecode.metrics.score import cosine, count_rivals
    from neurodecode.report.artifacts import array, table

    predicted = array(inputs, "predict", "model/pooled.npy", subject)
    embedded = array(inputs, "embed", "pooled.npy")
    if predicted is None or embedded is None:
        return None
    place = {s: i for i, s in enumerate(table(inputs, "embed", "stimuli.tsv")["stimulus_id"])}
    rows = table(inputs, "predict", "rows.tsv", subject)
    candidates = list(dict.fromkeys(rows["stimulus_id"]))
    similarity = cosine(embedded[[place[s] for s in candidates]], predicted)
    above, tied = count_rivals(similarity, axis=0)
    own = {s: i for i, s in enumerate(candidates)}
    found = {}
    for j, (row, stimulus) in enumerate(zip(rows["row_id"], rows["stimulus_id"], strict=True)):
        nearest = np.argsort(-similarity[:, j], kind="stable")[:n_nearest]
        at = own[stimulus], j
        rank = 1 + float(above[at]) + float(tied[at]) / 2
        nearest = [candidates[i] for i in nearest]
        found[row] = {"rank": rank, "of": len(candidates), "nearest": nearest}
    return found


def _whom(n_subjects):
    """Of whom the numbers speak: stimuli are drawn anew, subjects are not."""
    from neurodecode.rigour.hierarchical import generalises_to

    return generalises_to(n_subjects)


def _ridge_weights(inputs, subject):
    """Ridge weights on a subject's own channels: alignment is linear, so it is multiplied in."""
    import numpy as np

    from neurodecode.align.apply import subject_state
    from neurodecode.stages.align import load_fitted

    if not (inputs.has("train") and inputs.has("align")):
        return None
    weights = inputs.tensors("train", "ridge.safetensors")[f"{subject}/weights"]
    fitted = load_fitted(inputs)
    channels, state = fitted.channels[subject], subject_state(fitted.maps, subject)
    if not state:
        return channels, weights.reshape(len(channels), -1)  # with times, a weight at each of them
    one, none = (np.eye(len(channels)), np.zeros((1, len(channels))))
    mapped = fitted.aligner.transform(one, state) - fitted.aligner.transform(none, state)
    return channels, mapped @ weights.reshape(mapped.shape[1], -1)
