"""What the sections of a report ask their inputs, with None where a study has no such artifact."""

from pathlib import Path

SCORING = ("evaluate", "crossvalidate", "classify")  # the stages that score
ALL = "all"  # the pooled row of metrics.tsv and comparisons.tsv


class Remembered:
    """Inputs that read each table once: sections ask for the same ones again and again.

    Parameters
    ----------
    inputs : View
    """

    def __init__(self, inputs):
        self._inputs, self._tables = inputs, {}

    def __getattr__(self, name):
        return getattr(self._inputs, name)

    def table(self, stage, name, each=None):
        """A table, the caller's own."""
        asked = stage, name, each
        if asked not in self._tables:
            self._tables[asked] = self._inputs.table(*asked)
        return self._tables[asked].copy()


def table(inputs, stage, name, each=None):
    """A table of a stage, or None where the stage or the file is absent."""
    return _found(inputs, stage, name, each, inputs.table)


def array(inputs, stage, name, each=None):
    """An array of a stage, or None."""
    return _found(inputs, stage, name, each, inputs.array)


def tensors(inputs, stage, name, each=None):
    """Named arrays of a stage, or None."""
    return _found(inputs, stage, name, each, inputs.tensors)


def document(inputs, stage, name, each=None):
    """A JSON document of a stage, or None."""
    return _found(inputs, stage, name, each, inputs.json)


def file(inputs, stage, name, each=None):
    """A file or folder of a stage, or None."""
    path = _found(inputs, stage, name, each, inputs.path)
    return path if path is not None and Path(path).exists() else None


def scored(inputs, name):
    """A table of scores: from evaluate, or from a stage that trains and scores by fold."""
    found = (table(inputs, stage, name) for stage in SCORING)
    return next((one for one in found if one is not None), None)


def subjects(inputs):
    """The subjects that were scored, in the order of the study."""
    listed = document(inputs, "index", "subjects.json") or []
    metrics = scored(inputs, "metrics.tsv")
    if metrics is None:
        return list(listed)
    named = [s for s in metrics["subject"].unique() if s != ALL]
    return [s for s in listed if s in named] or named


def conditions(inputs):
    """The rows of the comparison: model, baselines, controls, ceilings.

    Returns
    -------
    conditions : list of dict
        Each with name, kind (model | baseline | control | ceiling) and about (one sentence or "").
    """
    for stage in ("predict", "crossvalidate", "classify"):
        listed = document(inputs, stage, "conditions.json", first_member(inputs, stage))
        if listed:
            return listed
    metrics = scored(inputs, "metrics.tsv")
    if metrics is None:
        return []
    pairs = metrics[["condition", "kind"]].drop_duplicates("condition")
    return [{"name": c, "kind": k, "about": ""} for c, k in pairs.itertuples(index=False)]


def first_member(inputs, stage):
    """The first subject of a stage that runs once per subject, else None."""
    members = inputs.members(stage) if inputs.has(stage) else []
    return members[0] if members else None


def permuted(inputs):
    """Whether training labels were dealt at random: the run is a draw of the null."""
    if not inputs.has("train"):
        return False
    config = inputs.manifest("train", each=first_member(inputs, "train"))["config"]
    return config.get("permutation") is not None


def unit(inputs):
    """What is drawn again for an interval, and what n counts: (plural, plural)."""
    if inputs.has("evaluate"):
        return "test stimuli", "test stimuli"
    if inputs.has("crossvalidate"):
        return "runs", "blocks"
    if inputs.has("classify"):
        by_run = inputs.manifest("classify")["config"].get("folds") == "run"
        return "runs" if by_run else "stimuli", "trials"
    return "test stimuli", "test stimuli"


def coverage(inputs):
    """The coverage of the intervals, in words: ``95 %``."""
    for stage in SCORING:
        if inputs.has(stage):
            return f"{100 * inputs.manifest(stage)['config'].get('level', 0.95):g} %"
    return "95 %"


def _found(inputs, stage, name, each, read):
    if not inputs.has(stage):
        return None
    try:
        return read(stage, name, each=each)
    except (FileNotFoundError, KeyError):
        return None
