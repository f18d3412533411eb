"""The page: sections in reader's order, one template, everything inside one file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from neurodecode import __version__
from neurodecode.report.artifacts import coverage, subjects, unit
from neurodecode.report.figures import as_file, settle
from neurodecode.report.notices import notices, opened
from neurodecode.report.pictures import csv_uri, png_uri, svg_uri
from neurodecode.report.tables import as_csv
from neurodecode.report.verdict import figures, verdict

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Study:
    """What the sections draw from.

    Parameters
    ----------
    inputs : View
        The artifacts of the run.
    title : str
    facts : dict
        Licence, citation and the like of the data set; may be empty.
    read_picture : callable (path) -> ndarray or None
        Reads a stimulus by its path in the study.
    ridge_weights : callable (subject) -> (channels, weights) or None
        The linear baseline's weights on a subject's own channels, (n_channels, n_values): of every
        target, and of every time where responses have times.
    example : callable (category) -> ndarray or None
        A picture of a category, for studies without a picture per trial.
    headline_metric, rank_metric : str
        "" leaves the choice to the tables.
    n_gallery : int
    seed : int
    space : str
        The standard space of the volumes, such as MNI152NLin2009cAsym; "" if it is none.
    retrieved : callable (subject) -> dict or None
        Row id -> rank, of and nearest of its own picture in retrieval.
    spread : callable (pictures) -> ndarray
        The standard deviation of each pixel over some samples, grey levels from 0 to 1.
    whom : callable (n_subjects) -> str
        Of whom the numbers speak, as part of a sentence; "" where nothing is known.
    published : dict or None
        What was published of the decoder; see docs/decoders.md.
    shared : bool
        The page is to be passed on: `inputs` knows no identifiers.
    hidden : str
        Why no stimulus may be shown; "" where they may.
    formats : tuple of str
        Kinds of files that are kept of each figure.
    figures : dict
        Filled by the sections: file name -> bytes, to be saved beside the page.
    tables : dict
        File name -> text of CSV, likewise.
    """

    inputs: object
    title: str
    facts: dict
    read_picture: Callable
    ridge_weights: Callable = lambda subject: None
    example: Callable = lambda category: None
    headline_metric: str = ""
    rank_metric: str = ""
    n_gallery: int = 20
    seed: int = 0
    retrieved: Callable = lambda subject: None
    spread: Callable = lambda pictures: None
    whom: Callable = lambda n_subjects: ""
    space: str = ""
    published: dict | None = None
    shared: bool = False
    hidden: str = ""
    formats: tuple = ("png", "svg")
    figures: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict)

    def figure(self, name, figure, raster=False):
        """Keep a figure in all its formats; return what the page shows of it, and its name.

        A `raster` figure is shown as PNG, and in its SVG what stands for thousands of shapes is a
        picture.
        """
        for axes in figure.axes if raster else ():
            axes.set_rasterized(hasattr(axes, "get_zlim"))
        settle(figure)
        shown = "png" if raster else "svg"
        made = {kind: as_file(figure, kind) for kind in dict.fromkeys((*self.formats, shown))}
        self.figures.update({f"{name}.{kind}": made[kind] for kind in self.formats})
        uri = png_uri(made["png"]) if raster else svg_uri(made["svg"].decode())
        return {"svg": uri, "file": f"{name}.{shown}"}

    def table(self, name, table):
        """Keep a table as CSV; return what its link in the page needs."""
        text = as_csv(table)
        self.tables[f"{name}.csv"] = text
        return {"file": f"{name}.csv", "uri": csv_uri(text), "rows": len(table)}


@dataclass(frozen=True)
class Section:
    """One section: its link's text, its heading, and who draws it (None: nothing to show)."""

    link: str
    title: str
    draw: Callable

    @property
    def anchor(self):
        """What the link points to."""
        return self.link.lower().replace(" ", "-")


def page(study, sections, headline):
    """Render the report.

    Parameters
    ----------
    study : Study
    sections : list of Section
        In reader's order; those that draw None are left out.
    headline : dict or None

    Returns
    -------
    html : str
        Self-contained: no request leaves it.
    """
    drawn = [(section, section.draw(study)) for section in sections]
    drawn = [(section, html) for section, html in drawn if html]
    whom = study.whom(len(subjects(study.inputs)))
    return render(
        "page.html.j2",
        title=study.title,
        headline=headline,
        verdict=verdict(study.inputs),
        whom=whom[:1].upper() + whom[1:],
        figures=figures(study.inputs, study.headline_metric),
        banners=notices(study),
        opened=opened(study.inputs),
        script=script(),
        unit=unit(study.inputs),
        coverage=coverage(study.inputs),
        sections=drawn,
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        n_panes=len(subjects(study.inputs)) + 1,
    )


def script():
    """The page's script: it sorts, filters, saves and copies, and fetches nothing."""
    return (TEMPLATES / "report.js").read_text(encoding="utf-8")


def render(template, **values):
    """Fill one of the templates; text is escaped unless marked safe."""
    from markupsafe import Markup

    return Markup(_environment().get_template(template).render(**values))


@cache
def _environment():
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["version"] = __version__
    return environment
