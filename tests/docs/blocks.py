"""Take the code out of a document: files with their names, and commands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.S | re.M)
# -P: the working folder is not importable by Python's own doing, as for an installed command
NEURODECODE = [sys.executable, "-P", "-m", "neurodecode.cli"]


def write_files(document, folder):
    """Write every block that names a file; return the names."""
    names = []
    for _, name, text in FENCE.findall((DOCS / document).read_text()):
        if name:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            names.append(name)
    return names


def commands(document):
    """List the commands of the bash blocks, as words."""
    blocks = [t for kind, _, t in FENCE.findall((DOCS / document).read_text()) if kind == "bash"]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run(words, folder, *more):
    """Run a command of a document in `folder`, with `more` words, and return what it did."""
    known = {"neurodecode": NEURODECODE, "python": [sys.executable]}
    command = [*known[words[0]], *words[1:], *more]
    hidden = ("NEURODECODE_DEBUG", "NEURODECODE_STORE")
    inherited = {k: v for k, v in os.environ.items() if k not in hidden}
    env = inherited | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
