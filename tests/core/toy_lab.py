"""A laboratory of toy stages on `core` alone: raw files in, one figure out, in milliseconds."""

import os
import sys
import textwrap

from neurodecode.core import fingerprint
from neurodecode.core.runner import Pipeline
from neurodecode.core.store import write_json

STAGES = {
    "index": """
        from dataclasses import dataclass
        from pathlib import Path
        from neurodecode.core.stage import stage

        @dataclass(frozen=True)
        class Config:
            subjects: list[str]
            raw: str

        @stage("index", config=Config, external=lambda c: [Path(c.raw) / s for s in c.subjects])
        def run(config, inputs, out):
            out.save_json("subjects.json", config.subjects)
            for subject in config.subjects:
                text = (Path(config.raw) / subject / "n.txt").read_text()
                out.path(f"{subject}/n.txt").write_text(text)
        """,
    "double": """
        from dataclasses import dataclass
        from neurodecode.core.stage import stage

        @dataclass(frozen=True)
        class Config:
            factor: int = 2

        @stage("double", config=Config, inputs=("index:{each}/*",), each="subject")
        def run(config, inputs, out):
            n = int(inputs.path("index", f"{inputs.each}/n.txt").read_text())
            out.path("n.txt").write_text(str(config.factor * n))
        """,
    "total": """
        from dataclasses import dataclass
        from neurodecode.core.stage import stage

        @dataclass(frozen=True)
        class Config:
            offset: int = 0

        @stage("total", config=Config, inputs=("double",))
        def run(config, inputs, out):
            subjects = inputs.members("double")
            values = [int(inputs.path("double", "n.txt", s).read_text()) for s in subjects]
            out.save_json("figures.json", config.offset + sum(values))
        """,
    "page": """
        from dataclasses import dataclass
        from neurodecode.core.stage import stage

        @dataclass(frozen=True)
        class Config:
            title: str = "toy"

        @stage("page", config=Config, inputs=("total",))
        def run(config, inputs, out):
            text = f"<html>{config.title} {inputs.json('total', 'figures.json')}</html>"
            out.path("report.html").write_text(text)
        """,
    "__init__": "",
}
HARDWARE = {"device": "cpu", "threads": 1}
SUBJECTS = ["sub-1", "sub-2"]


def write_lab(folder):
    """Write the stages as a package `toy_lab_code` below a folder that is on the path."""
    os.environ["NEURODECODE_TRUST"] = "toy_lab_code"  # stages of somebody's own
    package = folder / "toy_lab_code"
    package.mkdir(parents=True)
    for name, source in STAGES.items():
        (package / f"{name}.py").write_text(textwrap.dedent(source))
    return package


def write_raw(folder, subjects=SUBJECTS):
    """Write one raw file of each subject, holding the last letter of its name."""
    for subject in subjects:
        (folder / subject).mkdir(parents=True)
        (folder / subject / "n.txt").write_text(subject[-1])
    return folder


def config(raw, subjects=SUBJECTS, **nodes):
    """The configuration of a run of the four stages."""
    names = [f"toy_lab_code.{name}" for name in ("index", "double", "total", "page")]
    index = {"subjects": list(subjects), "raw": str(raw)}
    return {"name": "toy", "stages": names, "index": index} | nodes


def run(store, raw, folder, subjects=SUBJECTS, **nodes):
    """Run the four stages and return the pipeline."""
    pipeline = Pipeline(config(raw, subjects, **nodes), store, HARDWARE, folder)
    pipeline.run()
    return pipeline


def register(store, name, folder, places, status="done", holder=None, st_dev=None):
    """Write an entry of the register of runs, as the runner does."""
    from neurodecode.core.lease import me

    (store.root / "runs").mkdir(exist_ok=True)
    entry = {
        "folder": str(folder),
        "st_dev": folder.parent.stat().st_dev if st_dev is None else st_dev,
        "name": name,
        "at": "2026-01-01T00:00:00+00:00",
        "holder": holder or me(),
        "status": status,
        "artifacts": list(places),
    }
    write_json(store.root / "runs" / f"{name}.json", entry)


def forget():
    """Let edited stages be imported and digested anew."""
    for name in [n for n in sys.modules if n.startswith("toy_lab_code")]:
        sys.modules.pop(name)
    fingerprint._source.cache_clear()
    fingerprint._digest_and_imports.cache_clear()
