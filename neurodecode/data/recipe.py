"""What a study is: where its folder lies, which files count, and what is known about it."""

from dataclasses import dataclass, field
from pathlib import Path

from neurodecode.core.documents import read_yaml


@dataclass(frozen=True)
class Recipe:
    """One study in BIDS. Files are named by BIDS entities, never by a path with a subject in it.

    A pattern such as ``{suffix: mask, desc: brain}`` picks the files with these entities that
    apply to a run: every other entity in their name (``sub``, ``ses``, ``task``, ``run``,
    ``space`` …) must be the run's own, as in the BIDS inheritance principle. Of several, the one
    that shares most entities with the run is taken.
    """

    name: str = "bids"
    layout: dict = field(default_factory=lambda: {"_target_": "neurodecode.data.layouts.bids.Bids"})
    """How the folder is read: a `_target_` of neurodecode.data.layouts, or one of your own."""
    root: str = field(default="", metadata={"keyed": False})
    """Folder of the BIDS data set; empty: the study simulated by this experiment."""
    derivatives: str = field(default="", metadata={"keyed": False})
    """Folder with masks and confounds (fMRIPrep's output, say), absolute or below root."""
    task: str = ""
    """The ``task-`` entity; may stay empty where the data set has a single task."""
    subjects: list[str] | None = None
    """Such as ["sub-01", "sub-02"]; None takes all."""
    datatype: str = "func"
    suffix: str = "bold"
    bold_entities: dict = field(default_factory=dict)
    """Entities of the signal files, such as {space: MNI152NLin2009cAsym, desc: preproc};
    where there are any the signal is read from ``derivatives``, otherwise from ``root``."""
    mask: dict | None = field(default_factory=lambda: {"suffix": "mask", "desc": "brain"})
    """Pattern of the brain masks; {} or None where there are none."""
    rois: dict = field(default_factory=dict)
    """Name of a region -> pattern of its mask, such as {early: {suffix: mask, desc: early}}."""
    confounds: dict | None = field(
        default_factory=lambda: {"suffix": "timeseries", "desc": "confounds"}
    )
    """Pattern of the confounds tables; {} or None where there are none."""
    stim_column: str = "stim_file"
    """Column of events.tsv naming the picture, relative to ``stimuli/``."""
    label_column: str = ""
    """Column of events.tsv naming the category, where there is no picture per trial; then the
    category is the stimulus."""
    stimulus_table: str | None = "stimuli/stimuli.tsv"
    """Table of the pictures (stim_file, stimulus_id, caption, partition, attributes), or ""; None:
    ``stimuli/stimuli.tsv`` or ``stimuli.tsv``, where there is one."""
    category: str = field(default="", metadata={"keyed": False})
    """Column of the table of pictures that says what kind each one is, for controls and verdict;
    empty: ``category`` where there is one, else clusters of the embeddings."""
    ignore: list[str] = field(default_factory=lambda: ["n/a", "rest", "blank", "fixation"])
    """Values of the stimulus or label column that are not trials."""
    merge_gap_s: float = 0.0
    """Consecutive events of one label at most this far apart (s, end to onset) are one trial: a
    block. 0: each event is a trial."""
    facts: str = ""
    """Name of the sheet in data_recipes/ with licence, citation, sizes and digests; or ""."""
    study: dict | None = field(default=None, metadata={"keyed": False})
    """What to simulate, for the stage `simulate`; None for recorded studies."""


def facts(name: str) -> dict:
    """Read the sheet of facts ``data_recipes/{name}.yaml`` (licence, citation, files, TR_s …).

    Raises FileNotFoundError, listing the known names, where there is no such sheet.
    """
    path = facts_folder() / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in facts_folder().glob("*.yaml"))) or "none"
        raise FileNotFoundError(f"no data recipe is called {name!r}; known: {known}")
    found = read_yaml(path) or {}
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no keys: a sheet of facts says licence, citation …")
    return found


def facts_folder() -> Path:
    """Folder of the recipes: inside an installed package, or at the root of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "data_recipes"
    return installed if installed.is_dir() else package.parent / "data_recipes"
