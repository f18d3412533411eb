"""Export a run as a BIDS derivative: responses, trials, masks, predictions, pictures and scores.

No stage of a run but a step after it: it reads artifacts, checked as they are read, and writes a
folder that is whole or absent. What BIDS has no name for yet is named as BIDS would and listed in
``.bidsignore``. No stimulus is written, and no path of this machine.
"""

import base64
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurodecode import __version__
from neurodecode.core.errors import UserError
from neurodecode.core.finished import open_run, whole_or_absent
from neurodecode.core.progress import log, progress
from neurodecode.stages.bids_columns import described
from neurodecode.stages.bids_volumes import bids_uri, label_of, write_volumes

BIDS_VERSION = "1.10.0"
IGNORED = "*_statmap.* *_responses.* *_sensors.* *_times.* *_quality.*"
IGNORED += " *_predictions.* *_embeddings.* *_tokens.* *_blurry.* *_pictures* group"
TABLES = {  # stage -> files that go to group/, by the name they get
    "split": {"split.tsv": "split"},
    "evaluate": {
        "metrics.tsv": "metrics",
        "comparisons.tsv": "comparisons",
        "ablations.tsv": "ablations",
    },
    "crossvalidate": {"metrics.tsv": "metrics", "comparisons.tsv": "comparisons"},
    "classify": {"metrics.tsv": "metrics", "comparisons.tsv": "comparisons"},
    "audit": {"attributable.tsv": "attributable", "ceilings.tsv": "ceilings"},
    "timecourse": {"curve.tsv": "timecourse", "clusters.tsv": "clusters"},
}
DOCUMENTS = {"evaluate": ["figures.json"], "crossvalidate": ["figures.json"]}
DOCUMENTS |= {"classify": ["figures.json"]}
DOCUMENTS |= {"audit": ["verdict.json"], "report": ["score_card.json"]}
README = """\
# {title}

Written by neurodecode {version} from a finished run. {about}

- `sub-*/`: one response per trial (`*_stat-effect_desc-singletrial_statmap.nii.gz`, its last axis
  is trials; or `*_desc-singletrial_responses.npy`) with the trials in the same order
  (`*_desc-trials_events.tsv`), masks, and what each condition (`desc-…`, see `descriptions.tsv`)
  predicted and painted for the test trials.
- `group/`: scores, comparisons, and which trial was train, val or test.

Every table has a JSON file beside it that describes its columns. `Sources` name what a file was
made from. Files that BIDS has no name for are listed in `.bidsignore`.

Licence of the data: {licence}. {sharing}
{withheld}"""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    folder : Path
    n_files : int
    n_subjects : int
    withheld : str
        Why pictures of the true features were left out; "" if they were not.
    """

    folder: Path
    n_files: int
    n_subjects: int
    withheld: str


def export(run, out, store=None, link=False):
    """Write a run as a BIDS derivative.

    Parameters
    ----------
    run : path
        Folder of the run; preprocess must be done.
    out : path
        Not there yet, or empty.
    store : path, optional
        Where the store lies now, if it was moved.
    link : bool
        Arrays that are the same bytes are linked (hard links: nothing is copied, and the store may
        forget them) rather than copied.

    Returns
    -------
    exported : Exported

    Raises
    ------
    UserError
        If the run is not that far, its artifacts are gone, the folder is not empty, or lies on
        another file system than the store where files are to be linked.
    """
    opened = open_run(run, "preprocess", store)
    with whole_or_absent(out) as folder:
        about = _About.of(opened)
        writer = _Writer(opened, folder, about, link)
        _describe_dataset(writer)
        for subject in progress(list(opened.artifacts["preprocess"]), label="subjects written"):
            _write_subject(writer, subject)
        _write_group(writer)
        written = sum(1 for p in folder.path(".").rglob("*") if p.is_file())
    log.info("    %d files", written)
    return Exported(Path(out), written, len(opened.artifacts["preprocess"]), about.withheld)


@dataclass(frozen=True)
class _About:
    """What names and sidecars say of the study as a whole."""

    recipe: dict
    facts: dict
    withheld: str
    task: str
    datatype: str
    space: str
    labels: dict
    identity: str

    @classmethod
    def of(cls, opened):
        from neurodecode.data.recipe import facts
        from neurodecode.report.share import withheld

        view, index = opened.view(), opened.artifacts["index"]
        recipe = index.manifest["config"].get("recipe", {})
        known = facts(recipe["facts"]) if recipe.get("facts") else {}
        subjects = view.json("index", "subjects.json")
        space = str((recipe.get("bold_entities") or {}).get("space", ""))
        digest = base64.urlsafe_b64encode(bytes.fromhex(index.digest())).decode().rstrip("=")
        return cls(
            recipe,
            known,
            withheld(known),
            _task(recipe, view, subjects),
            recipe.get("datatype") or "func",
            space,
            _labels(subjects),
            f"ni:///sha-256;{digest}",  # names the data by their bytes (RFC 6920)
        )


def _task(recipe, view, subjects):
    """The task's label: of the recipe, else of the files, else the recipe's name."""
    if recipe.get("task"):
        return label_of(recipe["task"])
    paths = (p for s in subjects for p in view.table("index", f"{s}/files.tsv")["path"])
    named = (re.search(r"_task-([A-Za-z0-9]+)_", p) for p in paths)
    return next((m[1] for m in named if m), label_of(recipe.get("name") or "task"))


def _labels(subjects):
    labels = {s: label_of(str(s).removeprefix("sub-")) for s in subjects}
    for subject, label in labels.items():
        twin = next((s for s in labels if s != subject and labels[s] == label), None)
        if twin is not None or not label:
            raise UserError(
                f"subjects {subject!r} and {twin!r} have no names of their own in BIDS, which "
                "knows letters and digits only: rename them in the study"
            )
    return labels


class _Writer:
    """Names files as BIDS does, and writes them with their sidecars."""

    def __init__(self, opened, folder, about, link):
        self.opened, self.folder, self.about, self.link = opened, folder, about, link
        self.view = opened.view()

    def name(self, subject, ending, **entities):
        """``sub-01/func/sub-01_task-x_desc-y_mask.nii.gz``; entities in the order of BIDS."""
        label = self.about.labels[subject]
        space = {"space": label_of(self.about.space)} if self.about.space else {}
        given = {k: v for k, v in ({"task": self.about.task} | space | entities).items() if v}
        words = [f"sub-{label}", *(f"{k}-{v}" for k, v in given.items()), ending]
        return f"sub-{label}/{self.about.datatype}/{'_'.join(words)}"

    def artifact(self, stage, subject=None):
        found = self.opened.artifacts[stage]
        return found if subject is None else found[subject]

    def has(self, stage, subject=None):
        found = self.opened.artifacts.get(stage)
        return found is not None and (subject is None or subject in found)

    def same(self, name, artifact, inside):
        """Put a file of an artifact there, byte for byte."""
        source, target = artifact.path(inside), self.folder.path(name)
        if not self.link:
            shutil.copyfile(source, target)
            return
        try:
            os.link(source, target)
        except OSError as error:
            raise UserError(
                f"cannot link {source} to {target} ({error.strerror}): use --copy, or an --out on "
                "the store's file system"
            ) from error

    def table(self, name, table, about, sources=()):
        """Write a table, and beside it what its columns are."""
        self.folder.save_table(name, table)
        self.sidecar(name, about, sources, described(table.columns))

    def sidecar(self, name, about, sources=(), more=None):
        """Write the JSON file of a file: what it is, and what it was made from."""
        stem = re.sub(r"(\.nii\.gz|\.[a-z]+)$", "", name)
        made = {"Sources": list(sources)} if sources else {}
        self.folder.save_json(f"{stem}.json", {"Description": about} | made | (more or {}))


def _describe_dataset(writer):
    about = writer.about
    facts, doi = about.facts, about.facts.get("doi")
    title = facts.get("title") or about.recipe.get("name") or "study"
    raw = f"https://doi.org/{doi}" if doi else about.identity
    source = {"URL": raw} | ({"DOI": f"doi:{doi}"} if doi else {})
    writer.folder.save_json(
        "dataset_description.json",
        {
            "Name": f"{title}: decoded by neurodecode",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "License": facts.get("licence") or "not known",
            "Authors": facts.get("authors") or [],
            "ReferencesAndLinks": [facts["citation"]] if facts.get("citation") else [],
            "GeneratedBy": [_generated_by(writer)],
            "SourceDatasets": [source],
            "DatasetLinks": {"raw": raw, "derivatives": raw},
        },
    )
    words = {
        "title": title,
        "version": __version__,
        "about": " ".join(str(facts.get("about") or "").split()),
        "licence": facts.get("licence") or "not known",
        "sharing": f"Sharing: {facts['sharing']}." if facts.get("sharing") else "",
        "withheld": f"Left out, with what shows the true pictures: {about.withheld}.\n"
        if about.withheld
        else "",
    }
    writer.folder.path("README.md").write_text(README.format(**words), encoding="utf-8")
    events = ["*_desc-trials_events.*"] if about.datatype == "func" else []
    ignored = "\n".join([*IGNORED.split(), *events])
    writer.folder.path(".bidsignore").write_text(f"{ignored}\n")
    _write_participants(writer)
    _write_descriptions(writer)


def _generated_by(writer):
    manifest = writer.artifact("index").manifest
    commit = manifest.get("commit")
    return {
        "Name": "neurodecode",
        "Version": __version__,
        "Description": "Decoding of pictures from brain recordings"
        + (f"; commit {commit}" if commit else ""),
    } | _code_url()


def _code_url():
    """Where the installed package says that its code is; nothing where it does not say."""
    import importlib.metadata

    try:
        said = importlib.metadata.metadata("neurodecode-pictures").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    urls = dict(line.split(", ", 1) for line in said)
    known = [urls[name] for name in ("Repository", "Source", "Homepage") if name in urls]
    return {"CodeURL": known[0]} if known else {}


def _write_participants(writer):
    import pandas as pd

    labels, view = writer.about.labels, writer.view
    tables = {s: view.table("preprocess", "trials.tsv", s) for s in writer.artifact("preprocess")}
    rows = [
        {
            "participant_id": f"sub-{labels[s]}",
            "n_trials": len(t),
            "n_runs": t[[c for c in ("session", "run") if c in t]].drop_duplicates().shape[0],
            "n_stimuli": t["stimulus_id"].nunique(),
        }
        for s, t in tables.items()
    ]
    writer.table("participants.tsv", pd.DataFrame(rows), "Who took part, and how much there is.")


def _write_descriptions(writer):
    """The standard's own table of what each ``desc-`` stands for."""
    import pandas as pd

    known = {
        "brain": "The voxels that are channels.",
        "singletrial": "One response per trial, in the order of desc-trials.",
        "trials": "The trials, in the order of the responses.",
    }
    known |= {label_of(c["name"]): c["about"] for c in _conditions(writer)}
    rows = [{"desc_id": f"desc-{k}", "description": v} for k, v in known.items()]
    writer.table("descriptions.tsv", pd.DataFrame(rows), "What the labels of desc- stand for.")


