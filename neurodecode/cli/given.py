"""What files of ``--config-dir`` may say: a recipe of somebody else's is data, and stays so."""

import os
import re
from pathlib import Path

from neurodecode.core.documents import read_yaml
from neurodecode.core.errors import ConfigError

FLAGS = ("--config-dir", "-cd")
OWN = "experiment"  # the group that is the user's own word, as the command line is
FREE = ("trust", "hydra")  # keys at the top that decide which code runs
FOLDERS = ("root", "derivatives")  # keys that may be told by the environment
KEPT = "NEURODECODE_CONFIG_DIRS"  # how a job on another node knows them
ELSEWHERE = re.compile(rf"@_global_|@(hydra|trust)\b|(^|\s|/)(hydra|{OWN})(/|$|@)|\.\.")
PACKAGE = re.compile(r"^#\s*@package\s+(\S+)")


def given_folders(words):
    """Return the folders that the words of a command add to the package's configurations.

    In a job on another node those of the command that submitted it.

    Raises
    ------
    ConfigError
        If an option of Hydra's is cut short: it would be obeyed, and its folder not looked at.
    """
    found, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if flag in FLAGS and (equals or rest):
            found.append(Path(value if equals else rest.pop(0)))
        elif flag.startswith("--conf") and FLAGS[0].startswith(flag):
            raise ConfigError(f"{flag}: write it out, {FLAGS[0]}=DIR")
    return found or [Path(p) for p in os.environ.get(KEPT, "").split(os.pathsep) if p]


def check_given_files(folders):
    """Refuse choices that would run code, or read the environment, beyond what a choice may.

    An experiment is the user's own word, and may say anything. The other groups (recipes, models,
    metrics …) set keys of the pipeline: not `trust`, nothing of Hydra's own, and the environment
    only for the folders ``root`` and ``derivatives``.

    Raises
    ------
    ConfigError
        Naming the file and the key; also for a file that is no plain YAML of a bounded size.
    """
    for folder in folders:
        for path in _files(folder):
            content = read_yaml(path)
            group = path.relative_to(folder).parts[0]
            if group != OWN and isinstance(content, dict):
                _check(path, content)


def _files(folder):
    """Every configuration below a folder, as Hydra finds them: linked folders are gone into."""
    walked = os.walk(folder, followlinks=True)
    return sorted(Path(at) / n for at, _, names in walked for n in names if n.endswith(".yaml"))


def _check(path, content):
    first = path.read_text(encoding="utf-8").splitlines()[:1]
    header = PACKAGE.match(first[0]) if first else None
    package = header.group(1) if header else ""
    if package.split(".")[0] in FREE:
        raise ConfigError(_refused(path, package.split(".")[0]))
    if package.startswith("_global_"):
        for key in content:
            if str(key).split(".")[0] in FREE:
                raise ConfigError(_refused(path, key))
    for entry in content.get("defaults") or []:
        for word in entry if isinstance(entry, dict) else [entry]:
            if ELSEWHERE.search(str(word)):
                raise ConfigError(_refused(path, word))
    _check_values(path, content, "")


def _check_values(path, node, key):
    if isinstance(node, dict):
        for name, value in node.items():
            _check_values(path, value, str(name))
    elif isinstance(node, list):
        for value in node:
            _check_values(path, value, key)
    elif isinstance(node, str) and re.search(r"\$\{\s*oc\.env", node) and key not in FOLDERS:
        raise ConfigError(
            f"{path}: {key} reads the environment ({node}), which would stand in reports: only "
            f"{' and '.join(FOLDERS)} may; write the value, or give it on the command line"
        )


def _refused(path, key):
    return (
        f"{path} sets {key}, which decides what code runs: only the command line and files of "
        f"{OWN}/ may"
    )
