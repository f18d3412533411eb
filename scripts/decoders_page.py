"""Write docs/decoders.md: every published decoder of conf/, its protocol, its figures, and ours.

Nothing is typed twice: rows are composed from conf/experiment, what we measured lies in docs/tables
as the benches wrote it (scripts/bench/decoders.py, scripts/bench/training_steps.py).

    python scripts/decoders_page.py
"""

import json
from pathlib import Path

from neurodecode.cli.compose import composed
from neurodecode.report.words import metric_label

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "decoders.md"
TABLES = ROOT / "docs" / "tables"
NEEDED = ("system", "paper", "row", "data", "n_test", "split", "selection", "candidates")
NEEDED += ("repeats", "provenance", "figures", "quirks", "at_size")
READING = (TABLES / "decoders_reading.md").read_text(encoding="utf-8")
HEAD = (TABLES / "decoders_head.md").read_text(encoding="utf-8")


def rows():
    """Compose every experiment of a published decoder: ``{row: configuration}``, by name."""
    names = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
    found = {name: composed([f"experiment={name}", f"name={name}"]) for name in names}
    return {name: config for name, config in found.items() if config["published"]}


def page(found, measured, steps):
    """The page, as Markdown.

    Parameters
    ----------
    found : dict
        As of `rows`.
    measured : dict
        Of scripts/bench/decoders.py.
    steps : dict
        Of scripts/bench/training_steps.py.
    """
    parts = [HEAD, overview(found), *(system(name, of) for name, of in systems(found).items())]
    return "\n".join([*parts, same_budget(measured), step_table(steps)])


def systems(found):
    """Rows by the system they are of, in the order of their names."""
    grouped = {}
    for name, config in found.items():
        grouped.setdefault(config["published"]["system"], {})[name] = config["published"]
    return dict(sorted(grouped.items(), key=lambda item: item[0].lower()))


def overview(found):
    """One line for each row."""
    lines = ["## Rows", "", "| experiment | system, row | N | split | candidates | selection |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, config in found.items():
        a = config["published"]
        cells = (f"`{name}`", f"{a['system']}, {a['row']}", a["n_test"], a["split"])
        lines.append(_line(*cells, a["candidates"], a["selection"]))
    return "\n".join([*lines, ""])


def system(name, rows_of):
    """What was published of one system, and how each of its rows is run."""
    lines = [f"## {name}", ""]
    lines += [f"{paper}." for paper in dict.fromkeys(a["paper"] for a in rows_of.values())]
    for row, about in rows_of.items():
        at_size = " ".join(["size=published", *about["at_size"]])
        lines += ["", f"### {about['row']}", "", "```bash"]
        lines += [
            f"neurodecode run experiment={row}",
            f"neurodecode run experiment={row} {at_size}",
        ]
        lines += ["```", ""]
        facts = {"Data": about["data"], "Test stimuli": about["n_test"], "Split": about["split"]}
        facts |= {"Candidates": about["candidates"], "Selection": about["selection"]}
        facts |= {"Repeats": about["repeats"]}
        lines += [f"- {word}: {fact}" for word, fact in facts.items()]
        lines += [_figures(about)]
        lines += [f"- Quirk, {quirk}: {how}" for quirk, how in about["quirks"].items()]
    return "\n".join([*lines, ""])


def _figures(about):
    figures = {n: value for n, value in about["figures"].items() if value is not None}
    if not figures:
        return f"- Published figures: none is quoted ({about['provenance']})"
    said = "; ".join(f"{metric_label(n)} {value}" for n, value in figures.items())
    return f"- Published figures ({about['provenance']}): {said}"


def same_budget(measured):
    """The table of the decoders on the simulated studies, and what it says."""
    lines = ["## The same budget on the simulated studies", "", *measured.get("about", [])]
    for study in measured.get("studies", []):
        lines += ["", f"### {study['title']}", ""]
        lines += ["| decoder | top 1 | minus ridge | shuffled | steps | seconds | parameters |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [_line(*row) for row in study["rows"]]
        lines += ["", study["note"]]
    return "\n".join([*lines, "", READING if measured else "", ""])


def step_table(steps):
    """What a training step costs at the published size."""
    lines = ["## A training step at the published size", "", *steps.get("about", []), ""]
    lines += ["| network | parameters | batch | ms a step | peak memory (GiB) |"]
    lines += ["|---|---|---|---|---|", *(_line(*row) for row in steps.get("rows", []))]
    return "\n".join([*lines, ""])


def _line(*cells):
    return "| " + " | ".join(str(c).replace("|", "/") for c in cells) + " |"


def read(name):
    """What a bench wrote, ``{}`` before it ran."""
    file = TABLES / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def written():
    """The page as it should be."""
    return page(rows(), read("decoders"), read("training_steps"))


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
