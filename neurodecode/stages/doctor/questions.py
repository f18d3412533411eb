"""What can be asked of a recording: which picture, or which category, was seen; and by what split.

The configuration is composed as `neurodecode run` would compose it, and read by the code of index
and split: what is said here is what a run will say.
"""

from dataclasses import dataclass, field

from neurodecode.core.build import build
from neurodecode.core.checks import dataclass_from
from neurodecode.core.seeds import child_rng
from neurodecode.data.recipe import Recipe
from neurodecode.data.stimuli import with_table
from neurodecode.stages.doctor.findings import Finding, error, note, warning
from neurodecode.stages.doctor.opening import open_as_preprocess
from neurodecode.stages.doctor.walk import Walked, apart, walk
from neurodecode.stages.doctor.words import as_overrides

LOOSER = (  # what is tried, in this order, where the default split of an experiment is impossible
    {},
    {"split.rule.ties": ["stimulus_id"]},
    {"split.rule.ties": ["stimulus_id"], "split.rule.test_fraction": 0.25},
    {
        "split.rule.ties": ["stimulus_id"],
        "split.rule.test_fraction": 0.25,
        "split.rule.val_fraction": 0.25,
    },
)


@dataclass(frozen=True)
class Question:
    """One thing to decode, the words that ask for it, and what stands in the way."""

    about: str
    words: dict
    config: dict = field(default_factory=dict)
    walked: Walked | None = None
    sides: dict = field(default_factory=dict)
    """Subject -> side of the split -> number of trials, stimuli and runs."""
    findings: tuple[Finding, ...] = ()

    @property
    def can_be_read(self):
        """Whether index would go through."""
        return self.walked is not None and self.walked.stimuli is not None

    @property
    def can_be_run(self):
        """Whether nothing that was looked at stops a run."""
        return self.can_be_read and bool(self.sides)


def ask(about, words, compose, root, before=None):
    """Compose a configuration, read the study as it says, and try the split.

    Parameters
    ----------
    about : str
        Such as "which picture was seen".
    words : dict
        Keys and values for `neurodecode run`.
    compose : callable (words) -> dict
        The configuration, composed and resolved.
    root : path
    before : Walked, optional
        Of another question about the same runs: they are not gathered again.

    Returns
    -------
    question : Question
        Its words may have more keys: what it takes for the split to work.
    """
    try:
        config = compose(words)
        recipe = with_table(dataclass_from(config["recipe"], Recipe, "recipe"), root)
    except Exception as stopped:  # what this version has not, Hydra says in many ways
        return Question(about, words, findings=(error("configuration", str(stopped)),))
    walked = walk(recipe, root, before)
    if walked.stimuli is None:
        return Question(about, words, config, walked)
    try_split = _each_run if "EachRunInTurn" in str(config["split"]["rule"]) else _by_stimulus
    more, sides, findings = try_split(config, recipe, walked)
    cut, stopped = _epochs(config["preprocess"]["method"], walked)
    opened = open_as_preprocess(config["preprocess"]["method"], recipe, root, walked)
    more, findings = more | cut, [*findings, *stopped, *opened]
    if more:
        config = compose(words | more)
    return Question(about, words | more, config, walked, sides, tuple(findings))


def _by_stimulus(config, recipe, walked):
    trials, stimuli = walked.trials, walked.stimuli
    first = None
    for more in LOOSER:
        sides, stopped = _split(config, more, trials, stimuli)
        first = first or stopped
        if sides:
            return more, sides, [*_about_drawn(trials, stimuli, sides), *_loosened(more, first)]
    what, do = apart(first, "")
    if trials.groupby("subject")["run"].nunique().max() == 1:
        do = "pictures of one run only can be told apart by its drift: record more runs"
    return {}, {}, [error("split", what, do)]


