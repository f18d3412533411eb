"""What a layout is: it says which runs a study has, and what was shown in each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Run:
    """One recording of one subject, and every file that says something about it."""

    subject: str
    session: str
    run: str
    """Unique within the subject: ``run-03``, or ``ses-01_run-03`` where there are sessions."""
    signals: dict[str, Path]
    """The files that hold the signal: usually one, named ``""``; ``L`` and ``R`` of a surface."""
    events: Path | None = None
    sidecars: tuple[Path, ...] = ()
    others: dict[str, Path] = field(default_factory=dict)
    """Kind of file -> path: ``confounds``, ``mask``, ``roi/early``, ``channels``, ``part/1`` …"""

    @property
    def signal(self) -> Path:
        """The file that holds the signal, or the first of them."""
        return next(iter(self.signals.values()))

    def files(self):
        """Every file of the run, in a fixed order."""
        events = [self.events] if self.events else []
        return [*self.signals.values(), *events, *self.sidecars, *self.others.values()]


class Layout(Protocol):
    """Read a study's folder. A layout of your own is a class with these three methods."""

    def runs(self, recipe, root) -> list[Run]:
        """Find all runs, by subject, session and run.

        Parameters
        ----------
        recipe : neurodecode.data.recipe.Recipe
        root : path
            Folder of the study.
        """

    def facts(self, run) -> dict:
        """Read from headers what is to be known of a run's signal; it stands in files.tsv.

        ``duration_s``, if it is among them, is how long the run lasts: onsets are checked by it.
        """

    def events(self, run, recipe, facts):
        """Return a run's events: ``onset_s``, ``duration_s``, ``shown`` and free columns.

        Where the recipe names no column of stimuli and none of labels, every event is a trial and
        ``shown`` is "". Columns ``session`` and ``run`` stand for those of `run`, where one file
        holds several.
        """