def _conditions(writer):
    """The conditions whose predictions may be passed on."""
    if not writer.has("predict"):
        return []
    first = next(iter(writer.artifact("predict")))
    found = writer.view.json("predict", "conditions.json", first)
    return [c for c in found if not (writer.about.withheld and c["kind"] == "ceiling")]


def _write_subject(writer, subject):
    sources = _sources(writer, subject)
    trials = _write_trials(writer, subject, sources)
    files = writer.artifact("preprocess", subject).files
    if "space/mask.nii.gz" in files:
        write_volumes(writer, subject, sources, trials)
    else:
        _write_array(writer, subject, sources, trials)
    quality = writer.view.json("preprocess", "qc.json", subject)
    name = writer.name(subject, "quality.json", desc="singletrial")
    writer.folder.save_json(name, quality | {"Description": "Quality of the responses."})
    if writer.has("predict", subject):
        _write_predictions(writer, subject)


def _sources(writer, subject):
    """The recordings of a subject, as BIDS URIs."""
    files = writer.view.table("index", f"{subject}/files.tsv")
    signals = files[files["kind"] == "signal"]
    dataset = lambda folder: "derivatives" if folder == "derivatives" else "raw"
    return [f"bids:{dataset(f.folder)}:{f.path}" for f in signals.itertuples()]


