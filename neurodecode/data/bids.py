"""Find the files of a study by their BIDS names, with the inheritance of sidecars."""

from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.documents import read_json
from neurodecode.data.layouts.base import Run
from neurodecode.data.readers import FORMATS, format_of
from neurodecode.data.recipe import Recipe

NIFTI = (".nii.gz", ".nii")
CALIBRATION = ("crosstalk", "calibration")  # of a MEG device: named as its recordings are
TEMPLATES = ("MNI", "fsaverage", "ICBM", "Talairach")  # coordinates that are nobody's own
REGIONS = {  # a signal's format -> that of its regions; volumes have NIfTI masks
    ".func.gii": (".label.gii", ".shape.gii", ".func.gii"),
    ".dtseries.nii": (".dlabel.nii", ".dscalar.nii"),
}
NUMBERED = ("run", "echo", "split")  # run-1 and run-01 are the same run
EMPTY_ROOM = "sub-emptyroom"  # BIDS keeps this name for MEG recordings of nobody


@dataclass(frozen=True)
class BidsFile:
    """A path, taken apart: ``sub-01_task-x_run-1_bold.nii.gz`` has three entities and a suffix."""

    path: Path
    entities: dict
    suffix: str
    extension: str


def parse_name(path):
    """Take a BIDS file name apart; None if it is not one."""
    path = Path(path)
    stem, dot, extension = path.name.partition(".")
    *pairs, suffix = stem.split("_")
    split = [p.split("-", 1) for p in pairs]
    if not dot or not suffix or any(len(p) != 2 or not all(p) for p in split):
        return None
    return BidsFile(path, {k: _value(k, v) for k, v in split}, suffix, dot + extension)


def subjects_of(root, wanted=None):
    """List the subjects of a data set, ``sub-01`` first; an empty room only if it is asked for.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no subject in it, or one of `wanted` is missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"recipe.root={root} is not a folder: give that of a BIDS data set")
    found = sorted(p.name for p in root.glob("sub-*") if p.is_dir())
    if not found:
        raise FileNotFoundError(
            f"{root} holds no folder sub-…: give recipe.root the top folder of a BIDS data set"
        )
    missing = sorted(set(wanted or []) - set(found))
    if missing:
        raise FileNotFoundError(
            f"recipe.subjects names {', '.join(missing)}; {root} holds {', '.join(found)}"
        )
    return [s for s in found if (s != EMPTY_ROOM if wanted is None else s in wanted)]


def find_runs(recipe: Recipe, root):
    """Find all runs of a study, and for each its events, sidecars, confounds and masks.

    Parameters
    ----------
    recipe : Recipe
    root : path
        Where the data set lies: ``recipe.root``, or the simulated study.

    Returns
    -------
    runs : list of Run
        By subject, session and run.

    Raises
    ------
    FileNotFoundError
        If a run has no events table, a pattern of the recipe finds nothing, or a subject that the
        recipe names has no run.
    ValueError
        If a pattern finds several files that fit a run equally well, or a task must be named.
    """
    root = Path(root)
    listed = subjects_of(root, recipe.subjects)
    _refuse_derivatives(recipe, root)
    by_subject = {subject: _runs_of(recipe, root, subject) for subject in listed}
    runs = [run for own in by_subject.values() for run in own]
    missing = [s for s, own in by_subject.items() if not own and (recipe.subjects or not runs)]
    if missing:
        raise FileNotFoundError(_no_signal(recipe, root, missing))
    tasks = {parse_name(r.signal).entities.get("task", "") for r in runs}
    if len(tasks) > 1:
        raise ValueError(f"the data set has several tasks, choose one: recipe.task={min(tasks)} …")
    return runs


def each_run(recipe: Recipe, root):
    """Yield each run of a study or, for one that `find_runs` would stop at, the error it raises.

    Parameters
    ----------
    recipe : Recipe
    root : path

    Yields
    ------
    found : Run, ValueError or FileNotFoundError
    """
    for subject in subjects_of(root, recipe.subjects):
        yield from _attempts(recipe, Path(root), subject)


def derivatives_folder(recipe: Recipe, root):
    """Return the folder of masks and confounds; that of the data set if the recipe names none."""
    return Path(root) / recipe.derivatives


def read_sidecars(run: Run):
    """Merge the JSON sidecars of a run: the nearer to the signal file, the stronger."""
    merged = {}
    for path in run.sidecars:
        merged |= read_json(path)
    return merged


def inherited(root, of: BidsFile, suffix, extension, free=()):
    """List the files that apply to another by the inheritance principle, the nearest last.

    They lie in a folder between `root` and the file's own subject, session and datatype folders,
    and name no entity that the file does not have, but for those of `free`.
    """
    folder = Path(root)
    folders = [folder]
    for part in (
        f"sub-{of.entities.get('sub')}",
        f"ses-{of.entities.get('ses')}",
        of.path.parent.name,
    ):
        if (folder / part).is_dir():
            folder = folder / part
            folders.append(folder)
    files = [f for place in folders for f in _files_in(place.glob(f"*_{suffix}{extension}"))]
    files += _files_in([folders[0] / f"{suffix}{extension}"])
    anything = [entity for entity in free if entity not in of.entities]
    fitting = [f for f in files if f.extension == extension and _applies(f, of, anything)]
    return [f.path for f in sorted(fitting, key=lambda f: (len(f.path.parts), len(f.entities)))]


def _refuse_derivatives(recipe, root):
    """Refuse fMRIPrep's own folder as the data set: it tells nothing of what was shown when."""
    about = root / "dataset_description.json"
    described = read_json(about) if about.is_file() else {}
    derivative = described.get("DatasetType") == "derivative" or "PipelineDescription" in described
    if derivative and next(root.rglob("*_events.tsv"), None) is None:
        raise FileNotFoundError(
            f"recipe.root={root} holds derivatives ({described.get('Name', 'without a name')}) and "
            "no *_events.tsv: events lie in the raw data set. Give recipe.root=that folder and "
            f"recipe.derivatives={root}, with recipe.bold_entities (recipe=fmriprep)"
        )