def _each_run(config, recipe, walked):
    """Leave out what cannot be cross-validated: subjects of few runs, classes that a run lacks."""
    from neurodecode.rigour.nested import FEWEST_RUNS
    from neurodecode.stages.crossvalidate import FEWEST

    trials, stimuli, findings, more = walked.trials, walked.stimuli, [], {}
    n_runs = trials.groupby("subject")["run"].nunique()
    few = sorted(n_runs.index[n_runs < FEWEST_RUNS])
    what = f"fewer than {FEWEST_RUNS} runs in {_some(few)}"
    if len(few) == len(n_runs):
        do = "categories are told run by run: one is tested, and two must be left to choose by"
        return {}, {}, [error("few runs", what, do)]
    if few:
        more["subjects"] = sorted(set(n_runs.index) - set(few))
        do = "left out below, since no split by run is possible; record more"
        findings.append(warning("few runs", what, do))
        trials = trials[~trials["subject"].isin(few)]
    lacking = _classes_lacking_somewhere(trials)
    left = sorted(set(trials["stimulus_id"]) - set(lacking))
    enough = len(left) >= FEWEST
    for name, runs in lacking.items():
        what = f"the class {name!r} is missing in {_some(runs)}"
        do = "it is left out below: each run is tested in its turn and needs every class"
        findings.append(warning("class", what, do if enough else ""))
    if not enough:
        every = " in every run" if lacking else ""
        what = f"{len(left)} categories{every} ({_some(left)}), and {FEWEST} are needed"
        do = "choose a finer column (recipe.label_column): two at a time are also held out unseen"
        return {}, {}, [*findings, error("class", what, do)]
    if lacking:
        more["recipe.ignore"] = [*recipe.ignore, *lacking]
        trials = trials[~trials["stimulus_id"].isin(list(lacking))]
    sides, stopped = _split(config, {}, trials, stimuli)
    if stopped:
        return {}, {}, [*findings, error("split", *apart(stopped, ""))]
    return more, sides, findings


def _epochs(method, walked):
    """Compare the length of epochs with the gaps between trials, and with the recordings."""
    if "overlap" not in method:
        return {}, []
    trials, tmin_s, tmax_s = walked.trials, method["tmin_s"], method["tmax_s"]
    onsets_s = trials.groupby(["subject", "run"])["onset_s"]
    length_s = {(r.subject, r.run): f.get("duration_s") for r, f in _with_facts(walked)}
    for run, first, last in zip(onsets_s.groups, onsets_s.min(), onsets_s.max(), strict=True):
        if first + tmin_s < 0 or (length_s.get(run) and last + tmax_s > length_s[run]):
            what = f"epochs of {tmin_s:g} to {tmax_s:g} s reach outside {' '.join(run)}"
            do = "shorten them (preprocess.method.tmin_s, tmax_s), or set that event to n/a"
            return {}, [error("epochs", what, do)]
    gap_s = trials.sort_values("onset_s").groupby(["subject", "run"])["onset_s"].diff().min()
    if method["overlap"] or not gap_s < max(tmax_s, -tmin_s) - 1e-6:
        return {}, []
    what = (
        f"epochs of {tmin_s:g} to {tmax_s:g} s are longer than the gap between trials, {gap_s:g} s"
    )
    do = "allowed to overlap below; or shorten them (preprocess.method.tmax_s)"
    return {"preprocess.method.overlap": True}, [warning("epochs", what, do)]


def _with_facts(walked):
    return zip(walked.runs, walked.facts, strict=True)


def _split(config, more, trials, stimuli):
    """Return the sides that the composed rule gives, and the error if it gives none."""
    from neurodecode.rigour.splits import count_sides

    changed = {key.removeprefix("split.rule."): value for key, value in more.items()}
    try:
        rule = build(config["split"]["rule"] | changed)
        labels = rule(trials, stimuli, child_rng(config["split"]["seed"], "split"))
    except ValueError as stopped:
        return {}, str(stopped)
    return count_sides(trials, labels), ""


def _about_drawn(trials, stimuli, sides):
    """Say which test set is used where the study froze none, and whether anything repeats."""
    repeated = trials.groupby(["subject", "stimulus_id"]).size().gt(1).groupby("subject").mean()
    found = []
    n_test = next(iter(sides.values())).get("test", {}).get("stimuli", 0)
    if not stimuli["partition"].eq("test").any():
        once = "every picture is shown once, and " if not repeated.any() else ""
        what = (
            f"{once}no test set is frozen (column partition of stimuli/stimuli.tsv): whole "
            f"pictures are drawn by the seed, {n_test} of {trials['stimulus_id'].nunique()} for "
            f"{min(sides)}"
        )
        do = "freeze one in that column if figures are to be compared with other people's"
        found.append(note("test set", what, do))
    if not repeated.any():
        what = "nothing repeats: no noise ceiling can be told, and test rows are single trials"
        found.append(note("repeats", what))
    return found


def _loosened(more, first):
    if not more:
        return []
    what, _ = apart(first, "")
    do = f"pictures are held out without their runs below ({' '.join(as_overrides(more))}): say so"
    return [warning("split", what, do)]


def _classes_lacking_somewhere(trials):
    """Class -> the runs without it."""
    runs = trials.groupby(["subject", "run"])["stimulus_id"].agg(set)
    classes = sorted(set(trials["stimulus_id"]))
    lacking = {c: [" ".join(run) for run, own in runs.items() if c not in own] for c in classes}
    return {c: where for c, where in lacking.items() if where}


def _some(names, n=4):
    names = list(names)
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more
