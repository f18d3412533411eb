"""What the verification of a run found, and how much it read."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

AGAIN = "run the same command again: it is computed anew"


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold.

    Parameters
    ----------
    kind : {"damaged", "stale", "rests"}
        ``damaged``: bytes are not those that were written. ``stale``: whole, but today's files,
        code and configuration would make another. ``rests``: depends on something that is either.
    where : str
        The artifact, ``train`` or ``predict sub-01``; ``run`` for the run's own folder.
    what : str
        The file, or what of it changed.
    why : str
    todo : str
        What to do.
    path : str
        Where it lies.
    """

    kind: str
    where: str
    what: str
    why: str
    todo: str = AGAIN
    path: str = ""


@dataclass
class Verdict:
    """What was found, and how much was read.

    Attributes
    ----------
    folder, store : Path
    name, status, at : str
        Of the run, as its run.json says.
    remark : str
        Why the chain is shorter than the experiment; "" for a run that is done.
    findings : list of Finding
        In the order of work.
    n_artifacts, n_files, n_bytes : int
        Read, raw files and products included.
    """

    folder: Path
    store: Path
    name: str
    status: str
    at: str
    remark: str = ""
    findings: list = field(default_factory=list)
    n_artifacts: int = 0
    n_files: int = 0
    n_bytes: int = 0

    @property
    def whole(self):
        """Whether nothing was found."""
        return not self.findings

    def document(self):
        """All of it for a machine."""
        own = asdict(self) | {"folder": str(self.folder), "store": str(self.store)}
        return own | {"whole": self.whole}