def _no_signal(recipe, root, subjects):
    """Say what was looked for in vain, and what is there instead."""
    where = derivatives_folder(recipe, root) if recipe.bold_entities else root
    found = sorted({_spelt(f) for s in subjects for f in _functional(recipe, where, s)})
    several = f"{subjects[0]} to {subjects[-1]}" if len(subjects) > 1 else subjects[0]
    return (
        f"{where} holds no signal file *_{recipe.suffix}.* ({', '.join(FORMATS)}) of {several} "
        f"with task-{recipe.task or '…'} {recipe.bold_entities or ''} in its {recipe.datatype} "
        f"folders; there {'are ' + ', '.join(found) if found else 'is none at all'}: check "
        "recipe.task, recipe.bold_entities and recipe.derivatives"
    )


def _spelt(file):
    """Write the entities that tell a run's files apart as the recipe would."""
    own = {k: v for k, v in file.entities.items() if k not in ("sub", "ses", "run", "hemi")}
    return f"{{{', '.join(f'{k}: {v}' for k, v in own.items())}}}{file.extension}"


def _runs_of(recipe, root, subject):
    found = list(_attempts(recipe, root, subject))
    for error in (f for f in found if isinstance(f, Exception)):
        raise error
    return sorted(found, key=lambda r: _natural(r.run))


def _attempts(recipe, root, subject):
    """Yield a subject's runs and, where one cannot be gathered, the error."""
    derived = derivatives_folder(recipe, root)
    try:
        signals = _signals(recipe, derived if recipe.bold_entities else root, subject)
    except ValueError as error:
        yield error
        return
    pool = _files_in((derived / subject).rglob(f"{subject}_*"))
    for parts in signals:
        try:
            yield _run(recipe, root, derived, pool, subject, parts)
        except (ValueError, FileNotFoundError) as error:
            yield error


def _run(recipe, root, derived, pool, subject, parts):
    """Gather what belongs to one run; `parts` are its signal files, the leading one first."""
    signal, *more = parts
    sidecars = inherited(root, signal, recipe.suffix, ".json")
    if derived != root:
        sidecars += inherited(derived, signal, recipe.suffix, ".json")
    labels = filter(None, [_label(signal, "ses", ""), _label(signal, "run", "run-1")])
    own = {"confounds": _nearest(pool, signal, recipe.confounds, (".tsv",), "recipe.confounds")}
    own["confounds_json"] = _json_beside(own["confounds"])
    if signal.extension in NIFTI:  # a surface has no brain mask: its vertices are the cortex
        own["mask"] = _nearest(pool, signal, recipe.mask, NIFTI, "recipe.mask")
    for name, pattern in recipe.rois.items():
        own |= _region(pool, parts, name, pattern)
    own |= _about_sensors(root, signal)
    surfaces = sorted((f for f in parts if "hemi" in f.entities), key=lambda f: f.entities["hemi"])
    continued = [] if surfaces else more
    for number, path in enumerate(_belonging(signal) + [f.path for f in continued], 1):
        own[f"part/{number}"] = path
    return Run(
        subject=subject,
        session=_label(signal, "ses", ""),
        run="_".join(labels),
        signals={f.entities["hemi"]: f.path for f in surfaces} or {"": signal.path},
        events=_events(root, signal),
        sidecars=tuple(dict.fromkeys(sidecars)),
        others={kind: path for kind, path in own.items() if path is not None},
    )


def _about_sensors(root, signal):
    """Return the tables of channels and electrodes, and the system of the latter's coordinates.

    Electrodes may be placed in several spaces: the subject's own goes before a template's.
    """
    spaces = {}
    for suffix, extension in (("electrodes", ".tsv"), ("coordsystem", ".json")):
        for path in inherited(root, signal, suffix, extension, free=("space", "acq")):
            space = parse_name(path).entities.get("space", "")
            spaces.setdefault(space, {})[suffix] = path
    rank = lambda space: ("pixel" in space.lower(), space.startswith(TEMPLATES), space)
    placed = [spaces[s] for s in sorted(spaces, key=rank) if "electrodes" in spaces[s]]
    channels = inherited(root, signal, "channels", ".tsv")
    return {"channels": channels[-1] if channels else None} | (placed[0] if placed else {})