def _write_trials(writer, subject, sources):
    """Write the trials in the order of the responses; return the table's name."""
    trials = writer.view.table("preprocess", "trials.tsv", subject)
    trials = trials.rename(columns={"onset_s": "onset", "duration_s": "duration"})
    for column in ("onset", "duration"):
        if column not in trials:
            trials[column] = np.nan
    if writer.has("split"):
        sides = writer.view.table("split", "split.tsv").set_index("trial_id")["split"]
        trials["split"] = trials["trial_id"].map(sides)
    nuisance = writer.view.table("preprocess", "nuisance.tsv", subject)
    extra = [c for c in nuisance if c not in ("trial_id", "run", "onset_s")]
    trials = trials.join(nuisance[extra].add_prefix("nuisance_"))
    if writer.about.withheld:
        trials = trials.drop(columns=[c for c in ("caption", "path", "shown") if c in trials])
    order = ["onset", "duration", "trial_id"]
    trials = trials[[*order, *(c for c in trials if c not in order)]]
    name = writer.name(subject, "events.tsv", desc="trials")
    writer.table(name, trials, "The trials, in the order of the responses.", sources)
    return name


def _write_array(writer, subject, sources, trials):
    """Write responses without a volume as they are, with tables of sensors or vertices."""
    artifact = writer.artifact("preprocess", subject)
    name = writer.name(subject, "responses.npy", desc="singletrial")
    writer.same(name, artifact, "responses.npy")
    told = {"Shape": list(artifact.array("responses.npy").shape)}
    axes = "trials, channels" + (", times" if len(told["Shape"]) == 3 else "")
    used = [*sources, bids_uri(trials)]
    writer.sidecar(name, f"Response to each trial: {axes}.", used, told)
    for inside, ending in (("sensors", "sensors"), ("vertices", "vertices"), ("rois", "regions")):
        if f"space/{inside}.tsv" in artifact.files:
            table = writer.view.table("preprocess", f"space/{inside}.tsv", subject)
            place = writer.name(subject, "sensors.tsv", desc=ending)
            writer.table(place, table, f"The {ending} that the channels are, in their order.")
    if "space/times_s.npy" in artifact.files:
        import pandas as pd

        times = writer.view.array("preprocess", "space/times_s.npy", subject)
        table = pd.DataFrame({"sample": np.arange(len(times)), "time": np.asarray(times)})
        writer.table(writer.name(subject, "times.tsv"), table, "Time of each sample.")


