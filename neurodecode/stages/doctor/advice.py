"""The words of the command: where the signal lies, which column is asked for, what is left out."""

from pathlib import Path

from neurodecode.stages.doctor import columns as tables

FEWEST_PICTURES = 10  # fewer different pictures are categories
PICTURE, CATEGORY = "which picture was seen", "which category was seen"
IGNORED = ["n/a", "rest", "blank", "fixation"]  # as in conf/recipe/bids.yaml
EXPERIMENTS = {  # of a modality: for pictures, and for categories
    "func": ({"experiment": "retrieval"}, {"experiment": "categories"}),
    "meeg": (
        {"experiment": "retrieval_meeg"},
        {"experiment": "categories", "preprocess": "epochs"},
    ),
}
NO_CONFOUNDS = {"recipe.confounds": None, "preprocess.method.confounds": []}


def words_of_recording(recording, root, derivatives, several_tasks):
    """Say where the signal of a recording lies, and what belongs to it.

    Returns
    -------
    words : dict
        Key -> value, for `neurodecode run`.
    """
    words = {"recipe.root": str(root)}
    if recording.task and several_tasks:
        words["recipe.task"] = recording.task
    if recording.datatype == "func":
        return words | _words_of_derivatives(recording, root, derivatives)
    return {"recipe": f"bids_{recording.datatype}"} | words


def _words_of_derivatives(recording, root, derivatives):
    """Choose preprocessed runs, else masks and confounds that fit the raw ones, else neither."""
    for derived in derivatives:
        spaces = derived.spaces(recording.task)
        runs = derived.of(recording.task, "bold", **spaces[0]) if spaces else recording.files
        masks = _belonging(derived, runs, "mask", "brain")
        confounds = _belonging(derived, runs, "timeseries", "confounds")
        if spaces or masks or confounds:
            inside = derived.folder.is_relative_to(root)
            place = derived.folder.relative_to(root) if inside else derived.folder.absolute()
            words = {"recipe.derivatives": str(place)}
            words |= {"recipe.bold_entities": spaces[0]} if spaces else {}
            words |= {} if masks else {"recipe.mask": None}
            return words | ({} if confounds else NO_CONFOUNDS)
    return {"recipe.mask": None} | NO_CONFOUNDS


def _belonging(derived, signals_, suffix, desc):
    """Say whether a kind of derivatives belongs to any signal file: names no more than it does."""
    kind = [f.entities for f in derived.files if f.suffix == suffix]
    named = [e for e in kind if e.get("desc") == desc]
    own = [f.entities | {"desc": desc} for f in signals_]
    return any(e.items() <= o.items() for o in own for e in named)


def guess_columns(read, root):
    """Guess the columns of pictures and those of categories, the likelier first."""
    known = set()
    for table in filter(Path.is_file, [Path(root) / "stimuli" / "stimuli.tsv"]):
        values = tables.read_columns([table]).values
        known = {*values.get("stim_file", ()), *values.get("stimulus_id", ())}
    pictures = tables.picture_columns(read, tables.pictures_below(root), known)
    return pictures, tables.label_columns(read, pictures)


def questions_of(read, paths, root, words, pictures, labels):
    """List what may be asked: ``(about, words)``, the likelier first."""
    picture, category = EXPERIMENTS["meeg" if "recipe" in words else "func"]
    has_table = (Path(root) / "stimuli" / "stimuli.tsv").is_file()
    asked = []
    if pictures:
        asked.append(
            (PICTURE, _picture_words(read, picture | words, pictures[0], labels, has_table))
        )
    if labels:
        asked.append((CATEGORY, _label_words(category | words, labels[0], paths)))
    if pictures and labels and len(read.shown(pictures[0])) < FEWEST_PICTURES:
        asked.reverse()
    return asked


def _picture_words(read, words, column, labels, has_table):
    asked = dict(words)
    if column != "stim_file":
        asked["recipe.stim_column"] = column
    if not has_table:
        asked["recipe.stimulus_table"] = None
    never = tables.never_labelled(read, column, labels[0]) if labels else []
    if never:
        asked["recipe.ignore"] = [*IGNORED, *never]
    return asked


def _label_words(words, column, paths):
    asked = dict(words)
    if column != "trial_type":
        asked["recipe.label_column"] = column
    gap_s = tables.block_gap_s(paths, column)
    return asked | ({"recipe.merge_gap_s": gap_s} if gap_s else {})
