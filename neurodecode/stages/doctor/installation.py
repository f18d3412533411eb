"""Check an installation: versions, devices, disk, and the models that come with the package."""

import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from neurodecode.stages.doctor import Examination, Section
from neurodecode.stages.doctor.findings import error, note, ranked, warning
from neurodecode.stages.doctor.text import bytes_told

DISTRIBUTION = "neurodecode-pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LEAST_BYTES = 5e9  # a small study with its artifacts


def examine_installation(store):
    """Check what a run needs of this machine.

    Parameters
    ----------
    store : path
        Where artifacts would be kept.

    Returns
    -------
    examination : neurodecode.stages.doctor.Examination
    """
    import neurodecode

    findings = []
    rows = [
        ("neurodecode", f"{neurodecode.__version__} in {Path(neurodecode.__file__).parent}"),
        ("Python", f"{platform.python_version()}, {sys.executable}"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("cores", f"{len(os.sched_getaffinity(0))} to be used of {os.cpu_count()}"),
        ("device", _device(findings)),
        ("store", _place(Path(store).expanduser(), "store", findings)),
        ("runs", _place(Path("runs"), "the folder of runs", findings)),
        ("weights", _weights(findings)),
        ("browser", _browser(findings)),
    ]
    sections = (Section("", tuple(rows)), Section("Libraries", tuple(_libraries(findings))))
    hints = ("neurodecode run experiment=demo", "neurodecode doctor PATH looks at your data")
    title = "the installation"
    return Examination(
        "neurodecode", "installation", title, sections, tuple(ranked(findings)), hints=hints
    )


def _device(findings):
    try:
        import torch
    except ImportError as stopped:
        findings.append(error("torch", f"torch cannot be imported ({stopped})", "install it again"))
        return "unknown"
    if not torch.cuda.is_available():
        findings.append(note("device", "torch finds no GPU: everything runs on the CPU"))
        return "cpu"
    about = torch.cuda.get_device_properties(0)
    return f"cuda: {about.name}, {bytes_told(about.total_memory)}"


def _place(folder, name, findings):
    """Say how much disk is free where a folder is or would be, and whether it may be written."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        do = "choose another: store=…, or hydra.run.dir=… for runs"
        findings.append(error("write", f"{name} {folder} cannot be written: {there} is closed", do))
    free = shutil.disk_usage(there).free
    if free < LEAST_BYTES:
        what = f"only {bytes_told(free)} are free at {name} {folder}"
        findings.append(warning("disk", what, "make room, or choose another disk"))
    return f"{folder.absolute()}, {bytes_told(free)} free"


def _weights(findings):
    import neurodecode.weights

    folder = Path(neurodecode.weights.__file__).parent
    names = sorted(card.parent.name for card in folder.glob("*/README.md"))
    bare = [
        n for n in names if not any(f.stat().st_size for f in folder.glob(f"{n}/**/*.safetensors"))
    ]
    if bare or not names:
        what = f"the weights of {', '.join(bare) or 'every shipped model'} are missing"
        findings.append(error("weights", what, "install the package again", folder))
    return ", ".join(names)


def _browser(findings):
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        what = "no Chromium: only the screenshots of reports and their tests need one"
        findings.append(note("browser", what))
    return found or "none"


def _libraries(findings):
    """List the versions of what the package asks for; refuse what it does not allow."""
    from packaging.requirements import Requirement

    try:
        asked = [Requirement(r) for r in metadata.requires(DISTRIBUTION) or []]
    except metadata.PackageNotFoundError:
        what = f"{DISTRIBUTION} is not installed: it runs from its folder"
        findings.append(note("installation", what, "pip install -e . checks the versions"))
        return
    for wanted in (r for r in asked if r.marker is None or r.marker.evaluate({"extra": ""})):
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            findings.append(
                error("library", f"{wanted.name} is missing", f"pip install '{wanted}'")
            )
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            what = f"{wanted.name} is {version}, {wanted.specifier} is asked for"
            findings.append(warning("library", what, f"pip install '{wanted}'"))
        yield wanted.name, version
