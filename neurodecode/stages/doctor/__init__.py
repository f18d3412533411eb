"""Say what a folder of data holds, what is missing or doubtful, and the command to run.

Only tables and headers are read. Whatever is broken is a finding; nothing stops the others.
"""

from dataclasses import dataclass, field
from pathlib import Path

from neurodecode.stages.doctor.findings import LEVELS, Finding, ranked


@dataclass(frozen=True)
class Section:
    """Some lines about one thing, each with a label; `columns` are those of its events tables."""

    title: str
    rows: tuple = ()
    columns: tuple = ()


@dataclass(frozen=True)
class Command:
    """A command, and whether anything stands in its way."""

    about: str
    words: dict
    """Key -> value, for `neurodecode run`."""
    ready: bool


@dataclass(frozen=True)
class Examination:
    """All that the doctor says."""

    path: str
    kind: str
    """A key of `neurodecode.stages.doctor.kinds.TOLD`, or "installation"."""
    title: str
    sections: tuple[Section, ...] = ()
    findings: tuple[Finding, ...] = ()
    commands: tuple[Command, ...] = ()
    hints: tuple[str, ...] = field(default=())
    """What to do where there is no command."""

    @property
    def code(self):
        """Exit code: 0 if something can be run and no finding is an error, otherwise 2."""
        errors = any(f.level == LEVELS[0] for f in self.findings)
        able = self.kind in ("installation", "run", "store") or any(c.ready for c in self.commands)
        return 0 if able and not errors else 2


def examine(path, compose, derivatives=None):
    """Examine a file or folder.

    Parameters
    ----------
    path : path
    compose : callable (words) -> dict
        The configuration that `neurodecode run` would compose of these keys and values, resolved.
    derivatives : path, optional
        Where preprocessed runs, masks and confounds lie, if not in the data set.

    Returns
    -------
    examination : Examination
    """
    from neurodecode.stages.doctor.kinds import kind_of
    from neurodecode.stages.doctor.others import OTHERS
    from neurodecode.stages.doctor.trees import examine_bids, examine_derivatives

    path = Path(path).expanduser()
    kind = kind_of(path)
    if kind == "bids":
        return examine_bids(path, compose, derivatives)
    if kind == "derivatives":
        return examine_derivatives(path, compose)
    return OTHERS[kind](path, kind, compose)


__all__ = ["Command", "Examination", "Finding", "Section", "examine", "ranked"]
