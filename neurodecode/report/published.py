"""A decoder that was published: what its authors report, and how to repeat their quirks."""

from neurodecode.report.page import render
from neurodecode.report.quirks import quirks
from neurodecode.report.words import metric_label

WORDS = {
    "row": "row",
    "paper": "paper",
    "data": "data",
    "n_test": "test stimuli",
    "split": "split",
    "selection": "selection",
    "candidates": "candidates",
    "repeats": "repeats",
}


def as_published(study):
    """The section on what the authors report; None for a decoder of ours."""
    about = study.published
    if not about:
        return None
    said = (about.get("figures") or {}).items()  # null: of another row that this one begins from
    figures = {metric_label(name): value for name, value in said if value is not None}
    return render(
        "published.html.j2",
        system=about["system"],
        facts={word: about[name] for name, word in WORDS.items() if about.get(name) is not None},
        figures=figures,
        provenance=about.get("provenance", ""),
        quirks=about.get("quirks") or {},
        on=quirks(study.inputs),
    )
