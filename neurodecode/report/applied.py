"""The page of an applied model: per row what was painted, what was retrieved, how sure that is."""

from dataclasses import dataclass, field

from neurodecode.report.page import TEMPLATES, render
from neurodecode.report.pictures import data_uri


@dataclass(frozen=True)
class Decoded:
    """One row of the page.

    Attributes
    ----------
    label, place : str
        The row's id; subject, run and onset.
    confidence : float or None
        Probability of the first candidate; None: not calibrated.
    agreement : float or None
        Mean cosine of the row's pictures among themselves; None: a single one.
    painted : list of ndarray
        Its reconstructions, the chosen one first; may be empty.
    retrieved : list of (str, float, ndarray or None)
        Id, similarity and picture of the nearest candidates.
    """

    label: str
    place: str
    confidence: float | None
    agreement: float | None = None
    painted: list = field(default_factory=list)
    retrieved: list = field(default_factory=list)


def applied_page(about, rows, n_rows, calibration):
    """Render the page.

    Parameters
    ----------
    about : dict
        ``run``, ``options`` and the number of ``candidates``, as in applied.json.
    rows : list of Decoded
        Those that are shown.
    n_rows : int
        All there are; the others stand in decoded.tsv.
    calibration : dict
        For each subject what `judge_confidence` says, or None.

    Returns
    -------
    html : str
        Self-contained: no request leaves it.
    """
    return render(
        "applied.html.j2",
        about=about,
        rows=rows,
        n_rows=n_rows,
        calibration=calibration,
        uri=data_uri,
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
    )
