"""Go through a study run by run with the code of index, collecting what index would stop at."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.build import build
from neurodecode.data import bids
from neurodecode.data.layouts.base import Run
from neurodecode.data.layouts.bids import Bids
from neurodecode.data.stimuli import known_stimuli, name_stimuli, stimulus_table
from neurodecode.data.trials import trial_table
from neurodecode.stages.doctor.findings import Finding, error

NOT_YOURS = "give yourself the right to read it (chmod u+r), or ask whoever owns it"


@dataclass(frozen=True)
class Walked:
    """What was found in one study, as far as it could be read."""

    runs: tuple[Run, ...]
    facts: tuple[dict, ...]
    """Of each run: what its header says; {} where that cannot be read."""
    trials: object = None
    """DataFrame of all subjects, as index writes it; None if some events cannot be read."""
    stimuli: object = None
    """DataFrame, as index writes it; None if a stimulus is missing."""
    findings: tuple[Finding, ...] = ()


def walk(recipe, root, before=None):
    """Read every header and table of a study, as index does.

    Parameters
    ----------
    recipe : neurodecode.data.recipe.Recipe
    root : path
    before : Walked, optional
        The same runs, read for another question: only their events are read again.

    Returns
    -------
    walked : Walked
    """
    layout, attempt = build(recipe.layout), Attempts(root)
    runs = before.runs if before else _runs(layout, recipe, root, attempt)
    facts = before.facts if before else [_facts(layout, run, attempt) for run in runs]
    known = attempt("stimuli", "", lambda: known_stimuli(recipe, root))
    events = []
    for run, fact in zip(runs, facts, strict=True):
        where = run.events or run.signal
        table = attempt("events", where, lambda: layout.events(run, recipe, fact))  # noqa: B023
        if table is not None and known is not None:
            name = lambda: name_stimuli(table["shown"], known, recipe, where)  # noqa: B023
            ids = attempt("stimuli", where, name)
            table = None if ids is None else table.assign(stimulus_id=ids)
        events.append((run, table))
    trials = stimuli = None
    if runs and known is not None and all(table is not None for _, table in events):
        trials, stimuli = _tables(events, known, recipe, root, attempt)
    return Walked(tuple(runs), tuple(facts), trials, stimuli, tuple(attempt.findings))


class Attempts:
    """Call things that may fail; keep what they said as findings.

    Parameters
    ----------
    root : path
        Taken off the paths in the messages.
    """

    def __init__(self, root):
        self.root, self.findings = root, []

    def __call__(self, code, where, action: Callable):
        """Return what `action` returns, or None with one more finding."""
        try:
            return action()
        except Exception as stopped:  # a broken file is a finding, whatever it broke
            self.stopped(code, where, stopped)
            return None

    def stopped(self, code, where, exception):
        """Keep an exception as a finding."""
        where = below(self.root, str(where))
        if isinstance(exception, PermissionError):
            where = below(self.root, str(exception.filename or where))
            self.findings.append(error("permission", "may not be read by you", NOT_YOURS, where))
            return
        foreseen = isinstance(exception, ValueError | OSError)
        name = "" if foreseen else f"{type(exception).__name__}: "
        what, do = apart(below(self.root, f"{name}{exception}"), where)
        self.findings.append(error(code, what, do, where))


def below(root, text):
    """Write paths in a text relative to the study's folder."""
    return re.sub(rf"(?<![\w./-]){re.escape(str(Path(root)))}/", "", text)


def apart(message, where):
    """Take a message apart: what is wrong, without the file's name in front, and what to do."""
    for start in filter(None, (where, Path(where).name if where else "")):
        message = re.sub(rf"^{re.escape(start)}:? ", "", message)
    what, colon, do = message.rpartition(": ")
    return (what, do) if colon and len(do) > 12 else (message, "")


def _facts(layout, run, attempt):
    return attempt("header", run.signal, lambda: layout.facts(run)) or {}


def _runs(layout, recipe, root, attempt):
    """List the runs that can be gathered; why the others cannot is kept."""
    try:
        return layout.runs(recipe, root)
    except Exception as stopped:  # whatever it is, it is told
        found = _each(layout, recipe, root)
        errors = [f for f in found if isinstance(f, Exception)]
        for error_ in errors or [stopped]:
            attempt.stopped("run", "", error_)
        return [f for f in found if not isinstance(f, Exception)]


def _each(layout, recipe, root):
    if not isinstance(layout, Bids):
        return []
    try:
        return list(bids.each_run(recipe, root))
    except Exception as stopped:
        return [stopped]


def _tables(events, known, recipe, root, attempt):
    import pandas as pd

    subjects = list(dict.fromkeys(run.subject for run, _ in events))
    of = lambda subject: [(r, t) for r, t in events if r.subject == subject]
    tables = attempt("events", "", lambda: [trial_table(of(subject)) for subject in subjects])
    if tables is None:
        return None, None
    trials = pd.concat(tables, ignore_index=True)
    shown = pd.concat([t["shown"] for _, t in events], ignore_index=True)
    make = lambda: stimulus_table(trials, shown, known, recipe, root, digest=lambda path: "")
    return trials, attempt("pictures", "", make)