def _write_predictions(writer, subject):
    """Write what each condition predicted of the test rows, and what was painted of it."""
    artifact = writer.artifact("predict", subject)
    rows = writer.view.table("predict", "rows.tsv", subject)
    name = writer.name(subject, "predictions.tsv")
    writer.table(name, rows, "The test rows, in the order of the predicted embeddings.")
    painted = writer.opened.artifacts.get("reconstruct", {}).get(subject)
    parts = {"pooled": "embeddings", "tokens": "tokens", "blurry": "blurry"}
    for condition in (c["name"] for c in _conditions(writer)):
        label = label_of(condition)
        for part, ending in parts.items():
            if f"{condition}/{part}.npy" in artifact.files:
                place = writer.name(subject, f"{ending}.npy", desc=label)
                writer.same(place, artifact, f"{condition}/{part}.npy")
                shape = list(artifact.array(f"{condition}/{part}.npy").shape)
                about = f"{part.capitalize()} embeddings of condition {condition}."
                writer.sidecar(place, about, [bids_uri(name)], {"Shape": shape})
        if painted is not None and f"{condition}/pictures.npy" in painted.files:
            _write_pictures(writer, subject, condition, name)


def _write_pictures(writer, subject, condition, rows):
    """Write the painted pictures as PNG, and a table of which row and sample each one is."""
    from PIL import Image

    pictures = writer.artifact("reconstruct", subject).array(f"{condition}/pictures.npy")
    table = writer.view.table("reconstruct", f"{condition}/samples.tsv", subject)
    folder = writer.name(subject, "pictures", desc=label_of(condition))
    names = [f"{i:05d}.png" for i in range(len(table))]
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(np.asarray(picture)).save(writer.folder.path(f"{folder}/{name}"))
    table.insert(0, "file", [f"{folder.rpartition('/')[2]}/{name}" for name in names])
    about = f"Pictures painted for condition {condition}."
    writer.table(f"{folder}.tsv", table, about, [bids_uri(rows)])


def _write_group(writer):
    task = writer.about.task
    for stage, tables in TABLES.items():
        files = writer.artifact(stage).files if writer.has(stage) else ()
        for inside, ending in tables.items():
            if inside in files:
                table = writer.view.table(stage, inside)
                writer.table(f"group/task-{task}_{ending}.tsv", table, f"{ending} of {stage}.")
    for stage, documents in DOCUMENTS.items():
        for name in documents:
            if writer.has(stage) and name in writer.artifact(stage).files:
                writer.same(f"group/{name}", writer.artifact(stage), name)
    if writer.has("evaluate") and "per_trial.parquet" in writer.artifact("evaluate").files:
        writer.same("group/per_trial.parquet", writer.artifact("evaluate"), "per_trial.parquet")