def _region(pool, parts, name, pattern):
    """Find a region's file; on a surface one for each hemisphere, or for one of them."""
    key = f"recipe.rois.{name}"
    endings = REGIONS.get(parts[0].extension, NIFTI)
    if "hemi" not in parts[0].entities:
        return {f"roi/{name}": _nearest(pool, parts[0], pattern, endings, key)}
    sides = [f for f in parts if _fitting(pool, f, pattern, endings)] or parts[:1]
    found = {f.entities["hemi"]: _nearest(pool, f, pattern, endings, key) for f in sides}
    return {f"roi/{name}/{hemisphere}": path for hemisphere, path in found.items()}


def _json_beside(path):
    beside = path and path.with_suffix(".json")
    return beside if beside and beside.is_file() else None


def _functional(recipe, folder, subject):
    """List a subject's files that hold signals, whatever their entities."""
    places = [
        folder / subject / recipe.datatype,
        *(folder / subject).glob(f"ses-*/{recipe.datatype}"),
    ]
    paths = sorted(p for place in places for p in place.glob(f"*_{recipe.suffix}.*"))
    files = [parse_name(p) for p in paths if format_of(p)]
    return [f for f in files if f is not None and f.extension in FORMATS]


def _signals(recipe, folder, subject):
    """List the signal files of each run: one, or the hemispheres or splits of one recording."""
    wanted = {**({"task": recipe.task} if recipe.task else {}), **recipe.bold_entities}
    found = [f for f in _functional(recipe, folder, subject) if _fits(f, wanted)]
    found = [f for f in found if f.entities.get("acq") not in CALIBRATION]
    by_run = {}
    for file in found:
        key = tuple(file.entities.get(e, "") for e in ("ses", "task", "run"))
        by_run.setdefault(key, []).append(file)
    for files in by_run.values():
        apart = {(f.entities.get("hemi"), f.entities.get("split")) for f in files}
        if len(apart) < len(files) or len({f.extension for f in files}) > 1:
            raise ValueError(
                f"{files[0].path.name} and {files[1].path.name} are one run: say in "
                "recipe.bold_entities which to take, such as {space: …, desc: preproc}; an empty "
                "value forbids an entity ({res: ''})"
            )
    return list(by_run.values())


def _belonging(signal):
    """The other files of a recording in several: markers and samples beside a header."""
    stem = signal.path.name.removesuffix(signal.extension)
    beside = sorted(signal.path.parent.glob(f"{stem}.*"))
    return [p for p in beside if p != signal.path and p.suffix not in (".json", ".tsv")]


def _events(root, signal):
    found = inherited(root, signal, "events", ".tsv")
    if not found:
        raise FileNotFoundError(
            f"{signal.path.name} has no events: none of the *_events.tsv below {root} is for it; "
            "resting-state runs can be left out by recipe.task"
        )
    return found[-1]


def _nearest(pool, signal, pattern, extensions, key):
    """Return the file of a pattern that shares most entities with the signal file."""
    if not pattern:
        return None
    fitting = _fitting(pool, signal, pattern, extensions)
    if not fitting:
        raise FileNotFoundError(
            f"no file {pattern} ({' or '.join(extensions)}) for {signal.path.name}: check {key} "
            f"and recipe.derivatives, or switch it off with {key}=null"
        )
    most = max(len(f.entities) for f in fitting)
    best = [f for f in fitting if len(f.entities) == most]
    if len(best) > 1:
        raise ValueError(
            f"{' and '.join(str(f.path) for f in best)} fit {signal.path.name} equally well: "
            f"name more entities in {key}"
        )
    return best[0].path


def _fitting(pool, signal, pattern, extensions):
    return [
        f
        for f in pool
        if f.extension in extensions and _fits(f, pattern) and _applies(f, signal, pattern)
    ]


def _fits(file, pattern):
    """Say whether a file has the suffix and entities of a pattern; an empty value forbids one."""
    own = {**file.entities, "suffix": file.suffix}
    return all(own.get(k, "") == _value(k, "" if v is None else str(v)) for k, v in pattern.items())


def _applies(file, run, pattern):
    free = {k: v for k, v in file.entities.items() if k not in pattern}
    return all(run.entities.get(k) == v for k, v in free.items())


def _files_in(paths):
    parsed = (parse_name(p) for p in sorted(paths) if p.is_file())
    return [p for p in parsed if p is not None]


def _value(entity, text):
    return str(int(text)) if entity in NUMBERED and text.isdigit() else text


def _label(file, entity, default):
    """Return ``run-01`` as the file name writes it."""
    for part in file.path.name.split("_"):
        if part.startswith(f"{entity}-"):
            return part
    return default


def _natural(label):
    return [
        (0, int(p), "") if p.isdigit() else (1, 0, p) for p in label.replace("_", "-").split("-")
    ]
