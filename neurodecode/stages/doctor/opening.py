"""Open each subject's recordings as preprocess will: headers and tables, no signal."""

from pathlib import Path

from neurodecode.core.build import build
from neurodecode.data.bids import derivatives_folder
from neurodecode.stages.doctor.signals import VOLUMES, is_empty
from neurodecode.stages.doctor.walk import Attempts


def open_as_preprocess(method, recipe, root, walked):
    """Let the method of preprocess look at the files, as it does before it reads any.

    Volumes and surfaces are left to `neurodecode.stages.doctor.signals`: to open them is to read
    them. So are recordings that are empty, or whose header cannot be read.

    Parameters
    ----------
    method : dict
        ``preprocess.method``.
    recipe : neurodecode.data.recipe.Recipe
    root : path
    walked : neurodecode.stages.doctor.walk.Walked

    Returns
    -------
    findings : list of Finding
    """
    from neurodecode.data.readers import format_of

    pairs = list(zip(walked.runs, walked.facts, strict=True))
    closed = {
        run.subject
        for run, fact in pairs
        if not fact or format_of(run.signal) in VOLUMES or is_empty(run, fact)
    }
    attempt = Attempts(root)
    for subject in dict.fromkeys(run.subject for run, _ in pairs if run.subject not in closed):
        attempt("preprocess", "", lambda: _open(method, subject, recipe, root, walked))  # noqa: B023
    return attempt.findings


def _open(method, subject, recipe, root, walked):
    from neurodecode.stages.index import file_table

    files = file_table(subject, walked.runs, walked.facts, recipe, root, lambda path: "")
    places = {"root": Path(root), "derivatives": derivatives_folder(recipe, root)}
    named = zip(files["folder"], files["path"], strict=True)
    return build(method, files=files.assign(file=[places[folder] / path for folder, path in named]))
